"""The shape of a body of the three-dimensional world: what a photo, which has no scale, can tell of its measures."""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from bolid_data.synthetic.measures import Measures
from bolid_train.embedded.shape import SHAPE as SHAPE

_MEANS = np.array([0.4803, 0.2887, 0.2069, 0.1323, 0.5821, 0.5196, 0.6267, 25.05])
_DEVIATIONS = np.array([0.0091, 0.0066, 0.0142, 0.0077, 0.0439, 0.0608, 0.0528, 3.66])
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
