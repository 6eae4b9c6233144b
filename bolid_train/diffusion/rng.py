"""Random numbers of the rows of a batch: each row draws from a seed of its own.

So noise, timesteps and drops depend neither on the device nor on how a batch is cut into processes and pieces, and a
resumed run has no random state to restore.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class RowRandom:
    """Draws for B rows. A `stream` is a name for what is drawn: the same name gives the same numbers again."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.seeds, self.device = list(seeds), device

    def to(self, device: torch.device | str) -> "RowRandom":
        """The same draws, given on `device`."""
        return RowRandom(self.seeds, device)

    def rows(self, chosen: slice) -> "RowRandom":
        """Some of the rows."""
        return RowRandom(self.seeds[chosen], self.device)

    def normal(self, stream: str, *shape: int) -> Tensor:
        """(B, *shape) from N(0, I)."""
        return self._stack([torch.randn(shape, generator=generator) for generator in self._generators(stream)])

    def uniform(self, stream: str) -> Tensor:
        """(B,) from [0, 1)."""
        return self._stack([torch.rand((), generator=generator) for generator in self._generators(stream)])

    def integers(self, stream: str, high: int) -> Tensor:
        """(B,) from 0 … high - 1."""
        return self._stack([torch.randint(high, (), generator=generator) for generator in self._generators(stream)])

    def _generators(self, stream: str) -> list[torch.Generator]:
        name = zlib.crc32(stream.encode())
        return [
            torch.Generator().manual_seed(int(np.random.SeedSequence((seed, name)).generate_state(1, np.uint64)[0]))
            for seed in self.seeds
        ]

    def _stack(self, drawn: list[Tensor]) -> Tensor:
        return torch.stack(drawn).to(self.device)
