"""Photos in the catalog whose bytes were lost: the file is missing, truncated, or holds other bytes.

Their verdicts are out as `broken`, and their sightings count as failed, so that the next `bolid scrape` fetches them
again. Their measurements and captions stay, and are valid again once the bytes are back.
"""

from collections.abc import Mapping
from itertools import groupby

from bolid_data.catalog import Catalog
from bolid_data.dataset import Dataset
from bolid_data.progress import note
from bolid_data.store import CHANGED, MISSING, Store
from bolid_data.words import counted

MAX_SHOWN = 3
_BATCH = 20_000


def record_lost(catalog: Catalog, store: Store, problems: Mapping[str, str]) -> None:
    """Records lost photos, with the problem by sha256, and sets their damaged files aside."""
    if problems:
        catalog.sightings.record_lost(problems)
        for sha256 in problems:
            store.set_aside(sha256)


def note_lost(command: str, problems: Mapping[str, str]) -> None:
    """Notes how many photos were lost, and names the first."""
    for sha256, problem in list(problems.items())[:MAX_SHOWN]:
        note(f"{command}: photo {sha256}: {problem}")
    if problems:
        again = "fetched again" if command in ("scrape", "rebuild") else "`bolid scrape` fetches them again"
        lost = counted(len(problems), "photo lost its bytes", "photos lost their bytes")
        note(f"{command}: {lost}: {again}")


def find_lost(dataset: Dataset) -> dict[str, str]:
    """Records the photos whose files are missing or of another size; no file is read. Returns the problems by
    sha256."""
    problems: dict[str, str] = {}
    after = ""
    while photos := dataset.catalog.sightings.stored_photos(after, _BATCH):
        for shelf, on_shelf in groupby(photos, key=lambda photo: photo[0][:2]):
            sizes = dataset.store.sizes(shelf)
            for sha256, size in on_shelf:
                if sizes.get(sha256) != size:
                    problems[sha256] = CHANGED if sha256 in sizes else MISSING
        after = photos[-1][0]
    record_lost(dataset.catalog, dataset.store, problems)
    return problems
