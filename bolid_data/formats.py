"""Formats of photos, by the names that a manifest's `[source] formats` may have."""

from typing import Literal, get_args

Format = Literal[
    "jpeg", "png", "webp", "tiff", "heic", "avif", "gif", "bmp", "jpeg2000", "psd", "tga", "ppm"
]  # fmt: skip
USUAL_FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp", "tiff", "heic", "avif", "gif", "bmp")
"""What galleries and phones have; a decoder of anything else is a risk that few need."""
FORMATS: dict[str, str] = {name: "HEIF" if name == "heic" else name.upper() for name in get_args(Format)}
"""Pillow's names."""
