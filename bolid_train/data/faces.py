"""A face's five points, and the aligned crop that recognition networks take."""

import cv2
import numpy as np
from PIL import Image

from bolid_train.data.crops import Keypoints

SIDE = 112
"""Side in pixels of an aligned face."""
_TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""Where ArcFace (Deng et al. 2019) has the eyes, the nose and the corners of the mouth; left and right as seen."""
_FROM_COCO = (2, 1, 0)
"""COCO's numbers of the eyes and the nose: its left is the person's."""


def five_points(keypoints: np.ndarray | Keypoints, min_confidence: float) -> np.ndarray | None:
    """The five points (5, 2) of a face, left and right as seen, in pixels like the keypoints (17, 3); None if an eye or
    the nose is not visible.

    COCO has no corners of the mouth: they are where they would be in ArcFace's template, turned and scaled to fit the
    eyes and the nose.
    """
    points = np.asarray(keypoints, dtype=np.float64).reshape(-1, 3)
    if len(points) < 3 or (points[:3, 2] < min_confidence).any():
        return None
    known = points[list(_FROM_COCO), :2]
    scale, offset = _similarity(_TEMPLATE[:3], known)
    if abs(scale) < 1e-6:
        return None
    mouth = scale * _complex(_TEMPLATE[3:]) + offset
    return np.concatenate([known, np.stack([mouth.real, mouth.imag], axis=1)])


def aligned_face(photo: Image.Image, points: np.ndarray, side: int = SIDE) -> Image.Image:
    """The face turned, scaled and cropped to a square of `side` pixels, so that its five points (5, 2) come close to
    ArcFace's."""
    scale, offset = _similarity(points, _TEMPLATE * side / SIDE)
    matrix = np.array([[scale.real, -scale.imag, offset.real], [scale.imag, scale.real, offset.imag]])
    return Image.fromarray(cv2.warpAffine(np.asarray(photo), matrix, (side, side)))


def _similarity(start: np.ndarray, end: np.ndarray) -> tuple[complex, complex]:
    """a and b of z → a·z + b, which maps points (N, 2) as complex numbers onto others with the least squares."""
    first, second = _complex(start), _complex(end)
    centred = first - first.mean()
    spread = float((np.abs(centred) ** 2).sum())
    scale = complex((centred.conj() * (second - second.mean())).sum() / spread) if spread else 0j
    return scale, complex(second.mean() - scale * first.mean())


def _complex(points: np.ndarray) -> np.ndarray:
    return points[:, 0] + 1j * points[:, 1]
