"""Draws batches ahead of time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

Batch = TypeVar("Batch")


class Ahead(Generic[Batch]):
    """Draws the next step's batch in a thread while the current step is computed: on a GPU, steps take no longer than
    captions take to be written and tokenized. `loop.fit` counts seeds up by one, and a batch depends on its seed alone,
    so batches are the same as without the thread."""

    def __init__(self, draw: Callable[[torch.Generator], Batch]) -> None:
        self._draw = draw
        self._pool = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Batch]] | None = None

    def __call__(self, generator: torch.Generator) -> Batch:
        """The batch of a generator nothing was drawn with yet."""
        seed = generator.initial_seed()
        batch = self._next[1].result() if self._next and self._next[0] == seed else self._draw(generator)
        self._next = seed + 1, self._pool.submit(self._draw, torch.Generator().manual_seed(seed + 1))
        return batch
