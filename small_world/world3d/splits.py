"""Who is in which set of the small world in three dimensions. Seeds are written down here and nowhere else."""

from dataclasses import dataclass

from bolid_data.synthetic.looks import CLOTHES
from small_world.world3d.looks import Style

ANY = Style()


@dataclass(frozen=True)
class Split:
    """`people` of one seed with `photos` each."""

    seed: int
    people: int
    photos: int
    style: Style = ANY
    renderer: str = "photo"  # or "lines"
    same_looks: bool = True  # else all but the body is drawn anew for every photo
    variety: float = 2.0  # of bodies: of adults, 1; small photos show so little of a body that they differ by more here


_UNSEEN_COLOURS = ("turquoise", "navy", "purple", "beige")
SEEN = Style(
    tops=("t-shirt", "long-sleeved top", "sweater", "jacket"),
    legs=("trousers", "shorts"),
    colours=tuple(colour for colour in CLOTHES if colour not in _UNSEEN_COLOURS),
    patterns=("plain", "stripes", "melange", "print"),
    places=("studio", "room", "garden"),
)
UNSEEN = Style(
    tops=("sleeveless top", "shirt", "coat", "dress"),
    legs=("jeans", "skirt"),
    colours=_UNSEEN_COLOURS,
    patterns=("plain", "denim", "checks", "dots", "blocks"),
    places=("sea", "street"),
)

CORPUS = Split(33_100, people=3000, photos=4, same_looks=False)
"""What the frozen models are trained on: other people than any below."""

HELD_OUT = Split(33_101, people=200, photos=8, same_looks=False)
"""What the frozen models are measured on."""

SECOND_RENDERER = Split(33_102, people=200, photos=8, renderer="lines", same_looks=False)
"""The same for what must work on drawings that it never saw."""

LINES_CORPUS = Split(33_103, people=1500, photos=4, renderer="lines", same_looks=False)
"""What the shape judge of drawings is trained on: other people again."""

VIEWS = Split(33_104, people=400, photos=16)
"""By which it is measured how much V photos tell of a body; readers learn from some of these people and are measured on
the others."""

TRAIN = Split(33_010, people=1000, photos=12, style=SEEN)
VALIDATION = Split(33_011, people=64, photos=12, style=SEEN)
TEST_A = Split(33_012, people=64, photos=12, style=SEEN)
TEST_B = Split(33_013, people=64, photos=12, style=UNSEEN)
TEST_C = Split(33_014, people=64, photos=12, renderer="lines")
"""Adapters are trained on TRAIN and tuned on VALIDATION. The test sets (A: clothes and places as in TRAIN; B: others;
C: the second renderer) are for the table alone: nothing may be looked at in them, or chosen by them."""

SPLITS = {"train": TRAIN, "validation": VALIDATION, "test_a": TEST_A, "test_b": TEST_B, "test_c": TEST_C}
MODELS = {
    "corpus": CORPUS, "held_out": HELD_OUT, "second_renderer": SECOND_RENDERER, "lines_corpus": LINES_CORPUS,
    "views": VIEWS,
}  # fmt: skip
"""What trains and measures the frozen models; these sets are no dataset."""
