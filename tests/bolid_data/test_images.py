import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bolid_data.images import MAX_PIXELS, BrokenPhotoError, letterbox, read_header, read_upright


def jpeg(width: int = 60, height: int = 40, orientation: int | None = None) -> bytes:
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (0, 0, width // 2, height // 2))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, quality=95)
    return out.getvalue()


def test_header_and_pixels_are_upright() -> None:
    turned = jpeg(orientation=6)
    header = read_header(turned)
    assert (header.width, header.height, header.upright) == (40, 60, False)
    image = read_upright(turned)
    assert image.size == (40, 60)
    assert image.getpixel((35, 5))[2] > 200, "the blue corner turned with the photo"


def test_html_named_jpg_is_not_a_photo(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<!doctype html><title>404</title>")
    with pytest.raises(BrokenPhotoError, match="not an image"):
        read_header(tmp_path / "page.jpg")


def test_a_truncated_photo_has_a_header_but_no_pixels() -> None:
    data = jpeg(600, 400)[:-200]
    assert read_header(data).width == 600
    with pytest.raises(BrokenPhotoError, match="decoded"):
        read_upright(data)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = 40_000
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert side * side > MAX_PIXELS
    with pytest.raises(BrokenPhotoError, match="claims"):
        read_header(bomb)


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0" + bytes(50), b"GIF89a", b"\x89PNG\r\n\x1a\n"]
)
def test_garbage_is_broken_and_nothing_worse(garbage: bytes) -> None:
    with pytest.raises(BrokenPhotoError):
        read_upright(garbage)


def test_letterbox_keeps_the_place_of_points() -> None:
    image = Image.new("RGB", (200, 400))
    image.putpixel((0, 0), (255, 255, 255))
    square, scale = letterbox(image, 100)
    assert square.shape == (100, 100, 3)
    assert scale == 0.25
    assert np.all(square[:, 50:] == 114), "what the photo does not cover is grey"
