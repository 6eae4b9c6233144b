"""Files written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor


def write_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Written under a temporary name and renamed: a killed run leaves no half file under a real name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    # Not `save_file`: it makes files that only their owner may read.
    unfinished.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
    unfinished.replace(path)


def write_json(content: Any, path: Path) -> None:
    """One JSON value, written under a temporary name and renamed."""
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(path)
