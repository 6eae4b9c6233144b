"""Who is in which set of the small world. Seeds are written down here and nowhere else."""

from dataclasses import dataclass

from small_world.flat.paint import Canvas
from small_world.flat.people import CLOTHES
from small_world.flat.scenes import SCENES
from small_world.world.bodies import PAINTED, SKETCHED, Law
from small_world.world.sketch import Sketch


@dataclass(frozen=True)
class Style:
    """What may be worn, and where people may stand."""

    colours: tuple[str, ...] = tuple(CLOTHES)
    legs: tuple[str, ...] = ("trousers", "shorts", "skirt")
    scenes: tuple[str, ...] = tuple(SCENES)


@dataclass(frozen=True)
class Split:
    """`people` of one seed with `photos` each."""

    seed: int
    people: int
    photos: int
    style: Style = Style()
    law: Law = PAINTED
    canvas: type[Canvas] = Canvas
    same_looks: bool = True  # else skin, hair and wardrobe are drawn anew for every photo, and only the body stays


_UNSEEN_COLOURS = ("turquoise", "navy", "purple", "beige")
_UNSEEN_SCENES = ("sea", "street")
SEEN = Style(
    tuple(colour for colour in CLOTHES if colour not in _UNSEEN_COLOURS),
    ("trousers", "shorts"),
    tuple(scene for scene in SCENES if scene not in _UNSEEN_SCENES),
)
UNSEEN = Style(_UNSEEN_COLOURS, ("trousers", "shorts", "skirt"), _UNSEEN_SCENES)

CORPUS = Split(100, people=3000, photos=8, same_looks=False)
"""What the frozen models (base, CLIP, evaluators) are trained on: other people than any below."""

HELD_OUT = Split(101, people=200, photos=8, same_looks=False)
"""What the frozen models are measured on."""

SECOND_STYLE = Split(102, people=200, photos=8, law=SKETCHED, canvas=Sketch, same_looks=False)
"""The same for what must work on strokes that it never saw."""

TRAIN = Split(10, people=480, photos=12, style=SEEN)
VALIDATION = Split(11, people=64, photos=12, style=SEEN)
TEST_A = Split(12, people=64, photos=12, style=SEEN)
TEST_B = Split(13, people=64, photos=12, style=UNSEEN)
"""Adapters are trained on TRAIN and tuned on VALIDATION. The test sets (A: clothes and places as in TRAIN; B: others)
are for the table alone: nothing may be looked at in them, or chosen by them."""

SPLITS = {"train": TRAIN, "validation": VALIDATION, "test_a": TEST_A, "test_b": TEST_B}
