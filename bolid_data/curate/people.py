"""People and their 17 COCO keypoints, by YOLO11n-pose (Jocher and Qiu, Ultralytics YOLO11, 2024)."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from platformdirs import user_cache_dir

from bolid_data import weights
from bolid_data.curate.measure import FLOOR, Photo, describe_model
from bolid_data.images import letterbox

SIDE = 640
"""Side in pixels of the square that the network sees."""

BATCH = 8
"""Every batch is padded to this many photos: what is seen on one never depends on how many there are."""

IOU = 0.7

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
        self.model = describe_model(found, side=SIDE, batch=BATCH, iou=IOU, floor=FLOOR)
        self._device = device
        self._network = import_yolo()(str(found.path), task="pose")

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        parts = [photos[start : start + BATCH] for start in range(0, len(photos), BATCH)]
        return {"detections": [row for part in parts for row in self._measure_batch(part)]}

    def _measure_batch(self, photos: Sequence[Photo]) -> list[dict[str, Any]]:
        squares = np.zeros((BATCH, SIDE, SIDE, 3), dtype=np.uint8)
        scales = []
        for square, photo in zip(squares, photos, strict=False):
            square[:], scale = letterbox(photo.image, SIDE)
            scales.append(scale)
        batch = torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous().float() / 255
        results = self._network.predict(
            batch, imgsz=SIDE, conf=FLOOR, iou=IOU, device=self._device, verbose=False, save=False
        )
        return [
            row
            for photo, scale, result in zip(photos, scales, results, strict=False)
            for row in _rows(photo, scale, result)
        ]


def _rows(photo: Photo, scale: float, result: Any) -> list[dict[str, Any]]:
    boxes = clip(result.boxes.xyxy.cpu().numpy() / scale, photo)
    keypoints = result.keypoints.data.cpu().numpy()
    return [
        {
            "sha256": photo.sha256,
            "kind": "person",
            "score": round(float(score), 4),
            "box": box,
            "keypoints": [
                [round(float(x / scale), 1), round(float(y / scale), 1), round(float(c), 4)] for x, y, c in points
            ],
        }
        for score, box, points in zip(result.boxes.conf.cpu().numpy(), boxes, keypoints, strict=True)
    ]


def clip(boxes: np.ndarray, photo: Photo) -> list[list[float]]:
    """Boxes (N, 4) xyxy in pixels, clipped to the photo and rounded to a tenth of a pixel."""
    size = np.array(photo.image.size * 2, dtype=np.float64)
    return [[round(float(value), 1) for value in np.clip(box, 0, size)] for box in boxes]


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
