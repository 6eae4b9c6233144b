"""Faces, by a YOLO detector of a name, such as AdamCodd/YOLOv11n-face-detection (YOLO11n trained on WIDER FACE)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bolid_data import weights
from bolid_data.curate.measurers.measurer import FLOOR, Photo, describe_model
from bolid_data.curate.measurers.people import IOU, SIDE, Yolo, clip, import_yolo
from bolid_data.curate.runtime import describe
from bolid_data.errors import BolidError, UsageError

FILE = "model.pt"
"""The checkpoint's name in the folder or hub repository."""


class YoloFaceMeasurer:
    """Writes every face down to the floor: score and box in pixels of the upright photo, no keypoints. `name` is a
    local folder or a hub repository."""

    def __init__(self, name: str, near: Path, device: str = "cpu") -> None:
        path = weights.file(name, (FILE,), near)
        found = weights.Weights(name, path, weights.file_sha256(path), "the model's own")
        self.model = describe_model(found, side=SIDE, iou=IOU, floor=FLOOR, runtime=describe(device))
        self._detector = Yolo(found, check(path), device)

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        found = zip(photos, self._detector.detect(photos), strict=True)
        return {
            "detections": [
                {"sha256": photo.sha256, "kind": "face", "score": round(float(score), 4), "box": box, "keypoints": None}
                for photo, detections in found
                for score, box in zip(detections[:, 4], clip(detections[:, :4], photo), strict=True)
            ]
        }


def check(path: Path) -> str:
    """The task of a checkpoint that can be used: it detects one kind of thing.

    Raises BolidError for a file that needs more unpickled than tensors and the library's own layers, UsageError for
    another kind of network.
    """
    yolo = import_yolo()
    from ultralytics.nn.tasks import torch_safe_load

    try:
        # Whatever the environment says of safety.
        torch_safe_load(str(path), safe_only=True)
        network = yolo(str(path))
        head, things = network.model.model[-1], list(network.names.values())
    except Exception as error:  # what unpickles and what builds networks raise anything when fed other things
        reason = (str(error).splitlines() or [""])[0]
        raise BolidError(
            f"{path}: not a YOLO checkpoint that can be loaded safely ({type(error).__name__}: {reason}); "
            "get the file again, or name another model"
        ) from error
    if network.task not in ("detect", "pose") or getattr(head, "end2end", False):
        raise UsageError(f"{path}: not a YOLO11 or YOLOv8 detector (its task is {network.task}); name a face detector")
    if len(things) != 1:
        raise UsageError(f"{path}: detects {', '.join(things[:5])} …, not faces alone; name a face detector")
    return str(network.task)
