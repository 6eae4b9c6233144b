"""Weights and JSON: written atomically, read without executing code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bolid_data.atomic_io import atomic_write, write_text
from bolid_data.errors import BolidError

_MAX_DIMENSIONS = 8


def write_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    # Not `save_file`, whose files only their owner may read.
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def write_state(state: Any, path: Path) -> None:
    """`torch.save` that raises OSError with the path on a full disk, not a RuntimeError about torch's archive."""
    with atomic_write(path) as partial, partial.open("wb") as file:
        torch.save(state, file)


def write_json(content: Any, path: Path) -> None:
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of an untrusted file. Raises BolidError, naming it, if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            for name in names:
                if len(file.get_slice(name).get_shape()) > _MAX_DIMENSIONS:
                    raise BolidError(f"{path}: tensor '{name[:100]}' has more than {_MAX_DIMENSIONS} dimensions")
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise BolidError(f"{path}: cannot be read as safetensors ({_short(error)})") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads a module's state dict that `write_safetensors` wrote. Raises BolidError for a file that does not fit the
    module or has non-finite values."""
    tensors = read_safetensors(path)
    refuse_non_finite(tensors, path)
    try:
        module.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BolidError(f"{path}: does not fit {type(module).__name__} ({_short(error)})") from error


def accept_old_name(module: nn.Module, name: str, old_name: str) -> None:
    """Makes the module load state dicts in which its submodule `name` has its old name, too."""

    def rename_keys(_module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
        old_prefix = f"{prefix}{old_name}."
        for key in [key for key in state_dict if key.startswith(old_prefix)]:
            state_dict[f"{prefix}{name}.{key.removeprefix(old_prefix)}"] = state_dict.pop(key)

    module.register_load_state_dict_pre_hook(rename_keys)


def refuse_non_finite(tensors: dict[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise BolidError(f"{path}: tensor '{name[:100]}' has infinite or NaN values")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
