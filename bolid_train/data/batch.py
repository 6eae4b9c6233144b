"""What a step trains on: a batch of precomputed features."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from bolid_train.diffusion.rng import RowRandom


@dataclass(frozen=True)
class Views:
    """What frozen models said of V Gaussian-weighted photos of each of B people, squashed to a square. K = 17."""

    embeds: Tensor  # (B, V, D_ref): CLIP embeddings
    latents: Tensor  # (B, V, C, h, w): the VAE's, scaled
    keypoints: Tensor  # (B, V, K, 3): x, y as fractions of the photo's width and height, confidence
    sizes: Tensor  # (B, V, 2): the photo's width and height in pixels
    confidence: Tensor  # (B, V): mean confidence of the visible keypoints, 0 for padding

    def given(self) -> Tensor:
        """Which rows have any view: bool (B,)."""
        return self.confidence.sum(dim=1) > 0

    def rows(self, chosen: slice) -> "Views":
        """Some of the rows."""
        return _map(self, lambda values: values[chosen])


@dataclass(frozen=True)
class Batch:
    """What frozen models said of B targets and of the people in them. L tokens, K = 17 keypoints, P photos."""

    latents: Tensor  # (B, C, h, w), scaled as the UNet takes them
    keypoints: Tensor  # (B, K, 3) of the target: x, y as fractions of the image that the latents are of, confidence
    prompt_embeds: Tensor  # (B, L, D_text)
    pooled_prompt_embeds: Tensor  # (B, D_pooled)
    time_ids: Tensor  # (B, 6): SDXL's original size, crop and target size
    image_embeds: Tensor  # (B, D_ref): CLIP embedding of one reference photo; zeros where there is none
    views: Views
    random: RowRandom
    reference_keypoints: Tensor | None = None  # (B, K, 3) of the reference, as `keypoints`
    people_keypoints: Tensor | None = None  # (B, P, K, 3) of photos of the person: pixels, confidence 0 for padding
    clip_texts: Tensor | None = None  # (B, D): unit vectors of the captions, by the CLIP of the objective
    clip_references: Tensor | None = None  # (B, D): of the reference photos
    step: int = 0  # of training, for what warms up

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> "Batch":
        """The batch in float32 on `device`."""
        return _map(self, lambda values: values.to(device, torch.float32, non_blocking=True), device)

    def rows(self, chosen: slice) -> "Batch":
        """Some of the rows."""
        return _map(self, lambda values: values[chosen], chosen)


def _map(record: Any, change: Any, rest: Any = None) -> Any:
    """The record with its tensors changed, and what else it holds moved (to a device) or cut (by a slice)."""
    changed = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = change(value)
        elif isinstance(value, Views):
            changed[field.name] = _map(value, change)
        elif isinstance(value, RowRandom):
            changed[field.name] = value.rows(rest) if isinstance(rest, slice) else value.to(rest)
    return replace(record, **changed)


def no_views(rows: int, ref_dim: int, latents: tuple[int, int, int]) -> Views:
    """Rows without a view: the body is drawn. `latents`: (C, h, w)."""
    return Views(
        torch.zeros(rows, 1, ref_dim),
        torch.zeros(rows, 1, *latents),
        torch.zeros(rows, 1, 17, 3),
        torch.ones(rows, 1, 2),
        torch.zeros(rows, 1),
    )
