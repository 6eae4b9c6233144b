"""A split of the three-dimensional world in one file, to train from where the renderer is not installed:

    python -m small_world.training.corpus_file corpus.npz
    python -m small_world.training.corpus_file held-out.npz --split held_out

Photos are WebP, so they are not the drawn ones to the last bit. Masks and joints in metres are left out.
"""

import argparse
import io
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bolid_data.atomic_io import atomic_write
from bolid_data.errors import BolidError

if TYPE_CHECKING:
    from small_world.world3d.photos import Photos

QUALITY = 85
_ARRAYS = ("keypoints", "yaws", "labels", "people", "measures")


@dataclass(frozen=True)
class PackedPhotos:
    """N photos; the arrays are those of `world3d.photos.Photos`."""

    images: NDArray[np.uint8]  # (N, side, side, 3) sRGB
    keypoints: NDArray[np.float32]  # (N, 17, 3)
    yaws: NDArray[np.float32]  # (N,)
    labels: NDArray[np.int64]  # (N, attributes)
    people: NDArray[np.int64]  # (N,)
    measures: NDArray[np.float64]  # (N, MEASURES)

    def __len__(self) -> int:
        return len(self.images)


def write(photos: "Photos", path: Path, quality: int = QUALITY) -> None:
    """Packs the photos into a file; `quality` is WebP's, 0 to 100."""
    packed = [_encode(image, quality) for image in photos.images]
    arrays = {name: getattr(photos, name) for name in _ARRAYS}
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            webp=np.frombuffer(b"".join(packed), np.uint8),
            sizes=np.array([len(image) for image in packed]),
            **arrays,
        )  # fmt: skip


def read(path: Path) -> PackedPhotos:
    """The photos of a file that `write` wrote. Raises BolidError for any other file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        ends = np.cumsum(arrays["sizes"])
        encoded = [part.tobytes() for part in np.split(arrays["webp"], ends[:-1])]
        with ThreadPoolExecutor() as pool:  # decoding releases the interpreter's lock
            images = np.stack(list(pool.map(_decode, encoded)))
        return PackedPhotos(images, **{name: arrays[name] for name in _ARRAYS})
    except (OSError, EOFError, BadZipFile, zlib.error, KeyError, ValueError, AttributeError) as error:
        raise BolidError(f"{path}: cannot be read as packed photos ({error})") from error


def _encode(image: NDArray[np.uint8], quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "webp", quality=quality, method=6)
    return file.getvalue()


def _decode(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def main() -> None:
    """Draws a split, or reads it from the cache, and packs it."""
    from small_world.world3d.photos import draw_split  # needs the renderer, as reading does not
    from small_world.world3d.splits import MODELS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--split", choices=MODELS, default="corpus")
    parser.add_argument("--quality", type=int, default=QUALITY, help=f"WebP's, 0 to 100 (default: {QUALITY})")
    arguments = parser.parse_args()
    photos = draw_split(MODELS[arguments.split])
    write(photos, arguments.file, arguments.quality)
    print(f"{arguments.file}: {len(photos)} photos, {arguments.file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
