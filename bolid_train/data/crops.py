"""Which part of a photo is looked at: of the target, what fits its size; of the reference, all or the face."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Keypoints = Sequence[Sequence[float]]
"""(17, 3): x and y in pixels of the photo, confidence; COCO's order."""

_FACE = slice(0, 5)
_SPREADS = 3.0  # a face with its hair is about three times as wide as from eye to eye and down to the nose
_OF_BODY = 0.25  # a head's share of a standing body's height, hair and some room included


def crop(photo: Image.Image, keypoints: Keypoints, size: tuple[int, int]) -> tuple[Image.Image, Tensor, Tensor]:
    """The largest part of the photo that has the aspect ratio of `size` (width, height), around the confident
    keypoints, resized to it.

    Returns it with the keypoints (17, 3), x and y as fractions of the crop, and SDXL's time ids (6,): original height
    and width; top and left of the crop, in pixels of the photo resized as the crop was; target height and width
    (Podell et al. 2023, section 2.2).
    """
    points, whole = np.asarray(keypoints, dtype=np.float64), np.array(photo.size)
    aspect = size[0] / size[1]
    part = np.minimum(whole, [photo.height * aspect, photo.width / aspect])
    centre = np.average(points[:, :2], axis=0, weights=points[:, 2] + 1e-9)
    corner = np.minimum(np.round(np.clip(centre - part / 2, 0, whole - part)), whole - part)
    cut = photo.resize(size, Image.Resampling.LANCZOS, box=(*corner, *(corner + part)), reducing_gap=3.0)
    fractions = np.concatenate([(points[:, :2] - corner) / part, points[:, 2:]], axis=1)
    left, top = np.round(corner * size / part)
    time_ids = (photo.height, photo.width, top, left, size[1], size[0])
    return cut, torch.tensor(fractions, dtype=torch.float32), torch.tensor(time_ids, dtype=torch.float32)


def time_ids(size: tuple[int, int]) -> Tensor:
    """SDXL's time ids (6,) of a picture of `size` (width, height) that is made, not cropped."""
    return torch.tensor([size[1], size[0], 0, 0, size[1], size[0]], dtype=torch.float32)


def crop_face(photo: Image.Image, keypoints: Keypoints, min_confidence: float) -> Image.Image:
    """A square around nose, eyes and ears; the whole photo where none of them is visible.

    Its side is three times their spread, and at least a quarter of the spread of all visible keypoints, for a face in
    profile shows little; it is cut short at the photo's edges.
    """
    points = np.asarray(keypoints, dtype=np.float64).reshape(-1, 3)
    inside = ((points[:, :2] >= 0) & (points[:, :2] < photo.size)).all(axis=1)
    seen = (points[:, 2] >= max(min_confidence, 1e-9)) & inside
    face, body = points[_FACE, :2][seen[_FACE]], points[seen, :2]
    if not len(face):
        return photo
    side = max(_SPREADS * _spread(face), _OF_BODY * _spread(body))
    if not side:  # one keypoint is all that is seen: of how large a face, nobody knows
        return photo
    centre = (face.min(axis=0) + face.max(axis=0)) / 2
    corner = np.round(centre - side / 2)
    start, end = np.maximum(corner, 0), np.minimum(corner + math.ceil(side), photo.size)
    return photo.crop((*start.astype(int), *end.astype(int)))


def _spread(points: np.ndarray) -> float:
    return float((points.max(axis=0) - points.min(axis=0)).max())
