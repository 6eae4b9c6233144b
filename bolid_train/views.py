"""The photos of the people in a dataset, read from its shards: one ranged read a photo."""

import io
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from duckdb import ColumnExpression, ConstantExpression
from PIL import Image

from bolid_data.errors import BolidError, UsageError
from bolid_data.images import read_upright

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


class Shards:
    """The dataset's shards; only the index is held in memory."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError when `folder` has no index."""
        self.folder = folder
        if not (folder / "index.duckdb").is_file():
            raise UsageError(f"{folder / 'index.duckdb'} is missing; run `bolid shard` first")

    def people(self, split: str) -> dict[str, list[Sample]]:
        """Samples of a split by person; people and samples in the order of their names and keys."""
        people: dict[str, list[Sample]] = defaultdict(list)
        for row in sorted(self._rows(split)):
            fields = dict(zip(_COLUMNS, row, strict=True))
            sample = Sample(**fields | {"caption": row[-2] or "", "keypoints": _points(row[-1])})
            people[sample.person].append(sample)
        return dict(sorted(people.items()))

    def _rows(self, split: str) -> list[tuple]:
        try:
            with duckdb.connect(self.folder / "index.duckdb", read_only=True) as index:
                chosen = index.table("samples").filter(ColumnExpression("split") == ConstantExpression(split))
                return chosen.select(*(ColumnExpression(column) for column in _COLUMNS)).fetchall()
        except duckdb.Error as error:
            raise BolidError(
                f"{self.folder / 'index.duckdb'} cannot be read ({_first_line(error)}); run `bolid shard` again"
            ) from error

    def members(self, sample: Sample) -> dict[str, bytes]:
        """The sample's files by extension ('jpg', 'txt', 'json'). Raises BolidError naming the shard and the sample."""
        path = self.folder / sample.shard
        try:
            with path.open("rb") as shard:
                shard.seek(sample.offset)
                piece = io.BytesIO(shard.read(sample.size))
            with tarfile.open(fileobj=piece, mode="r:") as tar:
                files = {member.name: tar.extractfile(member) for member in tar}
                found = {name: file.read() for name, file in files.items() if file}
        except (OSError, tarfile.TarError) as error:
            raise BolidError(f"{path}: sample '{sample.key}' cannot be read ({error}); {_REPAIR}") from error
        if f"{sample.key}.jpg" not in found:
            raise BolidError(f"{path}: sample '{sample.key}' is not where the index says; {_REPAIR}")
        return {name.removeprefix(f"{sample.key}."): content for name, content in found.items()}

    def photo(self, sample: Sample) -> Image.Image:
        """The sample's photo, RGB. Raises BolidError naming the shard and the sample."""
        content = self.members(sample)["jpg"]
        try:
            return read_upright(content)
        except BolidError as error:
            raise BolidError(f"{self.folder / sample.shard}: sample '{sample.key}': {error}; {_REPAIR}") from error


_REPAIR = "`bolid verify` lists what is damaged, `bolid shard` writes it again"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _points(rows: object) -> tuple[tuple[float, float, float], ...]:
    return () if rows is None else tuple((x, y, c) for x, y, c in np.asarray(rows, dtype=float).tolist())
