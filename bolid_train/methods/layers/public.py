"""Reads published IP-Adapter files, which anyone may have made."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from bolid_data.errors import BolidError, UsageError
from bolid_train.files import read_safetensors

_PARTS = ("image_proj", "ip_adapter")


def read_ip_adapter(path: Path) -> dict[str, Tensor]:
    """The tensors of an IP-Adapter by their names in a `.safetensors` file, such as `image_proj.proj.weight`.

    A `.bin` has them in a dictionary per part; it is unpickled without executing code. Raises UsageError if there is no
    such file, BolidError if it is not an IP-Adapter.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    tensors = read_safetensors(path) if path.suffix == ".safetensors" else _flat(_unpickle(path))
    for part in _PARTS:
        if not any(name.startswith(f"{part}.") for name in tensors):
            raise BolidError(f"{path}: not an IP-Adapter: it has no '{part}'")
    return tensors


def _unpickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, UnpicklingError, zipfile.BadZipFile) as error:
        text = " ".join(str(error).split())[:200]
        raise BolidError(f"{path}: cannot be read as weights ({text})") from error


def _flat(state: Any) -> dict[str, Tensor]:
    if not isinstance(state, dict):
        return {}
    flat: dict[str, Tensor] = {}
    for part, content in state.items():
        inner = content.items() if isinstance(content, dict) else [(None, content)]
        flat |= {f"{part}.{name}" if name else str(part): value for name, value in inner if isinstance(value, Tensor)}
    return flat
