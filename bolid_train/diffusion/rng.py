"""Random numbers for the rows of a batch: each row has its own seed.

Noise, timesteps and dropout therefore depend neither on the device nor on how a batch is split into processes and
micro-batches, and a resumed run has no random state to restore.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class RowRandom:
    """Random numbers for B rows. A `stream` names a use of them: the same stream always gives the same numbers."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.seeds, self.device = list(seeds), device

    def to(self, device: torch.device | str) -> "RowRandom":
        """The same random numbers, on `device`."""
        return RowRandom(self.seeds, device)

    def select(self, rows: slice) -> "RowRandom":
        """The given rows."""
        return RowRandom(self.seeds[rows], self.device)

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

    def _stack(self, values: list[Tensor]) -> Tensor:
        return torch.stack(values).to(self.device)
