"""The dataset's folder: the paths in it, and the lock that one command at a time holds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bolid_data.catalog import Catalog
from bolid_data.errors import BolidError, BusyError
from bolid_data.paths import private_folder, refuse_links, remove
from bolid_data.pending import Pending
from bolid_data.removals import Removal, RemovalFile, Removed, SaltedRemoval, index_removals, removals_of
from bolid_data.store import Store


class Dataset:
    """`catalog.duckdb`, `photos/`, `shards/`, `dataset.lock.json`, … below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalog = Catalog(root / "catalog.duckdb")
        self.store = Store(root / "photos")
        self.shards = root / "shards"
        self.index = root / "shards" / "index.duckdb"
        self.lock = root / "dataset.lock.json"
        self.measurements = root / "measurements.parquet"
        self.pending = Pending(root, self.shards, self.index, self.measurements, self.lock)
        self.removal_file = RemovalFile(root)
        self._remembered: set[Removal | SaltedRemoval] | None = None  # the file's content

    @contextmanager
    def working(self) -> Iterator[None]:
        """Locks the dataset for one command that changes it; the lock ends with the process, however that ends. The
        unfinished work of a killed command is completed or discarded first. Raises BusyError while another command
        holds it."""
        private_folder(self.root)
        try:
            with FileLock(self.root / ".working", blocking=False):
                refuse_links(self.root)
                self.pending.settle()
                yield
        except Timeout:
            raise BusyError(f"{self.root}: another bolid command is using it; wait for it, or stop it") from None

    def settle(self) -> None:
        """Completes or discards the unfinished work of a killed command, before a command that only reads; does nothing
        while another command holds the dataset."""
        if self.pending.folder.exists():
            with suppress(Timeout), FileLock(self.root / ".working", blocking=False):
                refuse_links(self.root)
                self.pending.settle()

    def prepare(self) -> None:
        """Creates or upgrades the catalog, and completes the removals of a killed run: each is recorded in both places,
        and no bytes of opted-out photos remain. Deletes the downloads that it committed.

        Raises BolidError where the key of the removals is missing, or both the catalog and the file of removals.
        """
        self.refuse_unknown_removals()
        self.catalog.create()
        self.removal_file.create()
        in_file, in_catalog = set(self.removal_file.read()), set(self.catalog.consent.removals())
        index_removals(self.root, in_file | in_catalog)
        self.removal_file.append(list(in_catalog - in_file))
        self.catalog.consent.add_removals(list(in_file - in_catalog))
        self._remembered = in_file | in_catalog
        self.discard_opted_out()
        self._discard_committed_downloads()

    def refuse_unknown_removals(self) -> None:
        """Raises BolidError where the removals are unknown: there is a dataset, but neither its catalog nor the file
        that outlives it."""
        lost = not self.catalog.path.exists() and not self.removal_file.path.exists()
        if lost and (self.lock.exists() or next(self.store.files(), None)):
            raise BolidError(
                f"{self.root}: its catalog and {self.removal_file.path.name} are missing, so it is unknown who was "
                "forgotten or opted out; restore the file from a backup or, if nobody was, run `bolid repair "
                "--nobody-removed`"
            )

    def removed(self) -> Removed:
        """The people, photos and addresses that must not come back. Raises BolidError where they are unknown."""
        return index_removals(self.root, [*self.removal_file.read(), *self.catalog.consent.removals()])

    def remember(self, removals: Sequence[Removal | SaltedRemoval]) -> None:
        """Records removals, first in the file, which outlives the catalog."""
        recorded = self._recorded()
        if new := [entry for entry in removals if entry not in recorded]:
            self.removal_file.append(new)
            self.catalog.consent.add_removals(new)
            recorded.update(new)

    def _recorded(self) -> set[Removal | SaltedRemoval]:
        if self._remembered is None:
            self._remembered = set(self.removal_file.read())
        return self._remembered

    def discard_opted_out(self, urls: Sequence[str] | None = None) -> None:
        """Deletes the bytes of opted-out photos, of all or of those from these addresses, and records their removal. A
        new opt-out also deletes the page of `bolid report`, which may show the photo."""
        sha256s, addresses = self.catalog.consent.opted_out(urls)
        if not addresses:
            return
        removals = removals_of(self.root, "opted_out", (), sorted(sha256s), sorted(addresses))
        # Before they are recorded: a command that is killed in between does it again.
        if not self._recorded().issuperset(removals):
            remove(self.root, "report")
        self.remember(removals)
        for sha256 in sha256s:
            self.store.discard(sha256)
        self.store.discard_downloads(addresses)

    def _discard_committed_downloads(self) -> None:
        """Deletes the downloads that are in the catalog: their run was killed between its commit and the deletion."""
        if downloads := self.store.complete_downloads():
            committed = self.catalog.sightings.stored_validators(list(downloads))
            for key, (file, validators) in downloads.items():
                if validators in committed.get(key, ()):
                    file.unlink(missing_ok=True)
