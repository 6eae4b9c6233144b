"""Photo formats, by their names in a manifest's `[source] formats`."""

from typing import Literal, get_args

Format = Literal[
    "jpeg", "png", "webp", "tiff", "heic", "avif", "gif", "bmp", "jpeg2000", "psd", "tga", "ppm"
]  # fmt: skip
USUAL_FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp", "tiff", "heic", "avif", "gif", "bmp")
"""The formats of galleries and phones; decoders of other formats are a risk that few need to take."""
FORMATS: dict[str, str] = {name: "HEIF" if name == "heic" else name.upper() for name in get_args(Format)}
"""Pillow's names."""
