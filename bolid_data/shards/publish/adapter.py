"""Whether the people that a run was trained on may be published: a run has keyed ids, no names."""

import datetime
from collections.abc import Callable, Collection

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.keyed import read_key
from bolid_data.lockfile import read_sealed
from bolid_data.manifest import Manifest
from bolid_data.shard_index import ShardIndex
from bolid_data.shards.publish.check import without_basis
from bolid_data.stale import find_stale
from bolid_data.words import counted


def check_run(
    manifest: Manifest,
    dataset: Dataset,
    run: str,
    key: str | None,
    ids: Collection[str],
    is_salted: Callable[[str], bool] | None,
    number: int,
    today: datetime.date,
) -> tuple[dict[str, str], bool]:
    """The people of a run without a valid basis, by slug, and why; and whether everybody in the dataset has one, so
    that images which may show anybody can be published.

    Args:
        key: fingerprint of the key of `ids`, the people that the run was trained on.
        is_salted: for a run of BoLID 0.1, whether a slug is one of its people.
        number: of people it was trained on.

    Raises BolidError for a run that was trained on somebody or something withdrawn since, or on people whom the dataset
    does not know.
    """
    if run in find_stale(dataset).runs:
        raise BolidError(
            f"{dataset.root}/runs/{run}: stale: photos that it was trained on were withdrawn since; delete it, train "
            "again, and publish that"
        )
    everybody = _people(dataset)
    trained = {slug for slug in everybody if is_salted(slug)} if is_salted else _named(dataset, everybody, key, ids)
    if missing := number - len(trained):
        raise BolidError(
            f"{dataset.root}/runs/{run}: {counted(missing, 'person', 'people')} whom it was trained on cannot be found "
            "in this dataset, so nobody can say on what basis; train again, and publish that"
        )
    return without_basis(manifest.consent, trained, today), not without_basis(manifest.consent, everybody, today)


def _people(dataset: Dataset) -> set[str]:
    """The people in the shards and in the lock."""
    people = {row["person"] for row in ShardIndex(dataset.index).places()} if dataset.index.is_file() else set()
    if dataset.lock.is_file():
        people |= {row["person"] for row in read_sealed(dataset.lock)["people"]}
    return people


def _named(dataset: Dataset, people: set[str], key: str | None, ids: Collection[str]) -> set[str]:
    """Those of the people whose ids are given: by the dataset's key, or by the index of a dataset handed on."""
    secret = read_key(dataset.root)
    by_id = {secret.person(slug): slug for slug in people} if secret and secret.fingerprint == key else {}
    if dataset.index.is_file() and (index := ShardIndex(dataset.index)).fingerprint == key:
        by_id |= {keyed_id: name for name, keyed_id in index.ids().items() if name in people}
    return {by_id[one] for one in ids if one in by_id}
