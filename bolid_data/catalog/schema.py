"""The catalog's tables and views."""

import duckdb

HOST = (
    "lower(regexp_extract(coalesce(nullif(regexp_extract(page_url, '^https?://[^/?#]+'), ''), url), "
    "'^https?://(?:[^/?#@]*@)?([^/?#:]+)', 1))"
)
"""SQL for the host of a sighting: that of the photo's page, or of the photo; '' for a file."""

SIZE_GROUP = "round(2 * log2(greatest(width, height)))::INTEGER"
"""SQL for a photo's size group: the half octave of its longest side."""

VERSION = 3
"""1: the catalogs of BoLID 0.1, which do not record a version. 2: those without a log of decisions,
captions by hand and exports."""


def in_force(last: str = "2147483647") -> str:
    """SQL for the entries of `decision_log` that are in force after the entry `last`: for each photo the last
    assignment, and for each person and photo the last decision to keep or reject it, without those undone by then."""
    return f"""FROM decision_log WHERE what <> 'undo' AND id <= {last}
    AND id NOT IN (SELECT undoes FROM decision_log WHERE undoes IS NOT NULL AND id <= {last})
    QUALIFY row_number() OVER (
        PARTITION BY sha256, CASE WHEN what = 'assign' THEN '' ELSE person END ORDER BY id DESC
    ) = 1"""


_DECIDED = """
CREATE {temporary} TABLE IF NOT EXISTS decision_log (  -- decisions made by hand; rows are added, never changed
    id INTEGER PRIMARY KEY,
    command INTEGER,  -- the first id of the entries that were made together
    what VARCHAR,  -- keep | reject | assign | undo
    sha256 VARCHAR,
    person VARCHAR,  -- whose photo is kept or rejected; to whom it is assigned; of the entry that is undone
    undoes INTEGER,  -- the id of that entry
    who VARCHAR, why VARCHAR, decided_at TIMESTAMP
);
CREATE {temporary} TABLE IF NOT EXISTS locks (  -- locks written here, by the sha256 of their file
    lock VARCHAR PRIMARY KEY, decision INTEGER  -- the last one that it includes
);
CREATE {temporary} TABLE IF NOT EXISTS replaced (  -- photos whose file in a folder was overwritten
    url VARCHAR, person VARCHAR, sha256 VARCHAR, replaced_at TIMESTAMP, PRIMARY KEY (url, person, sha256)
);
"""

_VIEWS = f"""
CREATE {{temporary}} VIEW decisions AS SELECT person, sha256, what = 'keep' AS keep, who, why, decided_at
FROM ({in_force()}) WHERE what <> 'assign';
CREATE {{temporary}} VIEW assignments AS SELECT sha256, person, who, why, decided_at
FROM ({in_force()}) WHERE what = 'assign';
-- Sightings, each under the person whose photo it is: by the assignment of the photo or, without one, as it was listed.
CREATE {{temporary}} VIEW attributions AS SELECT url, coalesce(assignments.person, s.person) AS person, sha256, state
FROM (
    SELECT url, person, sha256, state FROM sightings
    UNION ALL SELECT url, person, sha256, 'gone' FROM replaced
) s LEFT JOIN assignments USING (sha256);
"""

_SITES = f"""
CREATE {{temporary}} TABLE IF NOT EXISTS site_groups (  -- photos of a host and size whose mark was looked for
    host VARCHAR, size_group INTEGER, photos INTEGER, digest VARCHAR, PRIMARY KEY (host, size_group)
);
CREATE {{temporary}} TABLE IF NOT EXISTS site_marks (  -- what they share; each mark is a model
    host VARCHAR, size_group INTEGER, model VARCHAR, template BLOB, picture BLOB, PRIMARY KEY (host, size_group, model)
);
CREATE {{temporary}} TABLE IF NOT EXISTS site_scores (  -- correlation of a photo with a mark
    sha256 VARCHAR, model VARCHAR, score FLOAT, PRIMARY KEY (sha256, model)
);
CREATE {{temporary}} VIEW IF NOT EXISTS site_sightings AS
FROM (SELECT {HOST} AS host, sha256, person FROM sightings WHERE state = 'stored')
WHERE host <> '';
CREATE {{temporary}} VIEW IF NOT EXISTS site_targets AS  -- photos and the marks to look for: those of their size or, if
WITH hosted AS (                                        -- it has none, all of their host
    SELECT DISTINCT host, sha256, {SIZE_GROUP} AS size_group FROM site_sightings JOIN photos USING (sha256)
)
SELECT DISTINCT sha256, model FROM hosted JOIN site_marks USING (host) WHERE site_marks.size_group = hosted.size_group
OR (host, hosted.size_group) NOT IN (SELECT (host, size_group) FROM site_marks);
"""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS about (key VARCHAR PRIMARY KEY, value VARCHAR);
INSERT OR REPLACE INTO about VALUES ('schema_version', '{VERSION}');
CREATE TABLE IF NOT EXISTS people (
    person VARCHAR PRIMARY KEY, name VARCHAR, url VARCHAR, listed_photos INTEGER,
    state VARCHAR  -- listed | skipped (too few photos) | opted_out | failed
);
CREATE TABLE IF NOT EXISTS photos (
    sha256 VARCHAR PRIMARY KEY, format VARCHAR, width INTEGER, height INTEGER, bytes BIGINT
);
CREATE TABLE IF NOT EXISTS sightings (
    url VARCHAR, person VARCHAR, sha256 VARCHAR, page_url VARCHAR,
    -- stored | opted_out, refused (never requested again) | failed, skipped (tried again by the next run)
    -- | gone (deleted from the folder by its owner)
    state VARCHAR,
    http_status INTEGER, reason VARCHAR, fetched_at TIMESTAMP,
    consent VARCHAR,  -- allowed, or the text of the opt-out
    etag VARCHAR, last_modified VARCHAR,
    gone_at TIMESTAMP,  -- when it was first missing from the site
    PRIMARY KEY (url, person)
);
CREATE TABLE IF NOT EXISTS crawls (id INTEGER PRIMARY KEY, started_at TIMESTAMP, finished_at TIMESTAMP);
CREATE TABLE IF NOT EXISTS pages (  -- the frontier: pages of links as last read; a crawl resumes from its own
    url VARCHAR PRIMARY KEY, person VARCHAR, found VARCHAR, reader VARCHAR, crawl INTEGER, etag VARCHAR,
    last_modified VARCHAR
);
CREATE TABLE IF NOT EXISTS hosts (host VARCHAR PRIMARY KEY, closed_until TIMESTAMP);  -- requested back-off
CREATE TABLE IF NOT EXISTS removals (id VARCHAR PRIMARY KEY, kind VARCHAR, why VARCHAR, key VARCHAR);
CREATE TABLE IF NOT EXISTS tombstones (salt VARCHAR, hash VARCHAR PRIMARY KEY);  -- removals of BoLID 0.1
CREATE TABLE IF NOT EXISTS models (
    id VARCHAR PRIMARY KEY, name VARCHAR, sha256 VARCHAR, config VARCHAR, licence VARCHAR,
    revision VARCHAR  -- commit of the hub repository that its weights were downloaded from
);
CREATE TABLE IF NOT EXISTS measured (sha256 VARCHAR, model VARCHAR, PRIMARY KEY (sha256, model));
CREATE TABLE IF NOT EXISTS undecodable (sha256 VARCHAR PRIMARY KEY, error VARCHAR);
CREATE TABLE IF NOT EXISTS lost (sha256 VARCHAR PRIMARY KEY);  -- undecodable because the store lost their bytes
CREATE TABLE IF NOT EXISTS detections (
    sha256 VARCHAR, model VARCHAR, kind VARCHAR, score FLOAT, box FLOAT[4], keypoints FLOAT[3][17],
    sharpness FLOAT  -- inside the box of a person
);
CREATE TABLE IF NOT EXISTS watermarks (
    sha256 VARCHAR, model VARCHAR, probability FLOAT, PRIMARY KEY (sha256, model)
);
CREATE TABLE IF NOT EXISTS hashes (
    sha256 VARCHAR, model VARCHAR, phash UBIGINT, views UBIGINT[], PRIMARY KEY (sha256, model)
);
CREATE TABLE IF NOT EXISTS qualities (
    sha256 VARCHAR, model VARCHAR, sharpness FLOAT, brightness FLOAT, colourfulness FLOAT, PRIMARY KEY (sha256, model)
);
CREATE TABLE IF NOT EXISTS embeddings (sha256 VARCHAR, model VARCHAR, vector FLOAT[], PRIMARY KEY (sha256, model));
CREATE TABLE IF NOT EXISTS likenesses (  -- cosine of a photo's embedding and the mean of its person's others
    person VARCHAR, sha256 VARCHAR, model VARCHAR, likeness FLOAT, PRIMARY KEY (person, sha256, model)
);
CREATE TABLE IF NOT EXISTS body_measures (  -- of the main person: metres, kilograms, kg/m²
    sha256 VARCHAR, model VARCHAR, name VARCHAR, value DOUBLE, PRIMARY KEY (sha256, model, name)
);
CREATE TABLE IF NOT EXISTS near (a VARCHAR, b VARCHAR, distance UTINYINT, PRIMARY KEY (a, b));
CREATE TABLE IF NOT EXISTS compared (  -- people whose pairs are all in near, for these photos and this model's hashes
    person VARCHAR PRIMARY KEY, model VARCHAR, photos BIGINT, digest HUGEINT
);
CREATE TABLE IF NOT EXISTS judged (
    person VARCHAR, sha256 VARCHAR, kept BOOLEAN, reasons VARCHAR[] NOT NULL, framing VARCHAR, facing VARCHAR,
    rotation INTEGER  -- degrees, clockwise, by which shards turn the photo
);
CREATE TABLE IF NOT EXISTS judgement (  -- one row: thresholds and models of the verdicts
    thresholds VARCHAR, pose VARCHAR, face VARCHAR, watermark VARCHAR, hash VARCHAR, quality VARCHAR, identity VARCHAR
);
CREATE TABLE IF NOT EXISTS captioned (
    sha256 VARCHAR,
    model VARCHAR,   -- the author: a model's id, hand or sidecar
    prompt VARCHAR,  -- the model's prompt, or the caption's name if a person wrote it, or a model by an instruction
    caption VARCHAR, PRIMARY KEY (sha256, model, prompt)
);
CREATE TABLE IF NOT EXISTS uncaptioned (  -- photos that a captioner could not caption
    sha256 VARCHAR, model VARCHAR, prompt VARCHAR, error VARCHAR, PRIMARY KEY (sha256, model, prompt)
);
CREATE TABLE IF NOT EXISTS captioner (  -- one row: whose captions are used where nobody wrote one
    model VARCHAR, prompt VARCHAR,
    use VARCHAR,     -- the name of the captions to use, "" for the plain ones
    trigger VARCHAR  -- the word in front of every caption that leaves the catalog
);
CREATE TABLE IF NOT EXISTS exports (  -- folders that photos or captions were exported to
    folder VARCHAR PRIMARY KEY,  -- relative to the dataset's folder if it is inside
    format VARCHAR, exported_at TIMESTAMP
);
CREATE VIEW IF NOT EXISTS verdicts AS SELECT person, sha256, kept, reasons FROM judged;
CREATE VIEW IF NOT EXISTS captions AS SELECT sha256, model, caption FROM captioned;
-- Catalogs of BoLID 0.1 lack these.
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS consent VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS etag VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS last_modified VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS gone_at TIMESTAMP;
ALTER TABLE hashes ADD COLUMN IF NOT EXISTS views UBIGINT[];
ALTER TABLE detections ADD COLUMN IF NOT EXISTS sharpness FLOAT;
ALTER TABLE judged ADD COLUMN IF NOT EXISTS framing VARCHAR;
ALTER TABLE judged ADD COLUMN IF NOT EXISTS facing VARCHAR;
ALTER TABLE judged ADD COLUMN IF NOT EXISTS rotation INTEGER;
ALTER TABLE judgement ADD COLUMN IF NOT EXISTS quality VARCHAR;
ALTER TABLE judgement ADD COLUMN IF NOT EXISTS identity VARCHAR;
ALTER TABLE captioner ADD COLUMN IF NOT EXISTS use VARCHAR;
ALTER TABLE captioner ADD COLUMN IF NOT EXISTS trigger VARCHAR;
ALTER TABLE models ADD COLUMN IF NOT EXISTS revision VARCHAR;
-- Catalogs of version 1 do not record how the pixels were made.
ALTER TABLE photos ADD COLUMN IF NOT EXISTS traits VARCHAR;
ALTER TABLE measured ADD COLUMN IF NOT EXISTS pixels VARCHAR DEFAULT '';
"""


def upgrade(con: duckdb.DuckDBPyConnection) -> None:
    """Creates all tables and views, or adds those that a catalog of an earlier version lacks."""
    if older := _has_table(con, "decisions"):
        con.execute("CREATE TEMP TABLE decisions_2 AS FROM decisions")
        con.execute("DROP TABLE decisions")
    con.execute(_TABLES)
    con.execute(_DECIDED.format(temporary=""))
    con.execute(_SITES.format(temporary=""))
    if older:
        con.execute(_LOG_OF_VERSION_2.format(decisions="decisions_2"))
        con.execute("DROP TABLE decisions_2")
    con.execute(_VIEWS.format(temporary="").replace("VIEW", "VIEW IF NOT EXISTS"))


def read_older(con: duckdb.DuckDBPyConnection) -> None:
    """Gives a connection that only reads a catalog of an earlier version the tables and views which it lacks."""
    if _has_table(con, "sightings") and not _has_table(con, "site_marks"):
        con.execute(_SITES.format(temporary="TEMP"))
    if _has_table(con, "decision_log") or not _has_table(con, "sightings"):
        return
    con.execute(_DECIDED.format(temporary="TEMP"))
    if _has_table(con, "decisions"):
        con.execute(_LOG_OF_VERSION_2.format(decisions="decisions"))
    con.execute(_VIEWS.format(temporary="TEMP"))


_LOG_OF_VERSION_2 = """
INSERT INTO decision_log BY NAME SELECT row_number() OVER (ORDER BY decided_at, person, sha256) AS id, id AS command,
    CASE WHEN keep THEN 'keep' ELSE 'reject' END AS what, sha256, person, who, why, decided_at FROM {decisions}
"""


def _has_table(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    query = "FROM duckdb_tables() WHERE table_name = ? AND NOT temporary"
    return con.execute(query, [name]).fetchone() is not None
