"""JPEGs whose data end early are broken; whole ones, and plain skies, are not."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bolid_data.damage import DamagedError, decode
from bolid_data.images import BrokenPhotoError, read_upright
from tests.bolid_data.test_images import encoded, picture
from tests.support.paths import REAL_PHOTOS

REAL = sorted(REAL_PHOTOS.rglob("*.jpg"))
PHOTOS = {
    "baseline": encoded(picture(400, 300), "JPEG", quality=90),
    "progressive": encoded(picture(400, 300), "JPEG", progressive=True),
    "grey": encoded(picture(400, 300).convert("L"), "JPEG"),
    "cmyk": encoded(picture(400, 300).convert("CMYK"), "JPEG"),
    "restarts": encoded(picture(400, 300), "JPEG", restart_marker_rows=1),
    "optimised": encoded(picture(400, 300), "JPEG", optimize=True, subsampling=0),
}


def damage(jpeg: bytes) -> str | None:
    """What is wrong with a JPEG."""
    try:
        decode(jpeg, Image.open(io.BytesIO(jpeg)).mode)
    except DamagedError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 30}]
)
@pytest.mark.parametrize("size", [(97, 63), (96, 64), (17, 33)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_its_pixels_are_those_that_everybody_gets(options: dict[str, int], size: tuple[int, int], mode: str) -> None:
    data = encoded(picture(*size).convert(mode), "JPEG", **options)
    decoded = decode(data, mode)
    assert decoded and np.array_equal(np.asarray(decoded), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("name", PHOTOS)
def test_a_whole_photo_is_not_damaged(name: str) -> None:
    assert damage(PHOTOS[name]) is None
    assert damage(PHOTOS[name] + b"\0" * 1000) is None
    assert damage(PHOTOS[name][:-2] + b"\0\0" + PHOTOS[name][-2:]) is None, "cameras pad the end"


@pytest.mark.parametrize("file", REAL, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_real_photo_is_not_damaged(file: Path) -> None:
    assert damage(file.read_bytes()) is None
    read_upright(file)


@pytest.mark.parametrize("colour", ["grey", (128, 128, 128), "white", (127, 127, 129)])
def test_a_plain_sky_is_not_damaged(colour: str) -> None:
    sky = picture(400, 300)
    sky.paste(colour, (0, 0, 400, 220))
    for options in ({}, {"progressive": True}):
        assert damage(encoded(sky, "JPEG", quality=80, **options)) is None


@pytest.mark.parametrize("name", PHOTOS)
def test_what_was_cut_or_zeroed_is_damaged(name: str) -> None:
    data = PHOTOS[name]
    start = data.rindex(b"\xff\xda") if name != "progressive" else data.index(b"\xff\xda")
    detected = tried = 0
    for share in np.linspace(0.1, 0.85, 12):
        at = start + 20 + int((len(data) - start - 20) * share)
        length = (len(data) - at) // 3
        for broken in (data[:at], data[:at] + b"\xff\xd9", data[:at] + bytes(length) + data[at + length :]):
            tried += 1
            try:
                read_upright(broken)
            except BrokenPhotoError:
                detected += 1
    assert detected == tried


def test_a_progressive_photo_that_lacks_scans_is_damaged() -> None:
    data = PHOTOS["progressive"]
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    for at in scans[1:]:
        closed = data[:at] + b"\xff\xd9"
        Image.open(io.BytesIO(closed)).load()  # which shows something, blurred, without a word
        assert "lacks scans" in str(damage(closed))
        with pytest.raises(BrokenPhotoError, match="cannot be decoded completely: lacks scans"):
            read_upright(closed)


def test_no_bytes_break_it() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(PHOTOS["progressive"])
        for at in random.integers(0, len(data), 5):
            data[at] = random.integers(0, 256)
        with suppress(DamagedError):
            decode(bytes(data[: random.integers(2, len(data))]), "RGB")
    for data in (b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xda\0\2", b"\xff" * 1000, b"\xff\xd8\xff\xc2\0\3\1"):
        with suppress(DamagedError):
            decode(data, "RGB")
