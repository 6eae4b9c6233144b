"""The frozen models that evaluate images. The evaluated methods must not have been trained with, or against, them.
In the small worlds, keypoints therefore come from the body evaluator, although it is half as exact as the detector that
L_id trains against. For real photos YOLO is used for both, so read `limb_error` together with `body_sim`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from bolid_data.errors import UsageError
from bolid_train.data.buckets import Size
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.clip import Clip, load_clip
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.embedded.attributes import AttributeClassifier, load_attributes
from bolid_train.embedded.backbone import FLAT_SIDE, SIDE_3D
from bolid_train.embedded.body import load_body_evaluator
from bolid_train.evaluate.batching import image_size
from bolid_train.evaluate.body_embedding import BodyEmbedder, load_body_embedder
from bolid_train.evaluate.quality import Quality, Realism, batched_inference, inception_realism, small_realism

SMALL_WORLD, SMALL_WORLD_3D = "small-world", "small-world-3d"
_SIDES = {SMALL_WORLD: FLAT_SIDE, SMALL_WORLD_3D: SIDE_3D}
_GARMENTS = ("top", "bottom")

PHOTOS = {
    "clip": "openai/clip-vit-base-patch32",  # as in CLIPScore; SDXL itself encodes prompts with the larger ViT-L/14
    "bodies": "timm/vit_base_patch14_dinov2.lvd142m",
}
"""The replaceable parts of the evaluators `photos`: folders or hub repositories."""


@dataclass(frozen=True)
class EvaluatorOutputs:
    """The evaluators' outputs for N images. G garments."""

    bodies: Tensor  # (N, D): unit-length body embeddings
    keypoints: Tensor  # (N, 17, 3): pixels of the image, confidence
    clothes: Tensor  # (N, G): class numbers of colours, negative where the garment is not visible
    clip: Tensor  # (N, D_clip): unit-length CLIP embeddings

    @classmethod
    def joined(cls, parts: Sequence["EvaluatorOutputs"]) -> "EvaluatorOutputs":
        """Concatenates the outputs of several batches."""
        return cls(*(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))

    def select(self, rows: Tensor) -> "EvaluatorOutputs":
        """The outputs for the given images."""
        return EvaluatorOutputs(self.bodies[rows], self.keypoints[rows], self.clothes[rows], self.clip[rows])


@dataclass(frozen=True)
class Evaluators:
    """All are on `device` and take images (N, 3, H, W) in -1..1, whatever their shape; `bodies` takes their keypoints,
    too."""

    bodies: BodyEmbedder
    keypoints: Callable[[Tensor], Tensor]
    clothes: Callable[[Tensor], Tensor]
    clip: Clip
    realism: Realism
    device: torch.device

    def evaluate(self, images: Sequence[Tensor]) -> EvaluatorOutputs:
        """The outputs for images (3, H, W) of any sizes, in their order, on the CPU."""
        return EvaluatorOutputs(*batched_inference(images, self._evaluate_batch, self.device))

    def _evaluate_batch(self, images: Tensor) -> tuple[Tensor, ...]:
        keypoints = self.keypoints(images)
        clip = self.clip.embed_images(pad_to_square(images))
        return self.bodies(images, keypoints), keypoints, self.clothes(images), clip

    def quality(self) -> Quality:
        """A `Quality` without photos yet."""
        return Quality(self.realism, self.device)


def choose_evaluators(base: Base, name: str | None = None) -> str:
    """The evaluators' name. By default it follows from the base: those of a small world for a base that generates
    images as small as its photos, those of real photos for any other.

    Raises UsageError if a small world's evaluators, which were trained on its people only, are to judge other images.
    """
    fitting = next((world for world, side in _SIDES.items() if base.side <= side), "photos")
    if name in _SIDES and name != fitting:
        raise UsageError(
            f"the evaluators {name} were trained on drawn people of {_SIDES[name]} pixels, and the base '{base.name}' "
            f"generates photos of {base.side}; leave --evaluators out, or give --evaluators {fitting}"
        )
    return name or fitting


def load_evaluators(name: str) -> Evaluators:
    """Loads `small-world` or `small-world-3d`, the evaluators of a small world, which work offline; or `photos`, those
    of real photos, whose parts can be replaced, as in `photos,clip=FOLDER,bodies=FOLDER`.

    Raises UsageError for any other name, BolidError for a model that is unavailable.
    """
    kind, *replaced = name.split(",")
    parts = dict(part.partition("=")[::2] for part in replaced)
    if kind in _SIDES and not parts:
        return _small_world_evaluators(pick_device(), kind.removeprefix(SMALL_WORLD))
    if kind == "photos" and parts.keys() <= PHOTOS.keys() and all(parts.values()):
        return _photo_evaluators(pick_device(), **PHOTOS | parts)
    usage = ",".join(f"{part}=NAME" for part in PHOTOS)
    raise UsageError(f"evaluators '{name}' are not known; there are {', '.join(_SIDES)} and photos, or photos,{usage}")


def _small_world_evaluators(device: torch.device, suffix: str) -> Evaluators:
    """`suffix`: of the names of the world's models."""
    attributes = load_attributes(f"tiny-attributes{suffix}").to(device)
    bodies = load_body_evaluator(f"tiny-body{suffix}").to(device)
    return Evaluators(
        bodies=lambda images, _: bodies.embed(pad_to_square(images)),
        keypoints=lambda images: square_keypoints(bodies.pose, images),
        clothes=_clothes(attributes),
        clip=_clip(f"clip-1{suffix}", device),
        realism=small_realism(attributes),
        device=device,
    )


def _photo_evaluators(device: torch.device, clip: str, bodies: str) -> Evaluators:
    return Evaluators(
        bodies=load_body_embedder(bodies, device),
        keypoints=load_keypoints("yolo11n-pose", str(device)),
        clothes=lambda images: torch.empty(len(images), 0, dtype=torch.long),  # no garment: clothes_leak is empty
        clip=_clip(clip, device),
        realism=inception_realism(device),
        device=device,
    )


def pad_to_square(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) with their edges repeated to squares.

    The small world's networks resize every image to a square, which would stretch the bodies that they measure; they
    were trained on photos with such edges. CLIP crops every image to a square, which would cut off heads and feet.
    """
    before, after = _margins(images)
    return pad(images, (before[0], after[0], before[1], after[1]), mode="replicate")


def square_keypoints(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Keypoints (N, 17, 3) in pixels of images (N, 3, H, W), by a network that measures them on squares."""
    keypoints = network(pad_to_square(images))
    before, _ = _margins(images)
    return keypoints - keypoints.new_tensor((*before, 0))


def _margins(images: Tensor) -> tuple[Size, Size]:
    """Pixels added to the left and above, and to the right and below, that make squares of images (N, 3, H, W)."""
    width, height = image_size(images[0])
    side = max(width, height)
    before = (side - width) // 2, (side - height) // 2
    return before, (side - width - before[0], side - height - before[1])


def _clip(name: str, device: torch.device) -> Clip:
    clip = load_clip(name)
    clip.model.to(device)
    return clip


def _clothes(attributes: AttributeClassifier) -> Callable[[Tensor], Tensor]:
    """Images (N, 3, H, W) to the colours of top and bottom (N, 2), -1 for a bottom that is not visible."""
    classes = attributes.classes
    garments = [list(classes).index(name) for name in _GARMENTS]
    invisible = torch.tensor([classes[name].index("") if "" in classes[name] else -1 for name in _GARMENTS])

    def clothes(images: Tensor) -> Tensor:
        colours = attributes.predict(images)[:, garments].cpu()
        return colours.where(colours != invisible, -1)

    return clothes
