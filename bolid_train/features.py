"""The feature cache: what frozen models say of every photo, computed once and kept on disk."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_data.manifest import Train
from bolid_data.progress import bar
from bolid_train.base import Base
from bolid_train.batches import Batch, Pick
from bolid_train.encoders import Encoders, crop_square
from bolid_train.files import write_safetensors
from bolid_train.views import Sample, Shards

_CHUNK = 8
_VERSION = 1  # raise it when what is computed here changes
_SETTINGS = ("resolution", "keypoints", "min_keypoint_confidence", "sigma", "alpha")


class FeatureCache:
    """One safetensors file a photo, `features/<hash of base and settings>/<person>/<hash of the sample>.safetensors`.

    Files are memory-mapped and only the tensors asked for are read, so memory stays flat whatever the
    dataset's size; a person's features are one folder to delete.
    """

    def __init__(self, root: Path, base: Base, settings: Train) -> None:
        self.base, self.settings = base, settings
        chosen = {name: getattr(settings, name) for name in _SETTINGS}
        identity = json.dumps([_VERSION, base.encoders_sha256(), chosen], sort_keys=True)
        self.digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.folder = root / self.digest

    def path(self, sample: Sample) -> Path:
        """Where the sample's features are; another caption or other keypoints make another file."""
        seen = json.dumps([sample.sha256, sample.caption, sample.width, sample.height, sample.keypoints])
        return self.folder / sample.person / f"{hashlib.sha256(seen.encode()).hexdigest()[:16]}.safetensors"

    def fill(self, shards: Shards, people: dict[str, list[Sample]], device: torch.device) -> int:
        """Computes what is missing and deletes what no sample asks for; returns how many photos were encoded.

        Killed and run again, it goes on; when nothing is missing, no encoder is loaded.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            return self._fill(shards, [sample for photos in people.values() for sample in photos], device)

    def _fill(self, shards: Shards, samples: list[Sample], device: torch.device) -> int:
        # Chunks are cut before looking at what is there: features must not depend on where a run was killed.
        chunks = [samples[start : start + _CHUNK] for start in range(0, len(samples), _CHUNK)]
        missing = [chunk for chunk in chunks if not all(self.path(sample).is_file() for sample in chunk)]
        if missing:
            encoders = Encoders(self.base.pipeline(device, unet=None), self.settings)
            with bar() as progress:
                task = progress.add_task("encoding", total=sum(map(len, missing)))
                for chunk in missing:
                    self._encode(chunk, [shards.photo(sample) for sample in chunk], encoders)
                    progress.advance(task, len(chunk))
        self._delete_strays(samples)
        return sum(map(len, missing))

    def ref_dim(self, people: dict[str, list[Sample]]) -> int:
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
        """The rows' features put together, views padded to the longest row."""
        names = ("latents", "keypoints", "prompt_embeds", "pooled_prompt_embeds", "time_ids")
        targets = zip(*(self.read(pick.target, *names) for pick in picks), strict=True)
        views, confidence = map(list, zip(*(self._views(pick.views) for pick in picks), strict=True))
        return Batch(
            **{name: torch.stack(values) for name, values in zip(names, targets, strict=True)},
            image_embeds=torch.stack([self.read(pick.reference, "image_embeds")[0] for pick in picks]),
            view_embeds=torch.nn.utils.rnn.pad_sequence(views, batch_first=True),
            confidence=torch.nn.utils.rnn.pad_sequence(confidence, batch_first=True),
        )

    def _views(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        rows = [self.read(sample, "view_embeds", "confidence") for sample in samples]
        embeds, confidence = zip(*rows, strict=True)
        return torch.stack(embeds), torch.stack(confidence)

    def _encode(self, samples: list[Sample], photos: list[Any], encoders: Encoders) -> None:
        pairs = zip(photos, samples, strict=True)
        cut = [crop_square(photo, sample.keypoints, self.settings.resolution) for photo, sample in pairs]
        squares, keypoints, time_ids = zip(*cut, strict=True)
        prompt_embeds, pooled = encoders.text([sample.caption for sample in samples])
        view_embeds, confidence = encoders.views(photos, [sample.keypoints for sample in samples])
        # Half precision is what SDXL itself runs in, and halves the disk; positions and confidences stay whole.
        columns = {
            "latents": encoders.latents(list(squares)).half(),
            "prompt_embeds": prompt_embeds.half(),
            "pooled_prompt_embeds": pooled.half(),
            "image_embeds": encoders.references(photos).half(),
            "view_embeds": view_embeds.half(),
            "confidence": confidence,
            "keypoints": torch.stack(keypoints),
            "time_ids": torch.stack(time_ids),
        }
        for row, sample in enumerate(samples):
            write_safetensors({name: column[row] for name, column in columns.items()}, self.path(sample))

    def _delete_strays(self, samples: list[Sample]) -> None:
        wanted = {self.path(sample) for sample in samples}
        for file in set(self.folder.glob("*/*.safetensors")) - wanted:
            file.unlink()
        for person in {file.name for file in self.folder.glob("*/")} - {sample.person for sample in samples}:
            shutil.rmtree(self.folder / person)
