"""Sees what a caption could say of a small photo; only for measuring whether pictures show what was asked for."""

import torch
from torch import Tensor, nn

from bolid_train.tiny.networks.backbone import Encoder, load_weights, resized
from bolid_train.tiny.world.captions import ATTRIBUTES, WORDS

_SIZE = 256


class AttributeClassifier(nn.Module):
    """One network, and one choice among `WORDS` for each of `ATTRIBUTES`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(_SIZE)
        self.heads = nn.ModuleList(nn.Linear(_SIZE, len(WORDS[name])) for name in ATTRIBUTES)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) in -1..1 to the logits (B, classes) of each attribute."""
        features = self.encoder(resized(images))
        return [head(features) for head in self.heads]

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1 to class numbers (B, attributes), as `captions.from_labels` reads them."""
        return torch.stack([logits.argmax(1) for logits in self(images)], dim=1)


def load_attributes() -> AttributeClassifier:
    """The trained classifier, frozen."""
    return load_weights(AttributeClassifier(), "attributes")
