"""Photos look as a colour-managed reader shows them, as read and in the shard."""

import io
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from bolid_data.images import read_header, read_upright
from bolid_data.shards.jpeg import to_jpeg
from tests.bolid_data.test_images import encoded, picture
from tests.support.colour_profiles import PROFILES, SRGB, cmyk, grey

pillow_heif.register_heif_opener()

FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}, "TIFF": {},
    "HEIF": {"quality": 95}, "AVIF": {"quality": 95},
}  # fmt: skip


def lab(image: Image.Image) -> np.ndarray:
    """CIE L*a*b* (h, w, 3) of an sRGB image, for D65."""
    rgb = np.asarray(image.convert("RGB"), dtype=float) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = linear @ np.array(matrix).T / (0.95047, 1, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean ΔE (CIE 1976)."""
    return float(np.linalg.norm(lab(one) - lab(other), axis=-1).mean())


def managed(data: bytes, profile: bytes, mode: str) -> Image.Image:
    """What a colour-managed reader shows of a file."""
    image = Image.open(io.BytesIO(data))
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(
        image if image.mode == mode else image.convert(mode), source, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert shown
    return shown


def shard(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(to_jpeg(data).data))


def calm() -> Image.Image:
    """A picture that a JPEG keeps well, so that what differs is colour."""
    return picture(24, 16).resize((192, 128), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_applied(name: str, format: str) -> None:
    data = encoded(calm(), format, icc_profile=PROFILES[name], **FORMATS[format])
    expected = managed(data, PROFILES[name], "RGB")
    assert difference(Image.open(io.BytesIO(data)), expected) > 2, "which matters"
    assert difference(read_upright(data), expected) <= 1
    assert difference(shard(data), expected) <= 2
    assert "icc_profile" not in shard(data).info
    made = to_jpeg(data).made
    assert made.startswith("converted: ") and made.endswith("profile")
    assert read_header(data).traits == ("profile",)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_a_grey_profile_is_applied(format: str) -> None:
    data = encoded(calm().convert("L"), format, icc_profile=grey(1.4))
    expected = managed(data, grey(1.4), "L")
    assert difference(Image.open(io.BytesIO(data)), expected) > 2
    assert difference(read_upright(data), expected) <= 1
    assert difference(shard(data), expected) <= 2


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_a_printers_profile_is_applied(format: str) -> None:
    data = encoded(calm().convert("CMYK"), format, icc_profile=cmyk())
    expected = managed(data, cmyk(), "CMYK")
    assert difference(Image.open(io.BytesIO(data)).convert("RGB"), expected) > 2
    assert difference(read_upright(data), expected) <= 1
    assert difference(shard(data), expected) <= 2


def test_what_is_srgb_already_stays_to_the_byte() -> None:
    for data in (encoded(picture(), "JPEG"), encoded(picture(), "JPEG", icc_profile=SRGB)):
        assert (to_jpeg(data).made, to_jpeg(data).data) == ("as_is", data)
        assert np.array_equal(np.asarray(read_upright(data)), np.asarray(Image.open(io.BytesIO(data))))
        assert read_header(data).traits == ()


@pytest.mark.parametrize(
    "profile", [b"nonsense", SRGB[:200], b"\0" * 128, grey(2.2), cmyk(), SRGB[:128] + b"\xff" * 400]
)
def test_a_profile_that_is_broken_or_of_another_kind_is_ignored(
    profile: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    data = encoded(picture(), "JPEG", icc_profile=profile)
    assert np.array_equal(np.asarray(read_upright(data)), np.asarray(Image.open(io.BytesIO(data))))
    made = to_jpeg(data)
    assert made.made == "stripped" and "icc_profile" not in Image.open(io.BytesIO(made.data)).info


# Transparency.


def cut_out(mode: str = "RGBA") -> tuple[Image.Image, np.ndarray]:
    """A picture with noise behind alpha 0, and where it can be seen."""
    pixels = np.array(picture())
    mask = np.zeros(pixels.shape[:2], bool)
    mask[10:50, 20:80] = True
    pixels[~mask] = np.random.default_rng(3).integers(0, 255, pixels[~mask].shape)
    image = Image.fromarray(pixels)
    if mode == "LA":
        image = image.convert("L")
    image.putalpha(Image.fromarray((mask * 255).astype(np.uint8)))
    return image, mask


@pytest.mark.parametrize(("format", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("TIFF", "RGBA"),
                                              ("AVIF", "RGBA"), ("HEIF", "RGBA")])  # fmt: skip
def test_what_is_transparent_is_laid_on_one_colour(format: str, mode: str) -> None:
    image, mask = cut_out(mode)
    options = {"lossless": True} if format == "WEBP" else {"quality": 100} if format in ("AVIF", "HEIF") else {}
    data = encoded(image, format, **options)
    for background, colour in (("white", 255), ("#404040", 64)):
        pixels = np.asarray(read_upright(data, background)).astype(int)
        assert np.abs(pixels[~mask] - colour).mean() < 3, "nothing of what was hidden shows"
        expected = np.asarray(image.convert("LA" if mode == "LA" else "RGBA").convert("RGB")).astype(int)
        assert np.abs(pixels[mask] - expected[mask]).mean() < 6
    assert read_header(data).traits == ("alpha",)
    assert to_jpeg(data).made.endswith("alpha")
    assert np.asarray(shard(data)).astype(int)[:8, :18].mean() > 250


def test_a_palette_with_a_transparent_colour_has_a_background() -> None:
    image = Image.new("P", (40, 30), 0)
    image.putpalette([255, 0, 255, 0, 128, 0])
    image.paste(1, (10, 10, 30, 20))
    for format in ("PNG", "GIF"):
        data = encoded(image, format, transparency=0)
        image = read_upright(data)
        assert (image.getpixel((2, 2)), image.getpixel((20, 15))) == ((255, 255, 255), (0, 128, 0))
        assert read_header(data).traits == ("alpha",)
    keyed = encoded(image.convert("RGB"), "PNG", transparency=(255, 0, 255))
    assert read_upright(keyed).getpixel((2, 2)) == (255, 255, 255)


def test_half_transparent_pixels_are_mixed() -> None:
    image = Image.new("RGBA", (10, 10), (200, 0, 0, 128))
    red, green, blue = read_upright(encoded(image, "PNG")).getpixel((5, 5))
    assert abs(red - 227) <= 1 and abs(green - 127) <= 1 and abs(blue - 127) <= 1


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(1, 256).repeat(4, axis=0)
    for format in ("PNG", "TIFF"):
        data = encoded(Image.fromarray(ramp), format)
        assert np.abs(np.asarray(read_upright(data))[0, :, 0].astype(int) - np.arange(256)).max() <= 1
        assert read_header(data).traits == ("16bit",)


# Which way is up.

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_turns_nothing(format: str) -> None:
    options: dict[str, Any] = {"xmp": XMP}
    if format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": info}
    if format == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    data = encoded(picture(), format, **options)
    header = read_header(data)
    assert (header.width, header.height) == read_upright(data).size == (96, 64)
    assert header.upright
    assert (to_jpeg(data).width, to_jpeg(data).height) == (96, 64)
    assert header.traits == ("xmp",), "what was measured of it turned is measured again"


def test_of_what_moves_the_first_picture_counts() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        red, _, blue = read_upright(data).getpixel((10, 10))
        assert red > 200 > 60 > blue, format
