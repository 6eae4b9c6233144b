"""Classifies what captions describe on small photos; used only to evaluate whether images match their prompts."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bolid_data.synthetic import caption
from bolid_train.embedded.backbone import FLAT_SIDE, SIDE_3D, Encoder, load_embedded
from bolid_train.embedded.joint_encoder import JointEncoder

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

CLASSES_3D = {name: (*caption.WORDS[name], "") for name in caption.ATTRIBUTES}
"""The same of the small world in three dimensions; attributes that every image shows have the class "", too."""


class AttributeClassifier(nn.Module):
    """One encoder, with a linear head for each attribute of `classes`."""

    def __init__(self, classes: Mapping[str, tuple[str, ...]] = CLASSES, side: int = FLAT_SIDE) -> None:
        """`side`: pixels of the sides of the network's own inputs, 64 or 128."""
        super().__init__()
        self.classes = classes
        self.encoder = Encoder(_SIZE) if side == FLAT_SIDE else JointEncoder(_SIZE)
        self.heads = nn.ModuleList(nn.Linear(_SIZE, len(words)) for words in classes.values())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) in -1..1 to the logits (B, classes) of each attribute."""
        return self.classify(self.encoder(images))

    def classify(self, vectors: Tensor) -> list[Tensor]:
        """The encoder's vectors to the logits."""
        return [head(vectors) for head in self.heads]

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1 to class numbers (B, attributes), in the order of `classes`."""
        return torch.stack([logits.argmax(1) for logits in self(images)], dim=1)


def load_attributes(name: str = "tiny-attributes") -> AttributeClassifier:
    """The trained classifier `tiny-attributes` or `tiny-attributes-3d`, frozen."""
    classifier = AttributeClassifier(CLASSES_3D, SIDE_3D) if name == "tiny-attributes-3d" else AttributeClassifier()
    return load_embedded(classifier, name)
