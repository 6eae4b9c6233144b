"""A training batch of precomputed features."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from bolid_train.diffusion.rng import RowRandom


@dataclass(frozen=True)
class Views:
    """Features of V Gaussian-weighted photos of each of B people, each resized to a square. K = 17."""

    embeds: Tensor  # (B, V, D_ref): CLIP image embeddings
    latents: Tensor  # (B, V, C, h, w): scaled VAE latents
    keypoints: Tensor  # (B, V, K, 3): x, y as fractions of the photo's width and height, confidence
    sizes: Tensor  # (B, V, 2): the photo's width and height in pixels
    confidence: Tensor  # (B, V): mean confidence of the visible keypoints, 0 for padding

    def has_views(self) -> Tensor:
        """Which rows have at least one view: bool (B,)."""
        return self.confidence.sum(dim=1) > 0

    def select(self, rows: slice) -> "Views":
        """The given rows."""
        return _map(self, lambda values: values[rows])


@dataclass(frozen=True)
class Batch:
    """Features of B target photos and of the people in them. L tokens, K = 17 keypoints, P photos."""

    latents: Tensor  # (B, C, h, w), scaled for the UNet
    keypoints: Tensor  # (B, K, 3) of the target: x, y as fractions of the cropped image, confidence
    prompt_embeds: Tensor  # (B, L, D_text)
    pooled_prompt_embeds: Tensor  # (B, D_pooled)
    time_ids: Tensor  # (B, 6): SDXL's original size, crop offset and target size
    image_embeds: Tensor  # (B, D_ref): CLIP embedding of one reference photo; zeros without one
    views: Views
    random: RowRandom
    reference_keypoints: Tensor | None = None  # (B, K, 3) of the reference, as `keypoints`
    person_keypoints: Tensor | None = None  # (B, P, K, 3) photos of the person: pixels; confidence 0 for padding
    clip_texts: Tensor | None = None  # (B, D): unit vectors of the captions, by the objective's CLIP
    clip_references: Tensor | None = None  # (B, D): of the reference photos
    step: int = 0  # training step, for terms with a warm-up

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> "Batch":
        """The batch in float32 on `device`."""
        return _map(self, lambda values: values.to(device, torch.float32, non_blocking=True), device)

    def select(self, rows: slice) -> "Batch":
        """The given rows."""
        return _map(self, lambda values: values[rows], rows)


def _map(record: Any, convert: Any, argument: Any = None) -> Any:
    """The record with its tensors converted, and its RowRandom moved (to a device) or selected (by a slice)."""
    converted = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor):
            converted[field.name] = convert(value)
        elif isinstance(value, Views):
            converted[field.name] = _map(value, convert)
        elif isinstance(value, RowRandom):
            converted[field.name] = value.select(argument) if isinstance(argument, slice) else value.to(argument)
    return replace(record, **converted)


def empty_views(rows: int, ref_dim: int, latents: tuple[int, int, int]) -> Views:
    """Padding only, for rows whose body is sampled from the prior. `latents`: (C, h, w)."""
    return Views(
        torch.zeros(rows, 1, ref_dim),
        torch.zeros(rows, 1, *latents),
        torch.zeros(rows, 1, 17, 3),
        torch.ones(rows, 1, 2),
        torch.zeros(rows, 1),
    )
