"""A file of the authors' numbers, and how far ours are from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bolid_data.errors import BolidError

TOLERANCE = 5e-5
"""Largest difference of floats; integers, booleans and bytes must be equal."""


@dataclass(frozen=True)
class Fixture:
    """One case of one system."""

    case: str  # as in the metadata, without the system, such as `cross_attention`
    dims: Mapping[str, Any]  # sizes and hyper-parameters, such as `heads` and `scale`
    weights: Mapping[str, Tensor]  # by their names in the published checkpoint
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> "Fixture":
        """Raises BolidError for a file that is not a fixture."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in list(file.keys())}
            dims = json.loads(metadata.get("dims", "{}"))
        except (OSError, SafetensorError, ValueError) as error:
            raise BolidError(f"{path}: cannot be read as a parity fixture ({error})") from error
        case = metadata.get("case", path.stem).rpartition("/")[2]
        parts = (_below(tensors, prefix) for prefix in ("weights.", "in.", "out."))
        return cls(case, dims, *parts)

    def head_dim(self, to_q: str) -> int:
        """Numbers of an attention head: as in `dims`, or by the number of heads there and the rows of the weights
        `to_q`."""
        if "dim_head" in self.dims:
            return int(self.dims["dim_head"])
        return len(self.weights[to_q]) // int(self.dims["heads"])

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The weights whose names start with `prefix`, without it."""
        return _below(self.weights, prefix)

    def differences(self, computed: Mapping[str, Tensor]) -> dict[str, float]:
        """The largest difference of each output; infinite where ours is missing, of another shape, or not finite."""
        return {name: _difference(computed.get(name), expected) for name, expected in sorted(self.outputs.items())}

    def tolerance(self, output: str) -> float:
        """The largest difference that this output may have."""
        return TOLERANCE if self.outputs[output].is_floating_point() else 0.0


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _difference(ours: Tensor | None, expected: Tensor) -> float:
    if ours is None or ours.shape != expected.shape:
        return float("inf")
    if not expected.numel():
        return 0.0
    largest = (ours.double() - expected.double()).abs().max()
    return float(largest) if torch.isfinite(largest) else float("inf")
