"""The image of a face's five points that IdentityNet takes (InstantID, Wang et al. 2024): limbs from the nose to the
other points, dimmed, and a disc on each point."""

import math

import cv2
import numpy as np

_NOSE = 2
_LIMBS = (0, 1, 3, 4)
"""The points that a limb joins to the nose, in the order in which the limbs are drawn."""
_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
_HALF_WIDTH = 4  # pixels, of a limb
_RADIUS = 10  # pixels, of a disc
_BRIGHTNESS = 0.6  # of limbs


def draw_face(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """An RGB image (height, width, 3) of bytes, black where there is no face.

    Args:
        points: (5, 2): x and y in pixels of the left eye, the right eye, the nose and the corners of the mouth, left
            and right as seen. They may be outside.
    """
    canvas = np.zeros((height, width, 3))
    for number in _LIMBS:
        cv2.fillConvexPoly(canvas, _limb(points[number], points[_NOSE]), _COLOURS[number])
    image = (canvas * _BRIGHTNESS).astype(np.uint8)
    for point, colour in zip(points, _COLOURS, strict=True):
        cv2.circle(image, (int(point[0]), int(point[1])), _RADIUS, colour, -1)
    return image


def _limb(point: np.ndarray, nose: np.ndarray) -> np.ndarray:
    """The outline of the ellipse between two points, in whole pixels. All roundings are towards zero."""
    across, down = (float(value) for value in point - nose)
    centre = [int(value) for value in (point + nose) / 2]
    axes = int(math.hypot(across, down) / 2), _HALF_WIDTH
    angle = int(math.degrees(math.atan2(down, across)))
    return np.asarray(cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1))
