"""What the parts of the benchmark share: a base of random weights, photos, settings, and one Training at a time."""

import time
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.accelerator.photos import write_photos
from benchmarks.accelerator.timing import free_memory, synchronize
from bolid_data.errors import BolidError
from bolid_data.manifest import Manifest
from bolid_train.data import preflight
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.sampler import PersonSampler
from bolid_train.data.shard_dataset import People, ShardDataset
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.settings import load
from bolid_train.training.flops import peak_flops
from bolid_train.training.step import Training, make_accelerator, training_features
from tests.support.random_sdxl import NARROW, PUBLISHED, write_lightning, write_sdxl

MANIFESTS = Path("manifests")
SMALL_CLIP = "clip-0"
"""Takes the place of the objective's CLIP, which is a hundredth of an image's cost."""
_STEPS = 1000  # of the run that the trainings pretend to be
_DETECTOR, _SMALL_DETECTOR = "yolo11n-pose", "tiny-keypoints"


class Workbench:
    """The base and the photos are below `folder`."""

    def __init__(self, folder: Path, small: bool) -> None:
        """`small`: a narrow base of full depth instead of one of SDXL's size."""
        self.folder, self.small = folder, small
        self.size = NARROW if small else PUBLISHED
        self.device = pick_device()
        self.data, self.base_folder = folder / "data", folder / "sdxl"
        self._training: Training | None = None
        self._settings: dict[str, Any] = {}
        self._flops: float | None = None  # of the current training

    def prepare(self) -> dict[str, float]:
        """Writes the base and the photos; returns the seconds that each took."""
        dtype = torch.float32 if self.small else torch.bfloat16
        started_at = time.perf_counter()
        write_sdxl(self.base_folder, self.size, self.device, dtype)
        synchronize()
        built_at = time.perf_counter()
        write_photos(self.data)
        return {"base": built_at - started_at, "photos": time.perf_counter() - built_at}

    @cached_property
    def shards(self) -> ShardDataset:
        return ShardDataset(self.data / "shards")

    @cached_property
    def detector(self) -> str:
        """SDXL's keypoint detector, or the small world's where it is not installed."""
        try:
            load_keypoints(_DETECTOR)
        except (BolidError, ImportError):
            return _SMALL_DETECTOR
        return _DETECTOR

    @cached_property
    def lightning(self) -> Path:
        """A file of random Lightning weights."""
        path = self.folder / "lightning.safetensors"
        write_lightning(path, self.size)
        return path

    def manifest(self, identity: bool = False, **train: Any) -> Manifest:
        """The manifest of SDXL's first run, or of its second, with L_id, on models that are here and at 1024².

        Args:
            train: keys of `[train]` to replace; those of `objective` one by one.
        """
        manifest = load(MANIFESTS / ("sdxl-identity.toml" if identity else "sdxl.toml"))
        settings = manifest.train.model_dump(exclude_unset=True)
        narrow = dict(self.size.train)
        settings["bolid"] = settings.get("bolid", {}) | {"ref_from": None} | narrow.pop("bolid", {})
        objective = settings.get("objective", {}) | {"detector": self.detector}
        if identity:
            objective |= {"clip": SMALL_CLIP, "lightning": str(self.lightning)}
        settings["objective"] = objective | train.pop("objective", {})
        settings |= {"base": str(self.base_folder), "image_encoder": None, "start": None, "buckets": False}
        settings |= {"gradient_accumulation": 1, "validate_every": None} | narrow | train
        checked = type(manifest.train).model_validate(settings)
        return manifest.model_copy(update={"train": checked})

    def cache(self, manifest: Manifest) -> tuple[FeatureCache, People]:
        """The filled feature cache, and the people in it."""
        settings = manifest.train
        base = Base.resolve(settings, manifest.folder)
        features = training_features(settings, manifest.folder)
        cache = FeatureCache(self.data / "features", base, settings, features)
        return cache, cache.fill(self.shards, preflight.usable_people(self.shards, settings), self.device)

    def training(self, manifest: Manifest) -> Training:
        """The training of a manifest; the one before is released, as two would not fit the memory."""
        settings = manifest.train.model_dump()
        if self._training is None or settings != self._settings:
            self.release()
            cache, people = self.cache(manifest)
            self._training = Training(manifest, cache, people, _STEPS, make_accelerator(manifest.train))
            self._settings = settings
        return self._training

    def release(self) -> None:
        """Frees the memory of the current training."""
        self._training, self._flops = None, None
        free_memory()

    def resize(self, training: Training, batch_size: int, accumulation: int = 1) -> None:
        """Gives a training another batch size, without loading the base again."""
        changed = {"batch_size": batch_size, "gradient_accumulation": accumulation}
        training.settings = training.settings.model_copy(update=changed)
        people = preflight.usable_people(self.shards, training.settings)
        rows = batch_size * accumulation
        training.sampler = PersonSampler(people, rows, training.settings.views, training.seed, training.cache.size_of)

    def flops(self, training: Training) -> float | None:
        """FLOPs per photo, as the trainer counts them; None where the device's peak is unknown, as for CPUs."""
        if self._flops is None and (peak := peak_flops(self.device)):
            speed = training.speed(1, 1.0)
            if (mfu := speed["mfu"]) and (photos := speed["photos_per_second"]):
                self._flops = mfu * peak / photos
        return self._flops
