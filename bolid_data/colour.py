"""Colour management: converts any decoded image to sRGB without alpha, 8 bits per channel."""

import io
import struct
from functools import lru_cache
from typing import Any

from PIL import Image, ImageCms, ImageColor, ImageMode

from bolid_data.progress import note

WHITE = "white"
_LATTICE = (0, 36, 73, 109, 146, 182, 219, 255)
_TOLERANCE = 2
"""Levels of 255 by which a profile may change a colour and still count as sRGB: rounding in tables of 8 to 16 bits."""
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
_DISPLAY_P3, _SRGB_TRANSFER = 12, 13  # of ITU-T H.273


def to_srgb(image: Image.Image, background: str = WHITE) -> Image.Image:
    """Converts an image of any mode to sRGB: 16 bits are scaled to 8, the colour profile is applied, and transparent
    pixels are composited onto `background` (a CSS colour).

    A profile that cannot be read, or is for another kind of image, is ignored with a note.
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
    """What a reader without colour management would get wrong about an image: `16bit`, `alpha`, `profile`, in this
    order."""
    profile = profile_of(image)
    present = {
        "16bit": image.mode.startswith(("I", "F")),
        "alpha": has_alpha(image),
        "profile": profile is not None and _transform(profile, _channels(image)) not in (None, _IDENTITY),
    }
    return [name for name, is_present in present.items() if is_present]


def has_srgb_profile(image: Image.Image) -> bool:
    """Whether an image carries a profile that is equivalent to sRGB."""
    profile = profile_of(image)
    return profile is not None and _transform(profile, _channels(image)) is _IDENTITY


def has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def profile_of(image: Image.Image) -> bytes | None:
    """An image's ICC profile, or that of Display P3 if a HEIC or AVIF names it by number."""
    if profile := image.info.get("icc_profile"):
        return bytes(profile)
    nclx: Any = image.info.get("nclx_profile") or {}
    is_p3 = nclx.get("color_primaries") == _DISPLAY_P3 and nclx.get("transfer_characteristics") == _SRGB_TRANSFER
    return display_p3() if is_p3 else None


def _eight_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith(("I", "F")):
        return image
    import numpy as np

    values = np.asarray(image).astype(np.float64)
    transparency = image.info.get("transparency")
    if image.mode == "F":
        top = 1.0 if values.max(initial=0) <= 1 else 255.0
    else:  # 16-bit grey, possibly stored in 32 bits
        top = 65535.0 if values.max(initial=0) <= 65535 else float(2**32 - 1)
    scaled = Image.fromarray(np.clip(np.rint(values * (255 / top)), 0, 255).astype(np.uint8))
    if isinstance(transparency, int):
        scaled.putalpha(Image.fromarray(np.where(values == transparency, 0, 255).astype(np.uint8)))
    return scaled


def _apply(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The image converted to sRGB; None where the profile changes nothing or does not apply."""
    mode = _channels(image)
    transform = _transform(profile, mode)
    if transform is None or transform is _IDENTITY:
        return None
    return transform.apply(image if image.mode == mode else image.convert(mode))


def _channels(image: Image.Image) -> str:
    """The mode in which a profile is applied: RGB for a palette, and never with alpha."""
    base = ImageMode.getmode(image.mode).basemode
    return (
        image.mode if image.mode in ("CMYK", "LAB") else "L" if base == "L" and image.mode not in ("P", "PA") else "RGB"
    )


_IDENTITY: Any = object()


@lru_cache(64)
def _transform(profile: bytes, mode: str) -> Any:
    """The transform of images of `mode` with this profile to sRGB: None for a profile that does not apply, `_IDENTITY`
    for one that is sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = _SPACES.get(source.profile.xcolor_space)
        if space != mode:
            note(f"a photo's colour profile is ignored: it is for {space or 'other'} images, not {mode}")
            return None
        # Perceptual intent, as in browsers and Pillow; the tables of printer profiles offer nothing better.
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
    return all(abs(x - y) <= _TOLERANCE for x, y in zip(after.tobytes(), same.tobytes(), strict=True))


@lru_cache(1)
def display_p3() -> bytes:
    """An ICC profile of Display P3: that of sRGB with other primaries (SMPTE EG 432-1, adapted to D50)."""
    table = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", table[128:132])[0]
    offsets = {bytes(table[at : at + 4]): struct.unpack(">I", table[at + 4 : at + 8])[0]
              for at in range(132, 132 + 12 * count, 12)}  # fmt: skip
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for tag, values in primaries.items():
        at = offsets[tag] + 8
        table[at : at + 12] = struct.pack(">iii", *(round(value * 65536) for value in values))
    return bytes(table)
