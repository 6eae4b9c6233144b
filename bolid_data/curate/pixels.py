"""Before photos are measured: which of them were measured by other pixels than are made of them now."""

from concurrent.futures import ThreadPoolExecutor

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import PIXELS_VERSION, read_header
from bolid_data.progress import bar, note

_TOGETHER = 5_000


def refresh(dataset: Dataset, background: str) -> int:
    """Discards what was measured and captioned of photos whose pixels are made otherwise now, by another version of the
    function or on another background; they are measured again. Returns how many."""
    unknown = dataset.catalog.pixels.photos_without_traits()
    with bar() as progress, ThreadPoolExecutor() as pool:
        task = progress.add_task("read headers", total=len(unknown))
        for start in range(0, len(unknown), _TOGETHER):
            part = unknown[start : start + _TOGETHER]
            traits = pool.map(lambda sha256: _traits(dataset, sha256), part)
            dataset.catalog.pixels.record_traits(dict(zip(part, traits, strict=True)))
            progress.advance(task, len(part))
    count = dataset.catalog.pixels.discard_other_pixels(PIXELS_VERSION, background)
    if count:
        note(f"filter: {count} photos are measured again: their colours, transparency or turn are read otherwise now")
    return count


def _traits(dataset: Dataset, sha256: str) -> str:
    try:
        return " ".join(read_header(dataset.store.find(sha256)).traits)
    except BolidError:  # missing or broken, as whoever decodes it will say
        return ""
