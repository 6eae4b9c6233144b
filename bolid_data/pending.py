"""A dataset's new shards, index, measurements and lock: written aside, and put in place together.

`shards/.new/` holds them until its own `dataset.lock.json` is there, which is written last. Up to then the old ones are
valid, and what was written aside is swept by the next command. From then on the new ones are, and only renames are left
to do, which the next command completes after a kill.
"""

import shutil
from pathlib import Path

from bolid_data.atomic_io import make_folder, sync, sync_tree
from bolid_data.errors import BolidError
from bolid_data.lockfile import own_lock
from bolid_data.paths import inside, remove

NEW = ".new"


class Pending:
    def __init__(self, root: Path, shards: Path, index: Path, measurements: Path, lock: Path) -> None:
        self._root, self._shards = root, shards
        self.folder = shards / NEW
        self.index, self.measurements, self.lock = (self.folder / file.name for file in (index, measurements, lock))
        self._places = {self.index: index, self.measurements: measurements}
        self._lock_place = lock

    def begin(self) -> Path:
        """Makes the folder anew."""
        self.discard()
        make_folder(self.folder)
        return self.folder

    def discard(self) -> None:
        remove(self._shards, NEW)

    def sync(self) -> None:
        """To be called before the lock is written among the files: from then on they count."""
        sync_tree(self.folder)

    def settle(self) -> bool:
        """Puts new files in place of the old ones where all of them are there, else sweeps them. Returns whether they
        were. Killed, it can be called again."""
        if not self.folder.exists():
            return False
        folder = inside(self._shards, NEW)
        try:
            lock = own_lock(folder / self.lock.name)
        except (FileNotFoundError, BolidError):
            lock = None
        if lock is None:
            self.discard()
            return False
        pinned = {entry["shard"] for entry in lock["shards"]}
        for name in sorted(pinned):
            if (folder / name).exists():  # others stayed where they are, or were moved before a kill
                (folder / name).replace(self._shards / name)
        for file, place in self._places.items():
            if file.exists():
                file.replace(place)
        for file in (*self._shards.glob("*.tar"), *self._shards.glob(f"{self.index.name}.*")):
            if file.name not in pinned:
                file.unlink()
        for parent in (self._shards, self._root):
            sync(parent)
        self.lock.replace(self._lock_place)
        sync(self._root)
        shutil.rmtree(folder)
        return True
