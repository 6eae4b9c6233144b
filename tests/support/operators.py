"""What a computation costs besides time: the operators it launches, and the memory that it keeps for the backward
pass. Both are counts, the same on every machine."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ALLOCATIONS = ("empty", "new_empty", "detach", "lift_fresh", "is_same_size", "_local_scalar_dense")


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if not func.is_view and not name.startswith(_ALLOCATIONS):
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def count_operators(run: Callable[[], object]) -> Counter[str]:
    """How often `run` computes each operator, backward passes included. Views and allocations compute nothing and are
    left out; what remains is at least one kernel launch each on an accelerator."""
    with _Counter() as counter:
        run()
    return counter.counts


def saved_bytes(run: Callable[[], object], frozen: Sequence[Tensor] = ()) -> int:
    """Bytes of the tensors that autograd keeps for the backward pass of what `run` computes. `frozen`: weights, which
    are there anyway."""
    known = {value.untyped_storage().data_ptr() for value in frozen}
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []  # while they live, no other tensor gets their address

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(sizes.values())
