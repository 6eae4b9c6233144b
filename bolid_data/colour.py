"""Colours as their owner saw them: any decoded image to sRGB without alpha, 8 bits a channel."""

import io
import struct
from functools import lru_cache
from typing import Any

from PIL import Image, ImageCms, ImageColor, ImageMode

from bolid_data.progress import note

WHITE = "white"
_LATTICE = (0, 36, 73, 109, 146, 182, 219, 255)
_SAME = 2
"""Levels of 255 by which a profile may move a colour and still be sRGB: rounding in tables of 8 to 16 bits."""
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
_DISPLAY_P3, _SRGB_TRANSFER = 12, 13  # of ITU-T H.273


def to_srgb(image: Image.Image, background: str = WHITE) -> Image.Image:
    """RGB of an image in any mode: 16 bits scaled to 8, its colour profile applied, transparency laid on `background`
    (a colour as CSS names it).

    A profile that cannot be read, or is of another kind of image, is ignored, with a note.
    """
    profile = profile_of(image)
    image = _eight_bits(image)
    alpha = None
    if has_alpha(image):
        image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        *channels, alpha = image.split()
        image = channels[0] if len(channels) == 1 else Image.merge("RGB", channels)
    colours = _apply(image, profile) if profile else None
    colours = colours or (image if image.mode == "RGB" else image.convert("RGB"))
    if alpha:
        colours = Image.composite(colours, Image.new("RGB", colours.size, ImageColor.getrgb(background)[:3]), alpha)
    return colours


def traits(image: Image.Image) -> list[str]:
    """What of an image a reader that knows no colours would get wrong: `16bit`, `alpha`, `profile`, in this order."""
    profile = profile_of(image)
    odd = {
        "16bit": image.mode.startswith(("I", "F")),
        "alpha": has_alpha(image),
        "profile": profile is not None and _transform(profile, _channels(image)) not in (None, _IDENTITY),
    }
    return [name for name, is_so in odd.items() if is_so]


def has_srgb_profile(image: Image.Image) -> bool:
    """Whether an image carries a profile that says no more than that it is sRGB."""
    profile = profile_of(image)
    return profile is not None and _transform(profile, _channels(image)) is _IDENTITY


def has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def profile_of(image: Image.Image) -> bytes | None:
    """An image's ICC profile, or that of Display P3 where a HEIC or AVIF names it by number."""
    if profile := image.info.get("icc_profile"):
        return bytes(profile)
    named: Any = image.info.get("nclx_profile") or {}
    is_p3 = named.get("color_primaries") == _DISPLAY_P3 and named.get("transfer_characteristics") == _SRGB_TRANSFER
    return display_p3() if is_p3 else None


def _eight_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith(("I", "F")):
        return image
    import numpy as np

    values = np.asarray(image).astype(np.float64)
    transparency = image.info.get("transparency")
    if image.mode == "F":
        top = 1.0 if values.max(initial=0) <= 1 else 255.0
    else:  # grey of 16 bits, be it kept in 32
        top = 65535.0 if values.max(initial=0) <= 65535 else float(2**32 - 1)
    scaled = Image.fromarray(np.clip(np.rint(values * (255 / top)), 0, 255).astype(np.uint8))
    if isinstance(transparency, int):
        scaled.putalpha(Image.fromarray(np.where(values == transparency, 0, 255).astype(np.uint8)))
    return scaled


def _apply(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The image's colours in sRGB; None where the profile changes nothing, or is none for it."""
    mode = _channels(image)
    transform = _transform(profile, mode)
    if transform is None or transform is _IDENTITY:
        return None
    return transform.apply(image if image.mode == mode else image.convert(mode))


def _channels(image: Image.Image) -> str:
    """The mode that a profile is applied in: a palette's colours are RGB, and alpha has none."""
    base = ImageMode.getmode(image.mode).basemode
    return (
        image.mode if image.mode in ("CMYK", "LAB") else "L" if base == "L" and image.mode not in ("P", "PA") else "RGB"
    )


_IDENTITY: Any = object()


@lru_cache(64)
def _transform(profile: bytes, mode: str) -> Any:
    """What turns images of `mode` with this profile into sRGB: None for a profile that is none of theirs, `_IDENTITY`
    for one that is sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = _SPACES.get(source.profile.xcolor_space)
        if space != mode:
            note(f"a photo's colour profile is ignored: it is for {space or 'other'} images, not {mode}")
            return None
        # Perceptually, as browsers and Pillow do; tables of profiles for printers have nothing better.
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        return _IDENTITY if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, SyntaxError) as error:
        note(f"a photo's colour profile cannot be read and is ignored ({' '.join(str(error).split())[:100]})")
        return None


def _changes_nothing(transform: Any, mode: str) -> bool:
    if mode == "L":
        before = Image.new("L", (256, 1))
        before.putdata(range(256))
        same = before.convert("RGB")
    elif mode == "RGB":
        before = Image.new("RGB", (len(_LATTICE) ** 2, len(_LATTICE)))
        before.putdata([(r, g, b) for r in _LATTICE for g in _LATTICE for b in _LATTICE])
        same = before
    else:
        return False
    after = transform.apply(before)
    return all(abs(x - y) <= _SAME for x, y in zip(after.tobytes(), same.tobytes(), strict=True))


@lru_cache(1)
def display_p3() -> bytes:
    """An ICC profile of Display P3: sRGB's, with other primaries (SMPTE EG 432-1, adapted to D50)."""
    table = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", table[128:132])[0]
    places = {bytes(table[at : at + 4]): struct.unpack(">I", table[at + 4 : at + 8])[0]
              for at in range(132, 132 + 12 * count, 12)}  # fmt: skip
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for tag, values in primaries.items():
        at = places[tag] + 8
        table[at : at + 12] = struct.pack(">iii", *(round(value * 65536) for value in values))
    return bytes(table)
