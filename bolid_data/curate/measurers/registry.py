"""Finds the measurer that a model's name in the manifest stands for: an embedded one, a local folder (relative to
`relative_to`) or a hub repository.

Every function raises UsageError for a name that cannot be such a model, BolidError for one that is not available.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from bolid_data import weights
from bolid_data.curate.measurers.measurer import Measurer
from bolid_data.errors import UsageError
from bolid_data.records import Model

if TYPE_CHECKING:  # each model's libraries take seconds to import: they are imported where they are used
    from bolid_data.curate.measurers.dlib_face import FindKeypoints
    from bolid_data.curate.measurers.identity import FindBoxes

_EMBEDDED = {"pose": "yolo11n-pose", "face": "mtcnn", "watermark": "bolid-watermark"}


def device(name: str) -> str:
    """The device that `[models] device` stands for: `auto` is the first GPU, or the CPU where there is none.

    Raises UsageError for a device that this machine does not have.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"models.device = '{name}' is not on this machine ({reason}); use 'auto'") from error
    return name


def pose(name: str, device: str = "cpu") -> Measurer:
    from bolid_data.curate.measurers.people import PoseMeasurer

    return PoseMeasurer(name, device)


def face(name: str, relative_to: Path, device: str = "cpu") -> Measurer:
    """MTCNN, or a YOLO face detector such as AdamCodd/YOLOv11n-face-detection."""
    if _is_embedded(name, "face"):
        from bolid_data.curate.measurers.faces import FaceMeasurer

        return FaceMeasurer(name, device)
    from bolid_data.curate.measurers.faces_yolo import YoloFaceMeasurer

    return YoloFaceMeasurer(name, relative_to, device)


def watermark(name: str, relative_to: Path, device: str = "cpu") -> Measurer:
    """The embedded classifier, or one of those in `watermark_hub.LAYOUTS`."""
    if _is_embedded(name, "watermark"):
        from bolid_data.curate.measurers.watermark import WatermarkMeasurer

        return WatermarkMeasurer(name, device)
    from bolid_data.curate.measurers.watermark_hub import HubWatermarkMeasurer

    return HubWatermarkMeasurer(name, relative_to, device)


def dlib_face(pose: Model, keypoints: "FindKeypoints") -> Measurer:
    """dlib's network on the face in each photo; `keypoints` returns those that `pose` detected."""
    from bolid_data.curate.measurers.dlib_face import DlibFaceMeasurer

    return DlibFaceMeasurer(pose, keypoints)


def identity(name: str, relative_to: Path, device: str, pose: Model, boxes: "FindBoxes") -> Measurer:
    """A transformers image encoder on the person in each photo; `boxes` returns the boxes that `pose` detected."""
    from bolid_data.curate.measurers.identity import IdentityMeasurer

    return IdentityMeasurer(name, relative_to, device, pose, boxes)


def _is_embedded(name: str, kind: str) -> bool:
    if name in weights.embedded_names() and name != _EMBEDDED[kind]:
        raise UsageError(f"models.{kind} = '{name}': that model measures something else; use '{_EMBEDDED[kind]}'")
    return name == _EMBEDDED[kind]
