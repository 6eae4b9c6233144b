"""Captions, and whose go into the shards."""

from dataclasses import asdict

from bolid_data.catalog.connection import Connection
from bolid_data.catalog.rows import upsert
from bolid_data.records import Model


class Captioned(Connection):
    def uncaptioned(self, model: Model, prompt: str) -> list[str]:
        """Kept photos without a caption of this model and prompt, sorted; that model is the captioner from here on."""
        with self.open() as con:
            upsert(con, "models", [asdict(model)])
            con.execute("DELETE FROM captioner")
            con.execute("INSERT INTO captioner VALUES (?, ?)", [model.id, prompt])
            rows = con.execute(
                """SELECT DISTINCT sha256 FROM verdicts WHERE kept AND sha256 NOT IN
                   (SELECT sha256 FROM captioned JOIN captioner USING (model, prompt)) ORDER BY sha256"""
            ).fetchall()
        return [sha256 for (sha256,) in rows]

    def record_captions(self, model_id: str, prompt: str, captions: dict[str, str]) -> None:
        with self.open() as con:
            rows = [{"sha256": s, "model": model_id, "prompt": prompt, "caption": c} for s, c in captions.items()]
            upsert(con, "captioned", rows)
