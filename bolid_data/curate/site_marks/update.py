"""Looks for the marks of hosts whose photos have changed, and makes measurers of the marks."""

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from bolid_data.catalog.site_marks import Sample, StoredMark, mark_config
from bolid_data.curate.measurers.site_mark import SiteMarkMeasurer, describe_mark
from bolid_data.curate.site_marks.estimate import MIN_PEOPLE, MIN_PHOTOS, SampledPhoto, estimate_marks
from bolid_data.curate.site_marks.frames import group_scale, scaled
from bolid_data.curate.site_marks.gradients import to_grey
from bolid_data.curate.site_marks.mark import Mark, restore
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import PIXELS_VERSION, read_upright
from bolid_data.progress import bar, note
from bolid_data.store import read_photo
from bolid_data.words import counted

SAMPLE = 40
"""Photos from which the marks of a host and size group are estimated, at most."""

VERSION = 1
"""To be raised when other marks are found in the same photos; then all are estimated again."""

_THREADS = 4


def update(dataset: Dataset, background: str) -> None:
    """Estimates the marks of all hosts and size groups whose sample of photos has changed. A mark that is the same as
    before keeps its id, and photos that it has measured are not measured again."""
    version = f"{VERSION} {PIXELS_VERSION} {background} "
    samples = dataset.catalog.site_marks.samples(version, SAMPLE, MIN_PHOTOS, MIN_PEOPLE)
    with bar() as progress:
        for sample in progress.track(samples, description="site marks"):
            scale = group_scale(sample.size_group)
            marks = estimate_marks(_read(dataset, sample, scale, background), scale)
            dataset.catalog.site_marks.record(sample, [_to_store(mark, sample) for mark in marks])
            if marks:
                note(f"filter: {sample.host} prints {counted(len(marks), 'mark')} on its photos")


def measurers(dataset: Dataset) -> list[SiteMarkMeasurer]:
    """A measurer of each mark."""
    return [
        SiteMarkMeasurer(stored.model, restore(mark_config(stored.model.config), stored.template))
        for stored in dataset.catalog.site_marks.marks()
    ]


def _read(dataset: Dataset, sample: Sample, scale: float, background: str) -> list[SampledPhoto]:
    """The photos of a sample, without those that cannot be read, which the measurers report."""
    with ThreadPoolExecutor(_THREADS) as pool:
        greys = pool.map(
            partial(_grey, dataset, scale=scale, background=background), [sha256 for sha256, _ in sample.photos]
        )
        return [
            SampledPhoto(person, grey)
            for (_, person), grey in zip(sample.photos, greys, strict=True)
            if grey is not None
        ]


def _grey(dataset: Dataset, sha256: str, scale: float, background: str) -> np.ndarray | None:
    try:
        image = read_upright(read_photo(dataset.store.locate(sha256), sha256), background)
    except BolidError:
        return None
    return to_grey(image, scaled(image.size, scale))


def _to_store(mark: Mark, sample: Sample) -> StoredMark:
    picture = io.BytesIO()
    mark.picture().save(picture, "PNG")
    model = describe_mark(mark, sample.host)
    return StoredMark(model, sample.host, sample.size_group, mark.template.tobytes(), picture.getvalue())
