"""Who counts on a photo, in SQL over the ledger and the thresholds.

A bystander is a person who is small beside the largest one: smaller than `min_prominence` or, in the background
(blurred beside the largest person, or cut by the left or right edge), smaller than `min_background_prominence`.
Bystanders and their faces do not count, nor does a face that is small beside the largest face.
"""

from typing import Any

import duckdb

from bolid_data.catalog import dicts
from bolid_data.catalog.main_person import AREA

_BLURRED = "coalesce(body.sharpness < limit_min_relative_sharpness * largest_sharpness, false)"
_NEEDED = f"""CASE WHEN body.cut OR {_BLURRED} THEN greatest(limit_min_prominence, limit_min_background_prominence)
    ELSE limit_min_prominence END"""
_OWNED = "coalesce(list_min(face.owners) <= len(likely_bodies), false)"

COUNTED = f"""
likely AS (
    SELECT *, list_filter(bodies, lambda body: body.score >= limit_min_confidence) AS likely_bodies,
        list_filter(faces, lambda face: face.score >= greatest(limit_min_confidence, limit_min_face_confidence))
            AS likely_faces
    FROM {{ledger}} CROSS JOIN thresholds
),
sized AS (
    SELECT *, list_max(list_transform(likely_bodies, lambda body: body.area)) AS largest_body,
        list_filter(likely_bodies, lambda body: body.area = largest_body)[1].sharpness AS largest_sharpness,
        list_max(list_transform(likely_faces, lambda face: face.area)) AS largest_face
    FROM likely
),
weighed AS (
    SELECT *, list_transform(likely_bodies, lambda body: body.area >= largest_body * {_NEEDED}) AS counts FROM sized
),
counted AS (
    SELECT *, len(list_filter(counts, lambda body_counts: body_counts)) AS people,
        list_filter(likely_faces, lambda face: face.area >= limit_min_prominence * largest_face AND (
            NOT {_OWNED} OR len(list_filter(face.owners, lambda place: counts[place])) > 0)) AS counted_faces
    FROM weighed
)
"""
"""The last of these tables has the columns of `ledger` and of the thresholds, and `people`, `counted_faces` and
`counts` (of each likely body)."""

OTHER_FACES = f"len(list_filter(counted_faces, lambda face: NOT {_OWNED}))"
"""Faces outside of every person's box: somebody whose body was not detected, or a picture on a wall."""

_PEOPLE = f"""
WITH {COUNTED.format(ledger="people_ledger")}
SELECT score, cut, counts, area / largest_body AS prominence, needed AS min_prominence,
    area / largest_body - needed AS margin, sharpness / nullif(largest_sharpness, 0) AS relative_sharpness
FROM (
    SELECT generate_subscripts(likely_bodies, 1) AS place,
        unnest(list_transform(likely_bodies, lambda body: {{'score': body.score, 'area': body.area, 'cut': body.cut,
            'sharpness': body.sharpness, 'needed': {_NEEDED}}}), recursive := true),
        unnest(counts) AS counts, largest_body, largest_sharpness
    FROM (FROM counted WHERE sha256 = $photo LIMIT 1)  -- of several owners, each has the same measurements
) ORDER BY place
"""

# In the order of the ledger's bodies.
_BOXES = f"""SELECT box FROM detections WHERE sha256 = $photo AND kind = 'person' AND model = $pose
ORDER BY score DESC, {AREA} DESC, rowid"""


def explain_people(con: duckdb.DuckDBPyConnection, photo: str, pose: str) -> list[dict[str, Any]]:
    """The likely people on a photo, most certain first: whether each counts, the size relative to the largest person
    (`prominence`), the least one that counts (`min_prominence`) and the margin between the two, and the box. Needs the
    temporary tables `people_ledger`, by the pose model `pose`, and `thresholds`, with one row."""
    people = dicts(con.execute(_PEOPLE, {"photo": photo}))
    boxes = con.execute(_BOXES, {"photo": photo, "pose": pose}).fetchall()
    return [person | {"box": box} for person, (box,) in zip(people, boxes, strict=False)]  # the rest are not likely
