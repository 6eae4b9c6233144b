"""Photos as files: what the header says, whether the file is whole, and upright sRGB pixels without alpha.

`read_upright` is the one way to a photo's pixels, for whoever reads them.
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
"""Of what `read_upright` makes of a photo; 1 knew no colour profiles and no transparency, and turned photos by XMP.
Raise it where the pixels of some photos change: those whose `Header.traits` say so are measured again."""

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
_QUICK = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"RIFF", b"<")  # the last: HTML, which is no photo at once
_PROFILES = (b"ICC_PROFILE\0", b"iCCP", b"ICCP")
_TAIL = 65536  # bytes at a file's end in which its last marker is looked for
_JPEG_END = b"\xff\xd9"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_ORIENTATION = 0x0112
_TURNS = {  # EXIF orientation -> what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BrokenPhotoError(BolidError):
    """The bytes are no photo we can read; the message says why."""


@dataclass(frozen=True)
class Header:
    """What a photo's first bytes say; width and height in pixels, upright (EXIF orientation applied)."""

    format: str
    width: int
    height: int
    mode: str  # Pillow's
    upright: bool  # stored upright already
    metadata: bool  # carries EXIF, or more pictures
    srgb_profile: bool = False  # carries a profile that says that it is sRGB
    traits: tuple[str, ...] = ()  # why it is not plain sRGB: profile, alpha, 16bit; and xmp, which once turned it

    @property
    def extension(self) -> str:
        return _EXTENSIONS[self.format]


def read_header(data: bytes | Path) -> Header:
    """Format and upright size, from the header alone: nothing is decoded. Raises BrokenPhotoError."""
    with _open(data) as (image, _):
        return _header(image)


def inspect(file: Path, formats: Sequence[str] = USUAL_FORMATS) -> Header:
    """The header of a whole photo. Raises BrokenPhotoError, for a file that was cut off and for other formats too.

    Decodes only where the file's end does not show that it is whole, so that no photo that can be decoded is refused.
    """
    header, whole = inspect_quickly(file, formats)
    if not whole:
        read_upright(file)
    return header


def inspect_quickly(file: Path, formats: Sequence[str] = USUAL_FORMATS) -> tuple[Header, bool]:
    """The header, and whether the file's end shows that it is whole; nothing is decoded. Raises BrokenPhotoError."""
    with _open(file) as (image, stream):
        if image.format not in {FORMATS[name] for name in formats}:
            raise BrokenPhotoError(f"a {image.format}, which [source] formats does not name")
        header = _header(image)
        return header, _ends_well(header.format, stream)


def is_quick(file: Path) -> bool:
    """Whether a file begins as one whose header takes no time to read: one without a colour profile, whose tables may
    be of any size."""
    with file.open("rb") as stream:
        first = stream.read(_BEGINNING)
    return first.startswith(_QUICK) and not any(mark in first for mark in _PROFILES)


def read_upright(data: bytes | Path, background: str = WHITE) -> Image.Image:
    """The photo as an upright sRGB image without alpha, wholly decoded: its first frame, turned by EXIF alone, with its
    colour profile applied, laid on `background` where it is transparent.

    Waits while other threads decode as much as memory should hold. Raises BrokenPhotoError (a truncated or damaged
    file included).
    """
    if isinstance(data, Path):
        data = _bytes(data)
    with _open(data) as (image, _), decoding(image.width * image.height):
        _forget_xmp(image)
        orientation, _ = _read_exif(image)
        try:
            image.seek(0)
            turn = None if _turned_by_decoder(image) else _TURNS.get(orientation)
            pixels = _decoded(image, data)
            upright = to_srgb(pixels if turn is None else pixels.transpose(turn), background)
            upright.load()
        except DamagedError as error:
            raise BrokenPhotoError(f"cannot be decoded whole: {error}") from None
        except Exception as error:  # decoders fed hostile bytes raise anything
            raise BrokenPhotoError(f"cannot be decoded: {error}") from None
        profile = image.info.get("icc_profile") if upright.mode == image.mode and has_srgb_profile(image) else None
        upright.info = {"icc_profile": profile} if profile else {}  # no comments, which Pillow would write again
        return upright


def _decoded(image: Image.Image, data: bytes) -> Image.Image:
    """The image, of a JPEG by the decoder that says what is missing."""
    if image.format == "JPEG" and (pixels := decode(data, image.mode)):
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
    """The image, not yet decoded, and the stream it is read from, where reading the header left it."""
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
        # Not through Image.open: it takes a phone's JPEG with a second picture for a format of its own (MPO).
        stream.seek(0)
        return JpegImageFile(stream)
    if first[4:8] == b"ftyp":
        _register_heif()
    known = [name for name in _EXTENSIONS if name != "HEIF" or name in Image.OPEN]
    image = Image.open(stream, formats=known)
    return image


@cache
def _configure_pillow() -> None:
    """Before the first photo is opened, not when this module is imported."""
    # Pillow warns at half of what it refuses; we refuse there ourselves.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    # What Pillow has to say of a bomb or of odd EXIF is said by BrokenPhotoError or matters to nobody.
    warnings.filterwarnings("ignore", module=r"PIL\.")


@cache
def _register_heif() -> None:
    """Teaches Pillow HEIC; only when one is met, as the import takes longer than reading a hundred headers."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def _header(image: Image.Image) -> Header:
    turned_by_xmp = _forget_xmp(image)
    orientation, exif = _read_exif(image)
    sideways = orientation > 4 and not _turned_by_decoder(image)
    width, height = image.size[::-1] if sideways else image.size
    odd = (*traits(image), *(["xmp"] if turned_by_xmp and orientation == 1 else []))
    more = exif or "mp" in image.info
    return Header(image.format or "", width, height, image.mode, orientation == 1, more, has_srgb_profile(image), odd)


def _forget_xmp(image: Image.Image) -> bool:
    """Takes XMP away from an image that is not yet decoded: Pillow turns images by it, and viewers do not. Returns
    whether it would have turned this one."""
    texts = [image.info.pop(name, b"") for name in _XMP]
    return any(_XMP_TURNED.search(text.encode() if isinstance(text, str) else text) for text in texts)


def _read_exif(image: Image.Image) -> tuple[int, bool]:
    """Orientation, 1 to 8, and whether there is EXIF. What of it cannot be read counts as absent: the photo stays."""
    try:
        # Not image.getexif(): a PNG's decodes all its pixels to look for EXIF after them.
        exif = Image.Image.getexif(image)
        orientation = exif.get(_ORIENTATION, 1)
        return (orientation if orientation in _TURNS else 1), bool(exif)
    except Exception:  # EXIF is a format of its own, with hostile bytes of its own
        return 1, True


def _turned_by_decoder(image: Image.Image) -> bool:
    """These decoders give upright pixels and say the upright size."""
    return image.format in ("TIFF", "HEIF")


def _ends_well(format: str, stream: BinaryIO) -> bool:
    """Whether the file's end shows that the photo is whole; garbage may follow. False says only: decode it."""
    scan = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    match format:
        case "JPEG":
            # Searched after the header alone, as a thumbnail in it has an end of its own; the pixels cannot hold one.
            stream.seek(max(scan, size - _TAIL))
            return stream.read().rfind(_JPEG_END) >= 0
        case "PNG":
            stream.seek(max(0, size - _TAIL))
            return stream.read().rfind(_PNG_END) >= 0
        case "WEBP":
            stream.seek(4)
            return int.from_bytes(stream.read(4), "little") + 8 <= size
    return False
