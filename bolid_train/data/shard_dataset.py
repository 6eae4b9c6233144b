"""A dataset's photos, each read from its shard by one ranged read; `epoch.py` reads whole shards."""

import io
import tarfile
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from bolid_data.errors import BolidError, UsageError
from bolid_data.images import read_upright
from bolid_data.shard_index import SampleRow, ShardIndex
from bolid_train.data.range_reader import open_folder


@dataclass(frozen=True)
class Sample:
    """A photo as described by the index; its files are `size` bytes of the shard, starting at `offset`."""

    key: str
    person: str
    sha256: str
    shard: str
    offset: int
    size: int
    width: int
    height: int
    caption: str
    keypoints: tuple[tuple[float, float, float], ...]  # (17, 3): x, y in pixels of the shard's JPEG, confidence
    captions: tuple[str, ...] = ()  # other captions that it is trained with, besides `caption`

    def with_each_caption(self) -> list["Sample"]:
        """The sample with its caption, then with each of the others."""
        return [self, *(replace(self, caption=caption) for caption in self.captions)]


People = dict[str, list[Sample]]
"""Photos by person."""


class ShardDataset:
    """The dataset's shards, local or in a store that fsspec supports; only the index is kept in memory."""

    def __init__(self, folder: Path | str) -> None:
        """`folder` is a path, or an address such as `s3://bucket/demo/shards`. Raises UsageError if it has no index, an
        index that `bolid shard` does not write, or an address that fsspec cannot open."""
        self.folder = folder
        self._files = open_folder(folder)
        try:
            self.index = ShardIndex(self._files.local("index.duckdb"))
        except FileNotFoundError:
            raise UsageError(f"{folder}/index.duckdb is missing; run `bolid shard` first") from None

    def people(self, split: str, all_captions: bool = False) -> dict[str, list[Sample]]:
        """Samples of a split by person, sorted by person and key; with `all_captions`, those besides the chosen one,
        too.

        Raises BolidError for a sample that ends after its shard.
        """
        people: dict[str, list[Sample]] = defaultdict(list)
        sizes: dict[str, int | None] = {}
        for row in sorted(self.index.samples(split, maps=all_captions), key=itemgetter("key")):
            sample = _sample(row)
            if sample.shard not in sizes:
                sizes[sample.shard] = self._files.size(sample.shard)
            size = sizes[sample.shard]
            if size is not None and sample.offset + sample.size > size:
                raise BolidError(
                    f"{self.folder}/index.duckdb: sample '{sample.key}' ends behind {sample.shard}; {_REPAIR}"
                )
            people[sample.person].append(sample)
        return dict(sorted(people.items()))

    def places(self) -> list[tuple[str, str, str]]:
        """Person, sha256 and split of every sample."""
        return [(row["person"], row["sha256"], row["split"]) for row in self.index.places()]

    def members(self, sample: Sample) -> dict[str, bytes]:
        """The sample's files by extension ('jpg', 'txt', 'json'). Raises BolidError naming the shard and the sample."""
        content = io.BytesIO(self._read(sample))
        try:
            with tarfile.open(fileobj=content, mode="r:") as tar:
                # A link points elsewhere, and a sparse file expands to any length.
                files = {member.name: tar.extractfile(member) for member in tar if _is_plain(member)}
                members = {name: file.read() for name, file in files.items() if file}
        except (OSError, tarfile.TarError, ValueError, OverflowError) as error:
            raise self._unreadable(sample, error) from error
        if f"{sample.key}.jpg" not in members:
            raise self._misplaced(sample)
        return {name.removeprefix(f"{sample.key}."): data for name, data in members.items()}

    def photo(self, sample: Sample) -> Image.Image:
        """The sample's photo, RGB. Raises BolidError naming the shard and the sample."""
        content = self._read(sample)
        # The photo is the first member. tarfile would parse all members, which takes as long as decoding a small photo.
        if content[: len(sample.key) + 5] == f"{sample.key}.jpg\0".encode() and (size := _member_size(content)):
            jpeg = content[tarfile.BLOCKSIZE : tarfile.BLOCKSIZE + size]
        else:  # a long name, which has a header of its own, or damage
            jpeg = self.members(sample)["jpg"]
        return self.decode(sample, jpeg)

    def decode(self, sample: Sample, jpeg: bytes) -> Image.Image:
        """Decodes the sample's JPEG to RGB. Raises BolidError naming the shard and the sample."""
        try:
            return read_upright(jpeg)
        except BolidError as error:
            raise BolidError(f"{self.folder}/{sample.shard}: sample '{sample.key}': {error}; {_REPAIR}") from error

    def open(self, shard: str, size: int) -> AbstractContextManager[BinaryIO]:
        """Opens a shard for reading its first `size` bytes and up to one block beyond; a remote one as a temporary
        copy. Raises OSError or BolidError if it cannot be opened or is too large to copy."""
        return self._files.open(shard, size)

    def _read(self, sample: Sample) -> bytes:
        try:
            return self._files.read(sample.shard, sample.offset, sample.size)
        except (OSError, BolidError) as error:
            raise self._unreadable(sample, error) from error

    def _unreadable(self, sample: Sample, error: Exception) -> BolidError:
        return BolidError(f"{self.folder}/{sample.shard}: sample '{sample.key}' cannot be read ({error}); {_REPAIR}")

    def _misplaced(self, sample: Sample) -> BolidError:
        return BolidError(f"{self.folder}/{sample.shard}: sample '{sample.key}' is not where the index says; {_REPAIR}")


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.isreg() and not member.issparse()


def _member_size(content: bytes) -> int:
    """Bytes of the first member, by its header; 0 if the header has no octal size."""
    try:
        return int(content[124:135], 8)
    except ValueError:
        return 0


_REPAIR = "`bolid verify` lists what is damaged, `bolid shard` writes it again"


_FIELDS = {field.name for field in fields(Sample)}


def _sample(row: SampleRow) -> Sample:
    values: dict[str, Any] = {name: value for name, value in row.items() if name in _FIELDS}
    caption = row["caption"] or ""
    others = {text for text in (row.get("captions") or {}).values() if text and text != caption}
    return Sample(
        **values | {"caption": caption, "keypoints": row["keypoints"] or (), "captions": tuple(sorted(others))}
    )
