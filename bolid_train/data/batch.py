"""A training batch of precomputed features."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bolid_train.data.person_proportions import PersonProportions
from bolid_train.diffusion.rng import RowRandom


@dataclass(frozen=True)
class Views:
    """Where the bodies are on V photos of each of B people; what frozen models say of the photos is in
    `Batch.features`. K = 17."""

    keypoints: Tensor  # (B, V, K, 3): x, y as fractions of the square that the photo becomes, confidence
    sizes: Tensor  # (B, V, 2): what the square is wide and high, in pixels of the photo
    confidence: Tensor  # (B, V): mean confidence of the visible keypoints, 0 for padding

    def has_views(self) -> Tensor:
        """Which rows have at least one view: bool (B,)."""
        return self.confidence.sum(dim=1) > 0

    @classmethod
    def none(cls, rows: int) -> "Views":
        """Padding only, for rows without photos of the person."""
        return cls(torch.zeros(rows, 1, 17, 3), torch.ones(rows, 1, 2), torch.zeros(rows, 1))


@dataclass(frozen=True)
class Batch:
    """B target photos and the people in them. L tokens, K = 17 keypoints."""

    latents: Tensor  # (B, C, h, w), scaled for the UNet
    keypoints: Tensor  # (B, K, 3) of the target: x, y as fractions of the cropped image, confidence
    prompt_embeds: Tensor  # (B, L, D_text)
    pooled_prompt_embeds: Tensor  # (B, D_pooled)
    time_ids: Tensor  # (B, 6): SDXL's original size, crop offset and target size
    views: Views
    random: RowRandom
    features: Mapping[str, Tensor] = field(default_factory=dict)
    """By name: (B, …) of the target or the reference, zeros without one; (B, V, …) of the views."""
    reference_keypoints: Tensor | None = None  # (B, K, 3) of the reference, as `keypoints`
    proportions: PersonProportions | None = None  # of the person
    step: int = 0  # training step, for terms with a warm-up

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`, with floating-point numbers in float32."""

        def convert(values: Tensor) -> Tensor:
            return values.to(device, torch.float32 if values.is_floating_point() else None, non_blocking=True)

        return _map(self, convert, device)

    def select(self, rows: slice) -> "Batch":
        """The given rows."""
        return _map(self, lambda values: values[rows], rows)


def _map(record: Any, convert: Any, argument: Any = None) -> Any:
    """The record with its tensors converted, and its RowRandom moved (to a device) or selected (by a slice)."""
    converted: dict[str, Any] = {}
    for attribute in fields(record):
        value = getattr(record, attribute.name)
        if isinstance(value, Tensor):
            converted[attribute.name] = convert(value)
        elif isinstance(value, Mapping):
            converted[attribute.name] = {name: convert(values) for name, values in value.items()}
        elif is_dataclass(value):
            converted[attribute.name] = _map(value, convert)
        elif isinstance(value, RowRandom):
            converted[attribute.name] = value.select(argument) if isinstance(argument, slice) else value.to(argument)
    return replace(record, **converted)
