"""Precomputed features: the outputs of the frozen models for every photo, cached on disk."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bolid_data.errors import BolidError
from bolid_data.manifest import Train
from bolid_data.paths import remove
from bolid_data.progress import bar, note
from bolid_data.weights import folder_sha256
from bolid_train.data.batch import Batch, Views
from bolid_train.data.buckets import Size, size_of
from bolid_train.data.encoding import PhotoEncoder, clip_columns
from bolid_train.data.epoch import PhotoOrError, read_photos
from bolid_train.data.sampler import BatchItem
from bolid_train.data.shard_dataset import People, Sample, ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.clip import clip_folder
from bolid_train.diffusion.rng import RowRandom
from bolid_train.files import write_safetensors

_CHUNK = 8
_VERSION = 2  # increment it when the features change
SETTINGS = (
    "resolution", "buckets", "reference", "view_resolution", "weighting", "keypoints", "min_keypoint_confidence",
    "sigma", "alpha",
)  # fmt: skip
_MAX_BROKEN = 0.05  # share of the photos
_TARGET = ["latents", "keypoints", "prompt_embeds", "pooled_prompt_embeds", "time_ids"]
_VIEW = ["view_embeds", "view_latents", "confidence"]


class FeatureCache:
    """One safetensors file per photo, `features/<hash of base and settings>/<person>/<hash of the sample>.safetensors`,
    or `….broken` with the reason why the photo cannot be read.

    Files are memory-mapped and only the requested tensors are read, so memory use does not depend on the size of the
    dataset. Deleting a person's features means deleting one folder.
    """

    def __init__(self, root: Path, base: Base, settings: Train, relative_to: Path | None = None) -> None:
        """`relative_to`: the folder to which paths in the settings are relative."""
        self.base, self.settings, self._relative_to = base, settings, relative_to
        self.clip_columns = clip_columns(settings.objective)
        chosen: dict[str, Any] = {name: getattr(settings, name) for name in SETTINGS}
        if self.clip_columns:
            clip = folder_sha256(clip_folder(settings.objective.clip, relative_to))
            chosen |= {"columns": self.clip_columns, "clip": clip}
        identity = json.dumps([_VERSION, base.encoders_sha256(), chosen], sort_keys=True)
        self.digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.folder = root / self.digest
        self._paths: dict[Sample, Path] = {}

    def path(self, sample: Sample) -> Path:
        """The file of the sample's features; another caption or other keypoints give another file."""
        if sample not in self._paths:
            inputs = json.dumps([sample.sha256, sample.caption, sample.width, sample.height, sample.keypoints])
            name = hashlib.sha256(inputs.encode()).hexdigest()[:16]
            self._paths[sample] = self.folder / sample.person / f"{name}.safetensors"
        return self._paths[sample]

    def size_of(self, sample: Sample) -> Size:
        """Width and height at which the sample is trained, the same for all targets of a batch."""
        return size_of(sample, self.settings)

    def fill(self, shards: ShardDataset, people: People, device: torch.device) -> People:
        """Computes missing features, deletes those of no sample, and returns the people and photos that have features.

        If it is killed, the next call continues; if nothing is missing, no encoder is loaded. A photo that cannot be
        read is skipped from then on. Raises BolidError if more than 5 % of the photos cannot be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            samples = [sample for photos in people.values() for sample in photos]
            self._fill(shards, samples, device)
            self._delete_orphans(samples, {person for person, *_ in shards.places()})
            self._check_broken(samples)
        cached = {name: [photo for photo in photos if self.path(photo).is_file()] for name, photos in people.items()}
        return {person: photos for person, photos in cached.items() if photos}

    def _fill(self, shards: ShardDataset, samples: list[Sample], device: torch.device) -> None:
        # Chunks do not depend on which files exist: features must not depend on where a run was killed.
        chunks = [samples[start : start + _CHUNK] for start in range(0, len(samples), _CHUNK)]
        missing = [chunk for chunk in chunks if not all(self._is_done(sample) for sample in chunk)]
        if not missing:
            return
        encoder = PhotoEncoder(self.base, self.settings, device, self._relative_to)
        missing = [[sample for sample in chunk if not self._broken(sample).is_file()] for chunk in missing]
        photos = read_photos(shards, chain.from_iterable(missing))
        with bar() as progress:
            task = progress.add_task("encoding", total=sum(map(len, missing)))
            for chunk in missing:
                chunk_photos = dict(islice(photos, len(chunk)))
                self._mark_broken(chunk_photos)
                readable = {sample: photo for sample, photo in chunk_photos.items() if isinstance(photo, Image.Image)}
                if readable:
                    features = encoder(list(readable), list(readable.values()))
                    for sample, tensors in zip(readable, features, strict=True):
                        write_safetensors(tensors, self.path(sample))
                progress.advance(task, len(chunk))

    def _mark_broken(self, photos: Mapping[Sample, PhotoOrError]) -> None:
        """Writes a `.broken` file with the reason for each photo that cannot be read."""
        for sample, error in photos.items():
            if isinstance(error, BolidError):
                marker = self._broken(sample)
                marker.parent.mkdir(exist_ok=True)
                marker.write_text(f"{error}\n", encoding="utf-8")

    def _broken(self, sample: Sample) -> Path:
        return self.path(sample).with_suffix(".broken")

    def _is_done(self, sample: Sample) -> bool:
        return self.path(sample).is_file() or self._broken(sample).is_file()

    def _check_broken(self, samples: list[Sample]) -> None:
        """Raises BolidError if too many photos are broken; the next run then tries them again."""
        broken = [file for sample in samples if (file := self._broken(sample)).is_file()]
        if not broken:
            return
        first = broken[0].read_text(encoding="utf-8").strip()
        count = f"{len(broken)} of {len(samples)} photos cannot be read"
        if len(broken) > _MAX_BROKEN * len(samples):
            for file in broken:
                file.unlink()
            raise BolidError(f"{count}, more than {_MAX_BROKEN:.0%}; the first: {first}")
        note(f"features: {count} and are left out; once repaired, delete {self.folder}/*/*.broken. The first: {first}")

    def _delete_orphans(self, samples: list[Sample], dataset_people: set[str]) -> None:
        """Deletes the features of other photos of these people, and of people who are not in the dataset."""
        wanted = {self.path(sample).with_suffix("") for sample in samples}
        for person in {sample.person for sample in samples}:
            for file in self.folder.glob(f"{person}/*"):
                if file.with_suffix("") not in wanted:
                    remove(self.folder, person, file.name)
        for person in {file.name for file in self.folder.glob("*/")} - dataset_people:
            remove(self.folder, person)

    def ref_dim(self, people: People) -> int:
        """Width D_ref of the CLIP image embedding."""
        return self.read(next(iter(people.values()))[0], "image_embeds")[0].shape[-1]

    def read(self, sample: Sample, *names: str) -> list[Tensor]:
        """The named features of one sample."""
        path = self.path(sample)
        try:
            with safe_open(path, framework="pt") as file:
                return [file.get_tensor(name) for name in names]
        except (OSError, SafetensorError) as error:
            raise BolidError(f"{path}: cannot be read ({error}); delete it and run `bolid train` again") from error

    def batch(self, items: Sequence[BatchItem]) -> Batch:
        """The items' features as a batch; views and person photos are padded to the largest number of them."""
        reference_names = ["image_embeds", "keypoints", *(set(self.clip_columns) & {"clip_references"})]
        target_names = [*_TARGET, *(set(self.clip_columns) & {"clip_texts"})]
        columns: dict[str, Any] = self._stack([item.target for item in items], target_names)
        reference: dict[str, Any] = self._stack([item.reference for item in items], reference_names)
        reference["reference_keypoints"] = reference.pop("keypoints")
        if any(item.person_photos for item in items):
            columns["person_keypoints"] = _pad([_points(item.person_photos) for item in items])
        random = RowRandom([item.seed for item in items])
        return Batch(**columns, **reference, views=self._views(items), random=random)

    def _stack(self, samples: list[Sample], names: list[str]) -> dict[str, Tensor]:
        rows = [self.read(sample, *names) for sample in samples]
        return {name: torch.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}

    def _views(self, items: Sequence[BatchItem]) -> Views:
        rows = [self._stack(list(item.views), _VIEW) for item in items]
        embeds, latents, confidence = (_pad([row[name] for row in rows]) for name in _VIEW)
        sizes = [torch.tensor([(view.width, view.height) for view in item.views]).float() for item in items]
        points = [_points(item.views) for item in items]
        for positions, photo_sizes in zip(points, sizes, strict=True):
            positions[..., :2] /= photo_sizes[:, None]
        return Views(embeds, latents, _pad(points), _pad(sizes, 1.0), confidence)


def _pad(rows: list[Tensor], value: float = 0.0) -> Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=value)


def _points(photos: Sequence[Sample]) -> Tensor:
    """Keypoints (P, 17, 3) in pixels."""
    points = np.array([photo.keypoints for photo in photos], dtype=np.float32)
    return torch.from_numpy(points.reshape(-1, 17, 3))
