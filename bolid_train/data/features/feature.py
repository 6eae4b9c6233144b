"""The interface of a feature."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from bolid_data.manifest import Train
from bolid_data.weights import folder_sha256
from bolid_train.data.crops import Keypoints
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.precision import FULL, Precision

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 8

Role = Literal["target", "reference", "view"]
"""Which photos of a batch a feature is read of: the photo to generate, the reference photo, or each view."""

Tensors = dict[str, Tensor]
"""A photo's tensors by their name in `Batch.features`."""


@dataclass(frozen=True)
class Photo:
    """What a feature is computed from."""

    image: Image.Image  # upright, RGB
    keypoints: Keypoints  # in pixels; empty if unknown
    caption: str = ""


NO_PHOTO = Image.new("RGB", (1, 1))
"""The image of a `Photo` for features that read the caption alone."""


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The function of each item, computed in threads: for Pillow, which resizes one photo in one thread."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items))


class FeatureSettings(BaseModel):
    """The keys of `[train]` that a feature depends on."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Feature(ABC):
    """A named group of tensors that frozen models compute from a photo, such as the CLIP embedding of the reference.

    It knows no settings but those of its own `Settings`, and these are part of its key, so the cache never serves what
    other settings gave.
    """

    name: ClassVar[str]
    role: ClassVar[Role]
    dtypes: ClassVar[Mapping[str, torch.dtype]]
    """The names of its tensors, and their type on disk."""
    inputs: ClassVar[tuple[str, ...]] = ("sha256", "width", "height", "keypoints")
    """The fields of a `Sample` that it depends on; the photo itself only with `sha256` among them."""
    version: ClassVar[int] = 1
    """Increment it when its tensors change."""

    class Settings(FeatureSettings):
        """No settings."""

    def __init__(self, train: Train, relative_to: Path = Path()) -> None:
        """`relative_to`: the folder to which paths in the settings are relative."""
        self.settings: Any = self.Settings.model_validate(train)
        self.relative_to = relative_to

    @abstractmethod
    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        """The shapes of a photo's tensors, without those that differ between photos."""

    @abstractmethod
    def models(self, base: Base) -> Sequence[Path]:
        """The folders of the frozen models that it needs."""

    @abstractmethod
    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        """A function that encodes photos. `pipe`: the base, whose UNet is not used; its device is to be used."""

    def key(self, base: Base, precision: Precision = FULL) -> str:
        """A hash of all that its tensors depend on besides the photo: settings, models, their types and version."""
        models = [_model_sha256(folder, _state(folder)) for folder in self.models(base)]
        identity = [self.name, self.version, self.settings.model_dump(mode="json"), models]
        if precision != FULL:
            identity.append(str(precision))
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _model_sha256(folder: Path, state: tuple[tuple[str, int, int], ...]) -> str:
    """Hashed once per process, because features share models of several gigabytes."""
    return folder_sha256(folder)


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = ((file, file.stat()) for file in sorted(folder.rglob("*")) if file.is_file())
    return tuple((str(file), stat.st_size, stat.st_mtime_ns) for file, stat in files)
