"""Removes what was made from people's photos besides the shards: reports, tables, features, and images of runs."""

from collections.abc import Iterable
from pathlib import Path

from bolid_data.dataset import Dataset
from bolid_data.paths import remove
from bolid_data.progress import note
from bolid_data.stale import find_stale

SHARED_FOLDERS = ("report", "evaluation")
"""Folders of pages and images that may show any person; a command makes them again."""


def remove_features(root: Path, people: Iterable[str]) -> None:
    """Removes the features of these people; the next training computes those of their remaining photos again."""
    for person in people:
        for folder in root.glob(f"features/*/{person}"):
            remove(root, "features", folder.parent.name, person)


def remove_images(root: Path) -> None:
    """Removes reports, tables and validation images, which show several people without naming them."""
    for name in SHARED_FOLDERS:
        remove(root, name)
    for folder in root.glob("runs/*/validation"):
        remove(root, "runs", folder.parent.name, folder.name)
    for page in root.glob("runs/*/report.html"):
        remove(root, "runs", page.parent.name, page.name)


def discard_stale(dataset: Dataset, any_kept: bool) -> None:
    """Before new shards are written: removes what else was made from withdrawn photos. Where no photo is kept, no new
    shards will replace the old ones, so those are removed as well."""
    stale = find_stale(dataset)
    if not stale.photos:
        return
    remove_features(dataset.root, {person for person, _ in stale.photos})
    if "opted_out" in stale.reasons:
        remove_images(dataset.root)
    if not any_kept:
        remove_shards(dataset)
        note(f"shard: every photo of the shards ({len(stale.photos)}) was withdrawn, and the shards are removed")


def remove_shards(dataset: Dataset) -> None:
    """Removes everything that `bolid shard` writes."""
    for name in (dataset.lock.name, dataset.shards.name, dataset.measurements.name):
        remove(dataset.root, name)
    for file in dataset.root.glob(".*.part"):
        remove(dataset.root, file.name)
