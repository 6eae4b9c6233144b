"""Tars of samples, one person's together, hashed while they are written."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bolid_data.catalog import IndexWriter
from bolid_data.errors import BolidError
from bolid_data.members import extensions

END = bytes(2 * tarfile.BLOCKSIZE)
"""What closes a tar."""


@dataclass(frozen=True)
class Sample:
    """One photo as it stands in a tar: its members' bytes, headers and padding included, and its index row."""

    data: bytes
    row: dict[str, Any]


def member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    """A file as it stands in a tar: header, content and padding."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    return info.tobuf(tarfile.GNU_FORMAT), content, bytes(-len(content) % tarfile.BLOCKSIZE)


class ShardWriter:
    """Writes samples to `<split>-000000.tar`, …, starting a new tar where a person would not fit whole."""

    def __init__(self, folder: Path, max_size: int, index: IndexWriter) -> None:
        self._folder, self._max, self._index = folder, max_size, index
        self._split, self._number, self._person = "", 0, ""
        self._tar: _Tar | None = None
        self._done: list[dict[str, Any]] = []
        self._members: tuple[str, ...] = ()

    def begin(self, split: str, number: int = 0) -> None:
        """The samples that follow are of this split; where it is another one, its first tar has this number."""
        if split != self._split:
            self._finish()
            self._split, self._number = split, number

    def add(self, sample: Sample) -> None:
        """Adds a sample; those of one person follow each other. Raises BolidError for one whose members are not those
        of the samples before it."""
        self._check_members(sample)
        if self._tar and sample.row["person"] != self._person:
            self._tar.mark()
        self._person = sample.row["person"]
        while self._tar and self._tar.size + len(sample.data) + len(END) > self._max:
            self._start_next()
        self._write(sample)

    def _check_members(self, sample: Sample) -> None:
        """Readers such as Hugging Face `datasets` take the members of the first samples for those of all."""
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
        return self._done

    def _write(self, sample: Sample) -> None:
        if self._tar is None:
            self._tar = _Tar(self._folder / f"{self._split}-{self._number:06d}.tar", self._split)
        self._tar.add(sample)

    def _start_next(self) -> None:
        """Ends the open tar; what it has of the open person begins the next, unless that person alone fills it."""
        tar = self._tar
        assert tar
        if not tar.marked:
            self._finish()
            return
        self._tar, self._number = None, self._number + 1
        for sample in tar.behind_mark():
            self._write(sample)
        self._end(tar)

    def _finish(self) -> None:
        if self._tar:
            self._tar.mark()
            self._end(self._tar)
            self._tar, self._number = None, self._number + 1

    def _end(self, tar: "_Tar") -> None:
        self._done.append(tar.close())
        self._index.add("samples", tar.rows)


class _Tar:
    """A tar that grows. What stands behind its mark can still go elsewhere."""

    def __init__(self, path: Path, split: str) -> None:
        self.name, self.split, self.size = path.name, split, 0
        self.rows: list[dict[str, Any]] = []
        self._file = path.open("w+b")
        self._sha256 = hashlib.sha256()
        self.mark()

    def mark(self) -> None:
        """What is there by now stays."""
        self.marked, self._marked_rows, self._marked_sha256 = self.size, len(self.rows), self._sha256.copy()

    def add(self, sample: Sample) -> None:
        place = {"split": self.split, "shard": self.name, "offset": self.size, "size": len(sample.data)}
        self._append(sample.data)
        self.rows.append(sample.row | place)

    def behind_mark(self) -> Iterator[Sample]:
        for row in self.rows[self._marked_rows :]:
            self._file.seek(row["offset"])
            yield Sample(self._file.read(row["size"]), row)

    def close(self) -> dict[str, Any]:
        """Ends the tar at its mark. Returns its row of the index."""
        self._file.truncate(self.marked)
        self._file.seek(self.marked)
        self.size, self._sha256, self.rows = self.marked, self._marked_sha256, self.rows[: self._marked_rows]
        self._append(END)
        self._file.close()
        facts = {"shard": self.name, "sha256": self._sha256.hexdigest(), "bytes": self.size}
        return facts | {"samples": len(self.rows), "split": self.split}

    def _append(self, data: bytes) -> None:
        self._sha256.update(data)
        self._file.write(data)
        self.size += len(data)
