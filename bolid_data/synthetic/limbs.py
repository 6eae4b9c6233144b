"""Arms and legs longer or shorter than the phenotypes make them, which alone hardly tell them from the trunk."""

from functools import cache

import numpy as np

from bolid_data.synthetic.body import Floats, Rest, body_model

_BONES = {
    "arms": ("upperarm", "lowerarm", "wrist", "metacarpal", "finger"),
    "legs": ("upperleg", "lowerleg", "foot", "toe"),
}
_ENDS = {"arms": ("upperarm01", "wrist"), "legs": ("upperleg01", "foot")}


def lengthen(rest: Rest, arms: float, legs: float) -> Rest:
    """The body with arms and legs of so many times their length, stretched along the line from shoulder to wrist and
    from hip to ankle."""
    vertices, heads = rest.vertices.copy(), rest.heads.copy()
    for limb, factor in (("arms", arms), ("legs", legs)):
        for side in ("L", "R"):
            first, last = (rest.heads[body_model().bone[f"{end}.{side}"]] for end in _ENDS[limb])
            axis = (last - first) / np.linalg.norm(last - first)
            skin, bones = _belonging(limb, side)
            for points, start, belonging in ((vertices, rest.vertices, skin), (heads, rest.heads, bones)):
                along = ((start - first) @ axis).clip(0)
                points += ((factor - 1) * belonging * along)[:, None] * axis
    return Rest(vertices, heads, rest.frames)


@cache
def _belonging(limb: str, side: str) -> tuple[Floats, Floats]:
    """How much each vertex (V,) and bone (B,) belongs to a limb, 0 to 1."""
    body = body_model()
    bones = np.array([name.startswith(_BONES[limb]) and name.endswith(side) for name in body.bone], np.float32)
    return body.skin @ bones, bones
