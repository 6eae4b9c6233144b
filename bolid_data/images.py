"""Photos as files: what the header says, and upright RGB pixels."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bolid_data.errors import BolidError

MAX_PIXELS = 120_000_000
"""A header that claims more than this is a decompression bomb, not a photo."""

# Pillow warns at half of what it refuses; we refuse there ourselves.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tif", "GIF": "gif", "BMP": "bmp"}
_ORIENTATION = 0x0112
_TURNED = {5, 6, 7, 8}  # EXIF orientations that swap width and height


class BrokenPhotoError(BolidError):
    """The bytes are no photo we can read; the message says why."""


@dataclass(frozen=True)
class Header:
    """What a photo's first bytes say; width and height in pixels, upright (EXIF orientation applied)."""

    format: str
    width: int
    height: int
    upright: bool  # stored upright already
    metadata: bool  # carries EXIF

    @property
    def extension(self) -> str:
        return _EXTENSIONS[self.format]


def _open(data: bytes | Path) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=list(_EXTENSIONS))
    except UnidentifiedImageError:
        raise BrokenPhotoError("not an image") from None
    except Image.DecompressionBombError:
        raise BrokenPhotoError(f"claims more than {MAX_PIXELS} pixels") from None
    except FileNotFoundError:
        raise BrokenPhotoError("its file is missing") from None
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
    ) as error:  # what Pillow's parsers raise on hostile bytes
        raise BrokenPhotoError(f"unreadable header: {error}") from None
    if image.width * image.height > MAX_PIXELS:
        raise BrokenPhotoError(f"claims {image.width}×{image.height} pixels")
    return image


def read_header(data: bytes | Path) -> Header:
    """Format and upright size, from the header alone: nothing is decoded. Raises BrokenPhotoError."""
    with _open(data) as image:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        width, height = image.size if orientation not in _TURNED else image.size[::-1]
        return Header(image.format or "", width, height, orientation in (0, 1), bool(exif))


def read_upright(data: bytes | Path) -> Image.Image:
    """The photo as an upright RGB image, wholly decoded. Raises BrokenPhotoError (a truncated file included)."""
    image = _open(data)
    try:
        with image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BrokenPhotoError(f"cannot be decoded: {error}") from None


def letterbox(image: Image.Image, side: int) -> tuple[np.ndarray, float]:
    """The image shrunk or grown to fit a square of `side` pixels, top left, the rest grey.

    Returns uint8 (side, side, 3) and the scale: a point of the image times the scale is its point in the square.
    """
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    square = np.full((side, side, 3), 114, dtype=np.uint8)
    square[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    return square, scale
