"""The manifest as a file that the page may change: single keys, with comments and order kept."""

import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from bolid_data.atomic_io import atomic_write
from bolid_data.errors import ManifestError, UsageError
from bolid_data.manifest import Manifest

Load = Callable[[Path], Manifest]


class ManifestFile:
    """`packaged`: it came with BoLID, and cannot be changed."""

    def __init__(self, path: Path, load: Load, packaged: bool = False) -> None:
        self.path, self.packaged = path, packaged
        self._load, self._lock = load, threading.Lock()
        self._loaded, self._read = load(path), self._time()

    def current(self) -> Manifest:
        """The manifest as it is now: its file may have been edited. Raises UsageError as `manifest.load`."""
        with self._lock:
            if (now := self._time()) != self._read:
                self._loaded, self._read = self._load(self.path), now
            return self._loaded

    def set(self, table: str, values: Mapping[str, Any]) -> Manifest:
        """Sets keys of a table, and takes those out whose value is None. The file is replaced in one step, after the
        new one was checked. Raises UsageError for values that a manifest may not have, and for one that comes with
        BoLID."""
        if self.packaged:
            raise UsageError(
                f"{self.path.name} comes with BoLID and cannot be changed; copy it, and review the copy with the same "
                "--data"
            )
        real = self.path.resolve()  # the file, not a link to it, is replaced
        try:
            document = tomlkit.parse(real.read_bytes().decode("utf-8-sig"))
            section: Any = document.get(table)
            if section is None:
                section = tomlkit.table()
                document[table] = section
            for key, value in values.items():
                if value is not None:
                    section[key] = value
                else:
                    with suppress(KeyError, TOMLKitError):
                        section.remove(key)
        except (OSError, ValueError, TOMLKitError, TypeError, AttributeError) as error:
            raise UsageError(f"{self.path}: cannot be edited ({error}); change it by hand") from None
        with atomic_write(real) as partial:
            partial.write_bytes(tomlkit.dumps(document).encode())
            shutil.copymode(real, partial)
            try:
                self._load(partial)
            except ManifestError as error:
                raise ManifestError([text.replace(str(partial), str(self.path)) for text in error.mistakes]) from None
        return self.current()

    def _time(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except OSError:
            return 0, 0  # `load` says what is wrong
        return status.st_mtime_ns, status.st_size
