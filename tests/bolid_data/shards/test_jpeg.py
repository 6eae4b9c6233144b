"""A photo enters a shard with its pixels, and without anything that a camera or an editor added."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from bolid_data.images import read_upright
from bolid_data.shards.jpeg import to_jpeg
from tests.support.measured_dataset import jpeg

SECRET = b"serial 4711 at 52.5N"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(photo: bytes, *segments: bytes) -> bytes:
    return photo[:2] + b"".join(segments) + photo[2:]


def small(**save: Any) -> bytes:
    return jpeg(1, 96, 128, **save)


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, SECRET.decode()
    tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


METADATA = {
    "exif": segment(0xE1, exif()),
    "xmp": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + SECRET),
    "maker's own": segment(0xE5, SECRET),
    "iptc": segment(0xED, b"Photoshop 3.0\0" + SECRET),
    "more pictures": segment(0xE2, b"MPF\0" + SECRET),
    "thumbnail": segment(0xE0, b"JFXX\0\x10" + SECRET),
    "comment": segment(0xFE, SECRET),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_is_removed_and_the_pixels_stay_bit_for_bit(name: str) -> None:
    result = to_jpeg(with_segments(small(), METADATA[name]))
    assert (result.made, result.data, result.width, result.height) == ("stripped", small(), 96, 128)


@pytest.mark.parametrize("kind", [{"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_every_way_of_writing_pixels_is_kept(kind: dict[str, Any]) -> None:
    plain = small(**kind)
    result = to_jpeg(with_segments(plain, *METADATA.values()))
    assert result.made == "stripped" and np.array_equal(pixels(result.data), pixels(plain))
    assert SECRET not in result.data


def test_a_plain_photo_is_stored_byte_for_byte() -> None:
    for plain in (small(), small(progressive=True), small(icc_profile=PROFILE)):
        result = to_jpeg(plain)
        assert (result.data, result.made) == (plain, "as_is")


def test_data_after_the_end_is_removed() -> None:
    result = to_jpeg(small() + small(comment=SECRET) + b"a film" + SECRET)
    assert (result.made, result.data) == ("stripped", small())


def test_a_thumbnail_in_the_first_segment_is_removed() -> None:
    plain = small()
    head = plain[2:20]
    thumbnail = head[:2] + struct.pack(">H", 16 + 12) + head[4:16] + b"\2\2" + SECRET[:12]
    result = to_jpeg(plain[:2] + thumbnail + plain[20:])
    assert (result.made, result.data) == ("stripped", plain)


def test_colours_stay_with_their_profile() -> None:
    result = to_jpeg(with_segments(small(icc_profile=PROFILE), METADATA["exif"]))
    assert result.data == small(icc_profile=PROFILE)
    turned = to_jpeg(small(icc_profile=PROFILE, exif=exif(6)))
    assert Image.open(io.BytesIO(turned.data)).info["icc_profile"] == PROFILE


def test_a_rotated_photo_is_encoded_upright_without_metadata() -> None:
    photo = small(exif=exif(6), comment=SECRET)
    result = to_jpeg(photo)
    assert (result.made, result.width, result.height) == ("converted: turned", 128, 96)
    assert SECRET not in result.data and b"Exif" not in result.data
    assert np.abs(pixels(result.data).astype(int) - np.asarray(read_upright(photo)).astype(int)).mean() < 1
    assert to_jpeg(photo) == result, "the same bytes each time"


def test_other_formats_become_jpegs_without_their_text() -> None:
    text, out = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    Image.open(io.BytesIO(small())).save(out, "PNG", pnginfo=text, exif=exif())
    gif = io.BytesIO()
    Image.open(io.BytesIO(small())).save(gif, "GIF", comment=SECRET)
    for photo, kind in ((out.getvalue(), "png"), (gif.getvalue(), "gif")):
        assert SECRET in photo
        result = to_jpeg(photo)
        assert result.made == f"converted: {kind}" and SECRET not in result.data
        assert Image.open(io.BytesIO(result.data)).format == "JPEG"


def test_grey_stays_grey_and_cmyk_becomes_rgb() -> None:
    grey, cmyk = io.BytesIO(), io.BytesIO()
    Image.open(io.BytesIO(small())).convert("L").save(grey, "JPEG", comment=SECRET)
    Image.open(io.BytesIO(small())).convert("CMYK").save(cmyk, "JPEG", comment=SECRET)
    stripped, converted = to_jpeg(grey.getvalue()), to_jpeg(cmyk.getvalue())
    assert (stripped.made, Image.open(io.BytesIO(stripped.data)).mode) == ("stripped", "L")
    assert (converted.made, Image.open(io.BytesIO(converted.data)).mode) == ("converted: cmyk jpeg", "RGB")
    assert SECRET not in stripped.data + converted.data


def test_no_truncated_or_garbled_file_passes_unread() -> None:
    """Any bytes give either a complete JPEG without the secret, or BrokenPhotoError."""
    random = np.random.default_rng(0)
    photo = with_segments(small(), *METADATA.values())
    for _ in range(300):
        garbled = bytearray(photo[: random.integers(20, len(photo))] if random.random() < 0.3 else photo)
        for at in random.integers(0, min(len(garbled), 700), random.integers(1, 4)):
            garbled[at] = random.integers(0, 256)
        try:
            result = to_jpeg(bytes(garbled))
        except Exception as error:
            assert type(error).__name__ == "BrokenPhotoError", error
            continue
        assert result.data.endswith(b"\xff\xd9") and SECRET not in result.data
