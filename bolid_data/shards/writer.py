"""Writes tars of samples, sorted by person, and hashes them while they are written."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bolid_data.errors import BolidError
from bolid_data.members import extensions

END = bytes(2 * tarfile.BLOCKSIZE)
"""The end-of-archive marker of a tar."""


class Index(Protocol):
    """Gets the rows of the samples of each finished tar."""

    def add(self, table: str, rows: list[dict[str, Any]]) -> None: ...


@dataclass(frozen=True)
class EncodedSample:
    """A sample as it is stored in a tar: the bytes of its members, with headers and padding, and its index row."""

    data: bytes
    row: dict[str, Any]


def member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    """A file as it is stored in a tar: header, content and padding."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    return info.tobuf(tarfile.GNU_FORMAT), content, bytes(-len(content) % tarfile.BLOCKSIZE)


class ShardWriter:
    """Writes samples to `<split>-000000.tar`, …, starting a new tar where a person would not fit whole."""

    def __init__(self, folder: Path, max_size: int, index: Index) -> None:
        self._folder, self._max, self._index = folder, max_size, index
        self._split, self._number, self._person = "", 0, ""
        self._tar: _Tar | None = None
        self._closed: list[dict[str, Any]] = []
        self._members: tuple[str, ...] = ()

    def begin(self, split: str, number: int = 0) -> None:
        """Starts a split; its first tar gets this number. Without effect if it is the current split."""
        if split != self._split:
            self._finish()
            self._split, self._number = split, number

    def add(self, sample: EncodedSample) -> None:
        """Adds a sample; samples come sorted by person. Raises BolidError if its members differ from those of the
        samples before it."""
        self._check_members(sample)
        if self._tar and sample.row["person"] != self._person:
            self._tar.mark()
        self._person = sample.row["person"]
        while self._tar and self._tar.size + len(sample.data) + len(END) > self._max:
            self._start_next()
        self._write(sample)

    def _check_members(self, sample: EncodedSample) -> None:
        """Readers such as Hugging Face `datasets` assume that all samples have the members of the first ones."""
        members = extensions(io.BytesIO(sample.data), sample.row["key"], 0, len(sample.data))
        self._members = self._members or members
        if members != self._members:
            raise BolidError(
                f"sample '{sample.row['key']}' has the members {', '.join(members)}, those before it "
                f"{', '.join(self._members)}; every sample must have the same"
            )

    def close(self) -> list[dict[str, Any]]:
        """Rows of the index's table `shards`."""
        self._finish()
        return self._closed

    def _write(self, sample: EncodedSample) -> None:
        if self._tar is None:
            self._tar = _Tar(self._folder / f"{self._split}-{self._number:06d}.tar", self._split)
        self._tar.add(sample)

    def _start_next(self) -> None:
        """Ends the open tar and moves the current person's samples to the next, unless that person alone fills it."""
        tar = self._tar
        assert tar
        if not tar.marked:
            self._finish()
            return
        self._tar, self._number = None, self._number + 1
        for sample in tar.after_mark():
            self._write(sample)
        self._end(tar)

    def _finish(self) -> None:
        if self._tar:
            self._tar.mark()
            self._end(self._tar)
            self._tar, self._number = None, self._number + 1

    def _end(self, tar: "_Tar") -> None:
        self._closed.append(tar.close())
        self._index.add("samples", tar.rows)


class _Tar:
    """A growing tar. Samples after its mark can still be moved to another tar."""

    def __init__(self, path: Path, split: str) -> None:
        self.name, self.split, self.size = path.name, split, 0
        self.rows: list[dict[str, Any]] = []
        self._file = path.open("w+b")
        self._sha256 = hashlib.sha256()
        self.mark()

    def mark(self) -> None:
        """Commits the samples so far."""
        self.marked, self._marked_rows, self._marked_sha256 = self.size, len(self.rows), self._sha256.copy()

    def add(self, sample: EncodedSample) -> None:
        place = {"split": self.split, "shard": self.name, "offset": self.size, "size": len(sample.data)}
        self._append(sample.data)
        self.rows.append(sample.row | place)

    def after_mark(self) -> Iterator[EncodedSample]:
        for row in self.rows[self._marked_rows :]:
            self._file.seek(row["offset"])
            yield EncodedSample(self._file.read(row["size"]), row)

    def close(self) -> dict[str, Any]:
        """Ends the tar at its mark. Returns its row in the index."""
        self._file.truncate(self.marked)
        self._file.seek(self.marked)
        self.size, self._sha256, self.rows = self.marked, self._marked_sha256, self.rows[: self._marked_rows]
        self._append(END)
        self._file.close()
        entry = {"shard": self.name, "sha256": self._sha256.hexdigest(), "bytes": self.size}
        return entry | {"samples": len(self.rows), "split": self.split}

    def _append(self, data: bytes) -> None:
        self._sha256.update(data)
        self._file.write(data)
        self.size += len(data)
