"""A power loss, simulated: a process is killed, and of its folder only what it had synced is left.

The model is harsher than any file system: a file has the bytes of its last fsync, or none; a folder lists what it did
at its own last fsync, so names that were added, renamed or removed since are as they were. DuckDB syncs its files
itself, from C++, so those are as the kill left them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

RECORDED = """
import json, os, signal, stat, sys
journal, limit, count, really = sys.argv[1], int(sys.argv[2]), 0, os.fsync

def fsync(descriptor):
    global count
    really(descriptor)
    state = os.fstat(descriptor)
    if stat.S_ISDIR(state.st_mode):
        names = {name: os.stat(name, dir_fd=descriptor, follow_symlinks=False) for name in os.listdir(descriptor)}
        listing = {name: [entry.st_ino, stat.S_ISDIR(entry.st_mode)] for name, entry in names.items()}
        with open(f"{journal}/folder-{state.st_ino}", "w") as file:
            json.dump(listing, file)
    else:
        with open(f"/proc/self/fd/{descriptor}", "rb") as source, open(f"{journal}/file-{state.st_ino}", "wb") as file:
            file.write(source.read())
        if not os.path.exists(f"{journal}/keep-{state.st_ino}"):  # so that the number is not given to another file
            os.link(os.readlink(f"/proc/self/fd/{descriptor}"), f"{journal}/keep-{state.st_ino}")
    count += 1
    if count == limit:
        os.kill(os.getpid(), signal.SIGKILL)

os.fsync = fsync
sys.argv = sys.argv[2:]
"""

ITS_OWN_SYNC = (".duckdb", ".duckdb.wal")


def run(script: str, root: Path, syncs: int = 0) -> int:
    """Runs a Python script that changes `root` (its argv[1]), pulls the plug right after so many syncs, or at its end,
    and leaves in `root` what survives. Returns how often it had synced by then."""
    with tempfile.TemporaryDirectory(dir=root.parent) as work:
        journal = Path(work) / "journal"
        before = _Before(root, Path(work))
        journal.mkdir()
        command = [sys.executable, "-c", RECORDED + script + "\nprint(count)", str(journal), str(syncs), str(root)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == (-signal.SIGKILL if syncs else 0), done.stderr
        survivors = Path(work) / "survivors"
        _rebuild(root, root.stat().st_ino, survivors, journal, before)
        shutil.rmtree(root)
        survivors.rename(root)
        return syncs or int(done.stdout.splitlines()[-1])


class _Before:
    """What a folder held, all of it synced."""

    def __init__(self, root: Path, work: Path) -> None:
        self.folders: dict[int, dict[str, list[int | bool]]] = {}
        self.files: dict[int, Path] = {}
        kept = work / "before"
        kept.mkdir()
        for parent, folders, names in os.walk(root):
            listing: dict[str, list[int | bool]] = {}
            for name in (*folders, *names):
                state = os.lstat(os.path.join(parent, name))  # noqa: PTH118
                listing[name] = [state.st_ino, name in folders]
                if name in names:
                    self.files[state.st_ino] = kept / str(state.st_ino)
                    shutil.copyfile(Path(parent, name), self.files[state.st_ino])
                    os.link(Path(parent, name), kept / f"keep-{state.st_ino}")
            self.folders[os.stat(parent).st_ino] = listing  # noqa: PTH116


def _rebuild(now: Path, inode: int, to: Path, journal: Path, before: _Before) -> None:
    """Makes the folder `to` of what survives of a folder that is now at `now`, if it is anywhere."""
    to.mkdir()
    synced = journal / f"folder-{inode}"
    listing = json.loads(synced.read_text()) if synced.exists() else before.folders.get(inode, {})
    present = {path.name: path.stat().st_ino for path in now.iterdir()} if now.is_dir() else {}
    databases = {name: number for name, number in present.items() if name.endswith(ITS_OWN_SYNC)}
    listing = {name: entry for name, entry in listing.items() if not name.endswith(".wal") or name in databases}
    listing = {name: [number, False] for name, number in databases.items()} | listing
    for name, (number, is_folder) in listing.items():
        if is_folder:
            place = next((now / other for other, held in present.items() if held == number), now / name)
            _rebuild(place, number, to / name, journal, before)
            continue
        synced_file = journal / f"file-{number}"
        if databases.get(name) == number:
            shutil.copyfile(now / name, to / name)
        elif synced_file.exists():
            shutil.copyfile(synced_file, to / name)
        elif number in before.files:
            shutil.copyfile(before.files[number], to / name)
        else:
            (to / name).touch()
        os.utime(to / name, (1, 1))  # written before the machine was started again
