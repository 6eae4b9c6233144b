"""Similarity of people on real photos: embeddings of the person's crop by a strong frozen timm network.

How to compare bodies is an open question. Re-identification networks (OSNet, Zhou et al. 2019; TransReID, He et al.
2021) learn from people who wear the same clothes on every camera, so they rely on clothes, which prompts change.
Clothes-invariant ones (Gu et al. 2022) learn from surveillance photos of 128 × 256 pixels, and no library or hub offers
one. Work on subject-driven generation compares with DINO (Ruiz et al. 2023, DreamBooth): trained without labels, it
distinguishes subjects of one class, which a classifier or CLIP learns to treat as equal. DINOv2 is its successor, and
our training does not use it.

It sees faces, hair and clothes as well as the body. `body_sim` on photos is therefore the similarity of the person as a
whole, where 1 is another photo of the person, with other clothes; proportions alone are measured by `limb_error`.
"""

from collections.abc import Callable
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, pad

from bolid_data import weights
from bolid_data.errors import BolidError, UsageError
from bolid_train.evaluate.metrics import MIN_CONFIDENCE

_FILES = ("config.json", "model.safetensors")
_MARGIN = 0.2  # added on each side, because the joints end at eyes and ankles

BodyEmbedder = Callable[[Tensor, Tensor], Tensor]
"""Images (N, 3, H, W) in -1..1 and their keypoints (N, 17, 3) to unit-length body embeddings (N, D)."""


class PersonEmbedder:
    """Embeds the person's crop, padded to a square so that its aspect ratio is kept."""

    def __init__(self, network: nn.Module) -> None:
        """`network`: a timm model without its classifier."""
        self.network = network.eval().requires_grad_(False)
        config = resolve_model_data_config(network)
        self._side = config["input_size"][-1]
        self._mean, self._std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))

    def __call__(self, images: Tensor, keypoints: Tensor) -> Tensor:
        crops = [self._crop(*pair) for pair in zip(images, keypoints, strict=True)]
        return normalize(self.network(torch.stack(crops)).float(), dim=1)

    def _crop(self, image: Tensor, keypoints: Tensor) -> Tensor:
        """The normalised crop (3, side, side), padded with the mean colour."""
        left, top, right, bottom = person_box(keypoints, (image.shape[2], image.shape[1]))
        crop = image[None, :, top:bottom, left:right]
        scale = self._side / max(crop.shape[2:])
        size = [max(1, round(side * scale)) for side in crop.shape[2:]]
        crop = interpolate(crop, size, mode="bicubic", antialias=True)[0] / 2 + 0.5
        crop = (crop - self._mean.to(crop.device)) / self._std.to(crop.device)
        above, before = (self._side - size[0]) // 2, (self._side - size[1]) // 2
        return pad(crop, (before, self._side - size[1] - before, above, self._side - size[0] - above))


def person_box(keypoints: Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box around the visible ones of the keypoints (17, 3), with a margin: left, top, right, bottom in whole pixels
    of an image of `size` (width, height). It is the whole image if fewer than two keypoints are visible."""
    visible = keypoints[keypoints[:, 2] >= MIN_CONFIDENCE, :2]
    if len(visible) < 2:
        return 0, 0, *size
    low, high = visible.amin(0), visible.amax(0)
    margin = _MARGIN * (high - low).max()
    image_size = low.new_tensor(size)
    # At least one pixel, wherever the joints are.
    left, top = (low - margin).floor().clamp_min(0).minimum(image_size - 1).int().tolist()
    right, bottom = (high + margin).ceil().minimum(image_size).int().tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def load_body_embedder(name: str, device: torch.device, relative_to: Path | None = None) -> PersonEmbedder:
    """Loads a timm model from its folder (relative to `relative_to`) or hub repository.

    Raises BolidError if it is unavailable or cannot be read, UsageError for anything but a timm model.
    """
    folder = weights.folder(name, relative_to)
    if missing := [file for file in _FILES if not (folder / file).is_file()]:
        raise UsageError(f"'{name}' is not a timm model: {folder} has no {' and no '.join(missing)}; name one that is")
    try:
        network = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BolidError(f"the timm model at {folder} cannot be loaded: {error}") from error
    return PersonEmbedder(network.to(device))
