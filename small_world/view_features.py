"""What one photo tells of a body, as numbers without a unit: joints, their distances, widths of its silhouette."""

import cv2
import numpy as np

_SURE = 0.3  # score from which a joint counts
_SWAPPED = [0, *(joint + (1 if joint % 2 else -1) for joint in range(1, 17))]
_LENGTHS = ((5, 6), (11, 12), (5, 7), (6, 8), (7, 9), (8, 10), (11, 13), (12, 14), (13, 15), (14, 16), (5, 11),
            (6, 12), (3, 4), (0, 5), (0, 6))  # fmt: skip
_TYPICAL = {(5, 6): 0.20, (5, 11): 0.29, (6, 12): 0.29, (11, 13): 0.24, (12, 14): 0.24, (13, 15): 0.23, (14, 16): 0.23}
"""Lengths by which a person is scaled, as shares of stature: seen from any side, none of them looks longer."""
_TRUNK = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.15)  # from the shoulders to the hips, where widths are taken
_LIMBS = ((11, 13), (12, 14), (13, 15), (14, 16), (5, 7), (6, 8), (7, 9), (8, 10))
_STEP = 0.25  # pixels
MASK_NUMBERS = len(_TRUNK) + len(_LIMBS) + 5


def mirrored(joints: np.ndarray, width: int) -> np.ndarray:
    """(17, 3) joints of the picture's mirror image."""
    swapped = joints[_SWAPPED].copy()
    swapped[:, 0] = width - swapped[:, 0]
    return swapped


def of_joints(joints: np.ndarray) -> np.ndarray:
    """Scores, places and distances of joints (17, 3) x, y, score; 0 for what is not seen."""
    sure, origin, scale = _frame(joints)
    places = np.where(sure[:, None], (joints[:, :2] - origin) / scale, 0)
    lengths = [_length(joints, a, b) / scale if sure[a] and sure[b] else 0 for a, b in _LENGTHS]
    return np.concatenate([joints[:, 2], places.ravel(), lengths]).astype(np.float32)


def of_mask(joints: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Widths of a mask (H, W) across the trunk and the limbs that `joints` place, its height, width and area."""
    sure, origin, scale = _frame(joints)
    across = []  # number, point and direction of each width that can be taken
    if sure[[5, 6]].any() and sure[[11, 12]].any():
        top, bottom = _middle(joints, sure, (5, 6)), _middle(joints, sure, (11, 12))
        across += [(number, top + share * (bottom - top), bottom - top) for number, share in enumerate(_TRUNK)]
    for number, (a, b) in enumerate(_LIMBS, len(_TRUNK)):
        if sure[a] and sure[b]:
            start, end = joints[a, :2], joints[b, :2]
            across.append((number, start + 0.4 * (end - start), end - start))
    found = np.zeros(MASK_NUMBERS, np.float32)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return found
    if across:
        numbers, points, along = (np.array(column) for column in zip(*across, strict=True))
        found[numbers] = _widths(mask, points, along) / scale
    found[-5:] = (
        (rows[-1] - rows[0]) / scale, (columns[-1] - columns[0]) / scale, mask.sum() / scale**2,
        (origin[1] - rows[0]) / scale, rows[-1] == len(mask) - 1,
    )  # fmt: skip
    return found


def mirrored_mask(numbers: np.ndarray) -> np.ndarray:
    """What `of_mask` says of the mirror image: left and right limbs are swapped."""
    swapped = numbers.copy()
    limbs = slice(len(_TRUNK), len(_TRUNK) + len(_LIMBS))
    swapped[limbs] = numbers[limbs].reshape(-1, 2)[:, ::-1].ravel()
    return swapped


def _frame(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Which joints are sure, the middle of the trunk, and about how many pixels the stature is."""
    sure = joints[:, 2] >= _SURE
    trunk = [joint for joint in (5, 6, 11, 12) if sure[joint]]
    origin = joints[trunk or [5, 6, 11, 12], :2].mean(0)
    lengths = [_length(joints, a, b) / typical for (a, b), typical in _TYPICAL.items() if sure[a] and sure[b]]
    return sure, origin, max([*lengths, 10.0])


def _length(joints: np.ndarray, a: int, b: int) -> float:
    return float(np.linalg.norm(joints[a, :2] - joints[b, :2]))


def _middle(joints: np.ndarray, sure: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    return joints[[joint for joint in pair if sure[joint]], :2].mean(0)


def _widths(mask: np.ndarray, points: np.ndarray, along: np.ndarray) -> np.ndarray:
    """(N,) pixels of the mask on both sides of points (N, 2), up to its first gap, across directions (N, 2)."""
    across = np.column_stack([-along[:, 1], along[:, 0]]) / np.maximum(np.linalg.norm(along, axis=1), 1e-6)[:, None]
    steps = np.arange(0, max(mask.shape) / 2, _STEP)
    width = np.zeros(len(points))
    for side in (1, -1):
        x, y = (points[:, :, None] + side * across[:, :, None] * steps - 0.5).astype(np.float32).transpose(1, 0, 2)
        inside = cv2.remap(mask.astype(np.float32), x, y, cv2.INTER_LINEAR, borderValue=0) > 0.5
        width += _STEP * np.where(inside.all(1), len(steps), inside.argmin(1))
    return width
