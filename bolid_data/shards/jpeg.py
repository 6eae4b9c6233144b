"""Converts a photo for a shard: an upright 8-bit sRGB JPEG, grey or RGB, without metadata.

What a camera or an editor adds (EXIF, XMP, IPTC, comments, maker notes, thumbnails, second images, films after the end)
is dropped by copying only the segments that a decoder needs, so that the pixels stay the same bit for bit.
"""

import io
import re
from dataclasses import dataclass

from PIL import Image

from bolid_data.colour import WHITE
from bolid_data.images import Header, read_header, read_upright

QUALITY = 95
"""JPEG quality of photos that must be encoded again: other formats, rotated ones, colours other than sRGB."""

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; the others are not used in practice
_TABLES = {0xC4, 0xDB, 0xDD}  # Huffman, quantisation, restart interval
_SCAN = 0xDA
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that is neither an escaped byte nor a restart
_METADATA = {0xFE, *range(0xE0, 0xF0)}  # comments and application segments
_NEEDED_PREFIXES = {
    0xE0: b"JFIF\0",
    0xE2: b"ICC_PROFILE\0",
    0xEE: b"Adobe",
}  # the application segments that determine colours


# Pillow counts anticlockwise.
_TURNS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Jpeg:
    """`width` and `height` in pixels; `made` records how `data` came from the photo's bytes: `as_is`, `stripped` or
    `converted: …` and why."""

    data: bytes
    width: int
    height: int
    made: str


def to_jpeg(photo: bytes, background: str = WHITE, rotation: int = 0) -> Jpeg:
    """Converts a photo, turned clockwise by `rotation` degrees, a multiple of 90. The same bytes give the same JPEG
    with the same versions of Pillow and its colour management. Raises BrokenPhotoError."""
    header = read_header(photo)
    plain = photo.startswith(_START) and header.upright and not set(header.traits) - {"xmp"}
    if plain and not rotation and (stripped := _strip(photo, header.srgb_profile)):
        return stripped
    image = read_upright(photo, background)
    profile = image.info.get("icc_profile")
    if rotation:
        image = image.transpose(_TURNS[rotation])
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling=0, icc_profile=profile)
    reasons = _reasons(header) if not plain or not rotation else []
    if rotation:
        reasons.append(f"sideways, turned by {rotation}")
    return Jpeg(out.getvalue(), image.width, image.height, f"converted: {', '.join(reasons)}")


def _reasons(header: Header) -> list[str]:
    """Why a photo is encoded again, in words."""
    reasons = [trait for trait in header.traits if trait != "xmp"]
    if header.format != "JPEG" or (header.upright and not reasons):
        kind = header.format.lower()
        reasons.insert(0, f"{header.mode.lower()} {kind}" if header.mode in ("CMYK", "LAB") else kind)
    if not header.upright:
        reasons.append("turned")
    return reasons


def _strip(photo: bytes, keep_profile: bool) -> Jpeg | None:
    """The JPEG without metadata; None if it must be decoded."""
    segments, at, size = [_START], 2, None
    while True:
        at = _past_fill(photo, at)
        marker, length = photo[at + 1 : at + 2], int.from_bytes(photo[at + 2 : at + 4])
        end = at + 2 + length
        if photo[at : at + 1] != b"\xff" or not marker:
            return None
        if photo[at : at + 2] == _END:
            break
        if length < 2 or end > len(photo):
            return None
        match marker[0]:
            case frame if frame in _FRAMES:
                depth, components = photo[at + 4], photo[at + 9] if length > 7 else 0
                size = int.from_bytes(photo[at + 7 : at + 9]), int.from_bytes(photo[at + 5 : at + 7])
                if depth != 8 or components not in (1, 3) or 0 in size:
                    return None
                segments.append(photo[at:end])
            case scan if scan == _SCAN:
                if not (marker_after := _SCAN_END.search(photo, end)):
                    return None
                end = marker_after.start()
                segments.append(photo[at:end])
            case table if table in _TABLES:
                segments.append(photo[at:end])
            case metadata if metadata in _METADATA:
                segments.append(_needed(photo[at:end], keep_profile))
            case _:
                return None
        at = end
    if size is None:
        return None
    data = b"".join([*segments, _END])
    return Jpeg(photo, *size, "as_is") if data == photo else Jpeg(data, *size, "stripped")


def _past_fill(photo: bytes, at: int) -> int:
    """Skips fill bytes: any number of 0xFF may precede a marker."""
    while photo[at : at + 2] == b"\xff\xff":
        at += 1
    return at


def _needed(segment: bytes, keep_profile: bool) -> bytes:
    """The part of an application segment that a decoder needs, with marker and length; mostly nothing."""
    prefix = _NEEDED_PREFIXES.get(segment[1])
    if prefix is None or not segment.startswith(prefix, 4):
        return b""
    if segment[1] == 0xE2 and not keep_profile:
        return b""
    if segment[1] == 0xE0:  # a thumbnail may follow
        return segment[:2] + b"\0\x10" + segment[4:16] + b"\0\0" if len(segment) >= 18 else b""
    if segment[1] == 0xEE:
        return segment[:2] + b"\0\x0e" + segment[4:16] if len(segment) >= 16 else b""
    return segment
