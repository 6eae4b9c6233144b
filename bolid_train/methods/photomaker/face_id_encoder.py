"""The identity encoder of PhotoMaker's version 2, which reads an identity embedding, too, as published of the face.

N photos; D is the width of the prompt's embeddings. State dicts have the names of the published files.
"""

from typing import Any, Self

from torch import Tensor, nn
from transformers import CLIPVisionConfig

from bolid_train.methods.layers.resampler import Perceiver, PerceiverSize
from bolid_train.methods.photomaker.id_encoder import IdEncoder

_HEAD_DIM = 128
_FACE_EXPANSION = 4


class FacePerceiver(nn.Module):
    """Two tokens t = LN(W₂ GELU(W₀ f)) of a face embedding f, to which it adds what they become by attending to CLIP's
    tokens."""

    def __init__(self, face: int, size: PerceiverSize, tokens: int = 2, hidden: int | None = None) -> None:
        """`face`: width of face embeddings."""
        super().__init__()
        hidden = hidden or _FACE_EXPANSION * face
        self.token_proj = nn.Sequential(nn.Linear(face, hidden), nn.GELU(), nn.Linear(hidden, tokens * size.width))
        self.token_norm = nn.LayerNorm(size.width)
        self.perceiver_resampler = Perceiver(size)

    def face_tokens(self, faces: Tensor) -> Tensor:
        """t (N, tokens, D) of face embeddings (N, F)."""
        return self.token_norm(self.token_proj(faces).unflatten(-1, (-1, self.token_norm.normalized_shape[0])))

    def forward(self, faces: Tensor, hidden_states: Tensor) -> Tensor:
        """Tokens (N, tokens, D) of face embeddings (N, F) and CLIP's hidden states (N, S, E)."""
        tokens = self.face_tokens(faces)
        return tokens + self.perceiver_resampler(hidden_states, tokens)


class FaceIdEncoder(IdEncoder):
    """Version 2: two tokens of each photo, of the face in it and of CLIP's last hidden states, which have the class
    token and are not normalised. The two projections of version 1 are in the file and have no use."""

    tokens = 2

    def __init__(self, config: CLIPVisionConfig, widths: tuple[int, int], perceiver: FacePerceiver) -> None:
        super().__init__(config, widths)
        self.qformer_perceiver = perceiver

    @classmethod
    def for_faces(cls, clip: Any, widths: tuple[int, int], face: int) -> Self:
        """As `on`, for face embeddings `face` wide: heads of 128 numbers, four layers."""
        width = sum(widths)
        heads = max(1, width // _HEAD_DIM)
        size = PerceiverSize(clip.config.hidden_size, width, width, heads, width // heads)
        return cls._with_weights(clip, cls(clip.config, widths, FacePerceiver(face, size)))

    def forward(self, pixels: Tensor, faces: Tensor) -> Tensor:  # type: ignore[override]
        """Identity tokens (N, 2, D) of photos (N, 3, S, S), normalised for CLIP, and the faces' embeddings (N, F)."""
        return self.qformer_perceiver(faces, self.vision_model(pixels).last_hidden_state)

    def trained(self, layers: int) -> list[nn.Parameter]:
        """What training changes: the perceiver, the fuse module, and CLIP's last `layers` layers."""
        parts: list[nn.Module] = [self.qformer_perceiver, self.fuse_module, *self._last(layers)]
        return [value for part in parts for value in part.parameters()]
