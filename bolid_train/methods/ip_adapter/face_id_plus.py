"""FaceID Plus (version 2): FaceID whose tokens attend to CLIP's hidden states of the face.

A row's embedding and states travel as one tensor (S', D), whose first rows hold the embedding.
"""

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import pad

from bolid_train.methods.ip_adapter.face_id import FaceIdBranch
from bolid_train.methods.layers.projections import FacePlusProjection
from bolid_train.methods.layers.resampler import PerceiverSize

_SHORTCUT = 1.0
"""The published weight of what the tokens become by attending. Version 1, without a shortcut, is for SD 1.5 alone."""


class FaceIdPlusBranch(FaceIdBranch):
    """The branch `ref`, on what `joined` gives."""

    def __init__(self, unet: UNet2DConditionModel, face: int, features: int, zero_tokens: bool) -> None:
        """`face` and `features`: the widths of the face embedding and of the states."""
        text = unet.config.cross_attention_dim
        projection = FacePlusProjection(face, PerceiverSize.usual(features, text, width=text))
        super().__init__(unet, projection, features, zero_tokens)
        self._face = face

    def project(self, name: str, photos: Tensor) -> Tensor:
        rows = embedding_rows(self._face, photos.shape[-1])
        embeds = photos[:, :rows].flatten(1)[:, : self._face]
        tokens: Tensor = self.image_projection_layers[self.names.index(name)](embeds, photos[:, rows:], _SHORTCUT)
        return tokens


def joined(embeds: Tensor, states: Tensor) -> Tensor:
    """Face embeddings (B, F) and states (B, S, D) as (B, S', D). Zeros in a row whose embedding is zero, which shows no
    face."""
    rows = embedding_rows(embeds.shape[1], states.shape[2])
    first = pad(embeds, (0, rows * states.shape[2] - embeds.shape[1])).unflatten(1, (rows, states.shape[2]))
    both = torch.cat([first, states.to(first.dtype)], dim=1)
    return both * embeds.any(dim=1).view(-1, 1, 1)


def embedding_rows(face: int, features: int) -> int:
    """How many rows `features` wide an embedding `face` wide takes."""
    return -(-face // features)
