"""Photos as a site would publish them: random parts of photographs, with its mark printed on them."""

import io
import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from bolid_data.curate.site_marks.estimate import SampledPhoto, estimate_marks
from bolid_data.curate.site_marks.frames import group_scale, scaled, size_group
from bolid_data.curate.site_marks.gradients import to_grey
from bolid_data.curate.site_marks.mark import Mark
from tests.support.photographs import BUS, ZIDANE

SIZE = (450, 600)

Print = Callable[[Image.Image, int, np.random.Generator], Image.Image]
"""Prints a mark on the photo with this number; returns another image of the same size."""


@cache
def photographs() -> tuple[Image.Image, ...]:
    """The photographs that installed packages ship."""
    matplotlib = find_spec("matplotlib")
    assert matplotlib and matplotlib.origin
    hopper = Path(matplotlib.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    return tuple(Image.open(file).convert("RGB") for file in (BUS, ZIDANE, hopper))


def part(
    number: int, rng: np.random.Generator, size: tuple[int, int] = SIZE, of: Sequence[Image.Image] = ()
) -> Image.Image:
    """A random part of a photograph, some of them mirrored, at another scale each."""
    images = of or photographs()
    image = images[number % len(images)]
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    height = min(image.height, image.width * size[1] / size[0]) * rng.uniform(0.4, 1)
    width = height * size[0] / size[1]
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    return image.resize(size, Image.Resampling.LANCZOS, (left, top, left + width, top + height))


def text(words: str = "© starplace.com", height: int = 22) -> Image.Image:
    """A line of text as a mask (L)."""
    font = ImageFont.load_default(size=height)
    left, top, right, bottom = font.getbbox(words)
    mask = Image.new("L", (math.ceil(right - left) + 4, math.ceil(bottom - top) + 4), 0)
    ImageDraw.Draw(mask).text((2 - left, 2 - top), words, 255, font)
    return mask


def overlaid(
    image: Image.Image, mask: Image.Image, at: tuple[int, int], opacity: float, ink: tuple[int, int, int] = (255,) * 3
) -> Image.Image:
    """The image with ink where the mask is, whose upper left corner is `at`."""
    full = Image.new("L", image.size, 0)
    full.paste(mask, at)
    return Image.composite(
        Image.new("RGB", image.size, ink), image, full.point([round(value * opacity) for value in range(256)])
    )


def in_corner(mask: Image.Image, opacity: float) -> Print:
    """Prints a mark near the lower right corner."""

    def draw(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
        at = image.width - mask.width - 12, image.height - mask.height - 12
        return overlaid(image, mask, at, opacity)

    return draw


def nothing(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    return image


def encoded(image: Image.Image, quality: int = 85) -> Image.Image:
    """The image as it is after JPEG compression."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


def host(
    photos: int,
    draw: Print = nothing,
    seed: int = 0,
    sizes: Sequence[tuple[int, int]] = (SIZE,),
    of: Sequence[Image.Image] = (),
) -> list[Image.Image]:
    """Photos of a host."""
    rng = np.random.default_rng(seed)
    return [
        encoded(draw(part(seed + number, rng, sizes[number % len(sizes)], of), number, rng)) for number in range(photos)
    ]


def estimated(images: Sequence[Image.Image], people: int = 6) -> list[Mark]:
    """The marks of a host with these photos, all of one size group, of so many people in turn."""
    scale = group_scale(size_group(*images[0].size))
    sample = [
        SampledPhoto(f"person_{number % people}", to_grey(image, scaled(image.size, scale)))
        for number, image in enumerate(images)
    ]
    return estimate_marks(sample, scale)
