"""The photos of the people in a dataset, read from its shards: one ranged read a photo."""

import io
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from duckdb import ColumnExpression, ConstantExpression, Expression
from PIL import Image

from bolid_data.errors import BolidError, UsageError
from bolid_data.images import read_upright
from bolid_train.ranged import open_folder

_COLUMNS = ("key", "person", "sha256", "shard", "offset", "size", "width", "height", "caption", "keypoints")


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
        or such addresses cannot be read here."""
        self.folder = folder
        self._files = open_folder(folder)
        try:
            self._index = self._files.local("index.duckdb")
        except FileNotFoundError:
            raise UsageError(f"{folder}/index.duckdb is missing; run `bolid shard` first") from None

    def people(self, split: str) -> dict[str, list[Sample]]:
        """Samples of a split by person; people and samples in the order of their names and keys."""
        people: dict[str, list[Sample]] = defaultdict(list)
        for row in sorted(self._rows(split)):
            fields = dict(zip(_COLUMNS, row, strict=True))
            sample = Sample(**fields | {"caption": row[-2] or "", "keypoints": _points(row[-1])})
            people[sample.person].append(sample)
        return dict(sorted(people.items()))

    def places(self) -> list[tuple[str, str, str]]:
        """Person, sha256 and split of every sample."""
        return self._select(("person", "sha256", "split"), ConstantExpression(True))

    def _rows(self, split: str) -> list[tuple]:
        return self._select(_COLUMNS, ColumnExpression("split") == ConstantExpression(split))

    def _select(self, columns: Sequence[str], condition: Expression) -> list[tuple]:
        try:
            with duckdb.connect(self._index, read_only=True) as index:
                chosen = index.table("samples").filter(condition)
                return chosen.select(*(ColumnExpression(column) for column in columns)).fetchall()
        except duckdb.Error as error:
            raise BolidError(
                f"{self.folder}/index.duckdb cannot be read ({_first_line(error)}); run `bolid shard` again"
            ) from error

    def members(self, sample: Sample) -> dict[str, bytes]:
        """The sample's files by extension ('jpg', 'txt', 'json'). Raises BolidError naming the shard and the sample."""
        piece = io.BytesIO(self._read(sample))
        try:
            with tarfile.open(fileobj=piece, mode="r:") as tar:
                files = {member.name: tar.extractfile(member) for member in tar}
                found = {name: file.read() for name, file in files.items() if file}
        except (OSError, tarfile.TarError) as error:
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
        try:
            return read_upright(content)
        except BolidError as error:
            raise BolidError(f"{self.folder}/{sample.shard}: sample '{sample.key}': {error}; {_REPAIR}") from error

    def _read(self, sample: Sample) -> bytes:
        try:
            return self._files.read(sample.shard, sample.offset, sample.size)
        except OSError as error:
            raise self._unreadable(sample, error) from error

    def _unreadable(self, sample: Sample, error: Exception) -> BolidError:
        return BolidError(f"{self.folder}/{sample.shard}: sample '{sample.key}' cannot be read ({error}); {_REPAIR}")

    def _misplaced(self, sample: Sample) -> BolidError:
        return BolidError(f"{self.folder}/{sample.shard}: sample '{sample.key}' is not where the index says; {_REPAIR}")


def _size(piece: bytes) -> int:
    """Bytes of a member, by its header; 0 where the header does not say."""
    try:
        return int(piece[124:135], 8)
    except ValueError:
        return 0


_REPAIR = "`bolid verify` lists what is damaged, `bolid shard` writes it again"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _points(rows: object) -> tuple[tuple[float, float, float], ...]:
    return () if rows is None else tuple((x, y, c) for x, y, c in np.asarray(rows, dtype=float).tolist())
