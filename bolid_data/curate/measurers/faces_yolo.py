"""Faces, by a YOLO detector given by name, such as AdamCodd/YOLOv11n-face-detection (YOLO11n trained on WIDER FACE)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bolid_data import weights
from bolid_data.curate.measurers.measurer import MIN_SCORE, Photo, describe_model
from bolid_data.curate.measurers.people import IOU, SIDE, Yolo, clip, import_yolo
from bolid_data.curate.runtime import describe
from bolid_data.errors import BolidError, UsageError

FILE = "model.pt"
"""The checkpoint's name in the folder or hub repository."""


class YoloFaceMeasurer:
    """Records every face above MIN_SCORE: score and box in pixels of the upright photo, no keypoints. `name` is a local
    folder (relative to `relative_to`) or a hub repository."""

    def __init__(self, name: str, relative_to: Path, device: str = "cpu") -> None:
        path = weights.file(name, (FILE,), relative_to)
        model_weights = weights.Weights(name, path, weights.file_sha256(path), "the model's own")
        self.model = describe_model(model_weights, side=SIDE, iou=IOU, floor=MIN_SCORE, runtime=describe(device))
        self._detector = Yolo(model_weights, check(path), device)

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        detected = zip(photos, self._detector.detect(photos), strict=True)
        return {
            "detections": [
                {"sha256": photo.sha256, "kind": "face", "score": round(float(score), 4), "box": box, "keypoints": None}
                for photo, detections in detected
                for score, box in zip(detections[:, 4], clip(detections[:, :4], photo), strict=True)
            ]
        }


def check(path: Path) -> str:
    """Checks that a checkpoint is a detector of one class, and returns its task.

    Raises BolidError for a file that would unpickle more than tensors and the library's layers, UsageError for any
    other kind of network.
    """
    yolo = import_yolo()
    from ultralytics.nn.tasks import torch_safe_load

    try:
        # Safe whatever the environment variables say.
        torch_safe_load(str(path), safe_only=True)
        network = yolo(str(path))
        head, classes = network.model.model[-1], list(network.names.values())
    except Exception as error:  # unpickling and building networks can raise anything on invalid input
        reason = (str(error).splitlines() or [""])[0]
        raise BolidError(
            f"{path}: not a YOLO checkpoint that can be loaded safely ({type(error).__name__}: {reason}); "
            "get the file again, or name another model"
        ) from error
    if network.task not in ("detect", "pose") or getattr(head, "end2end", False):
        raise UsageError(f"{path}: not a YOLO11 or YOLOv8 detector (its task is {network.task}); name a face detector")
    if len(classes) != 1:
        raise UsageError(f"{path}: detects {', '.join(classes[:5])} …, not faces alone; name a face detector")
    return str(network.task)
