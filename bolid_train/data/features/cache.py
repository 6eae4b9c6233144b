"""The features of photos, cached on disk."""

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

import torch
from accelerate import Accelerator
from filelock import FileLock
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_data.manifest import Train
from bolid_data.paths import remove
from bolid_data.progress import bar, note
from bolid_train.data.buckets import Size, size_of
from bolid_train.data.epoch import PhotoOrError, read_photos
from bolid_train.data.features.feature import NO_PHOTO, Feature, Photo, Tensors
from bolid_train.data.shard_dataset import People, Sample, ShardDataset
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.precision import encoding_precision
from bolid_train.files import write_safetensors

_CHUNK = 8
_MAX_BROKEN = 0.05  # share of the photos

Work = tuple[list[Sample], list[Feature]]
"""Consecutive samples, and the features of which some of them lack a file."""


class FeatureCache:
    """A safetensors file per feature and photo: `<feature>-<key>/<person>/<hash of the sample>.safetensors` below
    `root`; `broken/<person>/<sha256>.txt` has the reason why a photo cannot be read.

    Files are memory-mapped and only the requested tensors are read, so memory use does not depend on the size of the
    dataset. Deleting a person's features means deleting a folder per feature.
    """

    def __init__(self, root: Path, base: Base, settings: Train, features: Sequence[Feature]) -> None:
        """`features`: those that a run reads; several with one name are one feature."""
        self.base, self.settings = base, settings
        self.features = {feature.name: feature for feature in features}
        self._precision = encoding_precision(settings, pick_device())
        self._folders = {
            name: root / f"{name}-{feature.key(base, self._precision)}" for name, feature in self.features.items()
        }
        self._broken_folder = root / "broken"
        self._feature_of = {tensor: feature for feature in self.features.values() for tensor in feature.dtypes}
        self._names: dict[tuple[tuple[str, ...], str, str, str], str] = {}

    @property
    def digest(self) -> str:
        """A hash of all that its tensors depend on besides the photos."""
        names = sorted(folder.name for folder in self._folders.values())
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]

    def path(self, feature: Feature, sample: Sample) -> Path:
        """The file of a sample; when one of the feature's inputs changes, it is another file."""
        key = feature.inputs, sample.key, sample.sha256, sample.caption
        if key not in self._names:
            inputs = json.dumps([getattr(sample, name) for name in feature.inputs])
            self._names[key] = hashlib.sha256(inputs.encode()).hexdigest()[:16]
        return self._folders[feature.name] / sample.person / f"{self._names[key]}.safetensors"

    def size_of(self, sample: Sample) -> Size:
        """Width and height at which the sample is trained, the same for all targets of a batch."""
        return size_of(sample, self.settings)

    def fill(
        self, shards: ShardDataset, people: People, device: torch.device, processes: Accelerator | None = None
    ) -> People:
        """Computes missing features, deletes those of no sample, and returns the people and photos that have all.

        If it is killed, the next call continues; if nothing is missing, no encoder is loaded. A photo that cannot be
        read is skipped from then on. Raises BolidError if more than 5 % of the photos cannot be read.

        Args:
            processes: those of a distributed run, each of which calls this, and computes its share.
        """
        samples = [sample for photos in people.values() for sample in photos]
        main = processes is None or processes.is_main_process
        share = (processes.process_index, processes.num_processes) if processes else (0, 1)
        wait = processes.wait_for_everyone if processes else lambda: None
        with ExitStack() as locks:
            for folder in sorted(self._folders.values()) if main else ():
                folder.mkdir(parents=True, exist_ok=True)
                locks.enter_context(FileLock(folder / ".lock"))
            wait()
            self._fill(shards, samples, device, share)
            wait()
            if main:
                self._delete_orphans(samples, {person for person, *_ in shards.places()})
            broken = [file for sample in samples if (file := self._broken(sample)).is_file()]
            wait()
            self._check_broken(broken, len(samples), main)
        cached = {name: [photo for photo in photos if self._is_cached(photo)] for name, photos in people.items()}
        return {person: photos for person, photos in cached.items() if photos}

    def _is_cached(self, sample: Sample) -> bool:
        return all(path.is_file() for path in self._paths_of(sample))

    def _paths_of(self, sample: Sample) -> Iterator[Path]:
        """The files of the sample, those of its other captions included."""
        for caption in sample.with_each_caption():
            yield from (self.path(feature, caption) for feature in self.features.values())

    def _fill(
        self, shards: ShardDataset, samples: list[Sample], device: torch.device, share: tuple[int, int] = (0, 1)
    ) -> None:
        """`share`: number of this process, and of all."""
        captions = [caption for sample in samples for caption in sample.with_each_caption()]
        of_photos = list(self._missing(samples, True, share))
        of_captions = list(self._missing(captions, False, share))
        if not (of_photos or of_captions):
            return
        pipe = self.base.pipeline(device, self._precision, unet=None)
        names = {feature.name for _, features in of_photos + of_captions for feature in features}
        encoders = {name: self.features[name].encoder(pipe) for name in names}
        photos = _ahead(read_photos(shards, chain.from_iterable(chunk for chunk, _ in of_photos)))
        with bar() as progress, torch.inference_mode():
            task = progress.add_task("encoding", total=sum(len(chunk) for chunk, _ in of_photos + of_captions))
            for chunk, features in of_photos:
                read = dict(islice(photos, len(chunk)))
                self._mark_broken(read)
                readable = {sample: photo for sample, photo in read.items() if isinstance(photo, Image.Image)}
                self._encode(readable, features, encoders)
                progress.advance(task, len(chunk))
            for chunk, features in of_captions:
                self._encode(dict.fromkeys(chunk, NO_PHOTO), features, encoders)
                progress.advance(task, len(chunk))

    def _missing(self, samples: list[Sample], of_photos: bool, share: tuple[int, int]) -> Iterator[Work]:
        """Chunks of samples, and the features that read photos, or only captions, of which some lack a file; those of
        this process, which are consecutive."""
        features = [feature for feature in self.features.values() if ("sha256" in feature.inputs) == of_photos]
        # Chunks do not depend on which files exist: features must not depend on where a run was killed.
        starts, (process, processes) = range(0, len(samples), _CHUNK), share
        for start in starts[process * len(starts) // processes : (process + 1) * len(starts) // processes]:
            chunk = samples[start : start + _CHUNK]
            if of_photos:
                chunk = [sample for sample in chunk if not self._broken(sample).is_file()]
            missing = [
                feature for feature in features if not all(self.path(feature, sample).is_file() for sample in chunk)
            ]
            if missing:
                yield chunk, missing

    def _encode(
        self,
        images: Mapping[Sample, Image.Image],
        features: Iterable[Feature],
        encoders: Mapping[str, Callable[[Sequence[Photo]], list[Tensors]]],
    ) -> None:
        photos = [Photo(image, sample.keypoints, sample.caption) for sample, image in images.items()]
        for feature in features if photos else ():
            self._write(feature, list(images), encoders[feature.name](photos))

    def _write(self, feature: Feature, samples: list[Sample], encoded: list[Tensors]) -> None:
        for sample, tensors in zip(samples, encoded, strict=True):
            converted = {name: tensors[name].to(dtype) for name, dtype in feature.dtypes.items()}
            write_safetensors(converted, self.path(feature, sample))

    def _mark_broken(self, photos: Mapping[Sample, PhotoOrError]) -> None:
        for sample, error in photos.items():
            if isinstance(error, BolidError):
                marker = self._broken(sample)
                marker.parent.mkdir(parents=True, exist_ok=True)
                marker.write_text(f"{error}\n", encoding="utf-8")

    def _broken(self, sample: Sample) -> Path:
        return self._broken_folder / sample.person / f"{sample.sha256[:16]}.txt"

    def _check_broken(self, broken: list[Path], samples: int, main: bool) -> None:
        """Raises BolidError if too many photos are broken; the next run then tries them again."""
        count = f"{len(broken)} of {samples} photos cannot be read"
        if not broken:
            return
        if len(broken) > _MAX_BROKEN * samples:
            reasons = [_reason(file) for file in broken]
            for file in broken:
                file.unlink(missing_ok=True)
            raise BolidError(f"{count}, more than {_MAX_BROKEN:.0%}; the first: {reasons[0]}")
        if main:
            first = f"The first: {_reason(broken[0])}"
            note(f"features: {count} and are left out; once repaired, delete {self._broken_folder}. {first}")

    def _delete_orphans(self, samples: list[Sample], dataset_people: set[str]) -> None:
        """Deletes the features of other photos of these people, and of people who are not in the dataset."""
        by_person: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            by_person[sample.person].append(sample)
        folders = (*self._folders.values(), self._broken_folder)
        for person, of_person in by_person.items():
            wanted = {path for sample in of_person for path in (*self._paths_of(sample), self._broken(sample))}
            for file in (file for folder in folders for file in folder.glob(f"{person}/*")):
                if file not in wanted:
                    remove(file.parents[1], person, file.name)
        for folder in folders:
            for person in {file.name for file in folder.glob("*/")} - dataset_people:
                remove(folder, person)

    def read(self, sample: Sample, *names: str) -> list[Tensor]:
        """The named tensors of one sample."""
        tensors: Tensors = {}
        for feature in {self._feature_of[name].name: self._feature_of[name] for name in names}.values():
            path = self.path(feature, sample)
            try:
                with safe_open(path, framework="pt") as file:
                    tensors |= {name: file.get_tensor(name) for name in names if name in feature.dtypes}
            except (OSError, SafetensorError) as error:
                raise BolidError(f"{path}: cannot be read ({error}); delete it and run `bolid train` again") from error
        return [tensors[name] for name in names]


def _ahead(photos: Iterator[tuple[Sample, PhotoOrError]]) -> Iterator[tuple[Sample, PhotoOrError]]:
    """The same photos, of which the next `_CHUNK` are read and decoded in a thread in the meantime."""
    with ThreadPoolExecutor(1) as executor:
        pending: deque[Future[tuple[Sample, PhotoOrError] | None]] = deque()
        while True:
            while len(pending) <= _CHUNK:
                pending.append(executor.submit(next, photos, None))
            if (read := pending.popleft().result()) is None:
                return
            yield read


def _reason(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip() if file.is_file() else "unknown"
