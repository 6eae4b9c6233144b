"""The dataset's folder: where everything of one dataset lies, and who may work on it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bolid_data.catalog import Catalog
from bolid_data.errors import BolidError
from bolid_data.paths import private_folder, refuse_links
from bolid_data.pending import Pending
from bolid_data.removals import Removal, RemovalFile, Removed, SaltedRemoval, look_up, removals_of
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
        self._remembered: set[Removal | SaltedRemoval] | None = None  # what stands in the file

    @contextmanager
    def working(self) -> Iterator[None]:
        """Holds the dataset for one command that changes it; the hold ends with the process, however it ends. What a
        killed command left half done is completed or swept first."""
        private_folder(self.root)
        try:
            with FileLock(self.root / ".working", blocking=False):
                refuse_links(self.root)
                self.pending.settle()
                yield
        except Timeout:
            raise BolidError(f"{self.root}: another bolid command works on it; wait for it, or stop it") from None

    def settle(self) -> None:
        """Completes or sweeps what a killed command left half done, for a command that only reads; not while another
        one works."""
        if self.pending.folder.exists():
            with suppress(Timeout), FileLock(self.root / ".working", blocking=False):
                refuse_links(self.root)
                self.pending.settle()

    def prepare(self) -> None:
        """Makes the catalog, or brings one of an earlier version up to date, and completes what a killed run had left
        of consent: every removal stands in both places, and of what is opted out no bytes are left.

        Raises BolidError where the key of removals is missing, and where both the catalog and the file of removals are.
        """
        self.refuse_unknown_removals()
        self.catalog.create()
        self.removal_file.create()
        in_file, in_catalog = set(self.removal_file.read()), set(self.catalog.consent.removals())
        look_up(self.root, in_file | in_catalog)
        self.removal_file.append(list(in_catalog - in_file))
        self.catalog.consent.add_removals(list(in_file - in_catalog))
        self._remembered = in_file | in_catalog
        self.discard_opted_out()

    def refuse_unknown_removals(self) -> None:
        """Raises BolidError where nothing can tell who must not come back: a dataset lies here, its catalog does not,
        and neither does the file that outlives it."""
        lost = not self.catalog.path.exists() and not self.removal_file.path.exists()
        if lost and (self.lock.exists() or next(self.store.files(), None)):
            raise BolidError(
                f"{self.root}: its catalog and {self.removal_file.path.name} are missing, so nobody can tell who was "
                "forgotten or opted out; restore the file from a backup, or, where nobody was, run `bolid repair "
                "--nobody-removed`"
            )

    def removed(self) -> Removed:
        """Who and what must not come back. Raises BolidError where that cannot be told."""
        return look_up(self.root, [*self.removal_file.read(), *self.catalog.consent.removals()])

    def remember(self, removals: Sequence[Removal | SaltedRemoval]) -> None:
        """Writes removals down, in the file first: it outlives the catalog."""
        if self._remembered is None:
            self._remembered = set(self.removal_file.read())
        if new := [entry for entry in removals if entry not in self._remembered]:
            self.removal_file.append(new)
            self.catalog.consent.add_removals(new)
            self._remembered.update(new)

    def discard_opted_out(self, urls: Sequence[str] | None = None) -> None:
        """Deletes the bytes of photos that are opted out, of all or from these addresses, and remembers them."""
        sha256s, addresses = self.catalog.consent.opted_out(urls)
        if not addresses:
            return
        self.remember(removals_of(self.root, "opted_out", (), sorted(sha256s), sorted(addresses)))
        for sha256 in sha256s:
            self.store.discard(sha256)
        self.store.discard_downloads(addresses)
