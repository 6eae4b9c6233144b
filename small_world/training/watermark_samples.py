"""What the watermark network is trained on: ink over photos, and things that only look like it.

Every sample is drawn from its number alone, so a stopped training goes on as if it had not been. Backgrounds are
drawn people of the gallery and the sample photos of packages that are needed only here. Those of PHOTOS are installed:
`pip install scikit-image==0.26.0 scikit-learn==1.9.1 matplotlib==3.11.2`. The others, named with their versions in
`weights/watermark.md`, are unpacked into a folder `material`, each into a folder of its name.
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset

from bolid_data.curate.measurers.watermark_network import SIDE, STRIDE
from bolid_data.gallery.overlay import KINDS, OPACITY, overlay
from bolid_data.images import read_upright
from small_world.training.watermark_ink import Fonts, Rng, apply, fonts, ink, package_file, stamp_text

CROP = 384
"""Side in pixels of a training crop, at the scale that the network sees photos at."""

VISIBLE = 9.0
"""Ink counts where it changes a pixel by so many of 255 levels."""

PHOTOS = {  # sample photos of installed packages; none of them is a photo of the evaluation
    "ultralytics": ("assets/bus.jpg", "assets/zidane.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "skimage": (
        *("data/astronaut.png", "data/brick.png", "data/camera.png", "data/chelsea.png", "data/coffee.png"),
        *("data/coins.png", "data/grass.png", "data/gravel.png", "data/motorcycle_left.png"),
        *("data/hubble_deep_field.jpg", "data/retina.jpg", "data/rocket.jpg"),
    ),
}

TRAINING = {  # package in `material` -> its photos
    "admin-lte": ("dist/assets/img/photo*", "dist/assets/img/prod-[125].jpg"),
    "argon-design-system-free": ("assets/img/faces/*.jpg", "assets/img/pages/*.jpg", "assets/img/theme/img*.jpg"),
    "gnome-backgrounds": ("**/*-[ld].webp",),
    "imgaug": ("imgaug/quokka.jpg",),
    "insightface": ("insightface/data/images/t1.jpg",),
    "lomiri-wallpapers-16.04": ("**/*.jpg",),
    "lomiri-wallpapers-20.04": ("**/*.jpg",),
    "mate-backgrounds": ("**/mate/nature/*.jpg", "**/mate/abstract/Elephants.jpg"),
    "material-kit": ("assets/img/*.jpg", "assets/img/*/*.jpg"),
    "opencv-doc": (
        *(f"**/examples/data/{name}.*" for name in ("aero1", "aloeL", "baboon", "board", "building", "butterfly")),
        *(f"**/examples/data/{name}.*" for name in ("fruits", "graf1", "home", "left0[148]", "leuvenA", "messi5")),
        *(f"**/examples/data/{name}.*" for name in ("orange", "squirrel_cls", "starry_night", "sudoku")),
        "**/examples/text/scenetext0[135].jpg",
    ),
    "soft-ui-design-system": ("assets/img/**/*.jpg",),
}
CALIBRATION = {
    "caer": ("caer/data/*.jpg",),
    "now-ui-kit": ("assets/img/*.jpg",),
}
HELD_OUT = {
    "opencv-doc": ("**/examples/text/scenetext0[246].jpg",),
    "paper-kit-2": ("assets/img/*.jpg", "assets/img/faces/*.jpg"),
    "startbootstrap-agency": ("dist/assets/img/**/*.jpg",),
    "startbootstrap-clean-blog": ("dist/assets/img/*.jpg",),
    "startbootstrap-creative": ("dist/assets/img/*.jpg", "dist/assets/img/portfolio/fullsize/*.jpg"),
    "startbootstrap-landing-page": ("dist/assets/img/bg-*.jpg", "dist/assets/img/testimonials-[13].jpg"),
}

NO_PHOTOS = ("landing.jpg", "logo-square.jpg", "profile.jpg")
"""Screenshots and signets among them."""


def installed_photos() -> list[Image.Image]:
    """The photos of PHOTOS."""
    return [read_upright(package_file(package, file)) for package, files in PHOTOS.items() for file in files]


def photos(material: Path, packages: Mapping[str, Sequence[str]]) -> Iterator[Image.Image]:
    """The photos of unpacked packages, at most 1400 pixels long, nothing below 300. Raises SystemExit for a package
    that is missing."""
    for package, patterns in packages.items():
        files = sorted({file for pattern in patterns for file in (material / package).glob(pattern)})
        if not files:
            raise SystemExit(f"{material / package} has no photos; see weights/watermark.md for what to unpack there")
        for file in files:
            photo = read_upright(file)
            if file.name not in NO_PHOTOS and min(photo.size) >= 300:
                photo.thumbnail((1400, 1400), Image.Resampling.BICUBIC)
                yield photo


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


def _lines(side: int, rng: Rng, fonts: Fonts) -> Image.Image:
    """Lines of print (mode L): the front of a shirt, a sign, or as small and many as on a page."""
    mask, top, page = Image.new("L", (side, side)), 0.08 * side, rng.random() < 0.25
    while top < 0.85 * side:
        text = stamp_text(side * (0.85 if page else rng.uniform(0.3, 0.9)), rng, fonts)
        text.thumbnail((round(side * 0.9), max(6, round(side * (0.05 if page else 0.4)))))
        mask.paste(text, (round((side - text.width) * (0.1 if page else rng.random())), round(top)))
        top += text.height * (1.4 if page else rng.uniform(1.2, 4))
    return mask


def printed(image: Image.Image, rng: Rng, fonts: Fonts) -> Image.Image:
    """Text that belongs to the scene, on a ground of its own or straight on a shirt or a wall: seen in perspective,
    in folds, lit as the scene is, and no sharper."""
    width, height = image.size
    side = round(min(image.size) * rng.uniform(0.15, 0.7))
    middle = (0.5, rng.uniform(0.35, 0.6)) if rng.random() < 0.4 else rng.uniform(0.1, 0.9, 2)
    plain = rng.random() < 0.3  # without a ground of its own: told from ink by its folds, tilt and light alone
    turn = math.radians(rng.choice([-1, 1]) * rng.uniform(8, 30) if plain else rng.normal(0, 12))
    square = np.array(((0, 0), (1, 0), (1, 1), (0, 1)))
    quad = (square - 0.5) * rng.uniform(0.6, 1.2, 2) + rng.uniform(-0.15, 0.15, (4, 2))
    quad = quad @ np.array(((math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))))
    quad = quad * side + np.array(middle) * image.size
    seen = cv2.getPerspectiveTransform((square * side).astype(np.float32), quad.astype(np.float32))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    depth = rng.uniform(0.015, 0.04) if plain else rng.uniform(0, 0.02)
    folds = side * depth * np.sin((x * rng.normal() + y * rng.normal()) * 6 / side + rng.uniform(0, 6))
    scene = np.asarray(image, np.float32)
    light = cv2.blur(scene.mean(2), (9, 9))
    light = np.clip(light / max(8.0, float(light[int(height * 0.3) : int(height * 0.7)].mean())), 0.4, 1.6)[..., None]
    plate = Image.new("L", (side, side))
    (ImageDraw.Draw(plate).ellipse if rng.random() < 0.2 else ImageDraw.Draw(plate).rectangle)((2, 2, side, side), 255)
    layers = [_lines(side, rng, fonts)] if plain else [plate, _lines(side, rng, fonts)]
    for layer in layers:
        cover = cv2.warpPerspective(np.asarray(layer), seen, (width, height))
        cover = cv2.remap(cover, x + folds, y + folds, cv2.INTER_LINEAR)
        cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.3, 1.3)).astype(np.float32)[..., None] / 255
        cover *= rng.uniform(0.8, 1.0)
        colour = (rng.integers(0, 256, 3), np.full(3, 245), np.full(3, 20))[rng.integers(3)]
        scene = scene * (1 - cover) + cover * light * colour
    return Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))


def distract(image: Image.Image, rng: Rng, fonts: Fonts) -> Image.Image:
    """Puts print, a pattern, strokes or soft lights into a scene, shaded and turned as the scene might."""
    kind = rng.choice(4, p=(0.4, 0.25, 0.2, 0.15))
    if kind == 0:
        return printed(image, rng, fonts)
    image, extent = image.copy(), min(image.size)
    if kind == 1:
        side = round(extent * rng.uniform(0.15, 0.7))
        light = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.5, 1), side)[None, :, None]
        patch = Image.fromarray((np.asarray(_texture(side, rng)) * light).astype(np.uint8))
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
    """Sample `index`: a crop (3, 384, 384) in 0..1 and what its patches are (24, 24): 1 ink, 0 none, -1 unclear."""

    backgrounds: Sequence[Image.Image]
    seed: int
    start: int
    stop: int
    fonts: Fonts = field(default_factory=fonts)

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, self.start + index))
        background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        longest, aspect = SIDE * rng.uniform(1.0, 2.2), rng.uniform(0.6, 1.0)
        size = (round(longest * aspect), round(longest))
        size = size if rng.random() < 0.8 else size[::-1]
        kind = rng.random()
        if kind < 0.18:
            # The gallery's own marks are placed by what is beneath them, so they need the whole photo.
            whole = _scene(background, size, rng, self.fonts)
            marked = overlay(whole, str(rng.choice(KINDS)), str(rng.choice(list(OPACITY))), rng)
            box = _window(ImageChops.difference(whole, marked).convert("L"), rng)
            plain, marked = whole.crop(box), marked.crop(box)
        else:
            mask = ink(size, rng, self.fonts) if kind < 0.58 else Image.new("L", size)
            box = _window(mask, rng)
            plain = _scene(background, (box[2] - box[0], box[3] - box[1]), rng, self.fonts)
            marked = apply(plain, mask.crop(box), rng) if kind < 0.58 else plain
        plain, marked = (image.resize((CROP, CROP), Image.Resampling.BILINEAR) for image in (plain, marked))
        labels = _labels(np.asarray(plain, np.float32), np.asarray(marked, np.float32))
        pixels = np.array(_worn(marked, rng), np.float32) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1), labels


def _scene(background: Image.Image, size: tuple[int, int], rng: Rng, fonts: Fonts) -> Image.Image:
    """A part of a background at `size`: mirrored, recoloured, sometimes with distractions."""
    shape = np.array(size) * rng.uniform(0.85, 1.15, 2)
    part = shape * min(background.size / shape) * rng.uniform(0.4, 1.0)
    corner = rng.uniform(0, 1, 2) * (background.size - part)
    box = (*corner, *np.minimum(corner + part, background.size))
    scene = background.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    if rng.random() < 0.5:
        scene = scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.5:
            scene = enhance(scene).enhance(rng.uniform(0.5, 1.5))
    while rng.random() < 0.35:
        scene = distract(scene, rng, fonts)
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
