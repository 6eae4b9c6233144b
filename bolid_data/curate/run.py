"""`bolid filter` and `bolid caption`."""

from collections.abc import Iterator
from typing import Any

from bolid_data.curate import judge
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import BrokenPhotoError, read_upright
from bolid_data.manifest import Manifest
from bolid_data.progress import bar, note

CAPTION_BATCH = 8


def filter_photos(manifest: Manifest, dataset: Dataset, measure_all: bool = False) -> dict[str, Any]:
    """Measures what is not yet measured and judges all. Returns the funnel."""
    # The models' libraries take seconds to import: only the command that runs them pays.
    from bolid_data.curate.duplicates import HashMeasurer
    from bolid_data.curate.engine import measure
    from bolid_data.curate.faces import FaceMeasurer
    from bolid_data.curate.people import PoseMeasurer
    from bolid_data.curate.watermark import WatermarkMeasurer

    dataset.catalog.require()
    pose, face = PoseMeasurer(manifest.models.pose), FaceMeasurer(manifest.models.face)
    watermark, phash = WatermarkMeasurer(manifest.models.watermark), HashMeasurer()
    small = (0, 0) if measure_all else (manifest.filter.min_width, manifest.filter.min_height)
    measured = measure(dataset.catalog, dataset.store, (phash, watermark, pose, face), small)
    models = judge.ModelIds(pose.model.id, face.model.id, watermark.model.id, phash.model.id)
    return {"measured": measured} | _judge(manifest, dataset, models)


def rejudge(manifest: Manifest, dataset: Dataset) -> dict[str, Any]:
    """Judges all by the manifest's thresholds, by what the last `bolid filter` measured; no model runs."""
    dataset.catalog.require()
    return {"measured": 0} | _judge(manifest, dataset, None)


def _judge(manifest: Manifest, dataset: Dataset, models: judge.ModelIds | None) -> dict[str, Any]:
    change = judge.judge(dataset.catalog, manifest.filter, models)
    return judge.funnel(dataset.catalog) | change


def caption_photos(manifest: Manifest, dataset: Dataset) -> dict[str, Any]:
    """Captions what was kept and has no caption of this model and prompt; commits batch by batch."""
    from bolid_data.curate.caption import load_captioner
    from bolid_data.curate.measure import Photo

    dataset.catalog.require()
    captioner = load_captioner(manifest.models.caption, manifest.folder)
    todo = dataset.catalog.uncaptioned(captioner.model, captioner.prompt)
    with bar() as progress:
        task = progress.add_task("caption", total=len(todo))
        for sha256s in _parts(todo):
            try:
                photos = [Photo(sha256, read_upright(dataset.store.find(sha256))) for sha256 in sha256s]
            except BrokenPhotoError as error:
                raise BolidError(f"a kept photo cannot be read any more ({error}); run `bolid verify`") from error
            keypoints = dataset.catalog.keypoints(sha256s)
            captions = captioner.caption(photos, [keypoints.get(sha256) for sha256 in sha256s])
            dataset.catalog.record_captions(
                captioner.model.id, captioner.prompt, dict(zip(sha256s, captions, strict=True))
            )
            progress.advance(task, len(sha256s))
    note(f"caption: {len(todo)} photos captioned by {captioner.model.name}")
    return {"captioned": len(todo), "model": captioner.model.id}


def _parts(sha256s: list[str]) -> Iterator[list[str]]:
    yield from (sha256s[start : start + CAPTION_BATCH] for start in range(0, len(sha256s), CAPTION_BATCH))
