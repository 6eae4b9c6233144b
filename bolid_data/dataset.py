"""The dataset's folder: where everything of one dataset lies, and who may work on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bolid_data.catalog import Catalog
from bolid_data.errors import BolidError
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

    @contextmanager
    def working(self) -> Iterator[None]:
        """Holds the dataset for one command that changes it; the hold ends with the process, however it ends."""
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root / ".working", blocking=False):
                yield
        except Timeout:
            raise BolidError(f"{self.root}: another bolid command works on it; wait for it, or stop it") from None
