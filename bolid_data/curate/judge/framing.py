"""Framing and facing of a person, in SQL, from the keypoints of the detection with the highest score.

Left and right in the names of COCO's 17 keypoints are the person's: the left shoulder of someone who faces the camera
is on the right of the photo.
"""

FRAMINGS = ("full", "knees_up", "bust")
FACINGS = ("front", "side", "back")

_VISIBLE = 0.5  # a keypoint with at least this confidence is visible
_NARROW = 0.45  # shoulders closer than this share of the torso's length are seen from the side

_NOSE, _LEFT_EYE, _RIGHT_EYE = 1, 2, 3  # DuckDB counts from 1
_SHOULDERS, _HIPS, _KNEES, _ANKLES = (6, 7), (12, 13), (14, 15), (16, 17)


def _visible(*points: int) -> str:
    return "(" + " OR ".join(f"keypoints[{point}][3] >= {_VISIBLE}" for point in points) + ")"


def _middle(points: tuple[int, int], axis: int) -> str:
    """The midpoint of two keypoints, or the one of them that is visible."""
    a, b = points
    return (
        f"CASE WHEN NOT {_visible(a)} THEN keypoints[{b}][{axis}] WHEN NOT {_visible(b)} THEN keypoints[{a}][{axis}] "
        f"ELSE (keypoints[{a}][{axis}] + keypoints[{b}][{axis}]) / 2 END"
    )


_TORSO = (
    f"sqrt(pow({_middle(_SHOULDERS, 1)} - {_middle(_HIPS, 1)}, 2) + "
    f"pow({_middle(_SHOULDERS, 2)} - {_middle(_HIPS, 2)}, 2))"
)
_LEFT, _RIGHT = _SHOULDERS
_BOTH_SHOULDERS = f"{_visible(_LEFT)} AND {_visible(_RIGHT)}"

FRAMING = f"""CASE WHEN keypoints IS NULL THEN NULL WHEN {_visible(*_ANKLES)} THEN 'full'
    WHEN {_visible(*_KNEES)} THEN 'knees_up' ELSE 'bust' END"""
"""SQL: how much of the person the photo shows, from `keypoints`."""

FACING = f"""CASE WHEN keypoints IS NULL THEN NULL
    WHEN {_BOTH_SHOULDERS} AND {_visible(*_HIPS)}
        AND abs(keypoints[{_LEFT}][1] - keypoints[{_RIGHT}][1]) < {_NARROW} * {_TORSO} THEN 'side'
    WHEN NOT {_visible(_NOSE)} AND NOT ({_visible(_LEFT_EYE)} AND {_visible(_RIGHT_EYE)}) THEN
        CASE WHEN {_visible(*_SHOULDERS)} THEN 'back' END
    WHEN {_visible(_LEFT_EYE)} <> {_visible(_RIGHT_EYE)} THEN 'side'
    ELSE 'front' END"""
"""SQL: the side from which the person is seen, from `keypoints`; NULL if they do not determine it."""
