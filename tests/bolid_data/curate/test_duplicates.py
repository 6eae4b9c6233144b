"""Perceptual hashes: near for copies of a photo, far for another one."""

from io import BytesIO

import imagehash
import numpy as np
from PIL import Image, ImageFilter

from bolid_data.curate.duplicates import HashMeasurer
from bolid_data.curate.measure import Photo


def scene(seed: int) -> Image.Image:
    rough = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((700, 900), Image.Resampling.BICUBIC)


def recompressed(image: Image.Image) -> Image.Image:
    file = BytesIO()
    image.resize((525, 675)).filter(ImageFilter.GaussianBlur(1)).save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def test_copies_are_near_and_others_far() -> None:
    originals = [scene(seed) for seed in range(6)]
    photos = [Photo(f"{i}", image) for i, image in enumerate(originals)]
    copies = [Photo(f"copy {i}", recompressed(image)) for i, image in enumerate(originals)]
    rows = {row["sha256"]: row["phash"] for row in HashMeasurer().measure(photos + copies)["hashes"]}
    assert all(bits(rows[f"{i}"], rows[f"copy {i}"]) <= 4 for i in range(6))
    assert all(bits(rows[f"{i}"], rows[f"{j}"]) > 10 for i in range(6) for j in range(i))


def test_the_hash_is_the_64_bits_of_the_library() -> None:
    image = scene(7)
    (row,) = HashMeasurer().measure([Photo("a", image)])["hashes"]
    assert 0 <= row["phash"] < 2**64
    assert imagehash.hex_to_hash(f"{row['phash']:016x}") == imagehash.phash(image)
