"""Captions, each with its author: a model, a person (`hand`) or a file beside the photo (`sidecar`); and which of a
photo's captions is used."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import duckdb

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts, insert, upsert
from bolid_data.records import Model

HAND, SIDECAR = "hand", "sidecar"
"""Authors other than models. Their captions have a name (`short`, `tags`; "" for the plain one) where a model's have a
prompt, or a name if an instruction asked for them: all are in the column `prompt`."""

BY_PEOPLE = f"('{HAND}', '{SIDECAR}')"

# Catalogs of earlier versions lack some columns.
CAPTION_SETTINGS = """(
    SELECT NULL::VARCHAR AS model, NULL::VARCHAR AS prompt, NULL::VARCHAR AS use, NULL::VARCHAR AS trigger WHERE false
    UNION ALL BY NAME FROM captioner
)"""


# A photo may have several of them.
USABLE_CAPTIONS = f"""
FROM captioned LEFT JOIN {CAPTION_SETTINGS} settings ON true
WHERE caption IS NOT NULL AND CASE WHEN captioned.model IN {BY_PEOPLE}
    THEN captioned.prompt IN ('', coalesce(use, ''))
    ELSE captioned.model = settings.model AND captioned.prompt = settings.prompt END
"""


def chosen_captions(among: str = "true") -> str:
    """SQL for one caption per captioned photo; `among` is a condition on `sha256`, which makes it faster.

    Of captions with the name that the manifest's `[caption] use` asks for, the one written by hand comes first, then
    the sidecar file's; then plain ones in the same order; then the captioner's.
    """
    return f"""(
    SELECT sha256, captioned.model, captioned.prompt, caption
    {USABLE_CAPTIONS} AND {among}
    QUALIFY row_number() OVER (PARTITION BY sha256 ORDER BY
        captioned.model IN {BY_PEOPLE} AND captioned.prompt = coalesce(use, '') DESC,
        list_position(['{HAND}', '{SIDECAR}'], captioned.model) NULLS LAST) = 1
)"""


CHOSEN_CAPTIONS = chosen_captions()


class Captions(Part):
    def choose(self, use: str, trigger: str) -> None:
        """From now on, captions with this name are used where there are any, with this trigger word in front."""
        with self._catalog.open() as con:
            _settings(con, {"use": use, "trigger": trigger})

    def choose_captioner(self, model: Model, prompt: str) -> None:
        """From now on, captions of this model and prompt are used where nobody wrote one."""
        with self._catalog.open() as con:
            upsert(con, "models", [asdict(model)])
            _settings(con, {"model": model.id, "prompt": prompt})

    def uncaptioned(self) -> list[str]:
        """Kept photos without a caption that can be used, sorted; those on which the captioner failed before come
        last."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                f"""SELECT DISTINCT sha256,
                       sha256 IN (SELECT sha256 FROM uncaptioned JOIN captioner USING (model, prompt)) AS failed
                   FROM verdicts WHERE kept AND sha256 NOT IN (SELECT sha256 FROM {CHOSEN_CAPTIONS})
                   ORDER BY failed, sha256"""
            ).fetchall()
        return [sha256 for sha256, _ in rows]

    def add_captioner(self, model: Model) -> None:
        """Records a model that writes captions of a name, which are used beside others."""
        with self._catalog.open() as con:
            upsert(con, "models", [asdict(model)])

    def without_name(self, name: str, model_id: str = "") -> list[str]:
        """Kept photos without a caption of that name by a person or by the model, sorted; those on which the model
        failed before come last."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                f"""SELECT DISTINCT sha256,
                       sha256 IN (SELECT sha256 FROM uncaptioned WHERE prompt = $name AND model = $model) AS failed
                   FROM verdicts WHERE kept AND sha256 NOT IN (
                       SELECT sha256 FROM captioned
                       WHERE prompt = $name AND (model IN {BY_PEOPLE} OR model = $model) AND caption IS NOT NULL)
                   ORDER BY failed, sha256""",
                {"name": name, "model": model_id},
            ).fetchall()
        return [sha256 for sha256, _ in rows]

    def needs_captioner(self) -> bool:
        """Whether a kept photo has no caption by a person, or no photo is kept yet."""
        with self._catalog.open(read_only=True) as con:
            ((needed,),) = con.execute(
                f"""SELECT coalesce(bool_or(sha256 NOT IN
                        (SELECT sha256 FROM {CHOSEN_CAPTIONS} WHERE model IN {BY_PEOPLE})), true)
                    FROM verdicts WHERE kept"""
            ).fetchall()
        return needed

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

    def write(self, captions: dict[str, str], name: str) -> None:
        """Records captions written by hand, by sha256; an empty one takes the earlier one back."""
        with self._catalog.open() as con:
            written = [
                {"sha256": sha256, "model": HAND, "prompt": name, "caption": text}
                for sha256, text in captions.items() if text
            ]  # fmt: skip
            upsert(con, "captioned", written)
            removed = [sha256 for sha256, text in captions.items() if not text]
            con.execute(
                f"DELETE FROM captioned WHERE model = '{HAND}' AND prompt = ? AND list_contains(?, sha256)",
                [name, removed],
            )

    def people_with_sidecars(self) -> set[str]:
        """The people whose photos have captions from sidecar files."""
        with self._catalog.open() as con:
            rows = con.execute(
                f"""SELECT DISTINCT person FROM sightings WHERE sha256 IN
                    (SELECT sha256 FROM captioned WHERE model = '{SIDECAR}')"""
            ).fetchall()
        return {person for (person,) in rows}

    def replace_sidecars(self, person: str, captions: Sequence[dict[str, Any]], files: Sequence[str]) -> dict[str, int]:
        """Replaces the sidecar captions of a person's photos.

        `captions` have the photo's address as `url`, a `name`, and a `caption`, None for one that could not be read,
        which keeps the earlier one. `files` are the addresses of the sidecar files. Returns how many captions are
        `new`, `changed` and `removed`. A photo with several files has the caption of the first. The captions of a photo
        that other people have as well are never removed.
        """
        with self._catalog.open() as con:
            con.execute("CREATE TEMP TABLE read (url VARCHAR, name VARCHAR, caption VARCHAR)")
            insert(con, "read", list(captions))
            con.execute(
                """CREATE TEMP TABLE latest AS
                   SELECT sha256, name AS prompt, min_by(caption, url) FILTER (caption IS NOT NULL) AS caption
                   FROM read JOIN sightings USING (url) WHERE person = $1 AND sha256 IS NOT NULL GROUP BY ALL""",
                [person],
            )
            earlier = f"(SELECT sha256, prompt, caption AS earlier FROM captioned WHERE model = '{SIDECAR}')"
            ((new, changed),) = con.execute(
                f"""SELECT count(*) FILTER (earlier IS NULL), count(*) FILTER (earlier <> caption)
                    FROM latest LEFT JOIN {earlier} USING (sha256, prompt) WHERE caption IS NOT NULL"""
            ).fetchall()
            if new or changed:
                con.execute(
                    f"""INSERT OR REPLACE INTO captioned BY NAME SELECT *, '{SIDECAR}' AS model FROM latest
                        WHERE caption IS NOT NULL"""
                )
            con.execute(
                f"""CREATE TEMP TABLE missing AS SELECT sha256, prompt FROM captioned
                    SEMI JOIN (FROM sightings WHERE person = $1) USING (sha256) ANTI JOIN latest USING (sha256, prompt)
                    WHERE model = '{SIDECAR}'""",
                [person],
            )
            removed: list[tuple] = []
            if con.execute("FROM missing LIMIT 1").fetchone():  # seldom, and slow in a large catalog
                removed = con.execute(
                    f"""DELETE FROM captioned WHERE model = '{SIDECAR}'
                        AND (sha256, prompt) IN (SELECT (sha256, prompt) FROM missing)
                        AND sha256 NOT IN (SELECT sha256 FROM sightings WHERE person <> $1 AND sha256 IS NOT NULL)
                        RETURNING sha256""",
                    [person],
                ).fetchall()
            # Earlier versions took these files for broken photos.
            con.execute(
                "DELETE FROM sightings WHERE person = $1 AND sha256 IS NULL AND list_contains($2, url)",
                [person, list(files)],
            )
        return {"new": new, "changed": changed, "removed": len(removed)}

    def caption_counts(self) -> dict[str, int]:
        """The numbers of kept photos that have a caption (`captioned`), that the captioner could not caption
        (`failed`), and whose caption has another name than the manifest asks for (`other_name`)."""
        with self._catalog.open() as con:
            rows = con.execute(
                f"""WITH kept AS (SELECT DISTINCT sha256 FROM verdicts WHERE kept)
                    SELECT count(caption), count(*) FILTER (caption IS NULL AND error IS NOT NULL),
                        count(*) FILTER (caption IS NOT NULL AND coalesce(use, '') <> ''
                            AND (chosen.model NOT IN {BY_PEOPLE} OR chosen.prompt <> use))
                    FROM kept LEFT JOIN {CHOSEN_CAPTIONS} chosen USING (sha256)
                    LEFT JOIN (SELECT sha256, error FROM uncaptioned JOIN captioner USING (model, prompt))
                        USING (sha256)
                    LEFT JOIN {CAPTION_SETTINGS} settings ON true"""
            ).fetchall()
        ((captioned, failed, other_name),) = rows
        return {"captioned": captioned, "failed": failed, "other_name": other_name}


def _settings(con: duckdb.DuckDBPyConnection, changes: dict[str, str]) -> None:
    """Changes columns of the one row of `captioner`."""
    rows = dicts(con.execute("FROM captioner")) or [{"use": "", "trigger": ""}]
    con.execute("DELETE FROM captioner")
    insert(con, "captioner", [rows[0] | changes])
