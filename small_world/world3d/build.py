"""A build in neutral words, from the true measures."""

from collections.abc import Callable

from bolid_data.synthetic.measures import Measures

_WORDS: tuple[tuple[str, Callable[[Measures], float], tuple[float, float], str], ...] = (
    ("slim", lambda body: body.waist_girth / body.stature, (0.459, 0.564), "stout"),
    ("narrow-shouldered", lambda body: body.shoulder_width / body.stature, (0.192, 0.2135), "broad-shouldered"),
    ("narrow-hipped", lambda body: body.hip_girth / body.stature, (0.5765, 0.6625), "broad-hipped"),
    ("short-legged", lambda body: (body.thigh + body.shin) / body.stature, (0.472, 0.491), "long-legged"),
    ("short-armed", lambda body: (body.upper_arm + body.forearm) / body.stature, (0.278, 0.2975), "long-armed"),
)
"""The word for less, a proportion, the cuts between which nothing is said, and the word for more.

30 % of 600 people of this world are below the lower cut, and 30 % above the upper one; women and men together, as
captions do not tell the sex. Stature is not described, because a photo of one person does not show it."""


def describe_build(body: Measures) -> str:
    """Words such as "slim, narrow-shouldered, long-legged"; "" for an average build."""
    words = []
    for less, proportion, (low, high), more in _WORDS:
        value = proportion(body)
        if not low <= value <= high:
            words.append(less if value < low else more)
    return ", ".join(words)
