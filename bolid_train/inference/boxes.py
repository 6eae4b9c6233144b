"""Boxes: where in an image each of several people is to be."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bolid_data.errors import UsageError

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the image; right and bottom are outside."""

Boxes = Sequence[Box]


def parse_box(text: str, width: int, height: int) -> Box:
    """A box from text such as `0,0,512,1024`. Raises UsageError for one that is empty or not inside the image."""
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--box {text!r}: give left,top,right,bottom in pixels, such as 0,0,512,1024") from None
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UsageError(f"--box {text}: not a box inside the image of {width}×{height} pixels")
    return left, top, right, bottom


def box_masks(boxes: Boxes, width: int, height: int) -> Tensor:
    """(P, height, width): 1 inside each box, 0 outside."""
    masks = torch.zeros(len(boxes), height, width)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return masks
