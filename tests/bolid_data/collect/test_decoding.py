"""What a list of hostile pictures costs: little, whatever they claim, and never in the event loop."""

import io
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from bolid_data import manifest as manifests
from bolid_data.collect.ingest import Ingest
from bolid_data.dataset import Dataset
from bolid_data.decoding import PixelBudget
from bolid_data.errors import UsageError
from bolid_data.images import is_quick
from tests.bolid_data.collect.test_hostile import fetch, write_csv
from tests.bolid_data.test_images import encoded, picture
from tests.support.gallery_site import Site, photo, serve


def test_formats_that_no_gallery_has_are_off_until_they_are_named(tmp_path: Path) -> None:
    odd = {
        "jpeg2000": encoded(picture(), "JPEG2000"),
        "tga": encoded(picture(), "TGA"),
        "ppm": encoded(picture(), "PPM"),
    }
    usual = [encoded(picture(), name) for name in ("PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP")]
    with serve(Site({"anna": [photo(1), *odd.values(), *usual]})) as site:
        urls = [f"{site.base_url}/archive/anna/img/{number}.jpg" for number in range(10)]
        write_csv(tmp_path / "list.csv", [("Anna", url) for url in urls])
        stats = fetch(tmp_path)
        assert (stats["new"], stats["reasons"]) == (7, {"broken": 3})
        write_csv(tmp_path / "list.csv", [("Berta", url) for url in urls])
        stats = fetch(tmp_path, f"formats = {[*odd]}".replace("'", '"'), path="list.csv")
        assert (stats["new"], stats["known"]) == (3, 7)


def test_a_format_that_nobody_knows_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"source\.formats\.0: Input should be 'jpeg'"):
        fetch_manifest(tmp_path, 'formats = ["jpg"]')


def fetch_manifest(folder: Path, more: str) -> manifests.Manifest:
    (folder / "m.toml").write_text(f'name = "x"\n[source]\nkind = "folder"\npath = "p"\n{more}\n')
    return manifests.load(folder / "m.toml")


def png(side: int) -> bytes:
    """A picture in one colour: some kilobytes that unpack to side² pixels."""
    out = io.BytesIO()
    Image.new("L", (side, side), 128).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [png(3000)[:-30], encoded(picture(), "JPEG")[:-30], encoded(picture(), "TIFF"), encoded(picture(), "BMP"),
     encoded(picture(), "AVIF"), encoded(picture(), "GIF")],
    ids=["cut png", "cut jpeg", "tiff", "bmp", "avif", "gif"],
)  # fmt: skip
def test_what_would_have_to_be_decoded_is_left_to_a_thread(data: bytes, tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "data")
    dataset.prepare()
    (tmp_path / "photo").write_bytes(data)
    in_loop = Ingest(dataset)._keep(tmp_path / "photo", decode=False) if is_quick(tmp_path / "photo") else None
    assert in_loop is None, "the crawl's event loop decodes nothing, however small the file is"
    assert Ingest(dataset)._keep(tmp_path / "photo") is not None


def test_threads_hold_no_more_pixels_than_the_budget() -> None:
    budget, held, most = PixelBudget(100), 0, 0
    guard = threading.Lock()

    def decode(pixels: int) -> None:
        nonlocal held, most
        with budget.hold(pixels):
            with guard:
                held += pixels
                most = max(most, held)
            time.sleep(0.002)
            with guard:
                held -= pixels

    threads = [threading.Thread(target=decode, args=(pixels,)) for pixels in (60, 60, 30, 100, 10, 40) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 60 < most <= 100
    with budget.hold(500):  # more than all: alone
        pass


def test_large_photos_are_measured_few_at_a_time(tmp_path: Path) -> None:
    from bolid_data.curate.engines.local import CHUNK, MAX_CHUNK_PIXELS, Job, cut

    photos = [f"{number:02}" for number in range(40)]
    job = Job([], [], None, photos, {}, pixels=dict.fromkeys(photos[:5], MAX_CHUNK_PIXELS))
    chunks = list(cut(job))
    assert [photo for chunk in chunks for photo in chunk] == photos
    assert [len(chunk) for chunk in chunks[:5]] == [1, 1, 1, 1, CHUNK]
