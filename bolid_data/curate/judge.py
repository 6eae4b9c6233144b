"""From measurements to verdicts: every rule compares one measured fact with one threshold, in SQL.

A verdict costs no inference: new thresholds are a new judgement over what was measured. The facts a rule compares
are columns of `facts`; the rule itself is data, so that judging and explaining cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from bolid_data.catalog import Catalog, dicts
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter

FAR = 10
"""Perceptual-hash distances up to this are written to `near`: the largest `max_hamming` a manifest may ask for."""


@dataclass(frozen=True)
class Rule:
    """Out for `reason` when `fact <op> threshold`; a fact that is NULL (not measured) puts nothing out."""

    reason: str
    fact: str
    op: str
    threshold: str  # a key of the manifest's [filter], or of _FIXED


_FIXED = {"one_name": 1, "no_opt_out": 0}

ALONE = (
    Rule("opted_out", "opt_outs", ">", "no_opt_out"),
    Rule("too_small", "width", "<", "min_width"),
    Rule("too_small", "height", "<", "min_height"),
    Rule("no_person", "people", "<", "people"),
    Rule("several_people", "people", ">", "people"),
    Rule("several_faces", "faces", ">", "max_faces"),
    Rule("watermarked", "watermark", ">", "max_watermark"),
    Rule("few_keypoints", "keypoints", "<", "min_keypoints"),
)
"""Rules on a photo alone; those on a photo among others (duplicate, few_photos) follow once these are known."""

_IN_FACTS = {"min_confidence", "min_face_confidence", "min_keypoint_confidence", "min_prominence"}
"""Thresholds that decide what a detection is, before any is counted."""

AMONG = (
    Rule("two_names", "names", ">", "one_name"),
    Rule("duplicate", "distance", "<=", "max_hamming"),
    Rule("few_photos", "kept_photos", "<", "min_photos_per_person"),
)
"""Rules on a photo among others, in this order: each sees only photos that no rule before it puts out."""

RULES = ALONE + AMONG
REASONS = ("broken", *dict.fromkeys(rule.reason for rule in RULES))

# One row per person and photo: what this judgement's models measured. `complete` says that all of them have seen the
# photo: before that it can be out, but not in.
_FACTS = """
CREATE OR REPLACE TEMP TABLE facts AS
WITH seen AS (SELECT DISTINCT person, sha256 FROM sightings WHERE sha256 IS NOT NULL),
opted AS (  -- whoever listed it, one owner's no is a no
    SELECT sha256, count(*) FILTER (state = 'opted_out') AS opt_outs FROM sightings GROUP BY sha256
),
names AS (SELECT sha256, count(*) AS names FROM seen GROUP BY sha256),
sure AS (
    SELECT sha256, kind, score, (box[3] - box[1]) * (box[4] - box[2]) AS area,
        max(area) OVER (PARTITION BY sha256, kind) AS largest,
        len(list_filter(keypoints, lambda point: point[3] >= $min_keypoint_confidence)) AS visible
    FROM detections WHERE score >= $min_confidence
    AND ((kind = 'person' AND model = $pose) OR (kind = 'face' AND model = $face AND score >= $min_face_confidence))
),
counts AS (  -- a bystander, small beside the largest person, does not count; nor does a small face
    SELECT sha256, count(*) FILTER (kind = 'person' AND area >= $min_prominence * largest) AS people,
        count(*) FILTER (kind = 'face' AND area >= $min_prominence * largest) AS faces,
        arg_max(visible, score) FILTER (kind = 'person') AS keypoints
    FROM sure GROUP BY sha256
),
done AS (
    SELECT sha256, bool_or(model = $pose) AS posed, bool_or(model = $face) AS faced, count(*) = 4 AS complete
    FROM measured WHERE model IN ($pose, $face, $watermark, $hash) GROUP BY sha256
)
SELECT seen.person, photos.sha256, photos.width, photos.height, photos.bytes, undecodable.error AS broken,
    names, opt_outs,
    CASE WHEN posed THEN coalesce(people, 0) END AS people,
    CASE WHEN faced THEN coalesce(faces, 0) END AS faces,
    keypoints, watermarks.probability AS watermark, coalesce(complete, false) AS complete,
    NULL::UTINYINT AS distance, NULL::BIGINT AS kept_photos
FROM seen JOIN photos USING (sha256) JOIN names USING (sha256) JOIN opted USING (sha256)
LEFT JOIN undecodable USING (sha256) LEFT JOIN counts USING (sha256)
LEFT JOIN done USING (sha256)
LEFT JOIN watermarks ON watermarks.sha256 = photos.sha256 AND watermarks.model = $watermark
"""

_NEAR = f"""
INSERT INTO near
WITH own AS (
    SELECT DISTINCT person, sha256, phash FROM sightings JOIN hashes USING (sha256)
    WHERE hashes.model = ?
)
SELECT a.sha256, b.sha256, min(bit_count(xor(a.phash, b.phash)))
FROM own a JOIN own b ON a.person = b.person AND a.sha256 < b.sha256
WHERE bit_count(xor(a.phash, b.phash)) <= {FAR} GROUP BY ALL
"""

# How near a photo comes to a better one of its person: of copies the one with most pixels stays, then most bytes.
# Only photos that are otherwise in take part, so that a watermarked original does not push out its clean copy.
_DISTANCE = """
UPDATE facts SET distance = nearest.distance FROM (
    WITH ranked AS (
        SELECT person, sha256, row_number() OVER (PARTITION BY person ORDER BY width * height DESC, bytes DESC, sha256)
            AS place FROM facts WHERE {alive}
    ),
    pairs AS (SELECT a AS sha256, b AS other, distance FROM near UNION ALL SELECT b, a, distance FROM near)
    SELECT worse.person, worse.sha256, min(pairs.distance) AS distance
    FROM ranked worse JOIN pairs ON pairs.sha256 = worse.sha256
    JOIN ranked better ON better.sha256 = pairs.other AND better.person = worse.person AND better.place < worse.place
    GROUP BY ALL
) nearest WHERE nearest.person = facts.person AND nearest.sha256 = facts.sha256
"""

_KEPT_PHOTOS = """
UPDATE facts SET kept_photos = own.photos FROM (
    SELECT person, count(*) FILTER ({alive}) AS photos FROM facts GROUP BY person
) own WHERE own.person = facts.person AND {alive}
"""


@dataclass(frozen=True)
class ModelIds:
    """The models whose measurements are judged, by their ids in the catalog."""

    pose: str
    face: str
    watermark: str
    hash: str


def judge(catalog: Catalog, thresholds: Filter, models: ModelIds | None = None) -> dict[str, int]:
    """Judges every photo by `thresholds` and stores the verdicts. Without `models`, those of the last judgement.

    Returns how many photos were not kept before and are now (`gained`), and the reverse (`lost`).
    Raises UsageError when nothing was ever measured.
    """
    with catalog.open() as con:
        models = models or _last_models(con)
        con.execute("DELETE FROM near")  # it follows from the hashes, and may be of another hash model
        con.execute(_NEAR, [models.hash])
        _measure_facts(con, thresholds, models)
        con.execute("CREATE TEMP TABLE before AS FROM judged")
        con.execute("DELETE FROM judged")
        con.execute(
            f"""INSERT INTO judged SELECT person, sha256, len(reasons) = 0, reasons
            FROM (SELECT person, sha256, complete, {_reasons(RULES, thresholds)} AS reasons FROM facts)
            WHERE complete OR len(reasons) > 0"""
        )
        con.execute("DELETE FROM judgement")
        con.execute(
            "INSERT INTO judgement VALUES (?, ?, ?, ?, ?)",
            [thresholds.model_dump_json(), models.pose, models.face, models.watermark, models.hash],
        )
        gained, lost = con.execute(
            """SELECT count(*) FILTER (now.kept AND NOT coalesce(before.kept, false)),
            count(*) FILTER (NOT now.kept AND before.kept) FROM judged now LEFT JOIN before USING (person, sha256)"""
        ).fetchall()[0]
    return {"gained": gained, "lost": lost}


def already_out(catalog: Catalog, thresholds: Filter, models: ModelIds, sha256s: Sequence[str]) -> set[str]:
    """Of these photos, those that what is measured so far puts out by itself, whatever else would be measured."""
    with catalog.open() as con:
        given = asdict(models) | thresholds.model_dump(include=_IN_FACTS) | {"photos": list(sha256s)}
        con.execute(f"{_FACTS} WHERE list_contains($photos, photos.sha256)", given)
        rows = con.execute(f"SELECT DISTINCT sha256 FROM facts WHERE len({_reasons(ALONE, thresholds)}) > 0")
        return {sha256 for (sha256,) in rows.fetchall()}


def funnel(catalog: Catalog) -> dict[str, Any]:
    """How many photos were judged, and of those out for each reason (a photo may have several), how many stay."""
    with catalog.open(read_only=True) as con:
        photos, kept = con.execute("SELECT count(*), count(*) FILTER (kept) FROM verdicts").fetchall()[0]
        counts = dict(
            con.execute(
                "SELECT reason, count(*) FROM (SELECT unnest(reasons) AS reason FROM verdicts) GROUP BY ALL"
            ).fetchall()
        )
        # A photo leaves the funnel at the first of its reasons.
        leaving = dict(con.execute("SELECT reasons[1], count(*) FROM verdicts WHERE NOT kept GROUP BY ALL").fetchall())
    reasons = [reason for reason in REASONS if reason in counts]
    return {
        "photos": photos,
        "kept": kept,
        "reasons": {reason: counts[reason] for reason in reasons},
        "leaving": {reason: leaving.get(reason, 0) for reason in reasons},
    }


def explain(catalog: Catalog, sha256: str) -> dict[str, Any]:
    """One photo under the last judgement: where it was seen, every fact beside its threshold and the margin
    (how far the fact is from turning the rule, in the fact's unit; below 0 it puts the photo out), the verdict.

    `sha256` may be shortened. Raises UsageError when no photo, or more than one, begins with it.
    """
    with catalog.open(read_only=True) as con:
        row = con.execute("SELECT thresholds FROM judgement").fetchone()
        if row is None:
            raise UsageError("nothing is judged yet; run `bolid filter` first")
        thresholds = Filter.model_validate_json(row[0])
        found = con.execute("SELECT * FROM photos WHERE starts_with(sha256, ?)", [sha256.lower()])
        photos = dicts(found)
        if len(photos) != 1:
            raise UsageError(f"{sha256}: {'no photo' if not photos else 'more than one photo'} has this sha256")
        photo = photos[0]
        key = [photo["sha256"]]
        _measure_facts(con, thresholds, _last_models(con))
        facts = dicts(con.execute("SELECT * FROM facts WHERE sha256 = ? ORDER BY person", key))
        verdicts = dicts(con.execute("SELECT person, kept, reasons FROM verdicts WHERE sha256 = ? ORDER BY ALL", key))
        sightings = dicts(con.execute("SELECT * FROM sightings WHERE sha256 = ? ORDER BY url, person", key))
        detections = dicts(
            con.execute(
                "SELECT model, kind, score, box FROM detections WHERE sha256 = ? ORDER BY kind, score DESC",
                key,
            )
        )
        near = dicts(
            con.execute(
                """SELECT CASE a WHEN $1 THEN b ELSE a END AS sha256, distance FROM near
                WHERE a = $1 OR b = $1 ORDER BY ALL""",
                key,
            )
        )
        captions = dicts(con.execute("SELECT model, caption FROM captions WHERE sha256 = ? ORDER BY ALL", key))
    return {
        "photo": photo,
        "sightings": sightings,
        "verdicts": verdicts,
        "rules": [
            {"person": row["person"], "broken": row["broken"]} | _compare(rule, row[rule.fact], thresholds)
            for row in facts
            for rule in RULES
        ],
        "detections": detections,
        "near": near,
        "captions": captions,
    }


def _measure_facts(con: duckdb.DuckDBPyConnection, thresholds: Filter, models: ModelIds) -> None:
    """Fills the temporary table `facts`, the facts of a photo among others included."""
    con.execute(
        _FACTS,
        asdict(models) | thresholds.model_dump(include=_IN_FACTS),
    )
    con.execute(_DISTANCE.format(alive=_alive(AMONG[:1], thresholds)))
    con.execute(_KEPT_PHOTOS.format(alive=_alive(AMONG[:2], thresholds)))


def _alive(among: tuple[Rule, ...], thresholds: Filter) -> str:
    return f"complete AND len({_reasons(ALONE + among, thresholds)}) = 0"


def _reasons(rules: tuple[Rule, ...], thresholds: Filter) -> str:
    """SQL for the list of reasons, in the order of the rules, each once. What is broken has no further facts."""
    conditions: dict[str, list[str]] = {}
    for rule in rules:
        conditions.setdefault(rule.reason, []).append(f"{rule.fact} {rule.op} {_threshold(rule, thresholds)}")
    cases = ", ".join(f"CASE WHEN {' OR '.join(tests)} THEN '{reason}' END" for reason, tests in conditions.items())
    return f"CASE WHEN broken IS NOT NULL THEN ['broken'] ELSE list_filter([{cases}], lambda r: r IS NOT NULL) END"


def _threshold(rule: Rule, thresholds: Filter) -> float:
    fixed = _FIXED.get(rule.threshold)
    return getattr(thresholds, rule.threshold) if fixed is None else fixed


def _compare(rule: Rule, fact: float | None, thresholds: Filter) -> dict[str, Any]:
    limit = _threshold(rule, thresholds)
    margin = None if fact is None else limit - fact if rule.op == ">" else fact - limit
    out = margin is not None and (margin <= 0 if rule.op == "<=" else margin < 0)
    return {
        "reason": rule.reason,
        "fact": rule.fact,
        "value": fact,
        "out_if": rule.op,
        "threshold": rule.threshold,
        "limit": limit,
        "margin": margin,
        "out": out,
    }


def _last_models(con: duckdb.DuckDBPyConnection) -> ModelIds:
    row = con.execute("SELECT pose, face, watermark, hash FROM judgement").fetchone()
    if row is None:
        raise UsageError("nothing is measured yet; run `bolid filter` without --rejudge first")
    return ModelIds(*row)
