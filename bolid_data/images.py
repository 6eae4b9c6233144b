"""Photos as files: what the header says, whether the file is whole, and upright RGB pixels."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from bolid_data.errors import BolidError

if TYPE_CHECKING:  # imported where it is used: a crawl needs none of it, and it takes longer than all else here
    import numpy as np

MAX_PIXELS = 120_000_000
"""A header that claims more than this is a decompression bomb, not a photo."""

# Pillow warns at half of what it refuses; we refuse there ourselves.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# What Pillow has to say of a bomb or of odd EXIF is said by BrokenPhotoError or matters to nobody.
warnings.filterwarnings("ignore", module=r"PIL\.")

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
}
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
    upright: bool  # stored upright already
    metadata: bool  # carries EXIF, or more pictures

    @property
    def extension(self) -> str:
        return _EXTENSIONS[self.format]


def read_header(data: bytes | Path) -> Header:
    """Format and upright size, from the header alone: nothing is decoded. Raises BrokenPhotoError."""
    with _open(data) as (image, _):
        return _header(image)


def inspect(file: Path) -> Header:
    """The header of a whole photo. Raises BrokenPhotoError, for a file that was cut off too.

    Decodes only where the file's end does not show that it is whole, so that no photo that can be decoded is refused.
    """
    with _open(file) as (image, stream):
        header = _header(image)
        whole = _ends_well(header.format, stream)
    if not whole:
        read_upright(file)
    return header


def read_upright(data: bytes | Path) -> Image.Image:
    """The photo as an upright RGB image, wholly decoded. Raises BrokenPhotoError (a truncated file included)."""
    with _open(data) as (image, _):
        orientation, _ = _read_exif(image)
        try:
            turn = None if _turned_by_decoder(image) else _TURNS.get(orientation)
            return _to_rgb(image if turn is None else image.transpose(turn))
        except Exception as error:  # decoders fed hostile bytes raise anything
            raise BrokenPhotoError(f"cannot be decoded: {error}") from None


@contextmanager
def _open(data: bytes | Path) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """The image, not yet decoded, and the stream it is read from, where reading the header left it."""
    try:
        stream = io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")
    except FileNotFoundError:
        raise BrokenPhotoError("its file is missing") from None
    except OSError as error:
        raise BrokenPhotoError(f"its file cannot be read: {error}") from None
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
    return Image.open(stream, formats=known)


@cache
def _register_heif() -> None:
    """Teaches Pillow HEIC; only when one is met, as the import takes longer than reading a hundred headers."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def _header(image: Image.Image) -> Header:
    orientation, exif = _read_exif(image)
    sideways = orientation > 4 and not _turned_by_decoder(image)
    width, height = image.size[::-1] if sideways else image.size
    return Header(image.format or "", width, height, orientation == 1, exif or "mp" in image.info)


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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # 16 bits of grey, which Pillow would clip to white
        import numpy as np

        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "RGB":  # `convert` would copy it
        image.load()
        return image
    return image.convert("RGB")


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


def letterbox(image: Image.Image, side: int) -> tuple["np.ndarray", float]:
    """The image shrunk or grown to fit a square of `side` pixels, top left, the rest grey.

    Returns uint8 (side, side, 3) and the scale: a point of the image times the scale is its point in the square.
    """
    import numpy as np

    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    square = np.full((side, side, 3), 114, dtype=np.uint8)
    square[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    return square, scale
