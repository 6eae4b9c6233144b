"""What was made of people's photos beside the shards: reports, tables, features, and pictures made by runs."""

from collections.abc import Iterable
from pathlib import Path

from bolid_data.dataset import Dataset
from bolid_data.paths import remove
from bolid_data.progress import note
from bolid_data.stale import find_stale

ANYBODY = ("report", "evaluation")
"""Folders of pages and pictures that may show anybody, and that a command makes again."""


def remove_features(root: Path, people: Iterable[str]) -> None:
    """Features of these people, which the next training computes again of what they still have."""
    for name in people:
        for folder in root.glob(f"features/*/{name}"):
            remove(root, "features", folder.parent.name, name)


def remove_pictures(root: Path) -> None:
    """Reports, tables, and grids of validation: several people are on one, and none of them says who."""
    for name in ANYBODY:
        remove(root, name)
    for folder in root.glob("runs/*/validation"):
        remove(root, "runs", folder.parent.name, folder.name)


def discard_stale(dataset: Dataset, keeps_some: bool) -> None:
    """Before shards are written anew: what else was made of photos that were withdrawn. Where nothing is kept any more,
    no new shards will take the place of the old ones, and those go, too."""
    stale = find_stale(dataset)
    if not stale.photos:
        return
    remove_features(dataset.root, {person for person, _ in stale.photos})
    if "opted_out" in stale.reasons:
        remove_pictures(dataset.root)
    if not keeps_some:
        drop(dataset)
        note(f"shard: all {len(stale.photos)} photos of the shards were withdrawn, and the shards are removed")


def drop(dataset: Dataset) -> None:
    """Removes all that `bolid shard` writes."""
    for name in (dataset.lock.name, dataset.shards.name, dataset.measurements.name):
        remove(dataset.root, name)
    for file in dataset.root.glob(".*.part"):
        remove(dataset.root, file.name)
