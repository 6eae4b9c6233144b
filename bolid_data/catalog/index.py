"""The samples of the shards, and their index (`shards/index.duckdb`), a separate database so that training needs no
catalog."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from bolid_data.caption_text import with_trigger
from bolid_data.catalog.captions import CAPTION_SETTINGS, CHOSEN_CAPTIONS, chosen_captions
from bolid_data.catalog.connection import Part
from bolid_data.catalog.main_person import MAIN_PERSON
from bolid_data.catalog.rows import dicts, insert
from bolid_data.shard_index import MAPS, VERSION

_INDEX = """
CREATE TABLE samples (
    key VARCHAR PRIMARY KEY, person VARCHAR, sha256 VARCHAR, split VARCHAR, shard VARCHAR, "offset" BIGINT, size BIGINT,
    width INTEGER, height INTEGER, caption VARCHAR, keypoints FLOAT[3][17],
    made VARCHAR,  -- as_is | stripped (of what a decoder does not need) | converted (re-encoded)
    captions MAP(VARCHAR, VARCHAR),  -- other captions than `caption`, by author and prompt or name
    measures MAP(VARCHAR, DOUBLE),  -- by name: measurements of the last judgement's models, and of the body
    rotation INTEGER  -- degrees, clockwise, by which the photo was rotated, in addition to its EXIF
);
CREATE TABLE shards (shard VARCHAR PRIMARY KEY, sha256 VARCHAR, bytes BIGINT, samples INTEGER, split VARCHAR);
CREATE TABLE sources (sha256 VARCHAR, url VARCHAR);  -- addresses without secrets
CREATE TABLE ids (name VARCHAR PRIMARY KEY, id VARCHAR);  -- keyed ids of people and photos, which runs store
CREATE TABLE about (key VARCHAR PRIMARY KEY, value VARCHAR);
"""


_DIGITS = 6  # after the point: most measures are stored as FLOAT, which holds no more
_MEASURES = ("sharpness", "brightness", "colourfulness", "watermark", "likeness", "person_score", "face_score")

_CHOSEN = chosen_captions("sha256 IN (SELECT sha256 FROM verdicts WHERE list_contains($people, person))")
_KEPT = f"""
WITH chosen AS (
    SELECT person, sha256, caption, coalesce(rotation, 0) AS rotation
    FROM judged JOIN {_CHOSEN} USING (sha256) WHERE kept AND list_contains($people, person)
),
-- As lists: for DuckDB 2.0, the array of a photo without a detected person has another length.
people AS (
    SELECT sha256, keypoints::FLOAT[][] AS keypoints, score AS person_score
    FROM detections JOIN judgement ON model = pose
    WHERE kind = 'person' AND sha256 IN (SELECT sha256 FROM chosen)
    QUALIFY row_number() OVER (PARTITION BY sha256 ORDER BY {MAIN_PERSON} DESC, box) = 1
),
faces AS (
    SELECT sha256, max(score) AS face_score FROM detections JOIN judgement ON model = face
    WHERE kind = 'face' AND sha256 IN (SELECT sha256 FROM chosen) GROUP BY sha256
),
-- A name depends only on author and prompt, so that it is the same in every dataset.
named AS (
    SELECT sha256, model || CASE WHEN prompt = '' THEN '' ELSE ': ' || prompt END AS name, min(caption) AS text
    FROM captioned ANTI JOIN {_CHOSEN} USING (sha256, model, prompt)
    WHERE caption IS NOT NULL AND sha256 IN (SELECT sha256 FROM chosen) GROUP BY ALL
),
others AS (
    SELECT sha256, map(list(name ORDER BY name), list(text ORDER BY name)) AS captions FROM named GROUP BY sha256
),
bodies AS (
    SELECT sha256, map(list(name ORDER BY name), list(value ORDER BY name)) AS body FROM (
        SELECT sha256, name, min(value) AS value FROM body_measures
        WHERE sha256 IN (SELECT sha256 FROM chosen) GROUP BY ALL
    ) GROUP BY sha256
)
SELECT person, sha256, caption, trigger, rotation, keypoints, coalesce(captions, MAP {{}}) AS captions,
    {", ".join(_MEASURES)}, coalesce(body, MAP {{}}) AS body
FROM chosen LEFT JOIN {CAPTION_SETTINGS} ON true
LEFT JOIN people USING (sha256) LEFT JOIN faces USING (sha256) LEFT JOIN others USING (sha256)
LEFT JOIN bodies USING (sha256)
LEFT JOIN (FROM qualities SEMI JOIN judgement ON model = quality) USING (sha256)
LEFT JOIN (SELECT sha256, probability AS watermark FROM watermarks w JOIN judgement j ON w.model = j.watermark)
    USING (sha256)
LEFT JOIN (FROM likenesses SEMI JOIN judgement ON model = identity) USING (person, sha256)
ORDER BY list_position($people, person), sha256
"""


class Samples(Part):
    def kept_photos(self, people: Sequence[str], trigger: str | None = None) -> list[dict[str, Any]]:
        """Kept, captioned photos in the order of `people`, then by sha256: person, sha256, caption with `trigger` or,
        if that is None, the manifest's trigger word, the `rotation` in degrees
        clockwise, keypoints of the main person before it, its other `captions` by name, and `measures` by name."""
        with self._catalog.open() as con:
            rows = dicts(con.execute(_KEPT, {"people": list(people)}))
        for row in rows:
            manifests = row.pop("trigger") or ""
            row["caption"] = with_trigger(row["caption"], manifests if trigger is None else trigger)
        return [_with_measures(row) for row in rows]

    def keys(self, people: Sequence[str]) -> set[str]:
        """The names of kept, captioned photos in shards and exports (`shards.samples.photo_key`)."""
        with self._catalog.open() as con:
            rows = con.execute(
                f"""SELECT person || '-' || left(sha256, 16) FROM verdicts SEMI JOIN {CHOSEN_CAPTIONS} USING (sha256)
                    WHERE kept AND list_contains($1, person)""",
                [list(people)],
            ).fetchall()
        return {key for (key,) in rows}


def _with_measures(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its measures as one dict, without those that no model of the last judgement measured."""
    values = {name: row.pop(name) for name in _MEASURES} | row.pop("body")
    measures = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    return row | {"measures": {name: round(value, _DIGITS) for name, value in measures.items()}}


class IndexWriter:
    """Writes a new index, replacing an existing one."""

    def __init__(self, path: Path, key: str, cut_addresses: int = 0) -> None:
        """`key` is the fingerprint of the key of its ids; `cut_addresses` is the number of addresses from which secrets
        were removed."""
        path.unlink(missing_ok=True)
        self._con = duckdb.connect(path)
        self._con.execute(_INDEX)
        about = {"schema_version": str(VERSION), "key": key, "addresses_without_secrets": str(cut_addresses)}
        self.add("about", [{"key": name, "value": value} for name, value in about.items()])

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        if table == "samples":
            rows = [row | {name: _to_map(row.get(name)) for name in MAPS} for row in rows]
        insert(self._con, table, rows)

    def close(self) -> None:
        self._con.close()


def _to_map(values: dict[str, Any] | None) -> dict[str, Any] | None:
    """The form that DuckDB takes for a MAP; any other dict becomes a STRUCT."""
    return values if values is None else {"key": list(values), "value": list(values.values())}
