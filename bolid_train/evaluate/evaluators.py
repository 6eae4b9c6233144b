"""The frozen models that look at pictures: none of them may have been trained with, or against, by what is measured.
So the small world's joints are those of its body evaluator, which sees them half as exactly as the detector that L_id
trains against. Of real photos YOLO is both, and `limb_error` is to be read beside `body_sim`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bolid_data.errors import UsageError
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.clip import Clip, load_clip
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.embedded.attributes import CLASSES, AttributeClassifier, load_attributes
from bolid_train.embedded.backbone import SIDE
from bolid_train.embedded.body import load_body_evaluator
from bolid_train.evaluate.bodies import BodyReader, load_bodies
from bolid_train.evaluate.quality import Quality, Realism, inception_realism, look, small_realism

SMALL_WORLD = "small-world"
_GARMENTS = ("top", "bottom")

PHOTOS = {
    "clip": "openai/clip-vit-base-patch32",  # CLIPScore's; SDXL itself reads prompts by the larger ViT-L/14
    "bodies": "timm/vit_base_patch14_dinov2.lvd142m",
}
"""The parts of the evaluators `photos` that may be others: folders or hub repositories."""


@dataclass(frozen=True)
class Seen:
    """What was seen on N pictures. G garments."""

    bodies: Tensor  # (N, D): embeddings of bodies, of length one
    keypoints: Tensor  # (N, 17, 3): pixels of the picture, confidence
    clothes: Tensor  # (N, G): class numbers of colours, negative where the garment is not seen
    clip: Tensor  # (N, D_clip): CLIP embeddings, of length one

    @classmethod
    def joined(cls, parts: Sequence["Seen"]) -> "Seen":
        """The pictures of all parts."""
        return cls(*(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))

    def rows(self, chosen: Tensor) -> "Seen":
        """Some of the pictures."""
        return Seen(self.bodies[chosen], self.keypoints[chosen], self.clothes[chosen], self.clip[chosen])


@dataclass(frozen=True)
class Evaluators:
    """All are on `device` and take pictures (N, 3, H, W) in -1..1, `bodies` with the keypoints on them."""

    bodies: BodyReader
    keypoints: Callable[[Tensor], Tensor]
    clothes: Callable[[Tensor], Tensor]
    clip: Clip
    realism: Realism
    device: torch.device

    def look(self, pictures: Tensor) -> Seen:
        """All that they see on the pictures, in memory."""
        return Seen(*look(pictures, self._see, self.device))

    def _see(self, pictures: Tensor) -> tuple[Tensor, ...]:
        keypoints = self.keypoints(pictures)
        return self.bodies(pictures, keypoints), keypoints, self.clothes(pictures), self.clip.embed_images(pictures)

    def quality(self) -> Quality:
        """What measures pictures against photos that it is yet to be shown."""
        return Quality(self.realism, self.device)


def evaluators_of(base: Base, name: str | None = None) -> str:
    """The name of the evaluators, which follow from the base unless they are named: those of the small world for a base
    that draws pictures as small as its photos, those of real photos for any other.

    Raises UsageError where the small world's are to judge photos: they were trained on nothing but drawn people.
    """
    drawn = base.side <= SIDE
    if name == SMALL_WORLD and not drawn:
        raise UsageError(
            f"the evaluators {SMALL_WORLD} were trained on drawn people of {SIDE} pixels, and the base '{base.name}' "
            f"generates photos of {base.side}; leave --evaluators out, or give --evaluators photos"
        )
    return name or (SMALL_WORLD if drawn else "photos")


def load_evaluators(name: str) -> Evaluators:
    """`small-world`, the evaluators of the small world, which need no network; or `photos`, those of real photos, with
    parts replaced where they are named, as in `photos,clip=FOLDER,bodies=FOLDER`.

    Raises UsageError for any other name, BolidError for a model that is neither here nor to be had.
    """
    chosen, *replaced = name.split(",")
    parts = dict(part.partition("=")[::2] for part in replaced)
    if chosen == SMALL_WORLD and not parts:
        return _of_small_world(pick_device())
    if chosen == "photos" and parts.keys() <= PHOTOS.keys() and all(parts.values()):
        return _of_photos(pick_device(), **PHOTOS | parts)
    own = ",".join(f"{part}=NAME" for part in PHOTOS)
    raise UsageError(f"evaluators '{name}' are not known; there are {SMALL_WORLD} and photos, or photos,{own}")


def _of_small_world(device: torch.device) -> Evaluators:
    attributes, bodies = load_attributes().to(device), load_body_evaluator().to(device)
    return Evaluators(
        bodies=lambda pictures, _: bodies.embed(pictures),
        keypoints=bodies.pose,
        clothes=_clothes(attributes),
        clip=_clip("clip-1", device),
        realism=small_realism(attributes),
        device=device,
    )


def _of_photos(device: torch.device, clip: str, bodies: str) -> Evaluators:
    return Evaluators(
        bodies=load_bodies(bodies, device),
        keypoints=load_keypoints("yolo11n-pose", str(device)),
        clothes=lambda pictures: torch.empty(len(pictures), 0, dtype=torch.long),  # no garment: clothes_leak is empty
        clip=_clip(clip, device),
        realism=inception_realism(device),
        device=device,
    )


def _clip(name: str, device: torch.device) -> Clip:
    clip = load_clip(name)
    clip.model.to(device)
    return clip


def _clothes(attributes: AttributeClassifier) -> Callable[[Tensor], Tensor]:
    """Pictures (N, 3, H, W) to the colours of top and bottom (N, 2), -1 for a bottom that is not seen."""
    garments = [list(CLASSES).index(name) for name in _GARMENTS]
    unseen = torch.tensor([CLASSES[name].index("") if "" in CLASSES[name] else -1 for name in _GARMENTS])

    def clothes(pictures: Tensor) -> Tensor:
        worn = attributes.predict(pictures)[:, garments].cpu()
        return worn.where(worn != unseen, -1)

    return clothes
