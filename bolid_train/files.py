"""Weights and JSON: written whole or not at all, read without running code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bolid_data.atomic_io import atomic_write, write_text
from bolid_data.errors import BolidError

_MOST_DIMENSIONS = 8


def write_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    # Not `save_file`: it makes files that only their owner may read.
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def write_state(state: Any, path: Path) -> None:
    """`torch.save`, which on a full disk raises OSError with the path, and not RuntimeError about torch's archive."""
    with atomic_write(path) as partial, partial.open("wb") as file:
        torch.save(state, file)


def write_json(content: Any, path: Path) -> None:
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that may come from a stranger. Raises BolidError, naming it, for one that is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if odd := next((name for name in names if len(file.get_slice(name).get_shape()) > _MOST_DIMENSIONS), None):
                raise BolidError(f"{path}: tensor '{odd[:100]}' has more than {_MOST_DIMENSIONS} dimensions")
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise BolidError(f"{path}: cannot be read as safetensors ({_short(error)})") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads what `write_safetensors` wrote of a module. Raises BolidError for a file that does not fit it, or holds
    numbers that are none."""
    tensors = read_safetensors(path)
    refuse_non_finite(tensors, path)
    try:
        module.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BolidError(f"{path}: does not fit {type(module).__name__} ({_short(error)})") from error


def refuse_non_finite(tensors: dict[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise BolidError(f"{path}: tensor '{name[:100]}' holds numbers that are infinite or not numbers")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
