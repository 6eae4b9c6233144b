"""SDXL's aspect-ratio buckets: photos of many shapes are trained on without cutting off heads and feet."""

import math
from functools import cache
from typing import Protocol

Size = tuple[int, int]
"""Width and height in pixels."""

_MAX_ASPECT = 2.0


class Sized(Protocol):
    """A photo, or what is known of it."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...


class CropSettings(Protocol):
    """The keys of `[train]` on which the size depends."""

    @property
    def resolution(self) -> int: ...
    @property
    def buckets(self) -> bool: ...


@cache
def sizes(resolution: int) -> tuple[Size, ...]:
    """Sizes of at most resolution² pixels, from 1:2 to 2:1, sorted from narrowest to widest, the square included.

    Sides are multiples of 1/16 of the resolution: 64 px at 1024 (Podell et al. 2023, appendix I, which extends to 1:4
    and allows some larger areas), and at least 8 px, the size of a latent pixel.
    """
    step = max(8, resolution // 16 // 8 * 8)
    bucket_sizes = {(resolution, resolution)}
    for short in range(step, resolution, step):
        long = resolution**2 // short // step * step
        if resolution < long <= _MAX_ASPECT * short:
            bucket_sizes |= {(short, long), (long, short)}
    return tuple(sorted(bucket_sizes, key=lambda size: size[0] / size[1]))


def size_of(photo: Sized, settings: CropSettings) -> Size:
    """The size at which a photo is trained: the bucket of nearest aspect ratio, or the square without buckets."""
    if not settings.buckets:
        return settings.resolution, settings.resolution
    aspect = math.log(photo.width / photo.height)
    return min(sizes(settings.resolution), key=lambda size: abs(math.log(size[0] / size[1]) - aspect))
