"""PhotoMaker's identity encoder (Li et al. 2024, section 3.2): photos to tokens, and tokens into the prompt.

State dicts have the names of the published files. N photos, B prompts of L tokens, T identity tokens of a prompt; D is
the width of the prompt's embeddings, 2048 in SDXL.
"""

from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection


class IdEncoder(nn.Module):
    """Version 1: a token of each photo, [W₁ p | W₂ p] of CLIP's pooled output p."""

    tokens = 1
    """Identity tokens of a photo."""

    def __init__(self, config: CLIPVisionConfig, widths: tuple[int, int]) -> None:
        """`widths`: of the two text encoders, which add up to D."""
        super().__init__()
        config = CLIPVisionConfig(**(config.to_dict() | {"projection_dim": widths[0]}))
        clip: Any = CLIPVisionModelWithProjection(config)
        self.config = config
        self.vision_model: Any = clip.vision_model
        self.visual_projection: nn.Linear = clip.visual_projection
        self.visual_projection_2 = nn.Linear(config.hidden_size, widths[1], bias=False)
        self.fuse_module = FuseModule(sum(widths))

    @classmethod
    def on(cls, clip: Any, widths: tuple[int, int]) -> Self:
        """With the weights of a CLIPVisionModelWithProjection; its projection is taken over where it has the width of
        the first text encoder."""
        return cls._with_weights(clip, cls(clip.config, widths))

    @staticmethod
    def _with_weights(clip: Any, encoder: Any) -> Any:
        encoder.vision_model.load_state_dict(clip.vision_model.state_dict())
        if clip.visual_projection.weight.shape == encoder.visual_projection.weight.shape:
            encoder.visual_projection.load_state_dict(clip.visual_projection.state_dict())
        return encoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Identity tokens (N, 1, D) of photos (N, 3, S, S), normalised for CLIP."""
        pooled = self.vision_model(pixels).pooler_output
        return torch.cat([self.visual_projection(pooled), self.visual_projection_2(pooled)], dim=-1)[:, None]

    def trained(self, layers: int) -> list[nn.Parameter]:
        """What training changes: all but CLIP, of which the last `layers` layers."""
        parts = [self.visual_projection, self.visual_projection_2, self.fuse_module, *self._last(layers)]
        if layers:
            parts.append(self.vision_model.post_layernorm)
        return [value for part in parts for value in part.parameters()]

    def _last(self, layers: int) -> list[nn.Module]:
        every = list(self.vision_model.encoder.layers)
        return every[len(every) - min(layers, len(every)) :]


class FuseModule(nn.Module):
    """Fuses the embedding of each copy of the class word with an identity token (equation 1 of the paper)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1 = Mlp(2 * width, width)
        self.mlp2 = Mlp(width, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, prompt: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """The prompt (B, L, D), in which the places of `mask` (bool (B, L)) are fused, in order, with the identity
        tokens (B, T, D): x = mlp1([E | e]) + E, and E ← LN(mlp2(x) + x). Tokens beyond the number of places are
        padding; places beyond T stay as they are, as all others do."""
        count = min(tokens.shape[1], prompt.shape[1])
        places = mask.int().argsort(dim=1, descending=True, stable=True)[:, :count, None]
        places = places.expand(-1, -1, prompt.shape[2])
        words = prompt.gather(1, places)
        fused = self.mlp1(torch.cat([words, tokens[:, :count]], dim=-1)) + words
        fused = self.layer_norm(self.mlp2(fused) + fused)
        is_place = mask[..., None].expand_as(prompt).gather(1, places)
        return prompt.scatter(1, places, torch.where(is_place, fused, words))


class Mlp(nn.Module):
    """W₂ GELU(W₁ LN(x))."""

    def __init__(self, width: int, output: int) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, output)
        self.fc2 = nn.Linear(output, output)

    def forward(self, values: Tensor) -> Tensor:
        """(…, width) to (…, output)."""
        return self.fc2(nn.functional.gelu(self.fc1(self.layernorm(values))))
