"""People and their 17 COCO keypoints, by YOLO11n-pose (Jocher and Qiu, Ultralytics YOLO11, 2024)."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from platformdirs import user_cache_dir
from torch import nn

from bolid_data import weights
from bolid_data.curate.measurers.measurer import MIN_SCORE, Photo, describe_model
from bolid_data.curate.measurers.sharpness import SHARP_SHARE, TILES, sharpness_in
from bolid_data.curate.runtime import Network, PixelInput, describe

SIDE = 640
"""Longest side in pixels of the network's input."""

STRIDE = 32
"""Both sides of the network's input are multiples of this."""

IOU = 0.7
"""Non-maximum suppression: of boxes that overlap by more, only the one with the highest score is kept."""

MAX_DETECTIONS = 300
"""Detections stored per photo, those with the highest scores."""

# Read once, when ultralytics is imported: no telemetry, no installing of packages, no output, nothing written into the
# user's configuration, and only known classes unpickled from a checkpoint.
_SETTINGS = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "YOLO_CONFIG_DIR": user_cache_dir("bolid"),
    "ULTRALYTICS_SAFE_LOAD": "true",
}


class PoseMeasurer:
    """Records every person above MIN_SCORE: score, box and keypoints in pixels of the upright photo, and the sharpness
    inside the box."""

    def __init__(self, name: str = "yolo11n-pose", device: str = "cpu") -> None:
        model_weights = weights.find(name)
        self.model = describe_model(
            model_weights,
            side=SIDE,
            iou=IOU,
            floor=MIN_SCORE,
            tiles=TILES,
            share=SHARP_SHARE,
            opencv=cv2.__version__,
            runtime=describe(device),
        )
        self._detector = Yolo(model_weights, "pose", device)

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        detected = zip(photos, self._detector.detect(photos), strict=True)
        return {"detections": [row for photo, detections in detected for row in _rows(photo, detections)]}


class Yolo:
    """A YOLO network of one class (task `detect`, or `pose` for keypoints too) from the file `model_weights.path`."""

    def __init__(self, model_weights: weights.Weights, task: str, device: str) -> None:
        build = partial(_load, model_weights.path, task)
        example = torch.zeros(1, SIDE, SIDE - 5 * STRIDE, 3, dtype=torch.uint8)
        self._network = Network(build, model_weights, example, (-1, -1, -1, 3), device)

    def detect(self, photos: Sequence[Photo]) -> list[np.ndarray]:
        """Detections (n, 5 + ...) for each photo: box x0, y0, x1, y1, score, then x, y, confidence of each keypoint, in
        pixels of the photo and clipped to it; in descending order of score, down to MIN_SCORE."""
        inputs = [photo.fit(SIDE, STRIDE) for photo in photos]
        outputs = self._network.infer([pixels for pixels, _ in inputs])
        return [
            _in_photo(_suppress(output), photo, scale)
            for (output,), photo, (_, scale) in zip(outputs, photos, inputs, strict=True)
        ]


def _suppress(output: np.ndarray) -> np.ndarray:
    """Turns the network's output (5 + ..., anchors) into distinct detections (n, 5 + ...) above MIN_SCORE."""
    from torchvision.ops import nms  # takes seconds to import, also where there is nothing to measure

    detections = output[:, output[4] > MIN_SCORE].T.copy()
    centre, half = detections[:, :2].copy(), detections[:, 2:4] / 2
    detections[:, :2], detections[:, 2:4] = centre - half, centre + half
    boxes = torch.from_numpy(detections)
    return detections[nms(boxes[:, :4], boxes[:, 4], IOU)[:MAX_DETECTIONS].numpy()]


def _in_photo(detections: np.ndarray, photo: Photo, scale: float) -> np.ndarray:
    for x, y in ((0, 1), (2, 3), *((i, i + 1) for i in range(5, detections.shape[1], 3))):
        detections[:, x] = (detections[:, x] / scale).clip(0, photo.image.width)
        detections[:, y] = (detections[:, y] / scale).clip(0, photo.image.height)
    return detections


def _rows(photo: Photo, detections: np.ndarray) -> list[dict[str, Any]]:
    pixels, scale = photo.fit(SIDE)
    sharpness = sharpness_in(pixels, (detections[:, :4] * scale).tolist())
    return [
        _row(photo, detection) | {"sharpness": sharp} for detection, sharp in zip(detections, sharpness, strict=True)
    ]


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
    """A network from (b, h, w, 3) pixels, h and w multiples of STRIDE, to (b, 5 + ..., anchors)."""
    network = import_yolo()(str(path), task=task).model.float().eval().fuse(verbose=False)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    head = network.model[-1]
    # Set as by ultralytics' exporters: the output is detections only, the input may have any shape.
    head.export, head.dynamic, head.format = True, True, "openvino"
    return PixelInput(network)


def import_yolo() -> Any:
    """The class `ultralytics.YOLO`, imported without the side effects on the rest of the process."""
    threads = os.environ.get("OMP_NUM_THREADS")
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    pillow_open = Image.open
    from ultralytics import YOLO

    # Importing it replaces `Image.open` by a function that answers a broken photo by looking for a package, and limits
    # every process started from here on to one thread.
    Image.open = pillow_open
    if threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    return YOLO
