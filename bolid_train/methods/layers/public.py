"""Reads published IP-Adapter files, which anyone may have made."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from bolid_data.errors import BolidError, UsageError
from bolid_train.files import read_safetensors, refuse_non_finite, write_state

_PARTS = ("image_proj", "ip_adapter")
_SHOWN = 3
"""Number of tensors that a message names."""


def read_ip_adapter(path: Path) -> dict[str, Tensor]:
    """The tensors of an IP-Adapter, as `read_parts` gives them."""
    return read_parts(path, _PARTS, "an IP-Adapter")


def read_parts(path: Path, parts: Sequence[str], kind: str) -> dict[str, Tensor]:
    """The tensors of a published file by their names in a `.safetensors` file, such as `image_proj.proj.weight`.

    A `.bin` has them in a dictionary per part; it is unpickled without executing code. Raises UsageError if there is no
    such file, BolidError if it lacks one of the `parts`, and so is not `kind`.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    tensors = read_safetensors(path) if path.suffix == ".safetensors" else _flat(_unpickle(path))
    for part in parts:
        if not any(name.startswith(f"{part}.") for name in tensors):
            raise BolidError(f"{path}: not {kind}: it has no '{part}'")
    return tensors


def write_ip_adapter(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes a `.bin`: a dictionary for each part."""
    nested: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    for name, value in tensors.items():
        part, _, key = name.partition(".")
        nested[part][key] = value.detach().cpu().clone()  # a view would be written with all that it is a view of
    write_state(nested, path)


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


def refuse_other_tensors(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Raises BolidError, naming the first tensors, if those of a file are not the expected ones in name and shape, or
    have infinite or NaN values."""
    problems = {
        "it lacks": sorted(expected.keys() - stored.keys()),
        "it has": sorted(stored.keys() - expected.keys()),
        "of another shape are": sorted(
            f"{name} {list(stored[name].shape)}, not {list(expected[name].shape)}"
            for name in stored.keys() & expected.keys()
            if stored[name].shape != expected[name].shape
        ),
    }
    words = [f"{problem} {_listed(names)}" for problem, names in problems.items() if names]
    if words:
        raise BolidError(f"{path} does not fit this base or method: {'; '.join(words)}")
    refuse_non_finite(dict(stored), path)


def _listed(names: Iterable[str]) -> str:
    names = [name[:100] for name in names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
