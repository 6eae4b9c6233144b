"""A body measured by hand: scale-free proportions of its limbs, from keypoints alone.

The second evaluator: it shares nothing with the network that learns bodies from pictures.
"""

import torch
from torch import Tensor

PROPORTIONS = ("face", "shoulders", "hips", "upper arm", "forearm", "thigh", "shin")

SPREAD = (0.091, 0.047, 0.057, 0.048, 0.088, 0.048, 0.038)
"""By how much each one differs among photos of one person, by `spread` of the keypoints that the small network finds on
the corpus's first 500 people. What is small in the picture is measured badly and counts for less."""

SURE = 0.5
"""A joint of less confidence is not measured."""

_NOSE, _EYES, _SHOULDERS, _ELBOWS, _WRISTS, _HIPS, _KNEES, _ANKLES = 0, [1, 2], *([i, i + 1] for i in range(5, 17, 2))


def proportions(keypoints: Tensor) -> Tensor:
    """Keypoints (B, 17, 3) in COCO's order to the logarithms (B, 7) of lengths and widths in units of `body_scale`,
    in the order of `PROPORTIONS`; NaN where a joint that one needs is not visible, and no gradient from there."""
    places = _visible(keypoints)
    lengths = [
        _distance(places[:, _EYES].mean(1), places[:, _NOSE]),
        _width(places, _SHOULDERS),
        _width(places, _HIPS),
        _longer(_limbs(places, _SHOULDERS, _ELBOWS)),
        _longer(_limbs(places, _ELBOWS, _WRISTS)),
        _longer(_limbs(places, _HIPS, _KNEES)),
        _longer(_limbs(places, _KNEES, _ANKLES)),
    ]
    return _log(torch.stack(lengths, dim=1)) - _log(body_scale(keypoints))[:, None]


def mean_proportions(people: Tensor) -> Tensor:
    """Log proportions (B, 7) of people: the mean over P photos (B, P, 17, 3), in isotropic units, of what each one
    shows; NaN for what none does."""
    return proportions(people.flatten(0, 1)).unflatten(0, people.shape[:2]).nanmean(1)


def body_scale(keypoints: Tensor) -> Tensor:
    """Keypoints (B, 17, 3) to what lengths are measured in (B,): from the nose to between the shoulders and on to
    between the hips. It is long, no pose shortens it, and almost every photo shows it."""
    places = _visible(keypoints)
    shoulders, hips = places[:, _SHOULDERS].mean(1), places[:, _HIPS].mean(1)
    return _distance(places[:, _NOSE], shoulders) + _distance(shoulders, hips)


def shoulder_width(keypoints: Tensor) -> Tensor:
    """Keypoints (B, 17, 3) to the width of the shoulders (B,) in units of `body_scale`; NaN where it is not seen."""
    return _width(_visible(keypoints), _SHOULDERS) / body_scale(keypoints)


def leg_length(keypoints: Tensor) -> Tensor:
    """Keypoints (B, 17, 3) to the length of the legs (B,), thigh and shin of the longer one, in units of `body_scale`;
    NaN where neither is seen whole."""
    places = _visible(keypoints)
    legs = _limbs(places, _HIPS, _KNEES) + _limbs(places, _KNEES, _ANKLES)
    return _longer(legs) / body_scale(keypoints)


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """How alike bodies are by their proportions (..., 7) each: (...), 0 for the same, below it for others; NaN where
    the two have no proportion in common."""
    return -((first - second) / first.new_tensor(SPREAD)).abs().nanmean(-1)


def spread(measured: Tensor, people: Tensor) -> Tensor:
    """Deviation (7,) of each of the proportions (B, 7) from the mean of the person's own, where they were seen.

    people: (B,), whose they are.
    """
    own = people.unique(return_inverse=True)[1]
    seen = ~measured.isnan()
    values, count = measured.nan_to_num(), measured.new_zeros(int(own.max()) + 1, measured.shape[1])
    count = count.index_add(0, own, seen.to(measured))
    mean = torch.zeros_like(count).index_add(0, own, values) / count.clamp(min=1)
    squares = ((values - mean[own]) * seen).square().sum(0)
    return (squares / (count - 1).clamp(min=0).sum(0)).sqrt()


def _visible(keypoints: Tensor) -> Tensor:
    """Places (B, 17, 2), NaN where a joint is not visible."""
    return keypoints[..., :2].where(keypoints[..., 2:] >= SURE, torch.nan)


def _distance(start: Tensor, end: Tensor) -> Tensor:
    apart = start - end
    known = ~apart.isnan().any(-1)
    # NaN is kept out of what is differentiated, for 0 · NaN in the backward pass is NaN.
    return apart.where(known[..., None], 1.0).norm(dim=-1).where(known, torch.nan)


def _log(lengths: Tensor) -> Tensor:
    known = lengths > 0
    return lengths.where(known, 1.0).log().where(known, torch.nan)


def _width(places: Tensor, pair: list[int]) -> Tensor:
    return _distance(places[:, pair[0]], places[:, pair[1]])


def _limbs(places: Tensor, start: list[int], end: list[int]) -> Tensor:
    """Lengths (B, 2) of the left and the right one."""
    return _distance(places[:, start], places[:, end])


def _longer(limbs: Tensor) -> Tensor:
    """Of left and right (B, 2) the longer one (B,), or the one that is seen: a limb that points at the camera looks
    shorter than it is, never longer."""
    longest = limbs.nan_to_num(-torch.inf).amax(1)
    return longest.where(longest.isfinite(), torch.nan)
