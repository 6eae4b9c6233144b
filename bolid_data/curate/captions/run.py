"""`bolid caption`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bolid_data.curate.captions.captioner import Captioner, CaptionError
from bolid_data.curate.captions.registry import load_captioner
from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import BrokenPhotoError, read_upright
from bolid_data.lost_photos import note_lost, record_lost
from bolid_data.manifest import Manifest
from bolid_data.progress import bar, note
from bolid_data.store import LostPhotoError, Store
from bolid_data.words import counted, photos


def caption_photos(manifest: Manifest, dataset: Dataset) -> dict[str, Any]:
    """Captions the kept photos that have no caption by hand, in a sidecar file, or by this model and prompt; then, for
    each name in `[caption.also]`, those without a caption of that name. Commits batch by batch. Where nothing is left
    to the model, it is not loaded.

    A photo that cannot be captioned is recorded with the reason and tried again the next time. Raises UsageError for
    `[caption.also]` and a model that follows no instructions; BolidError if no photo can be captioned, and, after
    captioning the others, if photos have lost their bytes.
    """
    captions = dataset.catalog.captions
    dataset.catalog.require()
    dataset.catalog.create()
    captions.choose(manifest.caption.use, manifest.caption.trigger)
    needed, names = captions.needs_captioner(), [name for name in manifest.caption.also if captions.without_name(name)]
    result: dict[str, Any] = {"captioned": 0, "failed": 0, "model": None}
    if not (needed or names):
        note("caption: no kept photo lacks a caption by hand or in a file, so no model is needed")
    lost: dict[str, str] = {}
    if needed or names:
        captioner = load_captioner(manifest)
        named = [captioner.instructed(name, manifest.caption.instruction(name)) for name in names]
        if captioner.model.name == "tiny-blip2" and not getattr(manifest.source, "serve_gallery", False):
            note("caption: tiny-blip2 knows only made-up people; for real photos use `describe` or a large model")
        if needed:
            captions.choose_captioner(captioner.model, captioner.prompt)
            outcome = _caption_each(captioner, captions.uncaptioned(), manifest, dataset)
            _report(outcome.captioned, outcome.failures, dataset, captioner.model.name)
            result |= outcome.as_result(captioner)
            lost |= outcome.lost
        for one in named:
            captions.add_captioner(one.model)
            outcome = _caption_each(one, captions.without_name(one.prompt, one.model.id), manifest, dataset)
            _report_named(outcome, one)
            result.setdefault("also", {})[one.prompt] = outcome.as_result(one)
            lost |= outcome.lost
    _note_other_names(dataset, manifest.caption.use)
    if lost:
        note_lost("caption", lost)
        photos_lost = counted(len(lost), "kept photo lost its bytes", "kept photos lost their bytes")
        raise BolidError(f"{photos_lost}, named above; `bolid dataset` fetches again")
    return result


@dataclass(frozen=True)
class _Outcome:
    captioned: int
    failures: dict[str, str]  # errors by sha256
    lost: dict[str, str]  # problems by sha256 of photos whose bytes were lost

    def as_result(self, captioner: Captioner) -> dict[str, Any]:
        return {"captioned": self.captioned, "failed": len(self.failures), "model": captioner.model.id}


def _caption_each(captioner: Captioner, sha256s: list[str], manifest: Manifest, dataset: Dataset) -> _Outcome:
    """Captions photos, and commits batch by batch."""
    failures: dict[str, str] = {}
    lost: dict[str, str] = {}
    with bar() as progress, ThreadPoolExecutor() as pool:
        task = progress.add_task("caption", total=len(sha256s))
        size, background = manifest.caption.batch_size, manifest.filter.background
        for photos, lost_here in _decoded(dataset.store, sha256s, size, pool, background):
            record_lost(dataset.catalog, dataset.store, lost_here)
            lost |= lost_here
            keypoints = dataset.catalog.measurements.keypoints([photo.sha256 for photo in photos])
            batch = [(photo, keypoints.get(photo.sha256)) for photo in photos]
            captions, failed = _caption_batch(captioner, batch) if batch else ({}, {})
            dataset.catalog.captions.record_captions(captioner.model.id, captioner.prompt, captions, failed)
            if failed and not failures:  # reported at once, so that the user can stop the run
                note(f"caption: a photo could not be captioned: {next(iter(failed.values()))}")
            failures |= failed
            progress.advance(task, len(photos) + len(lost_here))
    return _Outcome(len(sha256s) - len(failures) - len(lost), failures, lost)


def _note_other_names(dataset: Dataset, use: str) -> None:
    if others := dataset.catalog.captions.caption_counts()["other_name"]:
        note(f"caption: {counted(others, 'kept photo')} without a caption named '{use}': another one is used")


def _report(captioned: int, failures: dict[str, str], dataset: Dataset, name: str) -> None:
    note(f"caption: {photos(captioned)} captioned by {name}")
    if not failures:
        return
    first = next(iter(failures.values()))
    if not dataset.catalog.captions.caption_counts()["captioned"]:
        raise BolidError(f"none of {photos(len(failures))} could be captioned: {first}")
    note(
        f"caption: {photos(len(failures))} could not be captioned: {first}; "
        "`bolid caption` tries them again, and `bolid shard` leaves them out"
    )


def _report_named(outcome: _Outcome, captioner: Captioner) -> None:
    note(f"caption: {photos(outcome.captioned)} captioned '{captioner.prompt}' by {captioner.model.name}")
    if outcome.failures:
        first = next(iter(outcome.failures.values()))
        failed = photos(len(outcome.failures))
        note(
            f"caption: {failed} could not be captioned '{captioner.prompt}': {first}; `bolid caption` tries them again"
        )


def _decoded(
    store: Store, sha256s: list[str], size: int, pool: ThreadPoolExecutor, background: str
) -> Iterator[tuple[list[Photo], dict[str, str]]]:
    """Yields batches of decoded photos, each with the problems of those whose bytes were lost, by sha256. A batch is
    decoded while the model captions the one before."""
    parts = (sha256s[start : start + size] for start in range(0, len(sha256s), size))
    ahead = [pool.submit(_decode, store, sha256, background) for sha256 in next(parts, ())]
    while ahead:
        current, ahead = ahead, [pool.submit(_decode, store, sha256, background) for sha256 in next(parts, ())]
        batch = [future.result() for future in current]
        lost = {photo.sha256: photo.problem for photo in batch if isinstance(photo, LostPhotoError)}
        yield [photo for photo in batch if isinstance(photo, Photo)], lost


def _decode(store: Store, sha256: str, background: str) -> Photo | LostPhotoError:
    try:
        return Photo(sha256, read_upright(store.read(sha256), background))
    except LostPhotoError as error:
        return error
    except BrokenPhotoError as error:
        raise BolidError(f"a kept photo can no longer be read ({error}); run `bolid verify`") from error


def _caption_batch(
    captioner: Captioner, batch: list[tuple[Photo, Keypoints | None]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Captions and errors by sha256. A batch that fails is tried once more, and then photo by photo, so that a photo on
    which the model fails does not affect the others."""
    for _ in range(2):
        try:
            return _caption(captioner, batch), {}
        except CaptionError as error:
            failures = {photo.sha256: str(error) for photo, _ in batch}
    if len(batch) == 1:
        return {}, failures
    captions: dict[str, str] = {}
    for item in batch:
        try:
            captions |= _caption(captioner, [item])
            del failures[item[0].sha256]
        except CaptionError as error:
            failures[item[0].sha256] = str(error)
    return captions, failures


def _caption(captioner: Captioner, batch: list[tuple[Photo, Keypoints | None]]) -> dict[str, str]:
    captions = captioner.caption([photo for photo, _ in batch], [keypoints for _, keypoints in batch])
    return {photo.sha256: caption for (photo, _), caption in zip(batch, captions, strict=True)}
