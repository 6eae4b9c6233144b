"""The files of a dataset's repository."""

import datetime
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest, WebSource
from bolid_data.publication import Publication, repository_url
from bolid_data.shards.publish.card import dataset_card
from bolid_data.shards.publish.check import Checked
from bolid_data.shards.publish.contents import count
from bolid_data.shards.publish.croissant import croissant
from bolid_data.weights import file_sha256

SAMPLES = "samples.parquet"


def temporary() -> AbstractContextManager[str]:
    """A folder for the file that is made for the repository alone."""
    return TemporaryDirectory(prefix="bolid-publish-")


def publication(
    manifest: Manifest,
    dataset: Dataset,
    checked: Checked,
    repository: str,
    made: Path,
    with_lock: bool,
    licence: str | None,
    today: datetime.date,
) -> Publication:
    """What is published of a checked dataset: tars, a table of their samples, card and Croissant; with the lock also
    the measurements and the index, which it pins. `made`: a folder for the table.

    `secret.key`, `removed.jsonl`, the catalog, the photo store, features and runs never leave the dataset.
    """
    table = made / SAMPLES
    checked.index.write_samples(table)
    contact = manifest.source.contact if isinstance(manifest.source, WebSource) else None
    contents = count(checked, file_sha256(dataset.lock), with_lock, licence, contact)
    files: dict[str, Path | bytes] = {
        f"shards/{tar['shard']}": dataset.shards / tar["shard"] for tar in checked.lock["shards"]
    }
    files[SAMPLES] = table
    if with_lock:
        files |= {
            "dataset.lock.json": dataset.lock,
            "measurements.parquet": dataset.measurements,
            "shards/index.duckdb": dataset.index,
        }
    files["croissant.json"] = croissant(
        contents, repository_url(repository, "dataset"), file_sha256(table), table.stat().st_size, today
    )
    files["README.md"] = dataset_card(contents, repository)
    return Publication("dataset", files)


def refuse_inside(dataset: Dataset, folder: Path) -> None:
    """Raises UsageError for a folder inside the dataset's, where `bolid verify` and `bolid forget` own everything."""
    if folder.resolve().is_relative_to(dataset.root.resolve()):
        raise UsageError(f"{folder}: is inside the dataset's folder; name one elsewhere")
