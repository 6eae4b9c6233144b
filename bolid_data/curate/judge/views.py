"""Which view of a person a photo shows, from the keypoints of its most certain person, in SQL.

The names of COCO's 17 keypoints are those of a person's own left and right: who faces the camera has the left shoulder
on the picture's right.
"""

FRAMINGS = ("full", "knees_up", "bust")
FACINGS = ("front", "side", "back")

_SEEN = 0.5  # a keypoint of this confidence is visible
_NARROW = 0.45  # shoulders nearer than this share of the torso's length are seen from the side

_NOSE, _LEFT_EYE, _RIGHT_EYE = 1, 2, 3  # DuckDB counts from 1
_SHOULDERS, _HIPS, _KNEES, _ANKLES = (6, 7), (12, 13), (14, 15), (16, 17)


def _sees(*points: int) -> str:
    return "(" + " OR ".join(f"keypoints[{point}][3] >= {_SEEN}" for point in points) + ")"


def _middle(points: tuple[int, int], axis: int) -> str:
    """Between two keypoints, or the one of them that is seen."""
    a, b = points
    return (
        f"CASE WHEN NOT {_sees(a)} THEN keypoints[{b}][{axis}] WHEN NOT {_sees(b)} THEN keypoints[{a}][{axis}] "
        f"ELSE (keypoints[{a}][{axis}] + keypoints[{b}][{axis}]) / 2 END"
    )


_TORSO = (
    f"sqrt(pow({_middle(_SHOULDERS, 1)} - {_middle(_HIPS, 1)}, 2) + "
    f"pow({_middle(_SHOULDERS, 2)} - {_middle(_HIPS, 2)}, 2))"
)
_LEFT, _RIGHT = _SHOULDERS
_BOTH_SHOULDERS = f"{_sees(_LEFT)} AND {_sees(_RIGHT)}"

FRAMING = f"""CASE WHEN keypoints IS NULL THEN NULL WHEN {_sees(*_ANKLES)} THEN 'full'
    WHEN {_sees(*_KNEES)} THEN 'knees_up' ELSE 'bust' END"""
"""SQL: how much of the person, from `keypoints`."""

FACING = f"""CASE WHEN keypoints IS NULL THEN NULL
    WHEN {_BOTH_SHOULDERS} AND {_sees(*_HIPS)}
        AND abs(keypoints[{_LEFT}][1] - keypoints[{_RIGHT}][1]) < {_NARROW} * {_TORSO} THEN 'side'
    WHEN NOT {_sees(_NOSE)} AND NOT ({_sees(_LEFT_EYE)} AND {_sees(_RIGHT_EYE)}) THEN
        CASE WHEN {_sees(*_SHOULDERS)} THEN 'back' END
    WHEN {_sees(_LEFT_EYE)} <> {_sees(_RIGHT_EYE)} THEN 'side'
    ELSE 'front' END"""
"""SQL: from where the person is seen, from `keypoints`; NULL where they do not tell."""
