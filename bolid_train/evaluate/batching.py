"""Batches of images of many sizes: images of one size are processed together."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from bolid_train.data.buckets import Size

MAX_ROWS, MAX_PIXELS = 32, 2**22
"""Of a batch; rows are limited, too, because some networks enlarge small images."""


def batches(sizes: Sequence[Size], max_rows: int = MAX_ROWS, max_pixels: int = MAX_PIXELS) -> Iterator[list[int]]:
    """The numbers of the items with these sizes, in batches of one size.

    A batch has at most `max_rows` items and at most `max_pixels` pixels, but at least one item.
    """
    for size in dict.fromkeys(sizes):
        numbers = [number for number, other in enumerate(sizes) if other == size]
        rows = max(1, min(max_rows, max_pixels // (size[0] * size[1])))
        for start in range(0, len(numbers), rows):
            yield numbers[start : start + rows]


def image_size(image: Tensor) -> Size:
    """Width and height of an image (3, H, W)."""
    return image.shape[2], image.shape[1]
