"""The catalog's tables and views."""

VERSION = 2
"""1: the catalogs of BoLID 0.1, which do not record a version."""

SCHEMA = f"""
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
    id VARCHAR PRIMARY KEY, name VARCHAR, sha256 VARCHAR, config VARCHAR, licence VARCHAR
);
CREATE TABLE IF NOT EXISTS measured (sha256 VARCHAR, model VARCHAR, PRIMARY KEY (sha256, model));
CREATE TABLE IF NOT EXISTS undecodable (sha256 VARCHAR PRIMARY KEY, error VARCHAR);
CREATE TABLE IF NOT EXISTS lost (sha256 VARCHAR PRIMARY KEY);  -- undecodable because the store lost their bytes
CREATE TABLE IF NOT EXISTS detections (
    sha256 VARCHAR, model VARCHAR, kind VARCHAR, score FLOAT, box FLOAT[4], keypoints FLOAT[3][17]
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
CREATE TABLE IF NOT EXISTS near (a VARCHAR, b VARCHAR, distance UTINYINT, PRIMARY KEY (a, b));
CREATE TABLE IF NOT EXISTS compared (  -- people whose pairs are all in near, for these photos and this model's hashes
    person VARCHAR PRIMARY KEY, model VARCHAR, photos BIGINT, digest HUGEINT
);
CREATE TABLE IF NOT EXISTS judged (
    person VARCHAR, sha256 VARCHAR, kept BOOLEAN, reasons VARCHAR[] NOT NULL, framing VARCHAR, facing VARCHAR
);
CREATE TABLE IF NOT EXISTS judgement (  -- one row: thresholds and models of the verdicts
    thresholds VARCHAR, pose VARCHAR, face VARCHAR, watermark VARCHAR, hash VARCHAR, quality VARCHAR, identity VARCHAR
);
CREATE TABLE IF NOT EXISTS decisions (  -- made by hand; they override measured reasons
    person VARCHAR, sha256 VARCHAR, keep BOOLEAN, who VARCHAR, why VARCHAR, decided_at TIMESTAMP,
    PRIMARY KEY (person, sha256)
);
CREATE TABLE IF NOT EXISTS captioned (
    sha256 VARCHAR, model VARCHAR, prompt VARCHAR, caption VARCHAR, PRIMARY KEY (sha256, model, prompt)
);
CREATE TABLE IF NOT EXISTS uncaptioned (  -- photos that a captioner could not caption
    sha256 VARCHAR, model VARCHAR, prompt VARCHAR, error VARCHAR, PRIMARY KEY (sha256, model, prompt)
);
CREATE TABLE IF NOT EXISTS captioner (model VARCHAR, prompt VARCHAR);  -- one row: its captions are sharded
CREATE VIEW IF NOT EXISTS verdicts AS SELECT person, sha256, kept, reasons FROM judged;
CREATE VIEW IF NOT EXISTS captions AS SELECT sha256, model, caption FROM captioned;
-- Catalogs of BoLID 0.1 lack these.
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS consent VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS etag VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS last_modified VARCHAR;
ALTER TABLE sightings ADD COLUMN IF NOT EXISTS gone_at TIMESTAMP;
ALTER TABLE hashes ADD COLUMN IF NOT EXISTS views UBIGINT[];
ALTER TABLE judged ADD COLUMN IF NOT EXISTS framing VARCHAR;
ALTER TABLE judged ADD COLUMN IF NOT EXISTS facing VARCHAR;
ALTER TABLE judgement ADD COLUMN IF NOT EXISTS quality VARCHAR;
ALTER TABLE judgement ADD COLUMN IF NOT EXISTS identity VARCHAR;
-- Catalogs of version 1 do not record how the pixels were made.
ALTER TABLE photos ADD COLUMN IF NOT EXISTS traits VARCHAR;
ALTER TABLE measured ADD COLUMN IF NOT EXISTS pixels VARCHAR DEFAULT '';
"""
