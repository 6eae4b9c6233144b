"""People and their 17 COCO keypoints, by YOLO11n-pose (Jocher and Qiu, Ultralytics YOLO11, 2024)."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from platformdirs import user_cache_dir
from torch import nn
from torchvision.ops import nms

from bolid_data import weights
from bolid_data.curate.measurers.measurer import FLOOR, Photo, describe_model
from bolid_data.curate.runtime import Network, OfPixels, describe

SIDE = 640
"""Longest side in pixels of what the network sees."""

STRIDE = 32
"""Both sides of what the network sees are multiples of this."""

IOU = 0.7
"""Of boxes that overlap by more, only the most certain stays."""

MOST = 300
"""People written down on one photo, the most certain ones."""

# Read once, when ultralytics is imported: no telemetry, no installing, no chatter, nothing written into the
# user's configuration, and of a pickled checkpoint only known classes.
_SETTINGS = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "YOLO_CONFIG_DIR": user_cache_dir("bolid"),
    "ULTRALYTICS_SAFE_LOAD": "true",
}


class PoseMeasurer:
    """Writes every person down to the floor: score, box and keypoints in pixels of the upright photo."""

    def __init__(self, name: str = "yolo11n-pose", device: str = "cpu") -> None:
        found = weights.find(name)
        self.model = describe_model(found, side=SIDE, iou=IOU, floor=FLOOR, runtime=describe(device))
        self._detector = Yolo(found, "pose", device)

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        found = zip(photos, self._detector.detect(photos), strict=True)
        return {"detections": [_row(photo, detection) for photo, detections in found for detection in detections]}


class Yolo:
    """A YOLO network of one class (task `detect`, or `pose` for keypoints too) from the file `found.path`."""

    def __init__(self, found: weights.Weights, task: str, device: str) -> None:
        build = partial(_load, found.path, task)
        example = torch.zeros(1, SIDE, SIDE - 5 * STRIDE, 3, dtype=torch.uint8)
        self._network = Network(build, found, example, (-1, -1, -1, 3), device)

    def detect(self, photos: Sequence[Photo]) -> list[np.ndarray]:
        """Of each photo (n, 5 + ...): box x0, y0, x1, y1, score, then x, y, confidence of each keypoint, in pixels
        of the photo and clipped to it; the most certain first, down to the floor."""
        fits = [photo.fit(SIDE, STRIDE) for photo in photos]
        seen = self._network.see([pixels for pixels, _ in fits])
        return [
            _in_photo(_suppress(output), photo, scale)
            for (output,), photo, (_, scale) in zip(seen, photos, fits, strict=True)
        ]


def _suppress(output: np.ndarray) -> np.ndarray:
    """The network's output (5 + ..., anchors) to detections (n, 5 + ...): sure enough, each but once."""
    found = output[:, output[4] > FLOOR].T.copy()
    centre, half = found[:, :2].copy(), found[:, 2:4] / 2
    found[:, :2], found[:, 2:4] = centre - half, centre + half
    boxes = torch.from_numpy(found)
    return found[nms(boxes[:, :4], boxes[:, 4], IOU)[:MOST].numpy()]


def _in_photo(found: np.ndarray, photo: Photo, scale: float) -> np.ndarray:
    for x, y in ((0, 1), (2, 3), *((i, i + 1) for i in range(5, found.shape[1], 3))):
        found[:, x] = (found[:, x] / scale).clip(0, photo.image.width)
        found[:, y] = (found[:, y] / scale).clip(0, photo.image.height)
    return found


def _row(photo: Photo, detection: np.ndarray) -> dict[str, Any]:
    return {
        "sha256": photo.sha256,
        "kind": "person",
        "score": round(float(detection[4]), 4),
        "box": [round(float(value), 1) for value in detection[:4]],
        "keypoints": [
            [round(float(x), 1), round(float(y), 1), round(float(c), 4)] for x, y, c in detection[5:].reshape(-1, 3)
        ],
    }


def clip(boxes: np.ndarray, photo: Photo) -> list[list[float]]:
    """Boxes (N, 4) xyxy in pixels, clipped to the photo and rounded to a tenth of a pixel."""
    size = np.array(photo.image.size * 2, dtype=np.float64)
    return [[round(float(value), 1) for value in np.clip(box, 0, size)] for box in boxes]


def _load(path: Path, task: str) -> nn.Module:
    """The network of (b, h, w, 3) pixels, h and w multiples of STRIDE, to (b, 5 + ..., anchors)."""
    network = import_yolo()(str(path), task=task).model.float().eval().fuse(verbose=False)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    head = network.model[-1]
    # As its own exporters set it: detections alone come out, and photos of any shape go in.
    head.export, head.dynamic, head.format = True, True, "openvino"
    return OfPixels(network)


def import_yolo() -> Any:
    """The class `ultralytics.YOLO`, imported without what its import does to the rest of the process."""
    threads = os.environ.get("OMP_NUM_THREADS")
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    pillow_open = Image.open
    from ultralytics import YOLO

    # Importing it puts its own function in Pillow's place, which answers a broken photo by looking for a package, and
    # limits every process started from here on to one thread; neither is its decision.
    Image.open = pillow_open
    if threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    return YOLO
