"""The catalog (`catalog.duckdb`): the only state of a dataset. It is open only while a batch is read or committed,
so that `status` and a person's own DuckDB get in between."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import stamina
from stamina.instrumentation import set_on_retry_hooks

from bolid_data.errors import BolidError, UsageError
from bolid_data.records import Measurements, Model, Person, Sighting, StoredPhoto

PATIENCE = 30.0
"""Seconds an opener waits for another process to close the catalog."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS people (
    person VARCHAR PRIMARY KEY, name VARCHAR, url VARCHAR, listed_photos INTEGER,
    state VARCHAR  -- listed | skipped (too few photos) | failed
);
CREATE TABLE IF NOT EXISTS photos (
    sha256 VARCHAR PRIMARY KEY, format VARCHAR, width INTEGER, height INTEGER, bytes BIGINT
);
CREATE TABLE IF NOT EXISTS sightings (
    url VARCHAR, person VARCHAR, sha256 VARCHAR, page_url VARCHAR,
    state VARCHAR,  -- stored | refused (never asked again) | failed (asked again by the next run)
    http_status INTEGER, reason VARCHAR, fetched_at TIMESTAMP, PRIMARY KEY (url, person)
);
CREATE TABLE IF NOT EXISTS models (
    id VARCHAR PRIMARY KEY, name VARCHAR, sha256 VARCHAR, config VARCHAR, licence VARCHAR
);
CREATE TABLE IF NOT EXISTS measured (sha256 VARCHAR, model VARCHAR, PRIMARY KEY (sha256, model));
CREATE TABLE IF NOT EXISTS undecodable (sha256 VARCHAR PRIMARY KEY, error VARCHAR);
CREATE TABLE IF NOT EXISTS detections (
    sha256 VARCHAR, model VARCHAR, kind VARCHAR, score FLOAT, box FLOAT[4], keypoints FLOAT[3][17]
);
CREATE TABLE IF NOT EXISTS watermarks (
    sha256 VARCHAR, model VARCHAR, probability FLOAT, PRIMARY KEY (sha256, model)
);
CREATE TABLE IF NOT EXISTS hashes (sha256 VARCHAR, model VARCHAR, phash UBIGINT, PRIMARY KEY (sha256, model));
CREATE TABLE IF NOT EXISTS near (a VARCHAR, b VARCHAR, distance UTINYINT, PRIMARY KEY (a, b));
CREATE TABLE IF NOT EXISTS judged (
    person VARCHAR, sha256 VARCHAR, kept BOOLEAN, reasons VARCHAR[] NOT NULL, PRIMARY KEY (person, sha256)
);
CREATE TABLE IF NOT EXISTS judgement (  -- one row: what the verdicts were judged by
    thresholds VARCHAR, pose VARCHAR, face VARCHAR, watermark VARCHAR, hash VARCHAR
);
CREATE TABLE IF NOT EXISTS captioned (
    sha256 VARCHAR, model VARCHAR, prompt VARCHAR, caption VARCHAR, PRIMARY KEY (sha256, model, prompt)
);
CREATE TABLE IF NOT EXISTS captioner (model VARCHAR, prompt VARCHAR);  -- one row: whose captions are sharded
CREATE VIEW IF NOT EXISTS verdicts AS SELECT person, sha256, kept, reasons FROM judged;
CREATE VIEW IF NOT EXISTS captions AS SELECT sha256, model, caption FROM captioned;
"""

set_on_retry_hooks([])  # waiting for a turn at the catalog is not news


class Catalog:
    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.open() as con:
            con.execute(SCHEMA)

    def require(self) -> None:
        """Raises UsageError when there is no catalog yet."""
        if not self.path.exists():
            raise UsageError(f"{self.path}: no such catalog; run `bolid scrape` first, or name its folder with --data")

    @contextmanager
    def open(self, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one short batch: one transaction, committed when the block ends without an error.

        Waits up to PATIENCE seconds for its turn. Raises UsageError when there is no catalog to read.
        """
        if read_only:
            self.require()
        con = self._connect(read_only)
        try:
            con.execute("BEGIN")
            yield con
            con.execute("COMMIT")
        except (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException) as error:
            raise BolidError(f"{self.path}: {_first_line(error)}; nothing committed before is lost") from error
        finally:
            con.close()

    def _connect(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        def locked(error: Exception) -> bool:
            return isinstance(error, duckdb.IOException) and "lock" in str(error).lower()

        try:
            for attempt in stamina.retry_context(
                on=locked, attempts=None, timeout=PATIENCE, wait_initial=0.02, wait_max=0.25, wait_jitter=0.05
            ):
                with attempt:
                    return duckdb.connect(self.path, read_only=read_only)
        except duckdb.IOException as error:
            if locked(error):
                raise BolidError(f"{self.path}: another program kept it open for {PATIENCE:.0f} s; close it") from error
            raise BolidError(f"{self.path}: cannot be opened ({_first_line(error)})") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    # What a source collects.

    def record(
        self,
        people: Sequence[Person] = (),
        photos: Sequence[StoredPhoto] = (),
        sightings: Sequence[Sighting] = (),
    ) -> None:
        """Commits what was collected; a row with the same key is replaced."""
        with self.open() as con:
            for table, rows in (("people", people), ("photos", photos), ("sightings", sightings)):
                upsert(con, table, [asdict(row) for row in rows])

    def settled_pages(self, person: str) -> set[str]:
        """Photo pages of a person that need no further visit: their photo is stored, or will never be."""
        with self.open() as con:
            rows = con.execute(
                "SELECT page_url FROM sightings WHERE person = ? AND state <> 'failed'", [person]
            ).fetchall()
        return {page for (page,) in rows}

    # What is measured.

    def unmeasured(self, model_id: str, skip_small: tuple[int, int] | None) -> list[str]:
        """Photos that this model has not seen and that can be decoded; `skip_small` leaves out those below
        (width, height) pixels. Sorted, so that a run is the same wherever it resumes."""
        width, height = skip_small or (0, 0)
        with self.open() as con:
            rows = con.execute(
                """SELECT sha256 FROM photos WHERE width >= ? AND height >= ?
                   AND sha256 NOT IN (SELECT sha256 FROM measured WHERE model = ?)
                   AND sha256 NOT IN (SELECT sha256 FROM undecodable) ORDER BY sha256""",
                [width, height, model_id],
            ).fetchall()
        return [sha256 for (sha256,) in rows]

    def record_measurements(self, batches: Sequence[Measurements], undecodable: dict[str, str]) -> None:
        """Commits what models saw, whole batches at once; a photo is measured by a model once."""
        with self.open() as con:
            upsert(con, "undecodable", [{"sha256": sha, "error": error} for sha, error in undecodable.items()])
            for batch in batches:
                upsert(con, "models", [asdict(batch.model)])
                upsert(con, "measured", [{"sha256": sha, "model": batch.model.id} for sha in batch.sha256s])
                for table, rows in batch.rows.items():
                    _insert(con, table, [{"model": batch.model.id} | row for row in rows])

    # What is captioned.

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

    def keypoints(self, sha256s: Sequence[str]) -> dict[str, list[list[float]]]:
        """Of each photo the 17 keypoints (x, y, confidence) of its most certain person, in upright pixels, by the
        pose model of the last judgement."""
        with self.open() as con:
            rows = con.execute(
                """SELECT sha256, keypoints FROM detections JOIN judgement ON model = pose
                   WHERE kind = 'person' AND list_contains(?, sha256)
                   QUALIFY row_number() OVER (PARTITION BY sha256 ORDER BY score DESC, box) = 1""",
                [list(sha256s)],
            ).fetchall()
        return {sha256: [list(point) for point in points] for sha256, points in rows}

    # What goes into shards.

    def people_kept(self) -> list[tuple[str, int]]:
        """People with kept photos, sorted, and how many of theirs the captioner has not captioned."""
        with self.open() as con:
            return con.execute(
                """WITH mine AS (SELECT sha256, caption FROM captioned JOIN captioner USING (model, prompt))
                   SELECT person, count(*) FILTER (caption IS NULL) FROM verdicts LEFT JOIN mine USING (sha256)
                   WHERE kept GROUP BY person ORDER BY person"""
            ).fetchall()

    def samples(self, person: str) -> list[dict[str, Any]]:
        """A person's kept photos (sha256, caption, keypoints of the most certain person), sorted by sha256."""
        with self.open() as con:
            return dicts(
                con.execute(
                    """SELECT sha256, caption, (
                           SELECT keypoints FROM detections JOIN judgement ON model = pose
                           WHERE kind = 'person' AND detections.sha256 = verdicts.sha256
                           ORDER BY score DESC, box LIMIT 1
                       ) AS keypoints
                       FROM verdicts JOIN (FROM captioned JOIN captioner USING (model, prompt)) USING (sha256)
                       WHERE person = ? AND kept ORDER BY sha256""",
                    [person],
                )
            )

    # What a person asks.

    def summary(self) -> list[dict[str, Any]]:
        """Per person: photos listed, stored, failed, judged, kept and captioned, and the reasons of the others."""
        with self.open(read_only=True) as con:
            return dicts(con.execute(_SUMMARY))

    # What a lock pins.

    def pins(self) -> dict[str, Any]:
        """What the dataset was made by and of: thresholds, models, and every stored photo with its sightings."""
        with self.open() as con:
            thresholds = con.execute("SELECT thresholds FROM judgement").fetchone()
            models = dicts(
                con.execute(
                    """SELECT models.* FROM models
                       WHERE id IN (SELECT unnest([pose, face, watermark, hash]) FROM judgement)
                       OR id IN (SELECT model FROM captioner) ORDER BY id"""
                )
            )
            photos = dicts(
                con.execute(
                    """WITH kept AS (SELECT sha256, bool_or(kept) AS kept FROM verdicts GROUP BY sha256)
                       SELECT sha256, format, bytes, coalesce(any_value(kept), false) AS kept,
                           list({'person': person, 'url': url} ORDER BY url, person) AS sightings
                       FROM photos JOIN sightings USING (sha256) LEFT JOIN kept USING (sha256)
                       WHERE sightings.state = 'stored' GROUP BY sha256, format, bytes ORDER BY sha256"""
                )
            )
        return {
            "thresholds": json.loads(thresholds[0]) if thresholds else {},
            "models": models,
            "photos": photos,
        }

    def export_measurements(self, file: Path) -> None:
        """Writes all that was measured and judged to a Parquet file, a row per photo, sorted by sha256."""
        partial = file.with_name(f".{file.name}.part")
        with self.open() as con:
            con.execute(_MEASUREMENTS.format(file=str(partial).replace("'", "''")))
        partial.replace(file)


_SUMMARY = """
WITH seen AS (
    SELECT person, count(DISTINCT sha256) FILTER (state = 'stored') AS stored,
        count(*) FILTER (state = 'refused') AS refused, count(*) FILTER (state = 'failed') AS failed
    FROM sightings GROUP BY person
),
captioned_photos AS (SELECT DISTINCT sha256 FROM captioned JOIN captioner USING (model, prompt)),
judged_photos AS (
    SELECT person, count(*) AS judged, count(*) FILTER (kept) AS kept,
        count(*) FILTER (kept AND sha256 IN (FROM captioned_photos)) AS captioned
    FROM verdicts GROUP BY person
),
reasons AS (
    SELECT person, map(list(reason ORDER BY reason), list(photos ORDER BY reason)) AS reasons FROM (
        SELECT person, reason, count(*) AS photos FROM (SELECT person, unnest(reasons) AS reason FROM verdicts)
        GROUP BY ALL
    ) GROUP BY person
)
SELECT person, name, state, listed_photos AS listed, coalesce(stored, 0) AS stored, coalesce(refused, 0) AS refused,
    coalesce(failed, 0) AS failed, coalesce(judged, 0) AS judged, coalesce(kept, 0) AS kept,
    coalesce(captioned, 0) AS captioned, coalesce(reasons, MAP {}) AS reasons
FROM people LEFT JOIN seen USING (person) LEFT JOIN judged_photos USING (person) LEFT JOIN reasons USING (person)
ORDER BY person
"""

_MEASUREMENTS = """
COPY (
    SELECT *,
        (SELECT error FROM undecodable u WHERE u.sha256 = photos.sha256) AS error,
        (SELECT list(model ORDER BY model) FROM measured m WHERE m.sha256 = photos.sha256) AS measured,
        (SELECT list({{'model': model, 'kind': kind, 'score': score, 'box': box, 'keypoints': keypoints}}
            ORDER BY model, kind, score DESC, box) FROM detections d WHERE d.sha256 = photos.sha256) AS detections,
        (SELECT list({{'model': model, 'probability': probability}} ORDER BY model)
            FROM watermarks w WHERE w.sha256 = photos.sha256) AS watermarks,
        (SELECT list({{'model': model, 'phash': phash}} ORDER BY model)
            FROM hashes h WHERE h.sha256 = photos.sha256) AS hashes,
        (SELECT list({{'model': model, 'prompt': prompt, 'caption': caption}} ORDER BY model, prompt)
            FROM captioned c WHERE c.sha256 = photos.sha256) AS captions,
        (SELECT list({{'person': person, 'kept': kept, 'reasons': reasons}} ORDER BY person)
            FROM judged j WHERE j.sha256 = photos.sha256) AS verdicts
    FROM photos ORDER BY sha256
) TO '{file}' (FORMAT parquet)
"""

_INDEX = """
CREATE TABLE samples (
    key VARCHAR PRIMARY KEY, person VARCHAR, sha256 VARCHAR, split VARCHAR, shard VARCHAR, "offset" BIGINT, size BIGINT,
    width INTEGER, height INTEGER, caption VARCHAR, keypoints FLOAT[3][17]
);
CREATE TABLE shards (shard VARCHAR PRIMARY KEY, sha256 VARCHAR, bytes BIGINT, samples INTEGER, split VARCHAR);
CREATE TABLE sources (sha256 VARCHAR, url VARCHAR);
"""


class Index:
    """The shards' index (`shards/index.duckdb`), a database of its own so that training needs no catalog."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._con = duckdb.connect(path)
        self._con.execute(_INDEX)

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        _insert(self._con, table, rows)

    def close(self) -> None:
        self._con.close()


def read_index(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of the shards' index with its table's name, sorted. Raises UsageError when it is no such index."""
    try:
        with duckdb.connect(path, read_only=True) as con:
            for table in ("samples", "shards", "sources"):
                found = con.execute(f"FROM {table} ORDER BY ALL")
                names = [column[0] for column in found.description or ()]
                while rows := found.fetchmany(1000):
                    yield from ((table, dict(zip(names, row, strict=True))) for row in rows)
    except duckdb.Error as error:
        raise UsageError(f"{path}: no index of shards can be read from it; run `bolid shard`") from error


def upsert(con: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Inserts rows (dicts by column), replacing those with the same primary key."""
    _insert(con, table, rows, "OR REPLACE ")


def _insert(con: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]], conflict: str = "") -> None:
    if rows:
        # One statement with the rows as a parameter: executemany takes 25 times as long.
        con.execute(
            f"INSERT {conflict}INTO {table} BY NAME SELECT row.* FROM (SELECT unnest($rows) AS row)",
            {"rows": rows},
        )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def dicts(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """A result's rows as dicts by column."""
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
