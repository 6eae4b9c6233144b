"""A dataset's new shards, index, measurements and lock: written to a separate folder, and put in place together.

They are in `shards/.new/`, and its `dataset.lock.json` is written last. Until then, the old files are valid, and the
next command discards unfinished new ones. From then on, the new files are valid, and only renames remain, which the
next command completes after a kill.
"""

import shutil
from pathlib import Path

from bolid_data.atomic_io import make_folder, sync, sync_tree
from bolid_data.errors import BolidError
from bolid_data.lockfile import local_lock
from bolid_data.paths import inside, remove

NEW = ".new"


class Pending:
    def __init__(self, root: Path, shards: Path, index: Path, measurements: Path, lock: Path) -> None:
        self._root, self._shards = root, shards
        self.folder = shards / NEW
        self.index, self.measurements, self.lock = (self.folder / file.name for file in (index, measurements, lock))
        self._targets = {self.index: index, self.measurements: measurements}
        self._lock_target = lock

    def begin(self) -> Path:
        """Creates an empty folder."""
        self.discard()
        make_folder(self.folder)
        return self.folder

    def discard(self) -> None:
        remove(self._shards, NEW)

    def sync(self) -> None:
        """Syncs the files. Call it before writing the lock, which makes them valid."""
        sync_tree(self.folder)

    def settle(self) -> bool:
        """Replaces the old files by the new ones if they are complete, or discards them. Returns whether they were
        complete. After a kill, it can be called again."""
        if not self.folder.exists():
            return False
        folder = inside(self._shards, NEW)
        try:
            lock = local_lock(folder / self.lock.name)
        except (FileNotFoundError, BolidError):
            lock = None
        if lock is None:
            self.discard()
            return False
        locked = {entry["shard"] for entry in lock["shards"]}
        for name in sorted(locked):
            if (folder / name).exists():  # others are unchanged, or were moved before a kill
                (folder / name).replace(self._shards / name)
        for file, target in self._targets.items():
            if file.exists():
                file.replace(target)
        for file in (*self._shards.glob("*.tar"), *self._shards.glob(f"{self.index.name}.*")):
            if file.name not in locked:
                file.unlink()
        for parent in (self._shards, self._root):
            sync(parent)
        self.lock.replace(self._lock_target)
        sync(self._root)
        shutil.rmtree(folder)
        return True
