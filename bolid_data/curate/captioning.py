"""`bolid caption`."""

from collections.abc import Iterator
from typing import Any

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import BrokenPhotoError, read_upright
from bolid_data.manifest import Manifest
from bolid_data.progress import bar, note

CAPTION_BATCH = 8


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
