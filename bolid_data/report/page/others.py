"""What a dataset can be compared with: other thresholds, another dataset's folder, a lock."""

from pathlib import Path

from bolid_data.catalog.verdict_files import locked_verdicts, stored_verdicts
from bolid_data.curate.judge.comparison import compare_thresholds, compare_verdicts
from bolid_data.curate.judge.verdicts import last_judgement
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.lockfile import read_lock
from bolid_data.manifest import Manifest
from bolid_data.report.page.material import Other


def thresholds_of(dataset: Dataset, manifest: Manifest) -> Other:
    """The same photos, judged by another manifest's thresholds; what its models would measure is not known."""
    return Other(str(manifest.path), compare_thresholds(dataset.catalog, manifest.filter), manifest.filter)


def dataset_folder(dataset: Dataset, folder: Path) -> Other:
    """Another dataset: its catalog or, where it was handed on without one, its lock. Raises UsageError for a folder
    that has neither."""
    other = Dataset(folder)
    if other.catalog.path.is_file():
        judged = last_judgement(other.catalog)
        if judged is None:
            raise UsageError(f"{folder}: nothing is judged there yet; run `bolid filter` on it first")
        return Other(str(folder), compare_verdicts(dataset.catalog, stored_verdicts(other.catalog)), judged[0])
    if other.lock.is_file():
        return locked(dataset, other.lock)
    raise UsageError(f"{folder}: no dataset: it has neither {other.catalog.path.name} nor {other.lock.name}")


def locked(dataset: Dataset, file: Path) -> Other:
    """A lock, with its measurements beside it."""
    lock = read_lock(file)
    verdicts = locked_verdicts(lock.measurements_file)
    return Other(str(file), compare_verdicts(dataset.catalog, verdicts), lock.thresholds)
