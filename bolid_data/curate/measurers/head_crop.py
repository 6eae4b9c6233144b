"""The head of the main person, cut out by the keypoints: where a face detector has to look, and at which size."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from bolid_data.curate.measurers.measurer import Keypoints

SIDE = 400
"""Side in pixels of the square crop; the face fills a third to a half of it."""

MIN_EYES = 16
"""Distance in pixels between the eyes below which a face is too small to tell people apart."""

_VISIBLE = 0.5
_NOSE, _LEFT_EYE, _RIGHT_EYE, _HEAD = 0, 1, 2, 5  # the first five keypoints are the head's
_MARGIN = 1.8  # half of the crop's side in spans of the head's keypoints, which reach from ear to ear at most
_EYE_SPANS = 1.6  # span of a head that shows no ear, in distances between the eyes


def shows_face(keypoints: Sequence[Sequence[float]]) -> bool:
    """Whether nose and both eyes are visible, and far enough apart."""
    points = np.array(keypoints)[[_NOSE, _LEFT_EYE, _RIGHT_EYE]]
    return bool((points[:, 2] >= _VISIBLE).all() and np.linalg.norm(points[1, :2] - points[2, :2]) >= MIN_EYES)


def crop_head(image: Image.Image, keypoints: Keypoints) -> Image.Image:
    """The square of SIDE × SIDE pixels around the head, black outside of the photo. Needs a face that is shown."""
    head = np.array(keypoints[:_HEAD])
    visible = head[head[:, 2] >= _VISIBLE, :2]
    eyes = float(np.linalg.norm(head[_LEFT_EYE, :2] - head[_RIGHT_EYE, :2]))
    half = _MARGIN * max(float(np.ptp(visible, axis=0).max()), _EYE_SPANS * eyes)
    x, y = visible.mean(0)
    box = (round(x - half), round(y - half), round(x + half), round(y + half))
    return image.crop(box).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
