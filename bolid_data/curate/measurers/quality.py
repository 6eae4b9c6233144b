"""Image quality: sharpness, brightness, colourfulness. The thresholds are in the manifest, and off by default."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bolid_data.curate.measurers.measurer import Photo, describe_model
from bolid_data.curate.measurers.sharpness import SHARP_SHARE, TILES, sharpness
from bolid_data.weights import Weights

SIDE = 640
"""Photos are measured at this many pixels on their longer side, so that sharpness does not depend on their size."""

_COLOUR_SIDE = 160  # pixels; averages grain away, which is not colour


class QualityMeasurer:
    """Records each photo's `sharpness` (0 up; a good photo has hundreds), `brightness` (0 black to 1 white) and
    `colourfulness` (0 grey; 15 slightly, 45 averagely, 82 highly colourful)."""

    def __init__(self) -> None:
        # No weights: the measurements depend on the libraries that resize and filter.
        code = Weights("quality", Path(__file__), "", "MIT")
        self.model = describe_model(
            code, opencv=cv2.__version__, pillow=version("pillow"), side=SIDE, tiles=TILES, share=SHARP_SHARE
        )

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        return {"qualities": [{"sha256": photo.sha256} | _measure(photo) for photo in photos]}


def _measure(photo: Photo) -> dict[str, float]:
    pixels, _ = photo.fit(SIDE)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return {
        "sharpness": round(sharpness(grey), 2),
        "brightness": round(float(grey.mean()) / 255, 4),
        "colourfulness": round(colourfulness(pixels), 2),
    }


def colourfulness(pixels: np.ndarray) -> float:
    """The colourfulness of an RGB uint8 image (h, w, 3) (Hasler and Süsstrunk, Measuring Colorfulness in Natural
    Images, 2003, eq. 7)."""
    share = min(1.0, _COLOUR_SIDE / max(pixels.shape[:2]))
    size = tuple(max(1, round(side * share)) for side in pixels.shape[1::-1])
    red, green, blue = np.moveaxis(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32), 2, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread, shift = np.hypot(*opponents.std(axis=(1, 2))), np.hypot(*opponents.mean(axis=(1, 2)))
    return float(spread + 0.3 * shift)
