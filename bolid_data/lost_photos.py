"""Photos that the catalog vouches for and whose bytes were lost: a file is missing, was cut, or holds other bytes.

They are out of the verdicts as `broken`, and their sightings count as failed, so that the next `bolid scrape` fetches
them again. What was measured and captioned of their bytes stays: it holds again once they are back.
"""

from collections.abc import Mapping
from itertools import groupby

from bolid_data.catalog import Catalog
from bolid_data.dataset import Dataset
from bolid_data.progress import note
from bolid_data.store import CHANGED, MISSING, Store

SHOWN = 3
_TOGETHER = 20_000


def record_lost(catalog: Catalog, store: Store, problems: Mapping[str, str]) -> None:
    """Records what is wrong with photos, by sha256, and sets aside what lies in their place."""
    if problems:
        catalog.sightings.record_lost(problems)
        for sha256 in problems:
            store.set_aside(sha256)


def note_lost(command: str, problems: Mapping[str, str]) -> None:
    """Says which photos were lost, as far as there is room."""
    for sha256, problem in list(problems.items())[:SHOWN]:
        note(f"{command}: photo {sha256}: {problem}")
    if problems:
        again = "fetched again" if command in ("scrape", "rebuild") else "`bolid scrape` fetches them again"
        note(f"{command}: {len(problems)} photos lost their bytes: {again}")


def find_lost(dataset: Dataset) -> dict[str, str]:
    """Records the photos whose files are missing or of another size, which takes no reading. Returns what is wrong with
    them by sha256."""
    problems: dict[str, str] = {}
    after = ""
    while photos := dataset.catalog.sightings.stored_photos(after, _TOGETHER):
        for shelf, own in groupby(photos, key=lambda photo: photo[0][:2]):
            sizes = dataset.store.sizes(shelf)
            for sha256, size in own:
                if sizes.get(sha256) != size:
                    problems[sha256] = CHANGED if sha256 in sizes else MISSING
        after = photos[-1][0]
    record_lost(dataset.catalog, dataset.store, problems)
    return problems
