"""A build in neutral words, from the true measures."""

from collections.abc import Callable

from bolid_data.synthetic.measures import Measures

_WORDS: tuple[tuple[str, Callable[[Measures], float], tuple[float, float], str], ...] = (
    ("slim", lambda body: body.waist_girth / body.stature, (0.483, 0.548), "stout"),
    ("narrow-shouldered", lambda body: body.shoulder_width / body.stature, (0.199, 0.2125), "broad-shouldered"),
    ("narrow-hipped", lambda body: body.hip_girth / body.stature, (0.5955, 0.654), "broad-hipped"),
    ("short-legged", lambda body: (body.thigh + body.shin) / body.stature, (0.4745, 0.4855), "long-legged"),
)
"""The word for less, a proportion, the cuts between which nothing is said, and the word for more.

30 % of 600 people are below the lower cut, and 30 % above the upper one; women and men together, as captions do not
tell the sex. Stature is not described, because a photo of one person does not show it, nor is the length of the arms,
which differs by only 1 % among women and among men."""


def describe_build(body: Measures) -> str:
    """Words such as "slim, narrow-shouldered, long-legged"; "" for an average build."""
    words = []
    for less, proportion, (low, high), more in _WORDS:
        value = proportion(body)
        if not low <= value <= high:
            words.append(less if value < low else more)
    return ", ".join(words)
