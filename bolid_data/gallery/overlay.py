"""Watermarks as photo sites draw them: a line of text, text tiled over the picture, a logo with its name.

The gallery uses them for its nuisances, and the watermark classifier is trained on them.
"""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

KINDS = ("watermark_text", "watermark_tiled", "watermark_logo")
# Opacity of the ink. The faint end is still visible to a person.
OPACITY = {"faint": (0.24, 0.36), "strong": (0.55, 0.9)}

_STEMS = ("photo", "star", "pix", "celeb", "image", "snap", "studio", "press", "glam", "stock", "media")
_ENDS = ("site", "place", "bank", "hub", "world", "gallery", "archive", "land", "line", "pool", "view")
_ZONES = ("com", "net", "org", "ru", "de", "info", "photo", "co.uk")
_CREDITS = ("© {site}", "{site}", "www.{site}", "© {year} {site}", "Photo: {site}", "{name}", "{SITE}")


def overlay(image: Image.Image, kind: str, strength: str, rng: np.random.Generator) -> Image.Image:
    """Returns a copy of `image` (any mode, returned as RGB, same size) with a watermark drawn on it.

    `kind` is one of `KINDS`, `strength` one of `OPACITY` (KeyError for another); position, angle, ink, size
    and words come from `rng`.
    """
    draw = {"watermark_text": _line, "watermark_tiled": _tiled, "watermark_logo": _logo}[kind]
    base = image.convert("RGB")
    mask = draw(base.size, rng)
    opacity = rng.uniform(*OPACITY[strength])
    marked = base
    if rng.random() < 0.5:  # a shadow makes the mark visible on its own colour too
        shift = max(1, min(base.size) // 400)
        shadow = Image.new("L", base.size, 0)
        shadow.paste(mask, (shift, shift))
        marked = _ink(marked, shadow, (0, 0, 0), opacity * 0.6)
    return _ink(marked, mask, _colour(base, mask, rng), opacity)


def _ink(image: Image.Image, mask: Image.Image, colour: tuple[int, int, int], opacity: float) -> Image.Image:
    alpha = mask.point([round(value * opacity) for value in range(256)])
    return Image.composite(Image.new("RGB", image.size, colour), image, alpha)


def _colour(image: Image.Image, mask: Image.Image, rng: np.random.Generator) -> tuple[int, int, int]:
    """An ink that stands out from what is beneath it: white, black, grey-ish or a tinted one."""
    pixels = np.asarray(image.convert("L").resize((64, 64)), np.float32)
    weights = np.asarray(mask.resize((64, 64)), np.float32) + 1e-3
    beneath = float((pixels * weights).sum() / weights.sum())
    value = rng.integers(225, 256) if beneath < 150 else rng.integers(0, 40)
    tint = rng.integers(0, 70, 3) if rng.random() < 0.25 else np.zeros(3, int)
    red, green, blue = np.clip(value - tint if value > 128 else value + tint, 0, 255)
    return int(red), int(green), int(blue)


def words(rng: np.random.Generator) -> str:
    """A credit such as a photo site prints: "© starplace.com"."""
    joint = str(rng.choice(["", "", "-"]))
    site = f"{rng.choice(_STEMS)}{joint}{rng.choice(_ENDS)}.{rng.choice(_ZONES)}"
    name = f"{str(rng.choice(_STEMS)).title()} {str(rng.choice(_ENDS)).title()}"
    phrase = str(rng.choice(_CREDITS))
    return phrase.format(site=site, SITE=site.upper(), name=name, year=rng.integers(2004, 2025))


def _text(text: str, size: float, stroke: int = 0) -> Image.Image:
    """The text alone as a tight mask (mode L)."""
    font = ImageFont.load_default(size=size)
    left, top, right, bottom = font.getbbox(text, stroke_width=stroke)
    mask = Image.new("L", (math.ceil(right - left) + 4, math.ceil(bottom - top) + 4), 0)
    ImageDraw.Draw(mask).text((2 - left, 2 - top), text, 255, font, stroke_width=stroke)
    return mask


def _text_of_width(text: str, width: float, stroke: int = 0) -> Image.Image:
    """The text at a size at which it is about `width` pixels wide."""
    probe = _text(text, 40)
    return _text(text, max(10.0, 40 * width / probe.width), stroke)


def _place(size: tuple[int, int], stamp: Image.Image, rng: np.random.Generator) -> Image.Image:
    """`stamp` somewhere on an empty mask: in a corner, at an edge, or over the middle."""
    margin = 0.025 * min(size)
    room = [max(0.0, full - part - 2 * margin) for full, part in zip(size, stamp.size, strict=True)]
    across, down = [(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 1), (0.5, 0.5), (0.5, 0.7)][rng.integers(7)]
    mask = Image.new("L", size, 0)
    mask.paste(stamp, (round(margin + across * room[0]), round(margin + down * room[1])))
    return mask


def _line(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    stamp = _text_of_width(words(rng), size[0] * rng.uniform(0.3, 0.8), stroke=int(rng.integers(0, 2)))
    turn = rng.random()
    angle = rng.uniform(-50, 50) if turn < 0.3 else 90 if turn < 0.4 else 0
    stamp = stamp.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    if stamp.width > size[0] or stamp.height > size[1]:
        stamp.thumbnail((round(size[0] * 0.95), round(size[1] * 0.95)))
    return _place(size, stamp, rng)


def _tiled(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    stamp = _text_of_width(words(rng), size[0] * rng.uniform(0.22, 0.42))
    side = math.ceil(math.hypot(*size))
    sheet = Image.new("L", (side, side), 0)
    step_x = stamp.width + round(size[0] * rng.uniform(0.06, 0.18))
    step_y = stamp.height + round(size[1] * rng.uniform(0.07, 0.15))
    for row, top in enumerate(range(0, side, step_y)):
        for left in range(-step_x // 2 * (row % 2), side, step_x):
            sheet.paste(stamp, (left, top))
    sheet = sheet.rotate(float(rng.choice([-1, 1])) * rng.uniform(18, 45), Image.Resampling.BICUBIC)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    return sheet.crop((left, top, left + size[0], top + size[1]))


def _logo(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    text = _text_of_width(words(rng).removeprefix("© "), size[0] * rng.uniform(0.28, 0.5))
    side = round(max(text.height * 2.2, size[0] * rng.uniform(0.09, 0.17)))
    mark = _mark(side, rng)
    gap = max(4, side // 10)
    if rng.random() < 0.5:  # mark beside the name, else above it
        stamp = Image.new("L", (side + gap + text.width, side), 0)
        stamp.paste(mark, (0, 0))
        stamp.paste(text, (side + gap, (side - text.height) // 2))
    else:
        stamp = Image.new("L", (max(side, text.width), side + gap + text.height), 0)
        stamp.paste(mark, ((stamp.width - side) // 2, 0))
        stamp.paste(text, ((stamp.width - text.width) // 2, side + gap))
    return _place(size, stamp, rng)


def _mark(side: int, rng: np.random.Generator) -> Image.Image:
    """A simple emblem as a square mask: a ring, badge, shield or camera with a letter, star or lens in it."""
    unit = side * 4  # drawn at four times the size, as ImageDraw does not antialias
    mark = Image.new("L", (unit, unit), 0)
    pen = ImageDraw.Draw(mark)
    shape = str(rng.choice(["ring", "badge", "shield", "camera"]))
    _frame(pen, unit, shape)
    centre = (unit / 2, unit * (0.54 if shape == "camera" else 0.5))
    inside = "lens" if shape == "camera" else str(rng.choice(["lens", "letter", "star"]))
    if inside == "lens":
        pen.circle(centre, unit * 0.18, outline=255, width=unit // 14)
    elif inside == "letter":
        font = ImageFont.load_default(size=unit * 0.5)
        pen.text(centre, str(rng.choice(list("ABCDEFGHKMPRSTX"))), 255, font, "mm", stroke_width=unit // 60)
    else:
        radii = [unit * (0.28, 0.12)[corner % 2] for corner in range(10)]
        turns = [math.pi * (corner / 5 - 0.5) for corner in range(10)]
        points = zip(radii, turns, strict=True)
        pen.polygon([(centre[0] + r * math.cos(t), centre[1] + r * math.sin(t)) for r, t in points], fill=255)
    return mark.resize((side, side), Image.Resampling.LANCZOS)


def _frame(pen: ImageDraw.ImageDraw, unit: int, shape: str) -> None:
    low, high, width = unit * 0.04, unit * 0.96, unit // 13
    if shape == "ring":
        pen.ellipse((low, low, high, high), outline=255, width=width)
    elif shape == "badge":
        pen.rounded_rectangle((low, low, high, high), unit // 6, outline=255, width=width)
    elif shape == "shield":
        corners = [(0.1, 0.06), (0.9, 0.06), (0.9, 0.55), (0.5, 0.96), (0.1, 0.55), (0.1, 0.06)]
        pen.line([(x * unit, y * unit) for x, y in corners], 255, width, joint="curve")
    else:
        pen.rounded_rectangle((low, unit * 0.24, high, unit * 0.84), unit // 10, outline=255, width=width)
        pen.rectangle((unit * 0.33, unit * 0.12, unit * 0.67, unit * 0.25), fill=255)
