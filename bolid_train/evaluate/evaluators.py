"""The frozen models that look at pictures: none of them may have been trained with, or against, by what is measured."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bolid_data.errors import UsageError
from bolid_train.clip import Clip, load_clip
from bolid_train.keypoints import KeypointDetector, load_keypoints
from bolid_train.tiny.networks.attributes import load_attributes
from bolid_train.tiny.networks.body import load_body_evaluator
from bolid_train.tiny.world.captions import ATTRIBUTES, WORDS

SMALL_WORLD = "small-world"
_BATCH = 100


@dataclass(frozen=True)
class Seen:
    """What was seen on N pictures. G garments."""

    bodies: Tensor  # (N, D): embeddings of bodies, of length one
    keypoints: Tensor  # (N, 17, 3): pixels of the picture, confidence
    clothes: Tensor  # (N, G): class numbers of colours, negative where the garment is not seen
    clip: Tensor  # (N, D_clip): CLIP embeddings, of length one

    def rows(self, chosen: Tensor) -> "Seen":
        """Some of the pictures."""
        return Seen(self.bodies[chosen], self.keypoints[chosen], self.clothes[chosen], self.clip[chosen])


@dataclass(frozen=True)
class Evaluators:
    """Each takes pictures (N, 3, H, W) in -1..1."""

    bodies: Callable[[Tensor], Tensor]
    keypoints: KeypointDetector
    clothes: Callable[[Tensor], Tensor]
    clip: Clip

    @torch.inference_mode()
    def look(self, pictures: Tensor) -> Seen:
        """All that they see on the pictures."""
        parts = [
            (self.bodies(part), self.keypoints(part), self.clothes(part), self.clip.embed_images(part))
            for part in pictures.split(_BATCH)
        ]
        bodies, keypoints, clothes, clip = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return Seen(bodies, keypoints, clothes, clip)


def load_evaluators(name: str) -> Evaluators:
    """The evaluators of that name; `small-world` are those of the small world. Raises UsageError for any other."""
    if name != SMALL_WORLD:
        raise UsageError(f"evaluators '{name}' are not known; there are {SMALL_WORLD}")
    attributes = load_attributes()
    garments = [ATTRIBUTES.index(name) for name in ("top", "bottom")]
    unseen = torch.tensor(
        [WORDS[ATTRIBUTES[garment]].index("") if "" in WORDS[ATTRIBUTES[garment]] else -1 for garment in garments]
    )

    def clothes(pictures: Tensor) -> Tensor:
        worn = attributes.predict(pictures)[:, garments]
        return worn.where(worn != unseen, -1)

    return Evaluators(load_body_evaluator().embed, load_keypoints("tiny-keypoints"), clothes, load_clip("clip-1"))
