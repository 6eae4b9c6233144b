"""Captions, and the captioner whose captions go into the shards."""

from dataclasses import asdict

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import upsert
from bolid_data.records import Model


class Captions(Part):
    def choose_captioner(self, model: Model, prompt: str) -> None:
        """From now on, captions of this model and prompt go into the shards."""
        with self._catalog.open() as con:
            upsert(con, "models", [asdict(model)])
            con.execute("DELETE FROM captioner")
            con.execute("INSERT INTO captioner VALUES (?, ?)", [model.id, prompt])

    def uncaptioned(self) -> list[str]:
        """Kept photos without a caption by the captioner, sorted; those that failed before come last."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                """SELECT DISTINCT sha256,
                       sha256 IN (SELECT sha256 FROM uncaptioned JOIN captioner USING (model, prompt)) AS failed
                   FROM verdicts WHERE kept AND sha256 NOT IN
                   (SELECT sha256 FROM captioned JOIN captioner USING (model, prompt)) ORDER BY failed, sha256"""
            ).fetchall()
        return [sha256 for sha256, _ in rows]

    def record_captions(
        self, model_id: str, prompt: str, captions: dict[str, str], failures: dict[str, str] | None = None
    ) -> None:
        """Commits captions and errors; both replace the earlier result for a photo."""
        captioner = {"model": model_id, "prompt": prompt}
        with self._catalog.open() as con:
            con.execute(
                "DELETE FROM uncaptioned WHERE model = ? AND prompt = ? AND list_contains(?, sha256)",
                [model_id, prompt, list(captions)],
            )
            upsert(con, "captioned", [{"sha256": s, "caption": c} | captioner for s, c in captions.items()])
            upsert(con, "uncaptioned", [{"sha256": s, "error": e} | captioner for s, e in (failures or {}).items()])

    def caption_counts(self) -> dict[str, int]:
        """The numbers of kept photos that the captioner has `captioned`, and that have `failed`."""
        with self._catalog.open() as con:
            rows = con.execute(
                """WITH kept AS (SELECT DISTINCT sha256 FROM verdicts WHERE kept)
                   SELECT count(caption), count(error) FROM kept
                   LEFT JOIN (FROM captioned JOIN captioner USING (model, prompt)) USING (sha256)
                   LEFT JOIN (FROM uncaptioned JOIN captioner USING (model, prompt)) USING (sha256)"""
            ).fetchall()
        ((captioned, failed),) = rows
        return {"captioned": captioned, "failed": failed}
