"""Detects JPEGs with missing data: cut and closed again, zeroed in the middle, progressive with missing scans.

Decoders leave the missing part grey without an error; libjpeg only warns. Its warnings tell damage from a photo with a
large plain sky.
"""

import re

import simplejpeg
from PIL import Image

_SCAN, _FRAME_PROGRESSIVE = 0xDA, 0xC2
_COLOURS = {"RGB": "RGB", "L": "GRAY"}
_HARMLESS = re.compile(r"Corrupt JPEG data: ([0-9]+) extraneous bytes before marker 0xd9")
_PADDING = 64
"""Bytes that cameras write before the end of a file and that no decoder needs, at most."""
_WARNINGS = re.compile(
    "premature end|bad huffman|corrupt jpeg|inconsistent progression|invalid progressive|unsupported marker",
    re.IGNORECASE,
)


class DamagedError(ValueError):
    """A JPEG is damaged although decoders show it without an error; the message says how."""


def decode(jpeg: bytes, mode: str, at_least: int | None = None) -> Image.Image | None:
    """A JPEG's pixels in `mode` (RGB or L), identical to Pillow's; None where Pillow has to decode it (CMYK, and
    harmless warnings). With `at_least`, fewer of them: the smallest size that libjpeg scales to with both sides at
    least that long. Raises DamagedError."""
    if missing := _missing_scans(jpeg):
        raise DamagedError(missing)
    colours = _COLOURS.get(mode, "CMYK")
    try:
        size = at_least or 0  # 0: all
        pixels = simplejpeg.decode_jpeg(jpeg, colours, strict=True, min_height=size, min_width=size)
    except ValueError as error:  # a warning, or an error, which Pillow will raise again
        harmless = _HARMLESS.search(str(error))
        if _WARNINGS.search(str(error)) and not (harmless and int(harmless[1]) <= _PADDING):
            raise DamagedError(str(error)) from None
        return None
    if mode not in _COLOURS:
        return None
    return Image.fromarray(pixels if mode == "RGB" else pixels[..., 0])


def _missing_scans(jpeg: bytes) -> str | None:
    """Describes the missing scans of a progressive JPEG; None if it is complete.

    It stores each coefficient in several scans, down to its last bit (ITU-T T.81, G.1.1.1). One that was closed after
    some of them decodes without a warning, blurred.
    """
    progressive, luminance, shifts = False, -1, dict[int, int | None].fromkeys(range(64))
    for marker, segment in _segments(jpeg):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            progressive = marker == _FRAME_PROGRESSIVE
            luminance = segment[6] if len(segment) > 6 else -1
        elif marker == _SCAN and progressive and segment and len(segment) >= 2 * segment[0] + 4:
            components = segment[1 : 1 + 2 * segment[0] : 2]
            first, last, shift = segment[1 + 2 * segment[0] : 4 + 2 * segment[0]]
            if luminance in components:
                shifts |= dict.fromkeys(range(first, min(last, 63) + 1), shift & 15)
    unfinished = sum(shift != 0 for shift in shifts.values())
    return f"lacks scans of {unfinished} of 64 coefficients" if progressive and unfinished else None


def _segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """Markers with their segments, in order; compressed data is skipped."""
    segments, at = [], 2
    while (at := jpeg.find(b"\xff", at)) >= 0 and at + 4 <= len(jpeg):
        marker = jpeg[at + 1]
        if marker in (0x00, 0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            break
        length = int.from_bytes(jpeg[at + 2 : at + 4])
        if length < 2:
            break
        segments.append((marker, jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
    return segments
