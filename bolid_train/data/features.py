"""The feature cache: what frozen models say of every photo, computed once and kept on disk."""

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
from bolid_train.data.epoch import Photo, read_photos
from bolid_train.data.sampler import Pick
from bolid_train.data.shard_dataset import People, Sample, Shards
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.clip import clip_folder
from bolid_train.diffusion.rng import RowRandom
from bolid_train.files import write_safetensors

_CHUNK = 8
_VERSION = 2  # raise it when what is computed here changes
SETTINGS = (
    "resolution", "buckets", "reference", "view_resolution", "weighting", "keypoints", "min_keypoint_confidence",
    "sigma", "alpha",
)  # fmt: skip
_BROKEN = 0.05  # the share of photos that may be
_TARGET = ["latents", "keypoints", "prompt_embeds", "pooled_prompt_embeds", "time_ids"]
_VIEW = ["view_embeds", "view_latents", "confidence"]


class FeatureCache:
    """One safetensors file a photo, `features/<hash of base and settings>/<person>/<hash of the sample>.safetensors`,
    or `….broken`, saying why the photo cannot be read.

    Files are memory-mapped and only the tensors asked for are read, so memory stays flat whatever the
    dataset's size; a person's features are one folder to delete.
    """

    def __init__(self, root: Path, base: Base, settings: Train, near: Path | None = None) -> None:
        """A folder that the settings name is relative to `near`."""
        self.base, self.settings, self._near = base, settings, near
        self.clip_columns = clip_columns(settings.objective)
        chosen: dict[str, Any] = {name: getattr(settings, name) for name in SETTINGS}
        if self.clip_columns:
            chosen |= {"columns": self.clip_columns, "clip": folder_sha256(clip_folder(settings.objective.clip, near))}
        identity = json.dumps([_VERSION, base.encoders_sha256(), chosen], sort_keys=True)
        self.digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.folder = root / self.digest
        self._paths: dict[Sample, Path] = {}

    def path(self, sample: Sample) -> Path:
        """Where the sample's features are; another caption or other keypoints make another file."""
        if sample not in self._paths:
            seen = json.dumps([sample.sha256, sample.caption, sample.width, sample.height, sample.keypoints])
            name = hashlib.sha256(seen.encode()).hexdigest()[:16]
            self._paths[sample] = self.folder / sample.person / f"{name}.safetensors"
        return self._paths[sample]

    def size_of(self, sample: Sample) -> Size:
        """Width and height that the sample is trained at; all of a batch have one."""
        return size_of(sample, self.settings)

    def fill(self, shards: Shards, people: People, device: torch.device) -> People:
        """Computes what is missing and deletes what no sample asks for; returns who and what can be trained on.

        Killed and run again, it goes on; when nothing is missing, no encoder is loaded. A photo that cannot be read
        is left out, now and later. Raises BolidError when more than 5 % are such.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            samples = [sample for photos in people.values() for sample in photos]
            self._fill(shards, samples, device)
            self._delete_strays(samples, {person for person, *_ in shards.places()})
            self._judge(samples)
        whole = {person: [photo for photo in photos if self.path(photo).is_file()] for person, photos in people.items()}
        return {person: photos for person, photos in whole.items() if photos}

    def _fill(self, shards: Shards, samples: list[Sample], device: torch.device) -> None:
        # Chunks are cut before looking at what is there: features must not depend on where a run was killed.
        chunks = [samples[start : start + _CHUNK] for start in range(0, len(samples), _CHUNK)]
        missing = [chunk for chunk in chunks if not all(self._is_known(sample) for sample in chunk)]
        if not missing:
            return
        encoder = PhotoEncoder(self.base, self.settings, device, self._near)
        missing = [[sample for sample in chunk if not self._broken(sample).is_file()] for chunk in missing]
        photos = read_photos(shards, chain.from_iterable(missing))
        with bar() as progress:
            task = progress.add_task("encoding", total=sum(map(len, missing)))
            for chunk in missing:
                read = dict(islice(photos, len(chunk)))
                self._note_broken(read)
                readable = {sample: photo for sample, photo in read.items() if isinstance(photo, Image.Image)}
                if readable:
                    features = encoder(list(readable), list(readable.values()))
                    for sample, tensors in zip(readable, features, strict=True):
                        write_safetensors(tensors, self.path(sample))
                progress.advance(task, len(chunk))

    def _note_broken(self, photos: Mapping[Sample, Photo]) -> None:
        """Notes beside the features why photos cannot be read."""
        for sample, error in photos.items():
            if isinstance(error, BolidError):
                marker = self._broken(sample)
                marker.parent.mkdir(exist_ok=True)
                marker.write_text(f"{error}\n", encoding="utf-8")

    def _broken(self, sample: Sample) -> Path:
        return self.path(sample).with_suffix(".broken")

    def _is_known(self, sample: Sample) -> bool:
        return self.path(sample).is_file() or self._broken(sample).is_file()

    def _judge(self, samples: list[Sample]) -> None:
        """Raises BolidError when too many photos are broken; they are then tried again next time."""
        broken = [file for sample in samples if (file := self._broken(sample)).is_file()]
        if not broken:
            return
        first = broken[0].read_text(encoding="utf-8").strip()
        count = f"{len(broken)} of {len(samples)} photos cannot be read"
        if len(broken) > _BROKEN * len(samples):
            for file in broken:
                file.unlink()
            raise BolidError(f"{count}, more than {_BROKEN:.0%}; the first: {first}")
        note(f"features: {count} and are left out; once repaired, delete {self.folder}/*/*.broken. The first: {first}")

    def _delete_strays(self, samples: list[Sample], known: set[str]) -> None:
        """What is of other photos of these people, and all of people who are not in the dataset."""
        wanted = {self.path(sample).with_suffix("") for sample in samples}
        for person in {sample.person for sample in samples}:
            for file in self.folder.glob(f"{person}/*"):
                if file.with_suffix("") not in wanted:
                    remove(self.folder, person, file.name)
        for person in {file.name for file in self.folder.glob("*/")} - known:
            remove(self.folder, person)

    def ref_dim(self, people: People) -> int:
        """Width of the CLIP image embedding."""
        return self.read(next(iter(people.values()))[0], "image_embeds")[0].shape[-1]

    def read(self, sample: Sample, *names: str) -> list[Tensor]:
        """The named features of one sample."""
        path = self.path(sample)
        try:
            with safe_open(path, framework="pt") as file:
                return [file.get_tensor(name) for name in names]
        except (OSError, SafetensorError) as error:
            raise BolidError(f"{path}: cannot be read ({error}); delete it and run `bolid train` again") from error

    def batch(self, picks: Sequence[Pick]) -> Batch:
        """The rows' features put together, views and people's photos padded to the longest row."""
        of_reference = ["image_embeds", "keypoints", *(set(self.clip_columns) & {"clip_references"})]
        of_target = [*_TARGET, *(set(self.clip_columns) & {"clip_texts"})]
        columns: dict[str, Any] = self._stack([pick.target for pick in picks], of_target)
        reference: dict[str, Any] = self._stack([pick.reference for pick in picks], of_reference)
        reference["reference_keypoints"] = reference.pop("keypoints")
        if any(pick.people for pick in picks):
            columns["people_keypoints"] = _pad([_points(pick.people) for pick in picks])
        random = RowRandom([pick.seed for pick in picks])
        return Batch(**columns, **reference, views=self._views(picks), random=random)

    def _stack(self, samples: list[Sample], names: list[str]) -> dict[str, Tensor]:
        rows = [self.read(sample, *names) for sample in samples]
        return {name: torch.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}

    def _views(self, picks: Sequence[Pick]) -> Views:
        rows = [self._stack(list(pick.views), _VIEW) for pick in picks]
        embeds, latents, confidence = (_pad([row[name] for row in rows]) for name in _VIEW)
        sizes = [torch.tensor([(view.width, view.height) for view in pick.views]).float() for pick in picks]
        points = [_points(pick.views) for pick in picks]
        for places, whole in zip(points, sizes, strict=True):
            places[..., :2] /= whole[:, None]
        return Views(embeds, latents, _pad(points), _pad(sizes, 1.0), confidence)


def _pad(rows: list[Tensor], value: float = 0.0) -> Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=value)


def _points(photos: Sequence[Sample]) -> Tensor:
    """Keypoints (P, 17, 3) in pixels."""
    points = np.array([photo.keypoints for photo in photos], dtype=np.float32)
    return torch.from_numpy(points.reshape(-1, 17, 3))
