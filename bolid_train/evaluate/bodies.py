"""Likeness of people on real photos: a strong frozen network of timm looks at the person alone.

What to compare bodies with is an open question. Re-identification networks (OSNet, Zhou et al. 2019; TransReID, He et
al. 2021) learn from people who keep their clothes on from camera to camera, so they tell clothes, which prompts change;
those that look past clothes (Gu et al. 2022) learn from surveillance photos of 128 × 256 pixels, and no library or hub
offers one under a name. Work on generating a given subject compares by DINO (Ruiz et al. 2023, DreamBooth): trained
without labels, it tells one subject from another of its kind, where a classifier or CLIP learns that they are alike.
DINOv2 is its successor, and nothing in our training sees it.

It sees faces, hair and clothes as well as the body. So `body_sim` by it is likeness of the whole person, and its 1 is
another photo of the person, other clothes included; proportions alone are `limb_error`'s.
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
from bolid_train.evaluate.metrics import SURE

_FILES = ("config.json", "model.safetensors")
_AROUND = 0.2  # added on each side: joints end at eyes and ankles, a person does not

BodyReader = Callable[[Tensor, Tensor], Tensor]
"""Pictures (N, 3, H, W) in -1..1 and the keypoints (N, 17, 3) on them to bodies (N, D), of length one."""


class PersonNetwork:
    """Cuts the person out, and reads the piece, at its own proportions, by a network that wants squares."""

    def __init__(self, network: nn.Module) -> None:
        """`network`: a timm model without its classifier."""
        self.network = network.eval().requires_grad_(False)
        wanted = resolve_model_data_config(network)
        self._side = wanted["input_size"][-1]
        self._mean, self._std = (torch.tensor(wanted[name])[:, None, None] for name in ("mean", "std"))

    def __call__(self, pictures: Tensor, keypoints: Tensor) -> Tensor:
        pieces = [self._piece(*each) for each in zip(pictures, keypoints, strict=True)]
        return normalize(self.network(torch.stack(pieces)).float(), dim=1)

    def _piece(self, picture: Tensor, keypoints: Tensor) -> Tensor:
        """(3, side, side), normalised, grey around."""
        left, top, right, bottom = person_box(keypoints, (picture.shape[2], picture.shape[1]))
        piece = picture[None, :, top:bottom, left:right]
        scale = self._side / max(piece.shape[2:])
        size = [max(1, round(side * scale)) for side in piece.shape[2:]]
        piece = interpolate(piece, size, mode="bicubic", antialias=True)[0] / 2 + 0.5
        piece = (piece - self._mean.to(piece.device)) / self._std.to(piece.device)
        above, before = (self._side - size[0]) // 2, (self._side - size[1]) // 2
        return pad(piece, (before, self._side - size[1] - before, above, self._side - size[0] - above))


def person_box(keypoints: Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Around the joints that are seen, (17, 3), with room on all sides: left, top, right, bottom in whole pixels of a
    picture of `size` (width, height); all of it where fewer than two joints are seen."""
    seen = keypoints[keypoints[:, 2] >= SURE, :2]
    if len(seen) < 2:
        return 0, 0, *size
    low, high = seen.amin(0), seen.amax(0)
    around = _AROUND * (high - low).max()
    whole = low.new_tensor(size)
    # At least a pixel, wherever the joints are.
    left, top = (low - around).floor().clamp_min(0).minimum(whole - 1).int().tolist()
    right, bottom = (high + around).ceil().minimum(whole).int().tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def load_bodies(name: str, device: torch.device, near: Path | None = None) -> PersonNetwork:
    """A timm model by its folder (relative to `near`) or hub repository.

    Raises BolidError where it is not to be had or cannot be read, UsageError for what is no timm model.
    """
    folder = weights.folder(name, near, _FILES)
    if missing := [file for file in _FILES if not (folder / file).is_file()]:
        raise UsageError(f"'{name}' is no timm model: {folder} has no {' and no '.join(missing)}; name one that is")
    try:
        network = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BolidError(f"the timm model at {folder} cannot be loaded: {error}") from error
    return PersonNetwork(network.to(device))
