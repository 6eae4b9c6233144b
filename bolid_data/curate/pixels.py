"""Discards measurements that were made from other pixels than a photo is decoded to now."""

from concurrent.futures import ThreadPoolExecutor

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import PIXELS_VERSION, read_header
from bolid_data.progress import bar, note
from bolid_data.words import counted

_BATCH = 5_000


def refresh(dataset: Dataset, background: str) -> int:
    """Discards the measurements and captions of photos that are now decoded to other pixels, because the decoder's
    version or the background has changed; they are measured again. Returns the number of photos."""
    without_traits = dataset.catalog.pixels.photos_without_traits()
    with bar() as progress, ThreadPoolExecutor() as pool:
        task = progress.add_task("read headers", total=len(without_traits))
        for start in range(0, len(without_traits), _BATCH):
            part = without_traits[start : start + _BATCH]
            traits = pool.map(lambda sha256: _traits(dataset, sha256), part)
            dataset.catalog.pixels.record_traits(dict(zip(part, traits, strict=True)))
            progress.advance(task, len(part))
    count = dataset.catalog.pixels.discard_other_pixels(PIXELS_VERSION, background)
    if count:
        again = counted(count, "photo is", "photos are")
        note(f"filter: {again} measured again, as colours, transparency or rotation are read anew")
    return count


def _traits(dataset: Dataset, sha256: str) -> str:
    try:
        return " ".join(read_header(dataset.store.find(sha256)).traits)
    except BolidError:  # missing or broken: whoever decodes it reports that
        return ""
