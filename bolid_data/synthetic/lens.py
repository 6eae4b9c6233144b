"""What camera and file make of the light: exposure, tone, blur, noise, JPEG."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bolid_data.synthetic.body import Floats

Pixels = NDArray[np.uint8]


def to_linear(colour: tuple[float, ...] | Floats) -> Floats:
    """Linear light of sRGB values from 0 to 1."""
    value = np.asarray(colour, np.float32)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def develop(light: Floats, rng: np.random.Generator) -> Pixels:
    """(H, W, 3) uint8 sRGB of linear light: white balance, tone, vignette, blur and noise of a random camera."""
    height, width = light.shape[:2]
    warmth, gain = rng.normal(0, 0.025), float(np.exp(rng.normal(0, 0.08)))
    blur, noise = float(rng.uniform(0.0, 0.55)), float(rng.uniform(0.4, 2.0))
    vignette = float(rng.uniform(0, 0.18))
    large = max(height, width) >= 400
    tint = np.array([1 + warmth, 1.0, 1 - warmth], np.float32) * np.float32(gain)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    fall = 1 - np.float32(vignette) * (x * x + y * y) / 2
    picture = cv2.LUT(_codes(light * (fall[:, :, None] * tint)), _TONE)
    if blur > 0.25 and large:
        picture = cv2.GaussianBlur(picture, (0, 0), blur * max(height, width) / 1200 + 0.2)
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(noise)
    if large:
        grain = cv2.GaussianBlur(grain, (0, 0), 0.6) * 1.6
    return np.asarray(cv2.add(picture, cv2.merge([grain] * 3), dtype=cv2.CV_8U), np.uint8)


def _codes(light: Floats) -> NDArray[np.uint8]:
    """Linear light as 8-bit codes of its square root up to 1.6: fine enough, and quick to look up."""
    return np.clip(np.sqrt(np.maximum(light, 0)) * (255 / np.sqrt(1.6)) + 0.5, 0, 255).astype(np.uint8)


def _tone_table() -> NDArray[np.uint8]:
    light = (np.arange(256) / 255) ** 2 * 1.6
    light = np.where(light < 0.72, light, 0.72 + 0.28 * (1 - np.exp(-(light - 0.72) / 0.28)))  # soft highlights
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return np.clip(srgb * 255 + 0.5, 0, 255).astype(np.uint8)


_TONE = _tone_table()


def jpeg(image: Pixels, quality: int = 90) -> bytes:
    """The picture as a JPEG file."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality)
    return out.getvalue()
