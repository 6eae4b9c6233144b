"""Files written whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bolid_data.errors import BolidError

_MOST_DIMENSIONS = 8


def write_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Written under a temporary name and renamed: a killed run leaves no half file under a real name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    # Not `save_file`: it makes files that only their owner may read.
    with _naming(path):
        unfinished.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
    unfinished.replace(path)


def write_state(state: Any, path: Path) -> None:
    """`torch.save`, which on a full disk raises OSError with the path, and not RuntimeError about torch's archive."""
    with _naming(path), path.open("wb") as file:
        torch.save(state, file)


def write_json(content: Any, path: Path) -> None:
    """One JSON value, written under a temporary name and renamed."""
    unfinished = path.with_name(f".{path.name}.part")
    with _naming(path):
        unfinished.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Gives a failed write the name of its file: the system names it only where a file cannot be opened."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        failure = error if isinstance(error, OSError) else error.__context__
        if not isinstance(failure, OSError):
            raise
        raise OSError(failure.errno, failure.strerror, str(failure.filename or path)) from error


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
