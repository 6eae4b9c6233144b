"""The content of a lock and its file of measurements: exported from a dataset, and imported when it is rebuilt."""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb

from bolid_data.atomic_io import atomic_write
from bolid_data.catalog.captions import CHOSEN_CAPTIONS
from bolid_data.catalog.connection import Part
from bolid_data.catalog.pixels import mark_pixels
from bolid_data.catalog.rows import dicts, first_line, insert
from bolid_data.catalog.site_marks import import_groups, locked_groups
from bolid_data.errors import UsageError
from bolid_data.public_address import public_address
from bolid_data.records import ModelIds

_MODELS = [field.name for field in fields(ModelIds)]


class LockContent(Part):
    def read(self) -> dict[str, Any]:
        """The dataset's thresholds, models, people, and photos with their sightings.

        A photo that is gone from its folder is included without an address, as its file is still there; an opted-out
        photo has no file and is not included. Secrets in addresses are removed, and named in `left_out`.
        """
        with self._catalog.open() as con:
            con.execute(_PUBLIC)
            thresholds = con.execute("SELECT thresholds FROM judgement").fetchone()
            judgement = dicts(con.execute("SELECT * EXCLUDE thresholds FROM judgement"))
            captioner = dicts(
                con.execute(
                    "SELECT model, prompt, coalesce(use, '') AS use, coalesce(trigger, '') AS trigger FROM captioner"
                )
            )
            models = dicts(
                con.execute(
                    f"""SELECT models.* FROM models
                       WHERE id IN (SELECT unnest([{", ".join(_MODELS)}]) FROM judgement)
                       OR id IN (SELECT model FROM captioner) OR id IN (SELECT model FROM site_marks)
                       OR id IN (SELECT model FROM captioned SEMI JOIN public_sightings USING (sha256)) ORDER BY id"""
                )
            )
            # For an addresses list, `url` and `page_url` are the path of the list, which is private.
            people = dicts(
                con.execute(
                    """SELECT person, name, CASE WHEN regexp_matches(url, '^(https?://|file:)') THEN url END AS url,
                           listed_photos
                       FROM people SEMI JOIN (
                           SELECT person FROM public_sightings
                           UNION SELECT person FROM assignments SEMI JOIN public_sightings USING (sha256)
                       ) USING (person) ORDER BY person"""
                )
            )
            photos = dicts(
                con.execute(
                    f"""WITH verdict AS (
                           SELECT sha256, bool_or(kept) AND sha256 IN  -- photos without a caption are in no shard
                               (SELECT sha256 FROM {CHOSEN_CAPTIONS}) AS kept
                           FROM verdicts GROUP BY sha256
                       ),
                       sighted AS (
                           SELECT sha256, list({{'person': person, 'url': url, 'page_url':
                               CASE WHEN regexp_matches(page_url, '^https?://') THEN page_url END
                           }} ORDER BY url, person) AS sightings
                           FROM public_sightings GROUP BY sha256
                       )
                       SELECT sha256, format, bytes, coalesce(kept, false) AS kept, coalesce(sightings, []) AS sightings
                       FROM photos LEFT JOIN sighted USING (sha256) LEFT JOIN verdict USING (sha256)
                       WHERE sha256 NOT IN (
                           SELECT sha256 FROM sightings WHERE state = 'opted_out' AND sha256 IS NOT NULL
                       ) AND sha256 NOT IN (FROM lost) ORDER BY sha256"""
                )
            )
            groups = locked_groups(con)
        for model in models:
            if model["revision"] is None:  # not a hub model: as in locks without revisions
                del model["revision"]
        for photo in photos:
            # Sorted without secrets: the order must not reveal them.
            sightings = map(_without_secrets, photo["sightings"])
            photo["sightings"] = sorted(sightings, key=lambda sighting: (sighting["url"], sighting["person"]))
        for person in people:
            person["url"] = person["url"] and public_address(person["url"])[0]
        return {
            "thresholds": json.loads(thresholds[0]) if thresholds else {},
            "judgement": judgement[0] if judgement else None,
            "captioner": captioner[0] if captioner else None,
            "models": models,
            "people": people,
            "photos": photos,
        } | ({"sites": groups} if groups else {})

    def export_measurements(self, file: Path) -> None:
        """Writes all measurements and verdicts to a Parquet file, one row per photo, sorted by sha256."""
        with atomic_write(file) as partial, self._catalog.open(files=True) as con:
            con.execute(_PUBLIC)
            con.execute(_MEASUREMENTS.format(file=str(partial).replace("'", "''")))

    def begin_rebuild(self, lock: str) -> None:
        """Marks a new catalog as rebuilt from the lock with this sha256. Raises UsageError if it holds anything
        else."""
        with self._catalog.open() as con:
            con.execute("CREATE TABLE IF NOT EXISTS rebuilt (lock VARCHAR)")
            con.execute(
                """INSERT INTO rebuilt SELECT ? WHERE NOT EXISTS (
                       SELECT lock FROM rebuilt UNION ALL SELECT person FROM people UNION ALL SELECT url FROM sightings
                   )""",
                [lock],
            )
            if con.execute("FROM rebuilt").fetchall() != [(lock,)]:
                raise UsageError(
                    f"{self._catalog.path.parent}: holds another dataset; name an empty folder with --data"
                )

    def import_content(
        self, content: dict[str, Any], kept: Sequence[str], file: Path, pixels: tuple[int, str] = (1, "white")
    ) -> None:
        """Imports measurements, verdicts and captions of the photos in the catalog from a Parquet file of
        `export_measurements`, and their models from `content`. They replace those in the catalog.

        `kept` are the sha256s of photos that must be ready to be sharded afterwards. Raises UsageError for a file that
        lacks something, or holds values that `bolid shard` does not write.
        """
        with self._catalog.open(files=True) as con:
            con.execute("SET memory_limit = '4GB'")  # a small file may unpack to a large table
            try:
                con.execute(_LOCKED.format(file=str(file).replace("'", "''")))
                for table, rows in _FROM_LOCKED.items():
                    con.execute(f"DELETE FROM {table}")
                    con.execute(f"INSERT INTO {table} BY NAME {rows}")
                for table in ("models", "judgement", "captioner"):
                    con.execute(f"DELETE FROM {table}")
                insert(con, "models", content["models"])
                import_groups(con, content["sites"])
                judgement = content["judgement"] or dicts(con.execute(_JUDGEMENT_OF_OLD_LOCK))[0]
                insert(con, "judgement", [judgement | {"thresholds": content["thresholds"]}])
                insert(con, "captioner", [content["captioner"]] if content["captioner"] else _old_captioner(con))
                if pixels[0] > 1:  # before, photos other than plain sRGB were read wrong
                    mark_pixels(con, None, *pixels)
                invalid = con.execute(_INVALID).fetchone()
                incomplete = con.execute(_INCOMPLETE, {"kept": list(kept)}).fetchone()
            except _INVALID_FILE as error:
                raise UsageError(f"{file}: not what `bolid shard` writes ({first_line(error)})") from error
            if invalid:
                raise UsageError(f"{file}: {invalid[0]} of photo {invalid[1]} is not one that `bolid shard` writes")
            if incomplete:
                raise UsageError(
                    f"{file}: lacks verdict, caption or keypoints of photo {incomplete[0]}, which was kept"
                )


def _without_secrets(sighting: dict[str, Any]) -> dict[str, Any]:
    """A sighting without the secrets in its addresses."""
    url, left_out = public_address(sighting["url"])
    page, left_out_of_page = public_address(sighting["page_url"]) if sighting["page_url"] else (None, [])
    names = sorted({*left_out, *left_out_of_page})
    return sighting | {"url": url, "page_url": page} | ({"left_out": names} if names else {})


# Sightings of photos that nobody opted out: only these leave the machine.
_PUBLIC = """
CREATE TEMP VIEW public_sightings AS FROM sightings s WHERE state = 'stored'
AND NOT EXISTS (FROM sightings o WHERE o.sha256 = s.sha256 AND o.state = 'opted_out')
"""

_MEASUREMENTS = """
COPY (
    WITH public_photos AS (SELECT DISTINCT sha256 FROM public_sightings)
    SELECT *,
        (SELECT error FROM undecodable u WHERE u.sha256 = photos.sha256) AS error,
        (SELECT list(model ORDER BY model) FROM measured m WHERE m.sha256 = photos.sha256) AS measured,
        (SELECT list({{'model': model, 'kind': kind, 'score': score,
            'box': box::FLOAT[], 'keypoints': keypoints::FLOAT[][],  -- lists: other readers fail on NULL arrays
            'sharpness': sharpness}}
            ORDER BY model, kind, score DESC, box) FROM detections d WHERE d.sha256 = photos.sha256) AS detections,
        (SELECT list({{'model': model, 'probability': probability}} ORDER BY model)
            FROM watermarks w WHERE w.sha256 = photos.sha256) AS watermarks,
        (SELECT list({{'model': model, 'score': score}} ORDER BY model)
            FROM site_scores s WHERE s.sha256 = photos.sha256) AS site_scores,
        (SELECT list({{'model': model, 'phash': phash, 'views': views}} ORDER BY model)
            FROM hashes h WHERE h.sha256 = photos.sha256) AS hashes,
        (SELECT list({{'model': model, 'sharpness': sharpness, 'brightness': brightness,
            'colourfulness': colourfulness}} ORDER BY model)
            FROM qualities q WHERE q.sha256 = photos.sha256) AS qualities,
        (SELECT list({{'model': model, 'vector': vector}} ORDER BY model)
            FROM embeddings e WHERE e.sha256 = photos.sha256) AS embeddings,
        (SELECT list({{'person': person, 'model': model, 'likeness': likeness}} ORDER BY person, model)
            FROM likenesses l WHERE l.sha256 = photos.sha256) AS likenesses,
        (SELECT list({{'model': model, 'name': name, 'value': value}} ORDER BY model, name)
            FROM body_measures b WHERE b.sha256 = photos.sha256) AS body_measures,
        -- Only what is in force, and not who decided: datasets are shared.
        (SELECT list({{'person': person, 'keep': keep, 'why': why, 'decided_at': decided_at}} ORDER BY person)
            FROM (FROM decisions SEMI JOIN attributions USING (person, sha256)) x WHERE x.sha256 = photos.sha256)
            AS decisions,
        (SELECT list({{'person': person, 'why': why, 'decided_at': decided_at}})
            FROM assignments x WHERE x.sha256 = photos.sha256) AS assignments,
        (SELECT list({{'model': model, 'prompt': prompt, 'caption': caption}} ORDER BY model, prompt)
            FROM captioned c WHERE c.sha256 = photos.sha256) AS captions,
        (SELECT list({{'person': person, 'kept': kept, 'reasons': reasons, 'framing': framing, 'facing': facing,
            'rotation': rotation}} ORDER BY person)
            FROM judged j WHERE j.sha256 = photos.sha256) AS verdicts,
        (SELECT list({{'b': b, 'distance': distance}} ORDER BY b)
            FROM near SEMI JOIN public_photos ON public_photos.sha256 = b WHERE a = photos.sha256) AS near
    FROM photos SEMI JOIN public_photos USING (sha256) ORDER BY sha256
) TO '{file}' (FORMAT parquet)
"""

_INVALID_FILE = (duckdb.ProgrammingError, duckdb.DataError, duckdb.IntegrityError, duckdb.NotSupportedError)
"""Errors from a file with unexpected columns, types or values; a full disk raises another one."""

# Only rows of photos in the catalog; older files lack some columns.
_LOCKED = """
CREATE TEMP VIEW locked AS
FROM (
    SELECT NULL::STRUCT(b VARCHAR, distance UTINYINT)[] AS near,
        NULL::STRUCT(model VARCHAR, sharpness FLOAT, brightness FLOAT, colourfulness FLOAT)[] AS qualities,
        NULL::STRUCT(model VARCHAR, score FLOAT)[] AS site_scores,
        NULL::STRUCT(model VARCHAR, vector FLOAT[])[] AS embeddings,
        NULL::STRUCT(person VARCHAR, model VARCHAR, likeness FLOAT)[] AS likenesses,
        NULL::STRUCT(model VARCHAR, name VARCHAR, value DOUBLE)[] AS body_measures,
        NULL::STRUCT(person VARCHAR, keep BOOLEAN, why VARCHAR, decided_at TIMESTAMP)[] AS decisions,
        NULL::STRUCT(person VARCHAR, why VARCHAR, decided_at TIMESTAMP)[] AS assignments WHERE false
    UNION ALL BY NAME FROM read_parquet('{file}')
) SEMI JOIN photos USING (sha256)
"""

_FROM_LOCKED = {
    "undecodable": "SELECT sha256, error FROM locked WHERE error IS NOT NULL",
    "measured": "SELECT sha256, unnest(measured) AS model FROM locked",
    "detections": "SELECT sha256, row.* FROM (SELECT sha256, unnest(detections) AS row FROM locked)",
    "watermarks": "SELECT sha256, row.* FROM (SELECT sha256, unnest(watermarks) AS row FROM locked)",
    "site_scores": "SELECT sha256, row.* FROM (SELECT sha256, unnest(site_scores) AS row FROM locked)",
    "hashes": "SELECT sha256, row.* FROM (SELECT sha256, unnest(hashes) AS row FROM locked)",
    "qualities": "SELECT sha256, row.* FROM (SELECT sha256, unnest(qualities) AS row FROM locked)",
    "embeddings": "SELECT sha256, row.* FROM (SELECT sha256, unnest(embeddings) AS row FROM locked)",
    "likenesses": "SELECT sha256, row.* FROM (SELECT sha256, unnest(likenesses) AS row FROM locked)",
    "body_measures": "SELECT sha256, row.* FROM (SELECT sha256, unnest(body_measures) AS row FROM locked)",
    "decision_log": """SELECT row_number() OVER (ORDER BY decided_at, what, person, sha256) AS id, id AS command, *
    FROM (
        SELECT sha256, CASE WHEN row.keep THEN 'keep' ELSE 'reject' END AS what, row.* EXCLUDE keep
            FROM (SELECT sha256, unnest(decisions) AS row FROM locked)
        UNION ALL BY NAME
        SELECT sha256, 'assign' AS what, row.* FROM (SELECT sha256, unnest(assignments) AS row FROM locked))""",
    "captioned": "SELECT sha256, row.* FROM (SELECT sha256, unnest(captions) AS row FROM locked)",
    "judged": """SELECT sha256, row.* FROM (SELECT sha256, unnest(verdicts) AS row FROM locked)
        WHERE (sha256, row.person) IN (SELECT (sha256, person) FROM attributions WHERE state = 'stored')""",
    "near": """SELECT a, row.* FROM (SELECT sha256 AS a, unnest(near) AS row FROM locked)
        WHERE row.b IN (SELECT sha256 FROM photos)""",
}

# Rows that no measurer, judge or captioner writes.
_INVALID = """
SELECT 'a detection', sha256 FROM detections
WHERE score IS NULL OR NOT isfinite(score) OR score NOT BETWEEN 0 AND 1 OR kind NOT IN ('person', 'face')
OR box IS NULL OR len(list_filter(box::FLOAT[], lambda v: v IS NULL OR NOT isfinite(v) OR abs(v) > 1e7)) > 0
OR len(list_filter(flatten(keypoints::FLOAT[][]), lambda v: v IS NULL OR NOT isfinite(v) OR abs(v) > 1e7)) > 0
OR NOT isfinite(coalesce(sharpness, 0))
UNION ALL SELECT 'the number of detections', sha256 FROM detections GROUP BY sha256, model HAVING count(*) > 10000
UNION ALL SELECT 'a watermark', sha256 FROM watermarks
WHERE NOT isfinite(probability) OR probability NOT BETWEEN 0 AND 1
UNION ALL SELECT 'a score of a mark', sha256 FROM site_scores WHERE NOT isfinite(score) OR score NOT BETWEEN 0 AND 1
UNION ALL SELECT 'a measure of quality', sha256 FROM qualities
WHERE NOT (isfinite(sharpness) AND isfinite(brightness) AND isfinite(colourfulness))
UNION ALL SELECT 'a likeness', sha256 FROM likenesses WHERE NOT isfinite(likeness)
UNION ALL SELECT 'a measure of the body', sha256 FROM body_measures
WHERE NOT isfinite(value) OR NOT regexp_full_match(name, '[a-z0-9_]{1,40}')
UNION ALL SELECT 'the number of measures', sha256 FROM body_measures GROUP BY sha256, model HAVING count(*) > 50
UNION ALL SELECT 'a vector', sha256 FROM embeddings
WHERE len(vector) > 100000 OR len(list_filter(vector, lambda v: v IS NULL OR NOT isfinite(v))) > 0
UNION ALL SELECT 'a caption', sha256 FROM captioned
WHERE len(caption) > 20000 OR len(prompt) > 20000 OR len(model) > 1000
UNION ALL SELECT 'the number of captions', sha256 FROM captioned GROUP BY sha256 HAVING count(*) > 100
UNION ALL SELECT 'a reason', sha256 FROM judged, (SELECT unnest(reasons) AS reason)
WHERE NOT regexp_full_match(reason, '[a-z_]{1,40}')
UNION ALL SELECT 'a view', sha256 FROM judged
WHERE NOT regexp_full_match(coalesce(framing, '') || coalesce(facing, ''), '[a-z_]{0,80}')
UNION ALL SELECT 'a rotation', sha256 FROM judged WHERE rotation NOT IN (0, 90, 180, 270)
UNION ALL SELECT 'a decision', sha256 FROM decision_log
WHERE NOT regexp_full_match(person, '[a-z0-9_-]{1,80}') OR len(why) > 20000
UNION ALL SELECT 'an error', sha256 FROM undecodable WHERE len(error) > 20000
UNION ALL SELECT 'a model', sha256 FROM measured WHERE len(model) > 1000
LIMIT 1
"""

# For locks that do not yet record which models were judged.
_JUDGEMENT_OF_OLD_LOCK = """
SELECT (SELECT any_value(model) FROM detections JOIN models ON id = model WHERE kind = 'person') AS pose,
    (SELECT any_value(model) FROM detections JOIN models ON id = model WHERE kind = 'face') AS face,
    (SELECT any_value(model) FROM watermarks JOIN models ON id = model) AS watermark,
    (SELECT any_value(model) FROM hashes JOIN models ON id = model) AS hash,
    (SELECT any_value(model) FROM qualities JOIN models ON id = model) AS quality,
    (SELECT any_value(model) FROM embeddings JOIN models ON id = model) AS identity
"""

_INCOMPLETE = f"""
SELECT sha256 FROM (SELECT unnest($kept) AS sha256) SEMI JOIN photos USING (sha256)
WHERE sha256 NOT IN (SELECT sha256 FROM verdicts WHERE kept)
OR sha256 NOT IN (SELECT sha256 FROM {CHOSEN_CAPTIONS})
OR sha256 NOT IN (
    SELECT sha256 FROM detections JOIN judgement ON model = pose WHERE kind = 'person' AND keypoints IS NOT NULL
    UNION ALL SELECT sha256 FROM decisions WHERE keep)  -- by hand, whatever was detected
LIMIT 1
"""


def _old_captioner(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The captioner for a lock that does not record it: that of most photos."""
    return dicts(
        con.execute(
            """SELECT model, prompt FROM captioned JOIN models ON id = model
               GROUP BY ALL ORDER BY count(*) DESC, prompt LIMIT 1"""
        )
    )
