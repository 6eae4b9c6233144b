"""The catalog (`catalog.duckdb`): the only state of a dataset. It is open only while a batch is read or committed,
so that `status` and a person's own DuckDB get in between."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import stamina
from stamina.instrumentation import set_on_retry_hooks

from bolid_data.errors import BolidError, UsageError
from bolid_data.records import Measurements, Model, Person, ReadPage, Sighting, StoredPhoto
from bolid_data.tombstones import Tombstones

PATIENCE = 30.0
"""Seconds an opener waits for another process to close the catalog."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS people (
    person VARCHAR PRIMARY KEY, name VARCHAR, url VARCHAR, listed_photos INTEGER,
    state VARCHAR  -- listed | skipped (too few photos) | opted_out | failed
);
CREATE TABLE IF NOT EXISTS photos (
    sha256 VARCHAR PRIMARY KEY, format VARCHAR, width INTEGER, height INTEGER, bytes BIGINT
);
CREATE TABLE IF NOT EXISTS sightings (
    url VARCHAR, person VARCHAR, sha256 VARCHAR, page_url VARCHAR,
    state VARCHAR,  -- stored | opted_out, refused (never asked again) | failed, skipped (looked at by the next run)
    http_status INTEGER, reason VARCHAR, fetched_at TIMESTAMP,
    consent VARCHAR,  -- allowed, or by which words the owner opted out
    etag VARCHAR, last_modified VARCHAR,
    gone_at TIMESTAMP,  -- when the site was first seen without it
    PRIMARY KEY (url, person)
);
CREATE TABLE IF NOT EXISTS crawls (id INTEGER PRIMARY KEY, started_at TIMESTAMP, finished_at TIMESTAMP);
CREATE TABLE IF NOT EXISTS pages (  -- the frontier: lists as last read; an unfinished crawl goes on from its own
    url VARCHAR PRIMARY KEY, person VARCHAR, found VARCHAR, reader VARCHAR, crawl INTEGER, etag VARCHAR,
    last_modified VARCHAR
);
CREATE TABLE IF NOT EXISTS hosts (host VARCHAR PRIMARY KEY, closed_until TIMESTAMP);  -- they asked for it
CREATE TABLE IF NOT EXISTS tombstones (salt VARCHAR, hash VARCHAR PRIMARY KEY);  -- of people and photos forgotten
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
-- Catalogs of version 0.1 lack these.
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS consent VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS etag VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS last_modified VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS gone_at TIMESTAMP;
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
        pages: Sequence[ReadPage] = (),
    ) -> None:
        """Commits what was collected; a row with the same key is replaced, the last one given stays."""
        last = {(sighting.url, sighting.person): sighting for sighting in sightings}
        with self.open() as con:
            if last:
                # A page that gave no photo stood under its own address; now there is word of its photo.
                con.execute(
                    """DELETE FROM sightings s USING (SELECT unnest($rows) AS row) WHERE s.url = row.page_url
                       AND s.person = row.person AND row.url <> row.page_url AND s.sha256 IS NULL""",
                    {"rows": [{"url": s.url, "page_url": s.page_url, "person": s.person} for s in last.values()]},
                )
            upsert(con, "people", [vars(row) for row in {row.person: row for row in people}.values()])
            upsert(con, "photos", [vars(row) for row in {row.sha256: row for row in photos}.values()])
            upsert(con, "sightings", [vars(row) for row in last.values()])
            upsert(con, "pages", [vars(row) for row in {row.url: row for row in pages}.values()])

    def settled_pages(self, person: str) -> set[str]:
        """Photo pages of a person that need no further visit: their photo is stored, or will never be."""
        with self.open() as con:
            rows = con.execute(
                "SELECT page_url FROM sightings WHERE person = ? AND state NOT IN ('failed', 'skipped')", [person]
            ).fetchall()
        return {page for (page,) in rows}

    def begin_crawl(self) -> int:
        """The crawl to go on with, or a new one: one that was not finished within a day is not gone on with."""
        with self.open() as con:
            con.execute(
                """INSERT INTO crawls SELECT coalesce(max(id), 0) + 1, $now, NULL FROM crawls
                   HAVING count(*) FILTER (finished_at IS NULL AND started_at > $now - INTERVAL 1 DAY
                                           AND id = (SELECT max(id) FROM crawls)) = 0""",
                {"now": utc_now()},
            )
            row = con.execute("SELECT max(id) FROM crawls").fetchone()
        assert row
        return row[0]

    def finish_crawl(self, crawl: int) -> None:
        with self.open() as con:
            con.execute("UPDATE crawls SET finished_at = ? WHERE id = ?", [utc_now(), crawl])

    def pages_read(self, person: str) -> dict[str, ReadPage]:
        """A person's pages by their addresses, as they were last read ("": the pages that list people)."""
        with self.open() as con:
            rows = dicts(con.execute("SELECT * FROM pages WHERE person = ?", [person]))
        return {row["url"]: ReadPage(**row) for row in rows}

    def mark_gone(self, person: str, listed: Sequence[str]) -> int:
        """Dates the stored photos whose pages the site no longer lists, and undates those it lists again. Returns
        how many are gone."""
        with self.open() as con:
            con.execute(
                """UPDATE sightings SET gone_at =
                       CASE WHEN list_contains($listed, page_url) THEN NULL ELSE $now END
                   WHERE person = $person AND sha256 IS NOT NULL
                   AND list_contains($listed, page_url) = (gone_at IS NOT NULL)""",
                {"person": person, "listed": list(listed), "now": utc_now()},
            )
            row = con.execute(
                "SELECT count(*) FROM sightings WHERE person = ? AND gone_at IS NOT NULL", [person]
            ).fetchone()
        return row[0] if row else 0

    def sighted(self, urls: Sequence[str]) -> list[Sighting]:
        """What is known of addresses, for whichever person."""
        with self.open() as con:
            return _sightings(con, "url IN (SELECT unnest($urls))", {"urls": list(urls)})

    def stored_sightings(self, after: tuple[str, str], most: int) -> list[Sighting]:
        """Sightings of stored photos behind (url, person), in that order."""
        where = "state = 'stored' AND (url, person) > ($url, $person) ORDER BY url, person LIMIT $most"
        with self.open() as con:
            return _sightings(con, where, {"url": after[0], "person": after[1], "most": most})

    def photos_by_sha256(self, sha256s: Sequence[str]) -> dict[str, StoredPhoto]:
        with self.open() as con:
            rows = dicts(con.execute("SELECT * FROM photos WHERE sha256 IN (SELECT unnest($1))", [list(sha256s)]))
        return {row["sha256"]: StoredPhoto(**row) for row in rows}

    def mark(self, sightings: Sequence[Sighting], gone: Sequence[Sighting] = ()) -> None:
        """Replaces sightings, and dates those that are gone from the web. What is opted out is out at once."""
        with self.open() as con:
            upsert(con, "sightings", [vars(row) for row in sightings])
            con.execute(
                """UPDATE judged SET kept = false, reasons = list_prepend('opted_out', reasons)
                   WHERE sha256 IN (SELECT sha256 FROM sightings WHERE state = 'opted_out' AND sha256 IS NOT NULL)
                   AND NOT list_contains(reasons, 'opted_out')"""
            )
            con.execute(
                "UPDATE sightings SET gone_at = coalesce(gone_at, $now) WHERE url IN (SELECT unnest($urls))",
                {"urls": [row.url for row in gone], "now": utc_now()},
            )

    def closed_hosts(self) -> dict[str, datetime]:
        """Hosts that asked to be left alone, and until when (UTC)."""
        with self.open() as con:
            rows = con.execute("SELECT host, closed_until FROM hosts WHERE closed_until > ?", [utc_now()]).fetchall()
        return {host: until.replace(tzinfo=UTC) for host, until in rows}

    def close_hosts(self, closed: dict[str, datetime]) -> None:
        if not closed:
            return
        with self.open() as con:
            rows = [{"host": host, "closed_until": until.replace(tzinfo=None)} for host, until in closed.items()]
            upsert(con, "hosts", rows)

    def tombstones(self) -> Tombstones:
        """What was forgotten and must not come back."""
        with self.open() as con:
            rows = con.execute("SELECT salt, hash FROM tombstones").fetchall()
        return Tombstones(frozenset(rows))

    def bury(self, names: Sequence[str]) -> None:
        """Sets tombstones for slugs of people and sha256s of photos."""
        with self.open() as con:
            upsert(con, "tombstones", [{"salt": salt, "hash": hash} for salt, hash in Tombstones.of(names)])

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
        """What the dataset was made by and of: thresholds, models, people, and every photo with its sightings.

        A photo that an owner opted out is there to account for its file, without an address: whoever rebuilds the
        dataset must not fetch it.
        """
        with self.open() as con:
            con.execute(_PASSED_ON)
            thresholds = con.execute("SELECT thresholds FROM judgement").fetchone()
            judgement = dicts(con.execute("SELECT pose, face, watermark, hash FROM judgement"))
            captioner = dicts(con.execute("SELECT model, prompt FROM captioner"))
            models = dicts(
                con.execute(
                    """SELECT models.* FROM models
                       WHERE id IN (SELECT unnest([pose, face, watermark, hash]) FROM judgement)
                       OR id IN (SELECT model FROM captioner) ORDER BY id"""
                )
            )
            # Of a list of addresses `url` and `page_url` are the list's own path, which is nobody else's business.
            people = dicts(
                con.execute(
                    """SELECT person, name, CASE WHEN regexp_matches(url, '^(https?://|file:)') THEN url END AS url,
                           listed_photos
                       FROM people SEMI JOIN passed_on USING (person) ORDER BY person"""
                )
            )
            photos = dicts(
                con.execute(
                    """WITH verdict AS (SELECT sha256, bool_or(kept) AS kept FROM verdicts GROUP BY sha256),
                       seen AS (
                           SELECT sha256, list({'person': person, 'url': url, 'page_url':
                               CASE WHEN regexp_matches(page_url, '^https?://') THEN page_url END
                           } ORDER BY url, person) AS sightings
                           FROM passed_on GROUP BY sha256
                       )
                       SELECT sha256, format, bytes, coalesce(kept, false) AS kept, coalesce(sightings, []) AS sightings
                       FROM photos LEFT JOIN seen USING (sha256) LEFT JOIN verdict USING (sha256) ORDER BY sha256"""
                )
            )
        return {
            "thresholds": json.loads(thresholds[0]) if thresholds else {},
            "judgement": judgement[0] if judgement else None,
            "captioner": captioner[0] if captioner else None,
            "models": models,
            "people": people,
            "photos": photos,
        }

    def export_measurements(self, file: Path) -> None:
        """Writes all that was measured and judged to a Parquet file, a row per photo, sorted by sha256."""
        partial = file.with_name(f".{file.name}.part")
        with self.open() as con:
            con.execute(_PASSED_ON)
            con.execute(_MEASUREMENTS.format(file=str(partial).replace("'", "''")))
        partial.replace(file)

    # What is rebuilt from a lock.

    def begin_rebuild(self, lock: str) -> None:
        """Says of a new catalog that it is rebuilt from the lock with this sha256. Raises UsageError when it holds
        anything else."""
        with self.open() as con:
            con.execute("CREATE TABLE IF NOT EXISTS rebuilt (lock VARCHAR)")
            con.execute(
                """INSERT INTO rebuilt SELECT ? WHERE NOT EXISTS (
                       SELECT lock FROM rebuilt UNION ALL SELECT person FROM people UNION ALL SELECT url FROM sightings
                   )""",
                [lock],
            )
            if con.execute("FROM rebuilt").fetchall() != [(lock,)]:
                raise UsageError(f"{self.path.parent}: holds another dataset; name an empty folder with --data")

    def import_pins(self, pins: dict[str, Any], kept: Sequence[str], file: Path) -> None:
        """Takes what was measured, judged and captioned of the photos that are here from a Parquet file of
        `export_measurements`, and by which models from `pins`; it replaces what the catalog said of that.

        `kept` are the sha256s of photos that must be ready to be sharded then. Raises UsageError for a file that does
        not say all that.
        """
        with self.open() as con:
            try:
                con.execute(_PINNED.format(file=str(file).replace("'", "''")))
                for table, rows in _FROM_PINNED.items():
                    con.execute(f"DELETE FROM {table}")
                    con.execute(f"INSERT INTO {table} BY NAME {rows}")
                for table in ("models", "judgement", "captioner"):
                    con.execute(f"DELETE FROM {table}")
                _insert(con, "models", pins["models"])
                judgement = pins["judgement"] or dicts(con.execute(_JUDGEMENT_OF_OLD_LOCK))[0]
                _insert(con, "judgement", [judgement | {"thresholds": pins["thresholds"]}])
                _insert(con, "captioner", [pins["captioner"]] if pins["captioner"] else _old_captioner(con))
                lacking = con.execute(_LACKING, {"kept": list(kept)}).fetchone()
            except (
                duckdb.ProgrammingError,
                duckdb.DataError,
                duckdb.IntegrityError,
                duckdb.NotSupportedError,
            ) as error:
                raise UsageError(f"{file}: not what `bolid shard` writes ({_first_line(error)})") from error
            if lacking:
                raise UsageError(f"{file}: lacks verdict, caption or keypoints of photo {lacking[0]}, which was kept")


_SUMMARY = """
WITH seen AS (
    SELECT person, count(DISTINCT sha256) AS stored, count(*) FILTER (state = 'refused') AS refused,
        count(*) FILTER (state = 'opted_out') AS opted_out, count(*) FILTER (state = 'failed') AS failed
    FROM sightings GROUP BY person
),
unfetched AS (
    SELECT person, map(list(reason ORDER BY reason), list(addresses ORDER BY reason)) AS unfetched FROM (
        SELECT person, reason, count(*) AS addresses FROM sightings WHERE sha256 IS NULL GROUP BY ALL
    ) GROUP BY person
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
    coalesce(opted_out, 0) AS opted_out, coalesce(failed, 0) AS failed, coalesce(judged, 0) AS judged,
    coalesce(kept, 0) AS kept, coalesce(captioned, 0) AS captioned, coalesce(reasons, MAP {}) AS reasons,
    coalesce(unfetched, MAP {}) AS unfetched
FROM people LEFT JOIN seen USING (person) LEFT JOIN unfetched USING (person)
LEFT JOIN judged_photos USING (person) LEFT JOIN reasons USING (person)
ORDER BY person
"""

# Sightings of photos that no owner opted out: only these leave the machine.
_PASSED_ON = """
CREATE TEMP VIEW passed_on AS FROM sightings s WHERE state = 'stored'
AND NOT EXISTS (FROM sightings o WHERE o.sha256 = s.sha256 AND o.state = 'opted_out')
"""

_MEASUREMENTS = """
COPY (
    WITH seen AS (SELECT DISTINCT sha256 FROM passed_on)
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
            FROM judged j WHERE j.sha256 = photos.sha256) AS verdicts,
        (SELECT list({{'b': b, 'distance': distance}} ORDER BY b)
            FROM near SEMI JOIN seen ON seen.sha256 = b WHERE a = photos.sha256) AS near
    FROM photos SEMI JOIN seen USING (sha256) ORDER BY sha256
) TO '{file}' (FORMAT parquet)
"""

_NOT_OURS = (duckdb.ProgrammingError, duckdb.DataError, duckdb.IntegrityError, duckdb.NotSupportedError)
"""What a table of other columns, types or values than ours leads to; a full disk is none of these."""

# Only what is here is taken over; of older files, which lack `near`, no such pairs are.
_PINNED = """
CREATE TEMP VIEW pinned AS
FROM (
    SELECT NULL::STRUCT(b VARCHAR, distance UTINYINT)[] AS near WHERE false
    UNION ALL BY NAME FROM read_parquet('{file}')
) SEMI JOIN photos USING (sha256)
"""

_FROM_PINNED = {
    "undecodable": "SELECT sha256, error FROM pinned WHERE error IS NOT NULL",
    "measured": "SELECT sha256, unnest(measured) AS model FROM pinned",
    "detections": "SELECT sha256, row.* FROM (SELECT sha256, unnest(detections) AS row FROM pinned)",
    "watermarks": "SELECT sha256, row.* FROM (SELECT sha256, unnest(watermarks) AS row FROM pinned)",
    "hashes": "SELECT sha256, row.* FROM (SELECT sha256, unnest(hashes) AS row FROM pinned)",
    "captioned": "SELECT sha256, row.* FROM (SELECT sha256, unnest(captions) AS row FROM pinned)",
    "judged": """SELECT sha256, row.* FROM (SELECT sha256, unnest(verdicts) AS row FROM pinned)
        WHERE (sha256, row.person) IN (SELECT (sha256, person) FROM sightings WHERE state = 'stored')""",
    "near": """SELECT a, row.* FROM (SELECT sha256 AS a, unnest(near) AS row FROM pinned)
        WHERE row.b IN (SELECT sha256 FROM photos)""",
}

# Locks written before they said which model judged what.
_JUDGEMENT_OF_OLD_LOCK = """
SELECT (SELECT any_value(model) FROM detections JOIN models ON id = model WHERE kind = 'person') AS pose,
    (SELECT any_value(model) FROM detections JOIN models ON id = model WHERE kind = 'face') AS face,
    (SELECT any_value(model) FROM watermarks JOIN models ON id = model) AS watermark,
    (SELECT any_value(model) FROM hashes JOIN models ON id = model) AS hash
"""

_LACKING = """
SELECT sha256 FROM (SELECT unnest($kept) AS sha256) SEMI JOIN photos USING (sha256)
WHERE sha256 NOT IN (SELECT sha256 FROM verdicts WHERE kept)
OR sha256 NOT IN (SELECT sha256 FROM captioned JOIN captioner USING (model, prompt) WHERE caption IS NOT NULL)
OR sha256 NOT IN (
    SELECT sha256 FROM detections JOIN judgement ON model = pose WHERE kind = 'person' AND keypoints IS NOT NULL)
LIMIT 1
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


class AddressList:
    """A CSV or Parquet file with columns person, url, of any length: it is streamed, never held.

    Raises UsageError for a file that cannot be read so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        read = (
            "read_parquet($path)"
            if path.suffix.lower() in (".parquet", ".pq")
            else ("read_csv($path, header = true, all_varchar = true, null_padding = true)")
        )
        self._rows = f"(SELECT CAST(person AS VARCHAR) AS person, trim(CAST(url AS VARCHAR)) AS url FROM {read})"

    def people(self) -> Iterator[tuple[str, int]]:
        """Names in the order of their first address, each with how many addresses it has."""
        # row_number over nothing numbers the rows in the file's order.
        for rows in self._stream(
            f"""SELECT person, count(*) FROM (SELECT *, row_number() OVER () AS place FROM {self._rows})
                WHERE person IS NOT NULL AND url IS NOT NULL GROUP BY person ORDER BY min(place)"""
        ):
            yield from rows

    def batches(self, size: int = 10_000) -> Iterator[list[tuple[str, str]]]:
        """(person, url) in the file's order."""
        return self._stream(f"SELECT person, url FROM {self._rows} WHERE person IS NOT NULL AND url IS NOT NULL", size)

    def _stream(self, query: str, size: int = 10_000) -> Iterator[list[tuple[Any, ...]]]:
        try:
            with duckdb.connect(config={"threads": 1}) as con:
                found = con.execute(query, {"path": str(self.path)})
                while rows := found.fetchmany(size):
                    yield rows
        except duckdb.Error as error:
            raise UsageError(
                f"source.path: {self.path}: no list of columns person, url can be read from it ({_first_line(error)})"
            ) from error


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


def _old_captioner(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Whose captions were sharded, by a lock that does not say: those of most photos."""
    return dicts(
        con.execute(
            """SELECT model, prompt FROM captioned JOIN models ON id = model
               GROUP BY ALL ORDER BY count(*) DESC, prompt LIMIT 1"""
        )
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _sightings(con: duckdb.DuckDBPyConnection, where: str, values: dict[str, Any]) -> list[Sighting]:
    names = ", ".join(field.name for field in fields(Sighting))
    return [Sighting(**row) for row in dicts(con.execute(f"SELECT {names} FROM sightings WHERE {where}", values))]


def utc_now() -> datetime:
    """The time as the catalog keeps it: UTC, without saying so, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def dicts(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """A result's rows as dicts by column."""
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
