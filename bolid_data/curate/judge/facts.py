"""Computes facts and reasons from the ledger: thresholds select the detections that count, facts are derived from
them, and rules compare facts with thresholds.

Thresholds are rows of a table, a row per judgement, so that several judgements of the same photos are computed at once.
"""

from collections.abc import Sequence

import duckdb

from bolid_data.catalog import insert
from bolid_data.curate.judge.bystanders import COUNTED, OTHER_FACES
from bolid_data.curate.judge.rules import ALONE, AMONG, DETECTION_THRESHOLDS, FINAL, limits, reasons_sql
from bolid_data.manifest import Filter

_TWO_NAMES, _DUPLICATE, _FEW_PHOTOS = (
    tuple(rule for rule in AMONG if rule.reason == reason) for reason in ("two_names", "duplicate", "few_photos")
)
_FINAL = ", ".join(f"'{reason}'" for reason in FINAL)

# Degrees, clockwise, by which a shard turns a photo that lies on its side or upside down, so that the head is up.
_TURNED = """CASE WHEN limit_turn_sideways IS NOT NULL AND abs(lean) > limit_max_tilt
    THEN (360 - 90 * round(lean / 90)::INTEGER) % 360 ELSE 0 END"""

_FACTS = f"""
WITH {COUNTED}
SELECT * EXCLUDE (bodies, faces, confidences, likely_bodies, likely_faces, largest_body, largest_sharpness,
        largest_face, counts, counted_faces, turned),
    CASE WHEN turned % 180 = 90 THEN height / width ELSE width / height END AS aspect,
    turned::INTEGER AS rotation, abs((lean + turned + 180) % 360 - 180) AS tilt, len(counted_faces) AS faces,
    CASE WHEN people = 0 THEN 0 ELSE {OTHER_FACES} END AS other_faces,
    CASE WHEN len(likely_bodies) > 0
        THEN len(list_filter(confidences, lambda confidence: confidence >= limit_min_keypoint_confidence)) END
        AS keypoints
FROM (SELECT *, {_TURNED} AS turned FROM counted)
LEFT JOIN (SELECT person, sha256, keep FROM decisions) USING (person, sha256)
"""

# A decision to keep a photo leaves only the final reasons; a decision to reject it is a reason.
_REASONS_ALONE = f"""
SELECT *, complete AND len(reasons_alone) = 0 AS eligible FROM (
    SELECT *, CASE WHEN broken IS NOT NULL THEN ['broken']
        WHEN keep THEN list_filter({reasons_sql(ALONE + _TWO_NAMES)}, lambda reason: reason IN ({_FINAL}))
        WHEN NOT keep THEN list_append({reasons_sql(ALONE + _TWO_NAMES)}, 'rejected')
        ELSE {reasons_sql(ALONE + _TWO_NAMES)} END AS reasons_alone
    FROM ({_FACTS})
)
"""

# Among photos that are otherwise kept: the distance to the nearest better photo of the same person. Of copies the one
# with the most pixels is kept, then the one with the most bytes (compression costs bytes, and its blocks pass for
# sharpness), then the sharpest. A watermarked original does not displace its clean copy.
_NEAREST = """
WITH pairs AS (SELECT a AS sha256, b AS other, distance FROM near UNION ALL SELECT b, a, distance FROM near),
ranked AS (
    SELECT judgement, person, sha256, row_number() OVER (
        PARTITION BY judgement, person ORDER BY width * height DESC, bytes DESC, sharpness DESC NULLS LAST, sha256
    ) AS place FROM facts SEMI JOIN pairs USING (sha256) WHERE eligible
)
SELECT worse.judgement, worse.person, worse.sha256, min(pairs.distance) AS distance
FROM ranked worse JOIN pairs ON pairs.sha256 = worse.sha256 JOIN ranked better
    ON better.sha256 = pairs.other AND better.judgement = worse.judgement AND better.person = worse.person
WHERE better.place < worse.place GROUP BY ALL
"""

_JUDGEMENTS = f"""
WITH deduplicated AS (
    SELECT facts.*, distance,
        CASE WHEN eligible AND NOT coalesce(keep, false) THEN {reasons_sql(_DUPLICATE)} ELSE [] END AS copies
    FROM facts LEFT JOIN nearest USING (judgement, person, sha256)
),
kept AS (
    SELECT judgement, person, count(*) AS photos FROM deduplicated WHERE eligible AND len(copies) = 0 GROUP BY ALL
),
counted AS (
    SELECT deduplicated.*, CASE WHEN eligible AND len(copies) = 0 THEN photos END AS kept_photos
    FROM deduplicated LEFT JOIN kept USING (judgement, person)
)
SELECT * EXCLUDE (reasons_alone, copies, eligible), list_concat(reasons_alone, copies,
    CASE WHEN keep THEN [] ELSE {reasons_sql(_FEW_PHOTOS)} END) AS reasons FROM counted
"""


def compute_facts(con: duckdb.DuckDBPyConnection, judgements: Sequence[Filter], ledger: str = "ledger") -> None:
    """Fills the temporary table `judgements` with a row per judgement (its index in the sequence), person and photo of
    `ledger`: the facts, the limits and the reasons why the photo is out."""
    columns = ", ".join(
        f"{name} {'FLOAT' if name.removeprefix('limit_') in DETECTION_THRESHOLDS else 'DOUBLE'}"
        for name in limits(judgements[0])
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE thresholds (judgement INTEGER, {columns})")
    insert(con, "temp.thresholds", [{"judgement": i} | limits(thresholds) for i, thresholds in enumerate(judgements)])
    con.execute(f"CREATE OR REPLACE TEMP TABLE facts AS {_REASONS_ALONE.format(ledger=ledger)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE nearest AS {_NEAREST}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE judgements AS {_JUDGEMENTS}")
    con.execute("DROP TABLE temp.facts")
    con.execute("DROP TABLE temp.nearest")
