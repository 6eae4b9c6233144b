"""`bolid filter`."""

from typing import Any

from bolid_data.curate import judge
from bolid_data.dataset import Dataset
from bolid_data.manifest import Manifest


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
