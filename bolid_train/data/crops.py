"""Crops of photos: targets to their training size, references to the face or not at all."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Keypoints = Sequence[Sequence[float]]
"""(17, 3): x and y in pixels of the photo, confidence; COCO's order."""

_FACE = slice(0, 5)
_FACE_SCALE = 3.0  # a head with hair is about three times as wide as the spread of nose, eyes and ears
_HEAD_SHARE = 0.25  # of a standing body's height, with hair and a margin


def crop(photo: Image.Image, keypoints: Keypoints, size: tuple[int, int]) -> tuple[Image.Image, Tensor, Tensor]:
    """The largest crop with the aspect ratio of `size` (width, height), centred on the confident keypoints and resized
    to `size`.

    Returns the crop; the keypoints (17, 3), x and y as fractions of the crop; and SDXL's time ids (6,): original height
    and width; top and left of the crop, in pixels of the resized photo; target height and width (Podell et al. 2023,
    section 2.2).
    """
    points, photo_size = np.asarray(keypoints, dtype=np.float64), np.array(photo.size)
    aspect = size[0] / size[1]
    crop_size = np.minimum(photo_size, [photo.height * aspect, photo.width / aspect])
    centre = np.average(points[:, :2], axis=0, weights=points[:, 2] + 1e-9)
    corner = np.minimum(np.round(np.clip(centre - crop_size / 2, 0, photo_size - crop_size)), photo_size - crop_size)
    box = (*corner, *(corner + crop_size))
    cropped = photo.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    fractions = np.concatenate([(points[:, :2] - corner) / crop_size, points[:, 2:]], axis=1)
    left, top = np.round(corner * size / crop_size)
    time_ids = (photo.height, photo.width, top, left, size[1], size[0])
    return cropped, torch.tensor(fractions, dtype=torch.float32), torch.tensor(time_ids, dtype=torch.float32)


def time_ids(size: tuple[int, int]) -> Tensor:
    """SDXL's time ids (6,) of an uncropped image of `size` (width, height)."""
    return torch.tensor([size[1], size[0], 0, 0, size[1], size[0]], dtype=torch.float32)


def crop_face(photo: Image.Image, keypoints: Keypoints, min_confidence: float) -> Image.Image:
    """A square around nose, eyes and ears; the whole photo if none of them is visible.

    Its side is three times their spread, but at least a quarter of the spread of all visible keypoints, because a face
    in profile has a small spread. The square is clipped at the photo's edges.
    """
    points = np.asarray(keypoints, dtype=np.float64).reshape(-1, 3)
    inside = ((points[:, :2] >= 0) & (points[:, :2] < photo.size)).all(axis=1)
    visible = (points[:, 2] >= max(min_confidence, 1e-9)) & inside
    face, body = points[_FACE, :2][visible[_FACE]], points[visible, :2]
    if not len(face):
        return photo
    side = max(_FACE_SCALE * _spread(face), _HEAD_SHARE * _spread(body))
    if not side:  # a single visible keypoint does not give the face's size
        return photo
    centre = (face.min(axis=0) + face.max(axis=0)) / 2
    corner = np.round(centre - side / 2)
    start, end = np.maximum(corner, 0), np.minimum(corner + math.ceil(side), photo.size)
    return photo.crop((*start.astype(int), *end.astype(int)))


def _spread(points: np.ndarray) -> float:
    return float((points.max(axis=0) - points.min(axis=0)).max())
