"""Framing, facing and lean of the main person of a photo, in SQL, from the keypoints.

Left and right in the names of COCO's 17 keypoints are the person's: the left shoulder of someone who faces the camera
is on the right of the photo.
"""

FRAMINGS = ("full", "knees_up", "bust")
FACINGS = ("front", "side", "back")

_VISIBLE = 0.5  # a keypoint with at least this confidence is visible
_NARROW = 0.45  # shoulders closer than this share of the torso's length are seen from the side


_NOSE, _LEFT_EYE, _RIGHT_EYE = 1, 2, 3  # DuckDB counts from 1
_HEAD = (1, 2, 3, 4, 5)
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
_EDGE = 0.005  # a box this close to an edge, as a share of the photo's width, touches it

CUT = f"""(box[1] <= {_EDGE} * width OR box[3] >= {1 - _EDGE} * width) AND NOT coalesce({_BOTH_SHOULDERS}, false)"""
"""SQL: whether the left or right edge of a photo of this `width` cuts the person off: the box touches it, and a
shoulder is missing. (The upper and lower edge cut most portraits.)"""

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


_HEAD_VISIBLE = _visible(*_HEAD)


def _head(axis: int) -> str:
    """The mean of the visible keypoints of the head."""
    points = ", ".join(f"CASE WHEN {_visible(point)} THEN keypoints[{point}][{axis}] END" for point in _HEAD)
    return f"list_avg([{points}])"


def _lean(below: tuple[int, int], stretched: float) -> str:
    """The angle of the line to the head from two keypoints below, NULL unless it is long enough to tell."""
    right, up = f"({_head(1)} - ({_middle(below, 1)}))", f"(({_middle(below, 2)}) - {_head(2)})"
    return f"""CASE WHEN {_visible(*below)} AND {_HEAD_VISIBLE} AND sqrt(pow({right}, 2) + pow({up}, 2))
        >= {stretched} * greatest(box[3] - box[1], box[4] - box[2]) THEN degrees(atan2({right}, {up})) END"""


_LEANS = (_lean(_ANKLES, 0.4), _lean(_KNEES, 0.4), _lean(_HIPS, 0.25), _lean(_SHOULDERS, 0.12))

LEAN = f"round(coalesce({', '.join(_LEANS)}), 1)"
"""SQL: the angle in degrees, clockwise, between upright and the line to the head from the ankles, else from the knees,
the hips or the shoulders, from `keypoints` and `box`: 0 for somebody who stands, 90 with the head at the right, 180
upside down. NULL if the keypoints do not determine it. From the ankles first, as somebody who bends down has the head
beside the hips."""
