"""Coordinates along the mean adult, in which clothes and hair are cut, and the parts of the body. Metres of the mean
adult, whose crotch is at a height of 0.03, whose waist at 0.30, whose neck at 0.65 and whose crown at 0.95."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from bolid_data.synthetic.body import Floats, Ints, body_model

PARTS = (
    "background", "head", "neck", "chest", "hips", "left upper arm", "right upper arm", "left forearm",
    "right forearm", "left hand", "right hand", "left thigh", "right thigh", "left shin", "right shin", "left foot",
    "right foot", "thing",
)  # fmt: skip
"""What a pixel may show of a person, clothes counted as what they cover; "thing" is what is carried or sat on. The
neck includes the collar bones, above a height of 0.5."""
CHEST_TOP, CHEST_BOTTOM, HIPS_BOTTOM = 0.50, 0.30, 0.0
HAIR_CENTRE = np.array([0.0, -0.035, 0.84])
_HAIRLINE = (  # degrees from the front around the head, and the height at which hair begins
    (0, 30, 52, 66, 78, 86, 92, 118, 130, 150, 180),
    (0.903, 0.903, 0.893, 0.868, 0.820, 0.806, 0.842, 0.845, 0.790, 0.752, 0.742),
)  # fmt: skip


@dataclass(frozen=True)
class Fields:
    """Values at the vertices (V,) of the body."""

    arm: Floats  # share of a vertex that belongs to the arms
    along_arm: Floats  # 0 at the shoulder, 1 at the elbow, 2 at the wrist; 0 off the arms
    head: Floats  # share of head and neck
    hairline: Floats  # negative where hair grows
    cloth: Floats  # (V, 3) texture coordinates of clothes: on arms, the third runs along them
    parts: Ints  # index into `PARTS`
    render: np.ndarray  # (F,) bool: faces that can be seen


@cache
def face_parts() -> Ints:
    """(F,) index into `PARTS` of the body's faces."""
    return np.median(fields().parts[body_model().faces], axis=1).astype(np.int64)


def _smoothstep(low: float, high: float, value: Floats) -> Floats:
    share = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


@cache
def fields() -> Fields:
    """The fields of the body, computed once per process."""
    body = body_model()
    template, bone, heads = body.template, body.bone, body["heads"]

    def share(*prefixes: str) -> Floats:
        return body.skin[:, [i for name, i in bone.items() if name.startswith(prefixes)]].sum(1)

    arm = share("upperarm", "lowerarm", "wrist", "metacarpal", "finger")
    along = np.zeros(len(template), np.float32)
    cloth = template.copy()
    for end, sign in (("L", 1), ("R", -1)):
        side = template[:, 0] * sign > 0
        shoulder, elbow, wrist = (heads[bone[f"{name}.{end}"]] for name in ("upperarm01", "lowerarm01", "wrist"))
        upper = (template - shoulder) @ (elbow - shoulder) / ((elbow - shoulder) @ (elbow - shoulder))
        lower = (template - elbow) @ (wrist - elbow) / ((wrist - elbow) @ (wrist - elbow))
        whole = np.where(upper < 1, np.clip(upper, 0, 1), 1 + np.clip(lower, 0, None))
        along[side] = whole[side]
        across = np.cross(elbow - shoulder, [0, 1, 0])
        across /= np.linalg.norm(across)
        on_arm = _smoothstep(0.2, 0.8, arm)[:, None] * side[:, None]
        arm_cloth = np.stack([(template - shoulder) @ across + sign * 0.2, template[:, 1], 0.6 - 0.27 * whole], 1)
        cloth = cloth * (1 - on_arm) + arm_cloth * on_arm
    along *= _smoothstep(0.02, 0.6, arm)
    head = share("head", "neck0", "eye")
    return Fields(
        arm, along, head, hairline_of(template), cloth.astype(np.float32), _parts(template, arm, head, share), _render()
    )


def hairline_of(points: Floats) -> Floats:
    """(N,) negative where hair grows, of points (N, 3) on the mean adult."""
    offset = points - HAIR_CENTRE
    angle = np.degrees(np.arctan2(np.abs(offset[:, 0]), -offset[:, 1]))
    line = np.interp(angle, *_HAIRLINE)
    ears = np.minimum(2 * (np.abs(points[:, 0]) - 0.0768), 2 * (0.862 - points[:, 2]))
    return np.where(points[:, 2] > 0.70, np.maximum(line - points[:, 2], ears), 1.0).astype(np.float32)


def _parts(template: Floats, arm: Floats, head: Floats, share) -> Ints:  # type: ignore[no-untyped-def]
    parts = np.full(len(template), PARTS.index("neck"))
    height, left = template[:, 2], template[:, 0] > 0
    parts[height < CHEST_TOP] = PARTS.index("chest")
    parts[height < CHEST_BOTTOM] = PARTS.index("hips")
    parts[(head > 0.5) & (height > 0.72)] = PARTS.index("head")
    limbs = {
        "thigh": (height < HIPS_BOTTOM) & (arm < 0.5),
        "shin": share("lowerleg") > 0.5,
        "foot": share("foot", "toe") > 0.5,
        "upper arm": share("upperarm") > 0.5,
        "forearm": share("lowerarm") > 0.5,
        "hand": share("wrist", "metacarpal", "finger") > 0.5,
    }
    for name, chosen in limbs.items():
        for side, here in (("left", left), ("right", ~left)):
            parts[chosen & here] = PARTS.index(f"{side} {name}")
    return parts


def _render() -> np.ndarray:
    body = body_model()
    hidden = [
        i for i, name in enumerate(body.names["face_parts"]) if name not in ("body", "eye_front.L", "eye_front.R")
    ]
    return ~np.isin(body.face_parts, hidden)
