"""The base's frozen text encoders, for prompts whose class word is repeated."""

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from bolid_train.diffusion.base import Base
from bolid_train.diffusion.precision import Precision


class TextEncoders:
    """Both text encoders, in the UNet's type. Cached embeddings do not do here: how often the class word is there
    depends on the row's photos."""

    def __init__(self, base: Base, unet: UNet2DConditionModel) -> None:
        precision = Precision(unet.dtype, unet.dtype)
        unused = dict.fromkeys(("unet", "vae", "image_encoder", "feature_extractor"))
        pipe = base.pipeline(unet.device, precision, **unused)
        self._encoders: list[Any] = [
            encoder.eval().requires_grad_(False) for encoder in (pipe.text_encoder, pipe.text_encoder_2)
        ]

    @property
    def widths(self) -> tuple[int, int]:
        """Of their embeddings."""
        first, second = (int(encoder.config.hidden_size) for encoder in self._encoders)
        return first, second

    @torch.no_grad()
    def __call__(self, ids: Tensor) -> Tensor:
        """The prompt's embeddings (B, L, D), in float32, of the ids (B, 2, L) of both tokenizers: the hidden states
        before the last layer, as in the stock pipeline."""
        states = [
            encoder(of_encoder, output_hidden_states=True).hidden_states[-2]
            for encoder, of_encoder in zip(self._encoders, ids.long().unbind(1), strict=True)
        ]
        return torch.cat(states, dim=-1).float()
