"""Classifies what captions describe on small photos; used only to evaluate whether images match their prompts."""

import torch
from torch import Tensor, nn

from bolid_train.embedded.backbone import Encoder, load_embedded, resized

_SIZE = 256

CLASSES: dict[str, tuple[str, ...]] = {
    "framing": ("full-body", "knees-up", "waist-up"),
    "skin": ("pale", "tan", "dark"),
    "haircut": ("short", "cropped", "bobbed", "long", "tied", "curly"),
    "hair": ("black", "brown", "blond", "red", "grey"),
    "sleeves": ("long-sleeved", "short-sleeved", "sleeveless"),
    "top": (
        "red",
        "blue",
        "green",
        "black",
        "white",
        "grey",
        "yellow",
        "pink",
        "purple",
        "orange",
        "brown",
        "turquoise",
        "navy",
        "beige",
    ),
    "bottom": (
        "red",
        "blue",
        "green",
        "black",
        "white",
        "grey",
        "yellow",
        "pink",
        "purple",
        "orange",
        "brown",
        "turquoise",
        "navy",
        "beige",
        "",
    ),
    "legs": ("trousers", "shorts", "skirt", ""),
    "arms": ("arms down", "arms raised", "hands on the hips", "arms folded", "arms spread", "one arm raised"),
    "background": ("in a studio", "in a room", "in a garden", "by the sea", "on a street"),
}
"""Attribute → its classes in the order of the logits, "" for what the image does not show. The committed weights
were trained with these."""


class AttributeClassifier(nn.Module):
    """One encoder, with a linear head for each attribute of `CLASSES`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(_SIZE)
        self.heads = nn.ModuleList(nn.Linear(_SIZE, len(classes)) for classes in CLASSES.values())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) in -1..1 to the logits (B, classes) of each attribute."""
        features = self.encoder(resized(images))
        return [head(features) for head in self.heads]

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1 to class numbers (B, attributes), in the order of `CLASSES`."""
        return torch.stack([logits.argmax(1) for logits in self(images)], dim=1)


def load_attributes(name: str = "tiny-attributes") -> AttributeClassifier:
    """The trained classifier, frozen."""
    return load_embedded(AttributeClassifier(), name)
