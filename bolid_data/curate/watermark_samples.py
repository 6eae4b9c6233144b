"""What the watermark network is trained on: ink over photos, and things that only look like it.

Every sample is drawn from its number alone, so a stopped training goes on as if it had not been. Backgrounds are
drawn people of the gallery and the sample photos of packages that are needed only here:
`pip install scikit-image==0.26.0 scikit-learn==1.9.1 matplotlib==3.11.2`.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset

from bolid_data.curate.watermark_ink import FONTS, Rng, apply, ink, package_file, stamp_text
from bolid_data.curate.watermark_network import SIDE, STRIDE
from bolid_data.gallery.overlay import KINDS, OPACITY, overlay
from bolid_data.images import read_upright

CROP = 256
"""Side in pixels of a training crop, at the scale that the network sees photos at."""

VISIBLE = 9.0
"""Ink counts where it changes a pixel by so many of 255 levels."""

PHOTOS = {  # sample photos of packages; none of them is a photo of the evaluation
    "ultralytics": ("assets/bus.jpg", "assets/zidane.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "skimage": (
        *("data/astronaut.png", "data/brick.png", "data/camera.png", "data/chelsea.png", "data/coffee.png"),
        *("data/coins.png", "data/grass.png", "data/gravel.png", "data/motorcycle_left.png"),
        *("data/hubble_deep_field.jpg", "data/retina.jpg", "data/rocket.jpg"),
    ),
}


def sample_photos() -> list[Image.Image]:
    """The real photos that training uses."""
    return [read_upright(package_file(package, file)) for package, files in PHOTOS.items() for file in files]


# What is no watermark, and looks a little like one.


def _texture(side: int, rng: Rng) -> Image.Image:
    y, x = np.mgrid[:side, :side] / side
    turn, often = rng.uniform(0, math.pi), rng.uniform(4, 40)
    u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    waves = [
        np.sin(u * often * 6),
        np.sin(u * often * 6) * np.sin(v * often * 6),
        np.sin(u * often * 6 + 3 * np.sin(v * 9)),
    ]
    blend = waves[rng.integers(3)] * 0.5 + 0.5
    blend = (blend > rng.uniform(0.3, 0.8)) if rng.random() < 0.6 else blend
    a, b = rng.integers(0, 256, (2, 3))
    return Image.fromarray((a + (b - a) * np.asarray(blend, float)[..., None]).astype(np.uint8))


def _sign(side: int, rng: Rng) -> Image.Image:
    """Printed text on its own ground: a sign, a page, the front of a shirt."""
    ground, print_ = (tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(2))
    sign = Image.new("RGB", (side, side), ground)
    top = 0.1 * side
    while top < 0.8 * side:
        text = stamp_text(side * rng.uniform(0.4, 0.9), rng, [None, *FONTS])
        text.thumbnail((round(side * 0.9), round(side * 0.4)))
        sign.paste(print_, (round((side - text.width) * rng.random()), round(top)), text)
        top += text.height * rng.uniform(1.2, 3)
    return sign


def distract(image: Image.Image, rng: Rng) -> Image.Image:
    """Puts a pattern, a sign, strokes or soft lights into a scene, shaded and turned as the scene might."""
    image, extent = image.copy(), min(image.size)
    # Signs are rare: strong ink and print on a plain ground cannot be told apart by what is near them.
    kind = rng.choice(4, p=(0.1, 0.3, 0.3, 0.3))
    if kind < 2:
        side = round(extent * rng.uniform(0.15, 0.7))
        patch = (_texture if kind else _sign)(side, rng)
        light = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.5, 1), side)[None, :, None]
        patch = Image.fromarray((np.asarray(patch) * light).astype(np.uint8))
        shape = Image.new("L", patch.size, 0)
        draw = ImageDraw.Draw(shape)
        (draw.ellipse if rng.random() < 0.4 else draw.rectangle)((2, 2, side - 3, side - 3), fill=255)
        warp = (1, rng.uniform(-0.4, 0.4), 0, rng.uniform(-0.4, 0.4), rng.uniform(0.7, 1.4), 0)
        patch, shape = (
            p.transform(p.size, Image.Transform.AFFINE, warp, Image.Resampling.BILINEAR) for p in (patch, shape)
        )
        width, height = (extent - side // 2 for extent in image.size)
        image.paste(patch, (int(rng.integers(-side // 3, width)), int(rng.integers(-side // 3, height))), shape)
        return image
    layer = Image.new("L", image.size)
    pen = ImageDraw.Draw(layer)
    for _ in range(rng.integers(1, 30)):
        x, y = rng.uniform(0, 1, 2) * image.size
        reach = extent * rng.uniform(0.02, 0.3)
        if kind == 2:
            knots = np.cumsum(rng.normal(0, reach / 3, (6, 2)), 0) + np.array((x, y))
            pen.line([tuple(k) for k in knots], 255, int(rng.integers(1, 5)))
        else:
            pen.ellipse((x - reach / 2, y - reach / 2, x + reach / 2, y + reach / 2), fill=int(rng.integers(60, 255)))
    if kind == 3:
        layer = layer.filter(ImageFilter.GaussianBlur(rng.uniform(1, 8))).point(lambda v: v * 0.5)
    return Image.composite(Image.new("RGB", image.size, tuple(int(c) for c in rng.integers(0, 256, 3))), image, layer)


# A training sample.


@dataclass(frozen=True)
class Samples(Dataset[tuple[Tensor, Tensor]]):
    """Sample `index`: a crop (3, 256, 256) in 0..1 and what its patches are (16, 16): 1 ink, 0 none, -1 unclear."""

    backgrounds: Sequence[Image.Image]
    seed: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, self.start + index))
        background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        longest, aspect = SIDE * rng.uniform(1.0, 2.6), rng.uniform(0.6, 1.0)
        size = (round(longest * aspect), round(longest))
        size = size if rng.random() < 0.8 else size[::-1]
        kind = rng.random()
        if kind < 0.1:
            # The gallery's own marks are placed by what is beneath them, so they need the whole photo.
            whole = _scene(background, size, rng)
            marked = overlay(whole, str(rng.choice(KINDS)), str(rng.choice(list(OPACITY))), rng)
            box = _window(ImageChops.difference(whole, marked).convert("L"), rng)
            plain, marked = whole.crop(box), marked.crop(box)
        else:
            mask = ink(size, rng, [None, *FONTS]) if kind < 0.6 else Image.new("L", size)
            box = _window(mask, rng)
            plain = _scene(background, (box[2] - box[0], box[3] - box[1]), rng)
            marked = apply(plain, mask.crop(box), rng) if kind < 0.6 else plain
        plain, marked = (image.resize((CROP, CROP), Image.Resampling.BILINEAR) for image in (plain, marked))
        labels = _labels(np.asarray(plain, np.float32), np.asarray(marked, np.float32))
        pixels = np.array(_worn(marked, rng), np.float32) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1), labels


def _scene(background: Image.Image, size: tuple[int, int], rng: Rng) -> Image.Image:
    """A part of a background at `size`: mirrored, recoloured, sometimes with distractions."""
    share = rng.uniform(0.3, 1.0, 2)
    corner = rng.uniform(0, 1 - share) * background.size
    box = (*corner, *(corner + share * background.size))
    scene = background.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    if rng.random() < 0.5:
        scene = scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.5:
            scene = enhance(scene).enhance(rng.uniform(0.5, 1.5))
    while rng.random() < 0.4:
        scene = distract(scene, rng)
    return scene


def _window(change: Image.Image, rng: Rng) -> tuple[int, int, int, int]:
    """Where the crop is taken, at the scale of a photo shrunk to SIDE: mostly where there is ink, if there is any."""
    size = np.array(change.size)
    side = min(round(CROP * size.max() / SIDE), *change.size)
    spots = np.argwhere(np.asarray(change.reduce(8)) > 20)
    centre = rng.uniform(0, 1, 2) * size
    if len(spots) and rng.random() < 0.85:
        centre = spots[rng.integers(len(spots))][::-1] * 8 + rng.uniform(-0.4, 0.4, 2) * side
    left, top = (int(n) for n in np.clip(centre - side / 2, 0, size - side))
    return left, top, left + side, top + side


def _labels(plain: np.ndarray, marked: np.ndarray) -> Tensor:
    change = torch.from_numpy(np.abs(marked - plain)).amax(2)[None]
    share = torch.nn.functional.avg_pool2d((change > VISIBLE).float(), STRIDE)[0]
    traces = torch.nn.functional.max_pool2d(change, STRIDE)[0] > 2
    return torch.where(share > 0.06, 1.0, torch.where(traces, -1.0, 0.0))


def _worn(image: Image.Image, rng: Rng) -> Image.Image:
    """As photos arrive: blurred a little, noisy, compressed."""
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9)))
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(1, 8), (CROP, CROP, 1))
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(40, 96)))
        image = Image.open(file).convert("RGB")
    return image
