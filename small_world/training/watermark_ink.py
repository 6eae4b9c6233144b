"""Ink as sites lay it over their photos, more varied than the gallery's: what the watermark network learns.

Fonts are those of matplotlib and Pillow, and of the Debian packages in `material`, a folder that holds one folder
for each unpacked package.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Rng = np.random.Generator

ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyz",
    "cyrillic": "абвгдежзиклмнопрстуфхцчшэюя",
    "cjk": "日本写真中国图片库网明星人物大小山水花月東京北京上海美女照相映画公式版権所有한국사진연예뉴스스타",
}


@dataclass(frozen=True)
class Font:
    """A font file (None: the one embedded in Pillow) and the alphabets of ALPHABETS that it can write."""

    file: Path | None
    alphabets: tuple[str, ...] = ("latin",)

    def __call__(self, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.load_default(size) if self.file is None else ImageFont.truetype(self.file, size)


Fonts = Sequence[Sequence[Font]]
"""Families of fonts; each is drawn as often as another, however many styles it has."""

HELD_OUT_STYLES = (
    *("DejaVuSans-BoldOblique", "DejaVuSansMono-BoldOblique", "DejaVuSerif-Bold", "STIXGeneralBol", "cmss10"),
)
TRAINING_STYLES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("DejaVuSerif", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "cmtt10", "cmb10", "cmti10"),
)
HELD_OUT_FAMILIES = (
    *("fonts-bebas-neue", "fonts-dancingscript", "fonts-linuxlibertine", "fonts-lobster", "fonts-nanum"),
    *("fonts-quicksand", "fonts-roboto-slab"),
)


def package_file(package: str, path: str) -> Path:
    """A file inside an installed package. Raises SystemExit saying what to install."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"training needs the package {package}; see watermark_samples.py for what to install")
    return Path(spec.submodule_search_locations[0]) / path


def _alphabets(file: Path) -> tuple[str, ...]:
    """What a font writes without falling back to its box for missing characters; () for a font of symbols."""
    font = ImageFont.truetype(file, 24)

    def picture(text: str) -> bytes:
        return bytes(font.getmask(text))

    missing = picture("\uffff"), b""
    return tuple(name for name, letters in ALPHABETS.items() if all(picture(c) not in missing for c in letters[3:6]))


def fonts(material: Path | None = None, held_out: bool = False) -> Fonts:
    """The fonts of training, or those that it never sees."""
    styles = HELD_OUT_STYLES if held_out else TRAINING_STYLES
    files = [package_file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf") for name in styles]
    families = [[Font(file, ("latin", "cyrillic") if "DejaVu" in file.name else ("latin",)) for file in files]]
    if not held_out:
        families.append([Font(None)])
    for folder in sorted(material.glob("fonts-*")) if material else ():
        if (folder.name in HELD_OUT_FAMILIES) == held_out:
            found = (file for kind in ("ttf", "otf", "ttc") for file in sorted(folder.rglob(f"*.{kind}")))
            able = [Font(file, alphabets) for file in found if "latin" in (alphabets := _alphabets(file))]
            families += [able] if able else []
    return families


def words(rng: Rng, font: Font) -> str:
    """Something like a site, a name or a licence number, in an alphabet of the font."""
    name = "latin" if rng.random() < 0.7 else str(rng.choice(font.alphabets))
    longest = 5 if name == "cjk" else 9
    parts = ["".join(rng.choice(list(ALPHABETS[name]), rng.integers(2, longest))) for _ in range(rng.integers(1, 4))]
    text = str(rng.choice(["", " ", ".", "-", "_"])).join(parts)
    if rng.random() < 0.5:
        text += f".{rng.choice(['com', 'net', 'org', 'ru', 'info', 'eu', 'co.uk', 'tv', 'jp', 'io'])}"
    year = f"© {rng.integers(1990, 2030)} "
    prefix = str(rng.choice(["", "", "", "© ", "www.", "https://", "Photo: ", "(c) ", "@", "#", "ID ", year]))
    text = prefix + text
    return [text, text.upper(), text.title(), f"{text} {rng.integers(1, 10**6)}"][rng.integers(4)]


def stamp_text(width: float, rng: Rng, fonts: Fonts) -> Image.Image:
    """A line or two of text about `width` pixels wide, plain or only its outline."""
    family = fonts[int(rng.integers(len(fonts)))]
    font = family[int(rng.integers(len(family)))]
    lines = "\n".join(words(rng, font) for _ in range(1 if rng.random() < 0.85 else 2))
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


def emblem(side: int, rng: Rng) -> Image.Image:
    """A disc, badge or polygon, filled or outlined, often with a letter in it."""
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
        level, font = (0 if "fill" in filled else 255), ImageFont.load_default(side * 0.55)
        pen.text((side / 2, side / 2), letter, level, font, anchor="mm", stroke_width=width // 4)
    return mask


def _logo(width: float, rng: Rng, fonts: Fonts) -> Image.Image:
    text = stamp_text(width, rng, fonts)
    mark = emblem(max(16, round(text.height * rng.uniform(1, 4))), rng)
    if rng.random() < 0.5:
        mask = Image.new("L", (mark.width + text.width + 6, max(mark.height, text.height)))
        mask.paste(mark, (0, (mask.height - mark.height) // 2))
        mask.paste(text, (mark.width + 6, (mask.height - text.height) // 2))
        return mask
    mask = Image.new("L", (max(mark.width, text.width), mark.height + text.height + 4))
    mask.paste(mark, ((mask.width - mark.width) // 2, 0))
    mask.paste(text, ((mask.width - text.width) // 2, mark.height + 4))
    return mask


def _plate(width: float, rng: Rng, fonts: Fonts) -> Image.Image:
    """Text in a frame, or cut out of a strip."""
    text = stamp_text(width, rng, fonts)
    pad = 3 + round(text.height * rng.uniform(0.15, 0.6))
    mask = Image.new("L", (text.width + 2 * pad, text.height + 2 * pad))
    if rng.random() < 0.5:
        ImageDraw.Draw(mask).rectangle((0, 0, mask.width - 1, mask.height - 1), outline=255, width=max(1, pad // 5))
        mask.paste(text, (pad, pad))
        return mask
    mask.paste(255, (0, 0, *mask.size))
    mask.paste(ImageChops.invert(text), (pad, pad))
    return mask


def _tile(stamp: Image.Image, size: tuple[int, int], rng: Rng) -> Image.Image:
    canvas, gap = Image.new("L", size), rng.uniform(0.9, 2.2, 2)
    for row, top in enumerate(np.arange(-stamp.height / 2, size[1], stamp.height * gap[1] + 8)):
        for left in np.arange(-stamp.width * (0.5 + 0.5 * (row % 2)), size[0], stamp.width * gap[0] + 8):
            canvas.paste(stamp, (int(left), int(top)), stamp)
    return canvas


def ink(size: tuple[int, int], rng: Rng, fonts: Fonts) -> Image.Image:
    """A watermark's coverage (mode L) of a canvas of `size`: a line, a logo or a plate, once or tiled."""
    draw = (stamp_text, _logo, _plate)[rng.choice(3, p=(0.62, 0.28, 0.1))]
    if rng.random() < 0.28:
        stamp = draw(size[0] * rng.uniform(0.12, 0.45), rng, fonts)
        angle = rng.choice([0.0, 45.0, -45.0, rng.uniform(-60, 60)])
        canvas = _tile(stamp.rotate(angle, Image.Resampling.BILINEAR, expand=True), size, rng)
        if rng.random() < 0.2:
            for offset in range(-size[1], size[0], max(40, stamp.width)):
                ImageDraw.Draw(canvas).line((offset, 0, offset + size[1], size[1]), 255, int(rng.integers(1, 4)))
        return canvas
    stamp = draw(size[0] * rng.uniform(0.15, 0.95), rng, fonts)
    angle = [0.0, 0.0, 0.0, 0.0, 90.0, rng.uniform(-60, 60)][rng.integers(6)]
    return _place(stamp.rotate(angle, Image.Resampling.BILINEAR, expand=True), size, rng)


def _place(stamp: Image.Image, size: tuple[int, int], rng: Rng) -> Image.Image:
    """Most marks are in a corner or in the middle."""
    canvas = Image.new("L", size)
    stamp.thumbnail((size[0] - 4, size[1] - 4))
    room = (size[0] - stamp.width, size[1] - stamp.height)
    spot = rng.random(2) if rng.random() < 0.3 else rng.choice([0.02, 0.5, 0.98], 2)
    canvas.paste(stamp, (round(room[0] * spot[0]), round(room[1] * spot[1])))
    return canvas


# Kinds of marks that training never sees.


def _seal(size: tuple[int, int], rng: Rng, fonts: Fonts) -> Image.Image:
    """Two rings with a text bent round between them, as a rubber stamp has."""
    side = round(min(size) * rng.uniform(0.2, 0.5))
    strip = stamp_text(side * 2.2, rng, fonts).resize((round(side * 2.2), max(8, side // 7)))
    y, x = np.mgrid[:side, :side] - side / 2
    radius, turn = np.hypot(x, y), np.arctan2(y, x) + math.pi
    column = turn / (2 * math.pi) * strip.width
    row = (side * 0.42 - radius) / (side * 0.14) * strip.height
    inside = (row >= 0) & (row < strip.height)
    letters = np.asarray(strip)[row.clip(0, strip.height - 1).astype(int), column.clip(0, strip.width - 1).astype(int)]
    rings = (np.abs(radius - side * 0.46) < side * 0.012) | (np.abs(radius - side * 0.25) < side * 0.012)
    seal = Image.fromarray(np.where(inside, letters, 0).astype(np.uint8) | (rings * 255).astype(np.uint8))
    return _place(seal.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR), size, rng)


def _band(size: tuple[int, int], rng: Rng, fonts: Fonts) -> Image.Image:
    """A diagonal band from edge to edge with its text cut out."""
    text = stamp_text(size[0] * rng.uniform(0.3, 0.6), rng, fonts)
    band = Image.new("L", (2 * sum(size), round(text.height * 1.5)), 255)
    band.paste(ImageChops.invert(text), ((band.width - text.width) // 2, text.height // 4))
    band = band.rotate(rng.choice([-1, 1]) * rng.uniform(25, 55), Image.Resampling.BILINEAR, expand=True)
    canvas, shift = Image.new("L", size), rng.uniform(-0.15, 0.15, 2) * size
    centre = [round((full - part) / 2 + by) for full, part, by in zip(size, band.size, shift, strict=True)]
    canvas.paste(band, (centre[0], centre[1]))
    return canvas


def _emblems(size: tuple[int, int], rng: Rng, fonts: Fonts) -> Image.Image:
    """One emblem without a word, tiled."""
    return _tile(emblem(round(size[0] * rng.uniform(0.07, 0.15)), rng), size, rng)


Ink = Callable[[tuple[int, int], Rng, Fonts], Image.Image]
HELD_OUT_INK: dict[str, Ink] = {
    "seal": _seal,
    "band": _band,
    "emblems": _emblems,
}


def apply(image: Image.Image, mask: Image.Image, rng: Rng) -> Image.Image:
    """Lays ink on an image of the same size: colour, opacity, shadow or relief as sites choose them."""
    grey = int(rng.choice([255, 255, 255, 235, 200, 128, 40, 0, 0]))
    colour = tuple(int(c) for c in (rng.integers(0, 256, 3) if rng.random() < 0.2 else (grey,) * 3))
    opacity = float(rng.choice([rng.uniform(0.1, 0.45), rng.uniform(0.4, 1.0)]))
    style = rng.random()
    if style < 0.1:
        # In relief: the photo lightened on one side of every stroke and darkened on the other.
        relief = mask.filter(ImageFilter.Kernel((3, 3), (-2, -1, 0, -1, 0, 1, 0, 1, 2), 2, 128))
        slope = (np.asarray(relief, np.float32)[..., None] - 128) * max(opacity, 0.4)
        return Image.fromarray(np.clip(np.asarray(image) + slope, 0, 255).astype(np.uint8))
    if style < 0.45:
        shift = int(rng.integers(1, 4))
        shadow = Image.new("L", image.size)
        shadow.paste(mask, (shift, shift))
        dark = tuple(0 if sum(colour) > 380 else 255 for _ in range(3))
        image = Image.composite(Image.new("RGB", image.size, dark), image, shadow.point(lambda v: v * opacity * 0.6))
    layer = Image.new("RGB", image.size, colour)
    if style > 0.9:
        layer = (ImageChops.screen if sum(colour) > 380 else ImageChops.multiply)(image, layer)
    return Image.composite(layer, image, mask.point(lambda v: v * opacity))
