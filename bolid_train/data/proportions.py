"""Scale-free body proportions computed from keypoints.

They serve as a second evaluator that shares nothing with the network that learns bodies from images.
"""

import torch
from torch import Tensor

PROPORTIONS = ("face", "shoulders", "hips", "upper arm", "forearm", "thigh", "shin")

SPREAD = (0.091, 0.047, 0.057, 0.048, 0.088, 0.048, 0.038)
"""Standard deviation of each proportion among photos of one person: `spread` of the small network's keypoints on the
small world's first 500 people. Small parts are measured less exactly and therefore weigh less. Evaluation compares
bodies in these units, and training in those of its dataset (`person_proportions.py`)."""

MIN_CONFIDENCE = 0.5
"""Joints of lower confidence are not measured."""

_NOSE, _EYES, _SHOULDERS, _ELBOWS, _WRISTS, _HIPS, _KNEES, _ANKLES = 0, [1, 2], *([i, i + 1] for i in range(5, 17, 2))


def proportions(keypoints: Tensor) -> Tensor:
    """Log proportions (B, 7) of keypoints (B, 17, 3) in COCO's order: logarithms of lengths and widths in units of
    `body_scale`, in the order of `PROPORTIONS`. NaN, without gradient, where a required joint is not visible."""
    positions = _visible(keypoints)
    lengths = [
        _distance(positions[:, _EYES].mean(1), positions[:, _NOSE]),
        _width(positions, _SHOULDERS),
        _width(positions, _HIPS),
        _longer(_limbs(positions, _SHOULDERS, _ELBOWS)),
        _longer(_limbs(positions, _ELBOWS, _WRISTS)),
        _longer(_limbs(positions, _HIPS, _KNEES)),
        _longer(_limbs(positions, _KNEES, _ANKLES)),
    ]
    return _log(torch.stack(lengths, dim=1)) - _log(body_scale(keypoints))[:, None]


def mean_proportions(people: Tensor) -> Tensor:
    """Log proportions (B, 7) of people: the mean over those of P photos (B, P, 17, 3), in isotropic units, in which a
    proportion is visible; NaN if it is visible in none."""
    return proportions(people.flatten(0, 1)).unflatten(0, people.shape[:2]).nanmean(1)


def body_scale(keypoints: Tensor) -> Tensor:
    """The unit of length (B,) of keypoints (B, 17, 3): from the nose to the middle of the shoulders, and from there to
    the middle of the hips. It is long, hardly depends on the pose, and is visible in almost every photo."""
    positions = _visible(keypoints)
    shoulders, hips = positions[:, _SHOULDERS].mean(1), positions[:, _HIPS].mean(1)
    return _distance(positions[:, _NOSE], shoulders) + _distance(shoulders, hips)


def trunk_ratios(keypoints: Tensor) -> Tensor:
    """How long and how wide the trunk is on each photo, of keypoints (B, 17, 3): the logarithms (B, 2) of its length in
    units of the distance from nose to shoulders, which is small if it leans towards the camera or away from it, and of
    the shoulders' width in units of `body_scale`, which is small if it is turned. NaN where a joint is not visible."""
    positions = _visible(keypoints)
    shoulders, hips = positions[:, _SHOULDERS].mean(1), positions[:, _HIPS].mean(1)
    length = _log(_distance(shoulders, hips)) - _log(_distance(positions[:, _NOSE], shoulders))
    return torch.stack([length, _log(_width(positions, _SHOULDERS)) - _log(body_scale(keypoints))], dim=1)


def shoulder_width(keypoints: Tensor) -> Tensor:
    """Shoulder width (B,) of keypoints (B, 17, 3), in units of `body_scale`; NaN where it is not visible."""
    return _width(_visible(keypoints), _SHOULDERS) / body_scale(keypoints)


def leg_length(keypoints: Tensor) -> Tensor:
    """Leg length (B,) of keypoints (B, 17, 3): thigh and shin of the longer leg, in units of `body_scale`; NaN where
    neither leg is fully visible."""
    positions = _visible(keypoints)
    legs = _limbs(positions, _HIPS, _KNEES) + _limbs(positions, _KNEES, _ANKLES)
    return _longer(legs) / body_scale(keypoints)


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """Similarity (...) of bodies by their log proportions (..., 7): 0 for equal bodies, negative for others; NaN where
    they have no proportion in common."""
    return -((first - second) / first.new_tensor(SPREAD)).abs().nanmean(-1)


def spread(measured: Tensor, people: Tensor) -> Tensor:
    """Standard deviation (7,) of log proportions (B, 7) from their person's mean, without NaN.

    people: (B,), the person of each row.
    """
    person = people.unique(return_inverse=True)[1]
    mask = ~measured.isnan()
    values, count = measured.nan_to_num(), measured.new_zeros(int(person.max()) + 1, measured.shape[1])
    count = count.index_add(0, person, mask.to(measured))
    mean = torch.zeros_like(count).index_add(0, person, values) / count.clamp(min=1)
    squares = ((values - mean[person]) * mask).square().sum(0)
    return (squares / (count - 1).clamp(min=0).sum(0)).sqrt()


def _visible(keypoints: Tensor) -> Tensor:
    """Positions (B, 17, 2), NaN where a joint is not visible."""
    return keypoints[..., :2].where(keypoints[..., 2:] >= MIN_CONFIDENCE, torch.nan)


def _distance(start: Tensor, end: Tensor) -> Tensor:
    difference = start - end
    finite = ~difference.isnan().any(-1)
    # NaN is replaced before the norm, because 0 · NaN in its backward pass is NaN.
    return difference.where(finite[..., None], 1.0).norm(dim=-1).where(finite, torch.nan)


def _log(lengths: Tensor) -> Tensor:
    positive = lengths > 0
    return lengths.where(positive, 1.0).log().where(positive, torch.nan)


def _width(positions: Tensor, pair: list[int]) -> Tensor:
    return _distance(positions[:, pair[0]], positions[:, pair[1]])


def _limbs(positions: Tensor, start: list[int], end: list[int]) -> Tensor:
    """Lengths (B, 2) of the left and right limb."""
    return _distance(positions[:, start], positions[:, end])


def _longer(limbs: Tensor) -> Tensor:
    """The longer (B,) of the left and right limb (B, 2), or the visible one: foreshortening makes a limb look shorter,
    never longer."""
    longest = limbs.nan_to_num(-torch.inf).amax(1)
    return longest.where(longest.isfinite(), torch.nan)
