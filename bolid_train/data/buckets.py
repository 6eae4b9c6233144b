"""SDXL's aspect ratios: pictures of many shapes, trained on without cutting off heads and feet."""

import math
from functools import cache

from bolid_data.manifest import Train
from bolid_train.data.shard_dataset import Sample

Size = tuple[int, int]
"""Width and height in pixels."""

_WIDEST = 2.0


@cache
def sizes(resolution: int) -> tuple[Size, ...]:
    """Sizes of at most resolution² pixels, from 1:2 to 2:1, from the narrowest to the widest; the square is one.

    Sides are multiples of 1/16 of the resolution: of 64 px at 1024 (Podell et al. 2023, appendix I, which goes on to
    1:4 and lets some areas be larger), and never of less than 8 px, which a latent needs.
    """
    step = max(8, resolution // 16 // 8 * 8)
    found = {(resolution, resolution)}
    for short in range(step, resolution, step):
        long = resolution**2 // short // step * step
        if resolution < long <= _WIDEST * short:
            found |= {(short, long), (long, short)}
    return tuple(sorted(found, key=lambda size: size[0] / size[1]))


def size_of(sample: Sample, settings: Train) -> Size:
    """The size that a photo is trained at: the nearest aspect ratio, or the square where there are no buckets."""
    if not settings.buckets:
        return settings.resolution, settings.resolution
    aspect = math.log(sample.width / sample.height)
    return min(sizes(settings.resolution), key=lambda size: abs(math.log(size[0] / size[1]) - aspect))
