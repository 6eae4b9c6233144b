"""The shape of a body of the three-dimensional world: what a photo, which has no scale, can tell of its measures."""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from bolid_data.synthetic.measures import Measures
from bolid_train.embedded.shape import SHAPE as SHAPE

_MEANS = np.array([0.4808, 0.2882, 0.2063, 0.1314, 0.5839, 0.5200, 0.6231, 25.13])
_DEVIATIONS = np.array([0.0181, 0.0184, 0.0254, 0.0119, 0.0656, 0.0908, 0.0742, 5.65])
"""Of 600 adults of the corpus."""

_MEASURES = tuple(field.name for field in fields(Measures))


def shape_of(measures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measures (N, 16), in the order of `Measures`, to SHAPE (N, 8)."""
    of = dict(zip(_MEASURES, measures.T, strict=True))
    lengths = [
        of["thigh"] + of["shin"], of["upper_arm"] + of["forearm"], of["shoulder_width"], of["hip_width"],
        of["chest_girth"], of["waist_girth"], of["hip_girth"],
    ]  # fmt: skip
    return np.stack([*(length / of["stature"] for length in lengths), of["bmi"]], axis=1)


def standardized(shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """SHAPE (N, 8) in standard deviations from the mean adult."""
    return (shape - _MEANS) / _DEVIATIONS


def unstandardized(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `standardized`."""
    return deviations * _DEVIATIONS + _MEANS
