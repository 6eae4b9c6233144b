"""Photo files: their header, whether they are complete, and their pixels as upright sRGB without alpha.

All pixels are read through `read_upright`.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from bolid_data.colour import WHITE, has_srgb_profile, to_srgb, traits
from bolid_data.damage import DamagedError, decode
from bolid_data.decoding import MAX_PIXELS, decoding
from bolid_data.errors import BolidError
from bolid_data.formats import FORMATS, USUAL_FORMATS

PIXELS_VERSION = 2
"""Version of the pixels that `read_upright` returns; 1 ignored colour profiles and transparency, and applied XMP's
orientation. Increase it when the pixels of some photos change: those with `Header.traits` are measured again."""

_EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "HEIF": "heic",
    "JPEG2000": "jp2",
    "PSD": "psd",
    "TGA": "tga",
    "PPM": "ppm",
}
_XMP = ("xmp", "XML:com.adobe.xmp")
_XMP_TURNED = re.compile(rb"tiff:Orientation[\s\"'=>]{1,4}[2-8]")
_BEGINNING = 65536
_QUICK = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"RIFF", b"<")  # the last is HTML, which is rejected at once
_PROFILES = (b"ICC_PROFILE\0", b"iCCP", b"ICCP")
_TAIL = 65536  # bytes at a file's end that are searched for its last marker
_JPEG_END = b"\xff\xd9"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_ORIENTATION = 0x0112
_TRANSPOSES = {  # EXIF orientation -> the transpose that makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BrokenPhotoError(BolidError):
    """The bytes are not a photo that can be read; the message says why."""


@dataclass(frozen=True)
class Header:
    """A photo's header; width and height in pixels, upright (EXIF orientation applied)."""

    format: str
    width: int
    height: int
    mode: str  # Pillow's
    upright: bool  # stored upright already
    metadata: bool  # carries EXIF, or further pictures
    srgb_profile: bool = False  # carries a profile equivalent to sRGB
    traits: tuple[str, ...] = ()  # why it is not plain sRGB: profile, alpha, 16bit; and xmp, which version 1 applied

    @property
    def extension(self) -> str:
        return _EXTENSIONS[self.format]


def read_header(data: bytes | Path) -> Header:
    """Format and upright size from the header, without decoding. Raises BrokenPhotoError."""
    with _open(data) as (image, _):
        return _header(image)


def inspect(file: Path, formats: Sequence[str] = USUAL_FORMATS) -> Header:
    """The header of a complete photo. Raises BrokenPhotoError, also for a truncated file and for other formats.

    Decodes only where the file's end does not show that it is complete, so that no decodable photo is refused.
    """
    header, complete = inspect_quickly(file, formats)
    if not complete:
        read_upright(file)
    return header


def inspect_quickly(file: Path, formats: Sequence[str] = USUAL_FORMATS) -> tuple[Header, bool]:
    """The header, and whether the file's end shows that it is complete, without decoding. Raises BrokenPhotoError."""
    with _open(file) as (image, stream):
        if image.format not in {FORMATS[name] for name in formats}:
            raise BrokenPhotoError(f"a {image.format}, which [source] formats does not name")
        header = _header(image)
        return header, _has_end(header.format, stream)


def is_quick(file: Path) -> bool:
    """Whether a file's header is quick to read: a common format without a colour profile, whose tables may be of any
    size."""
    with file.open("rb") as stream:
        first = stream.read(_BEGINNING)
    return first.startswith(_QUICK) and not any(mark in first for mark in _PROFILES)


def read_upright(data: bytes | Path, background: str = WHITE, at_least: int | None = None) -> Image.Image:
    """The photo as an upright sRGB image without alpha, fully decoded: its first frame, oriented by EXIF only, with its
    colour profile applied, composited onto `background`.

    `at_least` is for thumbnails: a JPEG may be decoded at a half, a quarter or an eighth of its size, as long as both
    sides have so many pixels.

    Waits while other threads decode as much as memory should hold. Raises BrokenPhotoError, also for a truncated or
    damaged file.
    """
    if isinstance(data, Path):
        data = _bytes(data)
    with _open(data) as (image, _), decoding(image.width * image.height):
        _drop_xmp(image)
        orientation, _ = _read_exif(image)
        try:
            image.seek(0)
            transpose = None if _is_upright_after_decoding(image) else _TRANSPOSES.get(orientation)
            pixels = _decoded(image, data, at_least)
            upright = to_srgb(pixels if transpose is None else pixels.transpose(transpose), background)
            upright.load()
        except DamagedError as error:
            raise BrokenPhotoError(f"cannot be decoded completely: {error}") from None
        except Exception as error:  # decoders fed hostile bytes raise anything
            raise BrokenPhotoError(f"cannot be decoded: {error}") from None
        profile = image.info.get("icc_profile") if upright.mode == image.mode and has_srgb_profile(image) else None
        upright.info = {"icc_profile": profile} if profile else {}  # no comments, which Pillow would write back
        return upright


def _decoded(image: Image.Image, data: bytes, at_least: int | None) -> Image.Image:
    """The image; a JPEG is decoded by the decoder that reports missing data."""
    if image.format == "JPEG" and (pixels := decode(data, image.mode, at_least)):
        pixels.info = dict(image.info)
        return pixels
    return image


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise BrokenPhotoError("its file is missing") from None
    except OSError as error:
        raise BrokenPhotoError(f"its file cannot be read: {error}") from None


@contextmanager
def _open(data: bytes | Path) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """The undecoded image and its stream, positioned after the header."""
    try:
        stream = io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")
    except FileNotFoundError:
        raise BrokenPhotoError("its file is missing") from None
    except OSError as error:
        raise BrokenPhotoError(f"its file cannot be read: {error}") from None
    _configure_pillow()
    with stream:
        try:
            image = _recognise(stream)
        except UnidentifiedImageError:
            raise BrokenPhotoError("not an image") from None
        except Image.DecompressionBombError:
            raise BrokenPhotoError(f"claims more than {MAX_PIXELS} pixels") from None
        except Exception as error:  # parsers fed hostile bytes raise anything
            raise BrokenPhotoError(f"unreadable header: {error}") from None
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise BrokenPhotoError(f"claims {image.width}×{image.height} pixels")
            yield image, stream


def _recognise(stream: BinaryIO) -> Image.Image:
    first = stream.read(12)
    if first.startswith(b"\xff\xd8\xff"):
        # Not Image.open, which treats a phone's JPEG with a second picture as another format (MPO).
        stream.seek(0)
        return JpegImageFile(stream)
    if first[4:8] == b"ftyp":
        _register_heif()
    formats = [name for name in _EXTENSIONS if name != "HEIF" or name in Image.OPEN]
    return Image.open(stream, formats=formats)


@cache
def _configure_pillow() -> None:
    """Called before the first photo is opened rather than on import."""
    # Pillow warns at half of the size that it refuses; we refuse there.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    # Pillow's warnings about bombs and odd EXIF are either raised as BrokenPhotoError or irrelevant.
    warnings.filterwarnings("ignore", module=r"PIL\.")


@cache
def _register_heif() -> None:
    """Registers HEIC with Pillow, at the first HEIC only: the import takes longer than reading a hundred headers."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def _header(image: Image.Image) -> Header:
    has_xmp_orientation = _drop_xmp(image)
    orientation, has_exif = _read_exif(image)
    sideways = orientation > 4 and not _is_upright_after_decoding(image)
    width, height = image.size[::-1] if sideways else image.size
    all_traits = (*traits(image), *(["xmp"] if has_xmp_orientation and orientation == 1 else []))
    metadata = has_exif or "mp" in image.info
    return Header(
        image.format or "", width, height, image.mode, orientation == 1, metadata, has_srgb_profile(image), all_traits
    )


def _drop_xmp(image: Image.Image) -> bool:
    """Removes XMP from an undecoded image, as Pillow applies its orientation and viewers do not. Returns whether it
    had an orientation."""
    texts = [image.info.pop(name, b"") for name in _XMP]
    return any(_XMP_TURNED.search(text.encode() if isinstance(text, str) else text) for text in texts)


def _read_exif(image: Image.Image) -> tuple[int, bool]:
    """The orientation, 1 to 8, and whether there is EXIF. Unreadable EXIF counts as absent, and the photo stays."""
    try:
        # Not image.getexif(), which for a PNG decodes all pixels to look for EXIF after them.
        exif = Image.Image.getexif(image)
        orientation = exif.get(_ORIENTATION, 1)
        return (orientation if orientation in _TRANSPOSES else 1), bool(exif)
    except Exception:  # a parser fed hostile bytes raises anything
        return 1, True


def _is_upright_after_decoding(image: Image.Image) -> bool:
    """Whether the format's decoder returns upright pixels and reports the upright size."""
    return image.format in ("TIFF", "HEIF")


def _has_end(format: str, stream: BinaryIO) -> bool:
    """Whether the file's end shows that the photo is complete; garbage may follow. If False, only decoding can tell."""
    header_end = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    match format:
        case "JPEG":
            # Searched only after the header, as a thumbnail in it has its own end marker; the pixels contain none.
            stream.seek(max(header_end, size - _TAIL))
            return stream.read().rfind(_JPEG_END) >= 0
        case "PNG":
            stream.seek(max(0, size - _TAIL))
            return stream.read().rfind(_PNG_END) >= 0
        case "WEBP":
            stream.seek(4)
            return int.from_bytes(stream.read(4), "little") + 8 <= size
    return False
