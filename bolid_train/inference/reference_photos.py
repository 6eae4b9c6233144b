"""Reference photos for `bolid generate`, with the keypoints of the person on each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from bolid_data.colour import WHITE
from bolid_data.errors import BolidError, UsageError
from bolid_data.images import read_upright
from bolid_data.manifest import Train
from bolid_train.data.crops import Keypoints
from bolid_train.data.weighting import visible
from bolid_train.diffusion.keypoints import KeypointDetector, load_keypoints

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".heic", ".avif", ".tif", ".tiff", ".bmp", ".gif"}


@dataclass(frozen=True)
class ReferencePhoto:
    """A photo and the keypoints of its most prominent person, in pixels of the photo."""

    photo: Image.Image
    keypoints: Keypoints
    path: Path | None = None  # where it was read from

    @property
    def width(self) -> int:
        return self.photo.width

    @property
    def height(self) -> int:
        return self.photo.height


def open_photo(path: Path, background: str = WHITE) -> Image.Image:
    """The upright photo, RGB. Raises UsageError if it does not exist, BolidError, naming it, if it is broken."""
    if not path.is_file():
        raise UsageError(f"{path}: no such photo")
    try:
        return read_upright(path, background)
    except BolidError as error:
        raise BolidError(f"{path}: {error}; give another photo") from error


def photos_in(path: Path) -> list[Path]:
    """The photos in a folder, by name, or the photo itself. Raises UsageError for a folder without any."""
    if not path.is_dir():
        return [path]
    photos = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
    if not photos:
        raise UsageError(f"{path}: no photo in this folder")
    return photos


@torch.inference_mode()
def detect_people(
    paths: Sequence[Path], settings: Train, device: torch.device, background: str = WHITE
) -> list[ReferencePhoto]:
    """Reads the photos and detects the person on each, with the detector that the objective names.

    Raises BolidError, naming the photo, if it is broken, or shows nobody or no visible keypoint.
    """
    if not paths:
        return []
    photos = [open_photo(path, background) for path in paths]
    detector = load_keypoints(settings.objective.detector, str(device))
    reference_photos = []
    for path, photo in zip(paths, photos, strict=True):
        keypoints = detect_in(photo, detector, device)
        points = torch.tensor([keypoints])
        if not points[..., 2].any():
            raise BolidError(f"{path}: no person found in it; give a photo that shows the person")
        threshold = settings.min_keypoint_confidence
        if not visible(points, photo.height, photo.width, threshold, settings.keypoints).any():
            raise BolidError(f"{path}: the person in it shows no visible keypoint; give a photo that shows the body")
        reference_photos.append(ReferencePhoto(photo, keypoints, path))
    return reference_photos


@torch.inference_mode()
def detect_in(photo: Image.Image, detector: KeypointDetector, device: torch.device) -> Keypoints:
    """The keypoints (17, 3) of the most prominent person on a photo, in pixels; confidences of 0 if it shows nobody."""
    images = pil_to_tensor(photo)[None].to(device).float() / 127.5 - 1
    keypoints: Keypoints = detector(images).cpu()[0].tolist()
    return keypoints
