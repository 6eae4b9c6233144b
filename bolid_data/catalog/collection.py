"""What was collected, for a report: hosts, failures, formats, sizes, captions, opt-outs, and what each model did."""

from dataclasses import dataclass
from typing import Any

from bolid_data.catalog.captions import BY_PEOPLE, CHOSEN_CAPTIONS
from bolid_data.catalog.connection import Connection
from bolid_data.catalog.rows import dicts
from bolid_data.catalog.schema import HOST

_MAX_HOSTS, _MAX_WORDS = 100, 40


@dataclass(frozen=True)
class Collection:
    hosts: list[dict[str, Any]]  # those with the most sightings; "" is a folder
    host_count: int
    failures: list[dict[str, Any]]  # reason, host, number, why (the last HTTP status)
    crawls: dict[str, Any]  # number, unfinished, first and last time
    formats: list[dict[str, Any]]  # format, photos, bytes
    sizes: list[tuple[str, int]]  # megapixels, photos
    photos: int
    bytes: int


@dataclass(frozen=True)
class CaptionSummary:
    authors: list[dict[str, Any]]  # author, prompt, captions, chosen
    lengths: list[tuple[int, int]]  # words, chosen captions
    words: list[tuple[str, int]]  # the most frequent words of the chosen captions, and how many have them
    chosen: int


def collection(catalog: Connection) -> Collection:
    with catalog.open(read_only=True) as con:
        hosts = dicts(con.execute(_HOSTS))
        ((photos, size),) = con.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM photos").fetchall()
        return Collection(
            hosts[:_MAX_HOSTS], len(hosts), dicts(con.execute(_FAILURES)), dicts(con.execute(_CRAWLS))[0],
            dicts(con.execute(_FORMATS)), con.execute(_SIZES).fetchall(), photos, int(size),
        )  # fmt: skip


def caption_summary(catalog: Connection) -> CaptionSummary:
    with catalog.open(read_only=True) as con:
        con.execute(_CHOSEN)
        ((chosen,),) = con.execute("SELECT count(*) FROM chosen").fetchall()
        return CaptionSummary(
            dicts(con.execute(_AUTHORS)), con.execute(_LENGTHS).fetchall(), con.execute(_WORDS).fetchall(), chosen
        )


def model_use(catalog: Connection) -> list[dict[str, Any]]:
    """Every model that measured or captioned a photo, by name: name, id, licence, sha256, revision, measured,
    captioned, and whether the last judgement or the captioner uses it (`current`)."""
    with catalog.open(read_only=True) as con:
        return dicts(con.execute(_MODELS))


def opt_outs(catalog: Connection) -> list[dict[str, Any]]:
    """Photos by the text of the opt-out, the most frequent first."""
    with catalog.open(read_only=True) as con:
        return dicts(con.execute(_OPT_OUTS))


_HOSTS = f"""
SELECT host, count(DISTINCT person) AS people, count(*) AS sightings,
    count(DISTINCT sha256) FILTER (state = 'stored') AS photos,
    count(*) FILTER (state = 'failed') AS failed, count(*) FILTER (state = 'refused') AS refused,
    count(*) FILTER (state = 'opted_out') AS opted_out, count(*) FILTER (gone_at IS NOT NULL) AS gone,
    sum(bytes) FILTER (first) AS bytes, min(fetched_at) AS first_at, max(fetched_at) AS last_at
FROM (
    SELECT {HOST} AS host, s.*, bytes,
        s.sha256 IS NOT NULL AND row_number() OVER (PARTITION BY {HOST}, s.sha256 ORDER BY url, person) = 1 AS first
    FROM sightings s LEFT JOIN photos USING (sha256)
)
GROUP BY host ORDER BY sightings DESC, host
"""

_FAILURES = f"""
SELECT coalesce(reason, state) AS reason, state, {HOST} AS host, count(*) AS number, max(http_status) AS http_status
FROM sightings WHERE state NOT IN ('stored', 'opted_out')
GROUP BY ALL ORDER BY number DESC, reason, host LIMIT 40
"""

_CRAWLS = """
SELECT count(*) AS number, count(*) FILTER (finished_at IS NULL) AS unfinished, min(started_at) AS first_at,
    max(coalesce(finished_at, started_at)) AS last_at FROM crawls
"""

_FORMATS = """
SELECT format, count(*) AS photos, sum(bytes)::BIGINT AS bytes FROM photos GROUP BY format ORDER BY photos DESC, format
"""

# Megapixels, in classes that a photographer would name.
_SIZES = """
SELECT label, photos FROM (
    SELECT bounds.label, bounds.low, count(sha256) AS photos
    FROM (VALUES ('< 0.5', 0, 0.5), ('0.5–1', 0.5, 1), ('1–2', 1, 2), ('2–4', 2, 4), ('4–8', 4, 8), ('8–16', 8, 16),
        ('16–32', 16, 32), ('≥ 32', 32, 1e9)) bounds(label, low, high)
    LEFT JOIN photos ON width::DOUBLE * height / 1e6 >= low AND width::DOUBLE * height / 1e6 < high GROUP BY ALL
) ORDER BY low
"""

_CHOSEN = f"""
CREATE TEMP TABLE chosen AS FROM {CHOSEN_CAPTIONS} WHERE sha256 IN (SELECT sha256 FROM verdicts WHERE kept)
"""

_AUTHORS = f"""
SELECT coalesce(name, model) AS author, model IN {BY_PEOPLE} AS by_people, prompt, count(*) AS captions,
    count(*) FILTER ((sha256, model, prompt) IN (SELECT (sha256, model, prompt) FROM chosen)) AS chosen
FROM captioned LEFT JOIN (SELECT id AS model, name FROM models) USING (model) WHERE caption IS NOT NULL
GROUP BY ALL ORDER BY chosen DESC, captions DESC, author, prompt LIMIT 40
"""

_LENGTHS = """
SELECT least(len(regexp_extract_all(caption, '\\S+')), 60) AS words, count(*) FROM chosen GROUP BY words ORDER BY words
"""

# Words that say nothing about a photo are left out.
_WORDS = f"""
SELECT word, count(*) FROM (
    SELECT DISTINCT sha256, unnest(regexp_extract_all(lower(caption), '[\\p{{L}}][\\p{{L}}''-]+')) AS word FROM chosen
) WHERE word NOT IN (
    'the', 'an', 'in', 'on', 'of', 'and', 'with', 'at', 'is', 'are', 'to', 'his', 'her', 'their', 'by', 'for', 'from',
    'it', 'its', 'as', 'who', 'that', 'this', 'there', 'has', 'be', 'or'
) GROUP BY word ORDER BY count(*) DESC, word LIMIT {_MAX_WORDS}
"""

_MODELS = """
WITH used AS (
    SELECT unnest([pose, face, watermark, hash, quality, identity]) AS id FROM judgement
    UNION SELECT model FROM captioner UNION SELECT model FROM site_marks
)
SELECT name, id, licence, sha256, revision, coalesce(measured, 0) AS measured, coalesce(captioned, 0) AS captioned,
    id IN (SELECT id FROM used WHERE id IS NOT NULL) AS current
FROM models LEFT JOIN (SELECT model AS id, count(*) AS measured FROM measured GROUP BY model) USING (id)
LEFT JOIN (SELECT model AS id, count(*) AS captioned FROM captioned GROUP BY model) USING (id)
ORDER BY name, current DESC, id
"""

_OPT_OUTS = """
SELECT coalesce(consent, 'opted out') AS text, count(DISTINCT coalesce(sha256, url)) AS photos
FROM sightings WHERE state = 'opted_out' GROUP BY ALL ORDER BY photos DESC, text LIMIT 20
"""
