"""A dataset's photos, each read from its shard by one ranged read; `epoch.py` reads whole shards."""

import io
import tarfile
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
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
    """One photo as the index describes it; its bytes are `size` bytes of the shard, from `offset` on."""

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


People = dict[str, list[Sample]]
"""Photos by person."""


class Shards:
    """The dataset's shards, on this machine or in a store that fsspec reaches; only the index is held here."""

    def __init__(self, folder: Path | str) -> None:
        """`folder` is a path, or an address such as `s3://bucket/demo/shards`. Raises UsageError when it has no index,
        one that `bolid shard` does not write, or such addresses cannot be read here."""
        self.folder = folder
        self._files = open_folder(folder)
        try:
            self.index = ShardIndex(self._files.local("index.duckdb"))
        except FileNotFoundError:
            raise UsageError(f"{folder}/index.duckdb is missing; run `bolid shard` first") from None

    def people(self, split: str) -> dict[str, list[Sample]]:
        """Samples of a split by person; people and samples in the order of their names and keys.

        Raises BolidError for a sample that does not lie in its shard.
        """
        people: dict[str, list[Sample]] = defaultdict(list)
        sizes: dict[str, int | None] = {}
        for row in sorted(self.index.samples(split, maps=False), key=itemgetter("key")):
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
        piece = io.BytesIO(self._read(sample))
        try:
            with tarfile.open(fileobj=piece, mode="r:") as tar:
                # A link leads elsewhere, and a sparse file unpacks to any length.
                files = {member.name: tar.extractfile(member) for member in tar if _is_plain(member)}
                found = {name: file.read() for name, file in files.items() if file}
        except (OSError, tarfile.TarError, ValueError, OverflowError) as error:
            raise self._unreadable(sample, error) from error
        if f"{sample.key}.jpg" not in found:
            raise self._misplaced(sample)
        return {name.removeprefix(f"{sample.key}."): content for name, content in found.items()}

    def photo(self, sample: Sample) -> Image.Image:
        """The sample's photo, RGB. Raises BolidError naming the shard and the sample."""
        piece = self._read(sample)
        # Its first member is the photo; tarfile would go through all of them, in as long as a small one is decoded in.
        if piece[: len(sample.key) + 5] == f"{sample.key}.jpg\0".encode() and (size := _size(piece)):
            content = piece[tarfile.BLOCKSIZE : tarfile.BLOCKSIZE + size]
        else:  # a name so long that it stands elsewhere, or damage
            content = self.members(sample)["jpg"]
        return self.decode(sample, content)

    def decode(self, sample: Sample, jpeg: bytes) -> Image.Image:
        """The sample's photo, RGB, from its JPEG. Raises BolidError naming the shard and the sample."""
        try:
            return read_upright(jpeg)
        except BolidError as error:
            raise BolidError(f"{self.folder}/{sample.shard}: sample '{sample.key}': {error}; {_REPAIR}") from error

    def open(self, shard: str, size: int) -> AbstractContextManager[BinaryIO]:
        """The first `size` bytes of a shard, and what is behind them; of one in a store, a copy that lasts as long as
        it is open. Raises OSError or BolidError for one that cannot be opened, or is too large to copy."""
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


def _size(piece: bytes) -> int:
    """Bytes of a member, by its header; 0 where the header does not say."""
    try:
        return int(piece[124:135], 8)
    except ValueError:
        return 0


_REPAIR = "`bolid verify` lists what is damaged, `bolid shard` writes it again"


_FIELDS = {field.name for field in fields(Sample)}


def _sample(row: SampleRow) -> Sample:
    chosen: dict[str, Any] = {name: value for name, value in row.items() if name in _FIELDS}
    return Sample(**chosen | {"caption": row["caption"] or "", "keypoints": row["keypoints"] or ()})
