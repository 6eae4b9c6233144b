"""How often the attribute classifier is right, on people never seen."""

import torch
from torch import Tensor

from bolid_train.embedded.attributes import AttributeClassifier, load_attributes
from small_world.pixels import pixels
from small_world.worlds import FLAT, World, WorldPhotos

_BATCH = 200


def check(world: World = FLAT) -> dict[str, float]:
    """Share of photos told right by attribute, of all attributes together, and of photos with every one right."""
    photos = world.draw("held_out")
    right = predict(load_attributes(world.model("tiny-attributes")), photos) == torch.from_numpy(photos.labels)
    figures = {name: float(share) for name, share in zip(world.attributes, right.float().mean(0), strict=True)}
    return figures | {"all": float(right.float().mean()), "every one of a photo": float(right.all(1).float().mean())}


def predict(classifier: AttributeClassifier, photos: WorldPhotos) -> Tensor:
    """Class numbers (N, attributes) of all photos."""
    return torch.cat([classifier.predict(pixels(photos, rows)) for rows in torch.arange(len(photos)).split(_BATCH)])
