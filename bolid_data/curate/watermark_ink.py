"""Ink as sites lay it over their photos, more varied than the gallery's: what the watermark network learns."""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Rng = np.random.Generator
Fonts = Sequence[str | None]
"""Fonts of matplotlib by file name; None is the one embedded in Pillow."""

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("DejaVuSerif", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "cmtt10", "cmb10", "cmti10"),
)
HELD_OUT_FONTS = (
    *("DejaVuSans-BoldOblique", "DejaVuSansMono-BoldOblique", "DejaVuSerif-Bold", "STIXGeneralBol", "cmss10"),
)


def package_file(package: str, path: str) -> Path:
    """A file inside an installed package. Raises SystemExit saying what to install."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"training needs the package {package}; see watermark_samples.py for what to install")
    return Path(spec.submodule_search_locations[0]) / path


def words(rng: Rng) -> str:
    """Something like a site, a name or a licence number, in Latin or Cyrillic letters."""
    alphabet = "абвгдежзиклмнопрстуфхцчшэюя" if rng.random() < 0.15 else "abcdefghijklmnopqrstuvwxyz"
    parts = ["".join(rng.choice(list(alphabet), rng.integers(2, 9))) for _ in range(rng.integers(1, 4))]
    text = str(rng.choice(["", " ", ".", "-"])).join(parts)
    if rng.random() < 0.5:
        text += f".{rng.choice(['com', 'net', 'org', 'ru', 'info', 'eu', 'co.uk', 'tv'])}"
    prefix = str(rng.choice(["", "", "", "© ", "www.", "Photo: ", "(c) ", "@", f"© {rng.integers(1990, 2030)} "]))
    text = prefix + text
    return [text, text.upper(), text.title(), f"{text} {rng.integers(1, 10**6)}"][rng.integers(4)]


def stamp_text(width: float, rng: Rng, fonts: Fonts) -> Image.Image:
    """A line or two of text about `width` pixels wide, plain or only its outline."""
    name = fonts[int(rng.integers(len(fonts)))]
    lines = "\n".join(words(rng) for _ in range(1 if rng.random() < 0.85 else 2))

    def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        if name is None:
            return ImageFont.load_default(size)
        return ImageFont.truetype(package_file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf"), size)

    pen = ImageDraw.Draw(Image.new("L", (1, 1)))
    probe = pen.multiline_textbbox((0, 0), lines, font(40))
    size = float(np.clip(40 * width / max(1, probe[2] - probe[0]), 9, 300))
    stroke = int(rng.integers(0, 1 + max(1, round(size / 18))))
    left, top, right, bottom = pen.multiline_textbbox((0, 0), lines, font(size), stroke_width=stroke)
    mask = Image.new("L", (math.ceil(right - left) + 2, math.ceil(bottom - top) + 2))
    pen = ImageDraw.Draw(mask)
    pen.multiline_text((1 - left, 1 - top), lines, 255, font(size), stroke_width=stroke)
    if stroke and rng.random() < 0.4:
        pen.multiline_text((1 - left, 1 - top), lines, int(rng.integers(0, 120)), font(size))
    return mask


def _emblem(side: int, rng: Rng) -> Image.Image:
    mask = Image.new("L", (side, side))
    pen, width = ImageDraw.Draw(mask), max(2, round(side * rng.uniform(0.03, 0.12)))
    box = (width, width, side - width, side - width)
    corners = int(rng.integers(3, 9))
    filled: dict[str, Any] = {"fill": 255} if rng.random() < 0.35 else {"outline": 255, "width": width}
    [
        lambda: pen.ellipse(box, **filled),
        lambda: pen.rectangle(box, **filled),
        lambda: pen.rounded_rectangle(box, side // 5, **filled),
        lambda: pen.regular_polygon((side / 2, side / 2, side / 2 - 1), corners, rng.uniform(0, 90), **filled),
    ][rng.integers(4)]()
    if rng.random() < 0.6:
        letter = str(rng.choice(list("ABCDEFGHKMNPRSTXYZ&*@")))
        ink = 0 if "fill" in filled else 255
        pen.text(
            (side / 2, side / 2),
            letter,
            ink,
            ImageFont.load_default(side * 0.55),
            anchor="mm",
            stroke_width=width // 4,
        )
    return mask


def _logo(width: float, rng: Rng, fonts: Fonts) -> Image.Image:
    text = stamp_text(width, rng, fonts)
    emblem = _emblem(max(16, round(text.height * rng.uniform(1, 4))), rng)
    if beside := rng.random() < 0.5:
        size = (emblem.width + text.width + 6, max(emblem.height, text.height))
    else:
        size = (max(emblem.width, text.width), emblem.height + text.height + 4)
    mask = Image.new("L", size)
    mask.paste(emblem, (0, (size[1] - emblem.height) // 2) if beside else ((size[0] - emblem.width) // 2, 0))
    mask.paste(
        text,
        (emblem.width + 6, (size[1] - text.height) // 2)
        if beside
        else ((size[0] - text.width) // 2, emblem.height + 4),
    )
    return mask


def ink(size: tuple[int, int], rng: Rng, fonts: Fonts) -> Image.Image:
    """A watermark's coverage (mode L) of a canvas of `size`: a line, a logo, or either tiled over everything."""
    draw = _logo if rng.random() < 0.3 else stamp_text
    canvas = Image.new("L", size)
    if rng.random() < 0.3:
        stamp = draw(size[0] * rng.uniform(0.12, 0.45), rng, fonts)
        stamp = stamp.rotate(rng.uniform(-60, 60), Image.Resampling.BILINEAR, expand=True)
        gap = rng.uniform(0.9, 1.9, 2)
        for row, top in enumerate(np.arange(-stamp.height / 2, size[1], stamp.height * gap[1] + 8)):
            for left in np.arange(-stamp.width * (0.5 + 0.5 * (row % 2)), size[0], stamp.width * gap[0] + 8):
                canvas.paste(stamp, (int(left), int(top)), stamp)
        if rng.random() < 0.2:
            for offset in range(-size[1], size[0], max(40, stamp.width)):
                ImageDraw.Draw(canvas).line((offset, 0, offset + size[1], size[1]), 255, int(rng.integers(1, 4)))
        return canvas
    stamp = draw(size[0] * rng.uniform(0.15, 0.95), rng, fonts)
    angle = [0.0, 0.0, 0.0, 90.0, rng.uniform(-60, 60)][rng.integers(5)]
    stamp = stamp.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    stamp.thumbnail((size[0] - 4, size[1] - 4))
    room = (size[0] - stamp.width, size[1] - stamp.height)
    spot = rng.random(2) if rng.random() < 0.4 else rng.choice([0.03, 0.5, 0.97], 2)
    canvas.paste(stamp, (round(room[0] * spot[0]), round(room[1] * spot[1])))
    return canvas


def apply(image: Image.Image, mask: Image.Image, rng: Rng) -> Image.Image:
    """Lays ink on an image of the same size: colour, opacity and shadow as sites choose them."""
    grey = int(rng.choice([255, 255, 255, 235, 200, 128, 40, 0, 0]))
    colour = tuple(int(c) for c in (rng.integers(0, 256, 3) if rng.random() < 0.2 else (grey,) * 3))
    opacity = float(rng.choice([rng.uniform(0.15, 0.45), rng.uniform(0.4, 1.0)]))
    if rng.random() < 0.4:
        shift = int(rng.integers(1, 4))
        shadow = Image.new("L", image.size)
        shadow.paste(mask, (shift, shift))
        dark = tuple(0 if sum(colour) > 380 else 255 for _ in range(3))
        image = Image.composite(Image.new("RGB", image.size, dark), image, shadow.point(lambda v: v * opacity * 0.6))
    return Image.composite(Image.new("RGB", image.size, colour), image, mask.point(lambda v: v * opacity))
