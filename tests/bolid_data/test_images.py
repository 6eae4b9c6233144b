import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bolid_data.formats import FORMATS
from bolid_data.images import MAX_PIXELS, BrokenPhotoError, Header, inspect, read_header, read_upright

pillow_heif.register_heif_opener()  # to write HEIC


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


def picture(width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture with a grain, so that it compresses like a photo."""
    small = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    grain = np.random.default_rng(1).normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def thumbnailed() -> bytes:
    """A JPEG as cameras write it: its EXIF holds a thumbnail, a whole JPEG of its own."""
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    block = exif.tobytes() + encoded(picture(48, 32), "JPEG")
    return encoded(picture(), "JPEG", exif=block, quality=90)


FILES = {
    "jpg": encoded(picture(), "JPEG"),
    "progressive": encoded(picture(), "JPEG", progressive=True, optimize=True),
    "grey": encoded(picture().convert("L"), "JPEG"),
    "cmyk": encoded(picture().convert("CMYK"), "JPEG"),
    "thumbnail": thumbnailed(),
    "mpo": encoded(picture(), "MPO", save_all=True, append_images=[picture()]),
    "png": encoded(picture(), "PNG"),
    "webp": encoded(picture(), "WEBP"),
    "lossless": encoded(picture(), "WEBP", lossless=True),
    "gif": encoded(picture(), "GIF"),
    "bmp": encoded(picture(), "BMP"),
    "heic": encoded(picture(), "HEIF"),
    "avif": encoded(picture(), "AVIF"),
    "jp2": encoded(picture(), "JPEG2000"),
    "j2k": encoded(picture(), "JPEG2000", no_jp2=True),
    "tif": encoded(picture(), "TIFF"),
    "lzw": encoded(picture(), "TIFF", compression="tiff_lzw"),
    "deflate": encoded(picture(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff_jpeg": encoded(picture(), "TIFF", compression="jpeg"),
    "bigtiff": encoded(picture(), "TIFF", big_tiff=True),
    "tiff_cmyk": encoded(picture().convert("CMYK"), "TIFF"),
    "fax": encoded(picture().convert("1"), "TIFF", compression="group4"),
    "pages": encoded(picture(), "TIFF", save_all=True, append_images=[picture(30, 20)]),
}
EXTENSIONS = {"webp": "webp", "lossless": "webp", "png": "png", "gif": "gif", "bmp": "bmp", "heic": "heic"} | {
    "avif": "avif", "jp2": "jp2", "j2k": "jp2", "tif": "tif", "lzw": "tif", "deflate": "tif", "tiff_jpeg": "tif",
    "bigtiff": "tif", "tiff_cmyk": "tif", "fax": "tif", "pages": "tif",
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_common_format_is_read_whatever_its_file_is_called(name: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.part"
    file.write_bytes(FILES[name])
    header = inspect(file, list(FORMATS))
    assert header == read_header(FILES[name])
    assert (header.width, header.height, header.extension) == (96, 64, EXTENSIONS.get(name, "jpg"))
    image = read_upright(file)
    assert (image.size, image.mode) == ((96, 64), "RGB")
    if name not in ("grey", "fax"):
        difference = np.abs(np.asarray(image, dtype=float) - np.asarray(picture(), dtype=float)).mean()
        assert difference < 20, "it shows the picture that was saved"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_every_format_comes_out_upright(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = Image.fromarray(np.linspace(0, 255, 6, dtype=np.uint8).reshape(2, 3)).resize((96, 64)).convert("RGB")
    data = encoded(smooth, format, exif=exif.tobytes())  # some writers take the orientation out of the object
    header, image = read_header(data), read_upright(data)
    turned = Image.open(io.BytesIO(encoded(smooth, "PNG", exif=exif.tobytes())))
    expected = ImageOps.exif_transpose(turned).convert("RGB")
    assert (header.width, header.height) == image.size == expected.size
    assert np.abs(np.asarray(image, dtype=float) - np.asarray(expected, dtype=float)).mean() < 8


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    grey = Image.fromarray(np.full((20, 30), 128 * 256, dtype=np.uint16))
    for format in ("PNG", "TIFF"):
        assert read_upright(encoded(grey, format)).getpixel((5, 5)) == (128, 128, 128)


@pytest.mark.parametrize("exif", [b"Exif\0\0junk", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\0", b"Exif\0\0"])
def test_a_photo_with_broken_exif_is_still_a_photo(exif: bytes) -> None:
    data = encoded(picture(), "JPEG", exif=exif)
    assert read_header(data).upright
    assert read_upright(data).size == (96, 64)


def test_a_second_picture_in_the_file_is_told() -> None:
    assert read_header(FILES["mpo"]).metadata
    assert not read_header(FILES["jpg"]).metadata


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_refused_wherever_decoding_would_refuse_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / "photo"
    data = FILES[name]
    for length in {*range(0, len(data), max(1, len(data) // 150)), *range(len(data) - 20, len(data))}:
        file.write_bytes(data[:length])
        try:
            read_upright(file)
        except BrokenPhotoError:
            with pytest.raises(BrokenPhotoError):
                inspect(file, list(FORMATS))
        else:
            assert inspect(file, list(FORMATS)).width == 96, "no photo that can be decoded is refused"


@pytest.mark.parametrize("name", ["jpg", "progressive", "thumbnail", "png", "webp"])
@pytest.mark.parametrize("garbage", [b"\0", b"\r\n<!-- served by -->", bytes(200_000)])
def test_garbage_after_a_photo_does_not_matter(name: str, garbage: bytes, tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(FILES[name] + garbage)
    assert inspect(tmp_path / "photo").width == 96


def test_nothing_is_decoded_to_read_a_png_header() -> None:
    data = bytearray(encoded(picture(), "PNG"))
    start = data.index(b"IDAT") + 4
    data[start:-12] = bytes(len(data) - start - 12)
    assert read_header(bytes(data)).width == 96
    with pytest.raises(BrokenPhotoError):
        read_upright(bytes(data))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 400) | st.integers(0, 10_000), st.binary(min_size=1, max_size=8)), max_size=8),
    st.integers(0, 20_000),
)
def test_a_lying_header_is_refused_and_nothing_worse(
    tmp_path: Path, name: str, changes: list[tuple[int, bytes]], length: int
) -> None:
    data = bytearray(FILES[name])
    for place, value in changes:
        data[place : place + len(value)] = value
    file = tmp_path / "photo"
    file.write_bytes(data[: max(length, 16)])
    for read in (read_header, inspect, read_upright):
        try:
            result = read(file)
        except BrokenPhotoError:
            continue
        assert isinstance(result, Header | Image.Image)
        assert result.width * result.height <= MAX_PIXELS


def test_html_named_jpg_is_not_a_photo(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<!doctype html><title>404</title>")
    with pytest.raises(BrokenPhotoError, match="not an image"):
        read_header(tmp_path / "page.jpg")


def test_a_truncated_photo_has_a_header_but_no_pixels() -> None:
    data = jpeg(600, 400)[:-200]
    assert read_header(data).width == 600
    with pytest.raises(BrokenPhotoError, match="decoded"):
        read_upright(data)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = 30_000
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert side * side > MAX_PIXELS
    (tmp_path / "bomb.png").write_bytes(bomb)
    for read in (read_header, inspect, read_upright):
        with pytest.raises(BrokenPhotoError, match="claims"):
            read(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0" + bytes(50), b"GIF89a", b"\x89PNG\r\n\x1a\n"]
)
def test_garbage_is_broken_and_nothing_worse(garbage: bytes) -> None:
    with pytest.raises(BrokenPhotoError):
        read_upright(garbage)
