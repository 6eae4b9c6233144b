"""`bolid filter`."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bolid_data import dlib_weights
from bolid_data.catalog import Catalog
from bolid_data.curate import judge
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest, Models
from bolid_data.progress import note
from bolid_data.words import counted

if TYPE_CHECKING:  # the models' libraries take seconds to import: only the command that runs them pays
    from bolid_data.curate.measurers.identity import Box
    from bolid_data.curate.measurers.measurer import Keypoints, Measurer
    from bolid_data.curate.measurers.site_mark import SiteMarkMeasurer

ENGINES = ("local", "ray")
FIRST_STAGE = ("hash", "quality", "pose")
"""The cheap measurers. A photo that is out by their measurements is not given to the others."""
MODEL_KINDS = tuple(field.name for field in fields(judge.ModelIds))
"""The measurers of all photos; besides them, each mark of a host measures its photos."""


def filter_photos(
    manifest: Manifest,
    dataset: Dataset,
    measure_all: bool = False,
    engine: str = "local",
    address: str | None = None,
) -> dict[str, Any]:
    """Measures all photos that are not measured yet and judges all photos. Returns the funnel.

    A photo that is out by the first stage skips the costly models, unless `measure_all`. `address` is the address of a
    Ray cluster; without one, the engine "ray" starts its own.
    """
    from bolid_data.curate import identity_similarity, near_duplicates, pixels
    from bolid_data.curate.engines.local import measure, plan
    from bolid_data.curate.measurers import registry
    from bolid_data.curate.runtime import GPU_BATCH
    from bolid_data.curate.site_marks import update as site_marks

    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: no such engine; there are {' and '.join(ENGINES)}")
    if address and engine != "ray":
        raise UsageError("--address is the address of a Ray cluster; use it with --engine ray")
    dataset.catalog.require()
    dataset.prepare()
    pixels.refresh(dataset, manifest.filter.background)
    device = registry.device(manifest.models.device)
    boxes = PersonBoxes(dataset.catalog)
    site_marks.update(dataset, manifest.filter.background)
    marks = site_marks.measurers(dataset)
    build = partial(build_measurers, manifest.models, manifest.folder, device, boxes, marks)
    measurers = build()
    ids = judge.ModelIds(**{kind: measurer.model.id for kind, measurer in measurers.items() if kind in MODEL_KINDS})

    def screen(sha256s: Sequence[str]) -> set[str]:
        if ids.identity:  # the second stage embeds these people
            boxes.look_up(ids.pose, sha256s)
        return set() if measure_all else judge.already_out(dataset.catalog, manifest.filter, ids, sha256s)

    job = plan(
        dataset.catalog,
        [measurer for kind, measurer in measurers.items() if kind in FIRST_STAGE],
        [measurer for kind, measurer in measurers.items() if kind not in FIRST_STAGE],
        (0, 0) if measure_all else (manifest.filter.min_width, manifest.filter.min_height),
        None if measure_all and not ids.identity else screen,
        manifest.filter.background,
        dataset.catalog.site_marks.targets(),
    )
    if engine == "ray":
        from bolid_data.curate.engines import ray_cluster

        run = ray_cluster.measure(dataset.catalog, dataset.store, job, build, address, device != "cpu")
    else:
        run = measure(dataset.catalog, dataset.store, job, 1 if device == "cpu" else GPU_BATCH)
    if run.lost:
        lost = counted(run.lost, "photo lost its bytes and is", "photos lost their bytes and are")
        note(f"filter: {lost} out as broken; `bolid scrape` fetches again")
    near_duplicates.find(dataset.catalog, ids.hash)
    if manifest.filter.max_hamming_between is not False:
        near_duplicates.find_between_people(dataset.catalog, ids.hash)
    if ids.identity:
        identity_similarity.update(dataset.catalog, ids.identity)
    result = {"measured": run.photos} | _judge(manifest, dataset, ids)
    return result | _suspects(dataset.catalog, ids.identity if manifest.models.identity == dlib_weights.NAME else None)


def rejudge(manifest: Manifest, dataset: Dataset) -> dict[str, Any]:
    """Judges all photos by the manifest's thresholds, from stored measurements; runs no model."""
    dataset.catalog.require()
    dataset.prepare()
    result = _judge(manifest, dataset, None)
    if result["unmeasured"]:
        unmeasured = counted(result["unmeasured"], "photo is", "photos are")
        note(f"filter: {unmeasured} not out by these thresholds, nor measured; run `bolid filter`")
    return {"measured": 0} | result


def build_measurers(
    models: Models, folder: Path, device: str, boxes: "PersonBoxes", marks: "Sequence[SiteMarkMeasurer]" = ()
) -> "dict[str, Measurer]":
    """The manifest's measurers under the names of the fields of `judge.ModelIds`, and those of sites' marks under the
    ids of their models."""
    from bolid_data.curate.measurers import registry
    from bolid_data.curate.measurers.perceptual_hash import HashMeasurer
    from bolid_data.curate.measurers.quality import QualityMeasurer

    pose = registry.pose(models.pose, device)
    measurers: dict[str, Measurer] = {
        "hash": HashMeasurer(),
        "quality": QualityMeasurer(),
        "pose": pose,
        "face": registry.face(models.face, folder, device),
        "watermark": registry.watermark(models.watermark, folder, device),
    }
    if models.identity == dlib_weights.NAME:
        measurers["identity"] = registry.dlib_face(pose.model, boxes.keypoints)
    elif models.identity:
        measurers["identity"] = registry.identity(models.identity, folder, device, pose.model, boxes)
    measurers |= {mark.model.id: mark for mark in marks}
    return measurers


class PersonBoxes:
    """The boxes and keypoints of each photo's main person, looked up on this machine for measurers in threads or on
    other machines."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._boxes: Mapping[str, Box] = {}
        self._keypoints: Mapping[str, Keypoints] = {}

    def look_up(self, pose_id: str, sha256s: Sequence[str]) -> None:
        self._boxes = self._catalog.measurements.person_boxes(pose_id, sha256s)
        self._keypoints = self._catalog.measurements.person_keypoints(pose_id, sha256s)

    def __call__(self, sha256s: Sequence[str]) -> "dict[str, Box]":
        return {sha256: self._boxes[sha256] for sha256 in sha256s if sha256 in self._boxes}

    def keypoints(self, sha256s: Sequence[str]) -> "dict[str, Keypoints]":
        return {sha256: self._keypoints[sha256] for sha256 in sha256s if sha256 in self._keypoints}


def _suspects(catalog: Catalog, dlib_face: str | None) -> dict[str, Any]:
    """Where faces and names disagree, by the model with this id; nothing if there is none."""
    from bolid_data.curate import identity_suspects

    if dlib_face is None:
        return {}
    note("filter: dlib-face stores embeddings of faces, which are biometric data; `bolid forget` deletes a person's")
    suspects = identity_suspects.find(catalog, dlib_face)
    identity_suspects.describe(suspects)
    return {"suspects": suspects}


def _judge(manifest: Manifest, dataset: Dataset, models: judge.ModelIds | None) -> dict[str, Any]:
    change = judge.judge(dataset.catalog, manifest.filter, models)
    return judge.funnel(dataset.catalog) | change
