"""Ranged reads of a folder's files, local or in any store that fsspec supports (S3, HTTP, memory …)."""

import errno
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import BinaryIO, Protocol

from bolid_data.errors import UsageError
from bolid_data.paths import regular_file

_MAX_OPEN_FILES = 64
"""Files kept open; with more shards, the least recently used one is closed."""

_CHUNK = 16 << 20
_MAX_COPY = 1 << 30
"""Bytes of a remote file that may be copied to this machine: the folder of temporary files may be in memory."""


class Folder(Protocol):
    def read(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes of a file from `offset`, fewer at its end. Raises OSError."""

    def open(self, name: str, size: int) -> AbstractContextManager[BinaryIO]:
        """A file to be read from its beginning: `size` bytes, and up to one block beyond. Raises OSError."""

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if it is missing or its size would cost a request."""

    def local(self, name: str) -> Path:
        """The path of a local copy of the file. Raises FileNotFoundError."""


def open_folder(folder: Path | str) -> Folder:
    """Raises UsageError for an address that fsspec cannot open."""
    return _Remote(folder) if isinstance(folder, str) and "://" in folder else _Local(Path(folder))


class _Local:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, name: str, offset: int, size: int) -> bytes:
        with self._lock:
            if name not in self._open:
                self._open[name] = os.open(regular_file(self._folder, name), os.O_RDONLY)
            self._open.move_to_end(name)
            if len(self._open) > _MAX_OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            return os.pread(self._open[name], size, offset)

    def open(self, name: str, size: int) -> AbstractContextManager[BinaryIO]:
        return regular_file(self._folder, name).open("rb")

    def size(self, name: str) -> int | None:
        return regular_file(self._folder, name).stat().st_size if (self._folder / name).exists() else None

    def local(self, name: str) -> Path:
        path = self._folder / name
        if not path.is_file():
            raise FileNotFoundError(path)
        return path

    def __del__(self) -> None:
        for file in self._open.values():
            os.close(file)


class _Remote:
    def __init__(self, folder: str) -> None:
        import fsspec

        try:
            self._store, self._path = fsspec.core.url_to_fs(folder)
        except (ImportError, ValueError) as error:
            raise UsageError(f"{folder}: {error}; for S3 run `pip install 'bolid[s3]'`") from error
        self._copies = tempfile.TemporaryDirectory(prefix="bolid-")

    def read(self, name: str, offset: int, size: int) -> bytes:
        return self._store.cat_file(f"{self._path}/{name}", start=offset, end=offset + size)

    @contextmanager
    def open(self, name: str, size: int) -> Iterator[BinaryIO]:
        if size > _MAX_COPY:
            raise OSError(errno.EFBIG, "too large to be copied", name)
        with tempfile.TemporaryFile(dir=self._copies.name) as copy:  # unnamed, so that a killed process leaves nothing
            for start in range(0, size + BLOCKSIZE, _CHUNK):
                copy.write(self.read(name, start, min(_CHUNK, size + BLOCKSIZE - start)))
            copy.seek(0)
            yield copy

    def size(self, name: str) -> int | None:
        return None

    def local(self, name: str) -> Path:
        copy = Path(self._copies.name) / name
        self._store.get_file(f"{self._path}/{name}", str(copy))
        return copy
