"""Frozen models look at pictures a few at a time, so that memory does not grow with their number or their size."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_ROWS, _PIXELS = 32, 2**22  # of a batch at most; some enlarge what they look at, so small pictures are bounded too

Reader = Callable[[Tensor], Sequence[Tensor]]
"""Pictures (B, 3, H, W) in -1..1 to what is seen on them: tensors whose first dimension is B."""


@torch.inference_mode()
def look(pictures: Tensor, read: Reader, device: torch.device) -> list[Tensor]:
    """What `read` sees on N pictures (N, 3, H, W), batch by batch on `device`: its tensors, N rows each, in memory."""
    rows = max(1, min(_ROWS, _PIXELS // pictures[0, 0].numel()))
    parts = [[seen.cpu() for seen in read(part.to(device))] for part in pictures.split(rows)]
    return [torch.cat(columns) for columns in zip(*parts, strict=True)]
