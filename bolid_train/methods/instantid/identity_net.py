"""IdentityNet: a ControlNet that gets the identity's tokens in place of the text, and an image of where the person is
to be (InstantID, Wang et al. 2024, section 3.2)."""

import json
from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from bolid_data.errors import BolidError
from bolid_train.data.faces import five_points
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.pose_image import draw_pose
from bolid_train.files import read_safetensors, write_json, write_safetensors
from bolid_train.methods.instantid.face_image import draw_face
from bolid_train.methods.instantid.settings import CONFIG, FOLDER, WEIGHTS
from bolid_train.methods.layers.attention import Attention
from bolid_train.methods.layers.public import refuse_other_tensors

_IMAGE_CHANNELS = (16, 32, 96, 256)
"""Channels of the layers that shrink the image to the latents; each but the first halves its sides."""


def build(unet: UNet2DConditionModel, base: Base) -> ControlNetModel:
    """IdentityNet as a copy of the UNet's first half, whose output layers are zero (Zhang et al. 2023). It is trained,
    so it is in float32. To be called before anything is installed on the UNet."""
    channels = _IMAGE_CHANNELS[: base.vae_scale_factor.bit_length()]
    network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels)
    network.set_attn_processor(Attention())
    return convert(network, unet.device, torch.float32).requires_grad_(True)


def convert(network: ControlNetModel, device: torch.device, dtype: torch.dtype) -> ControlNetModel:
    """Moves it. Not by diffusers' own `to`, which warns of a list of layers that is empty here."""
    nn.Module.to(network, device, dtype)
    return network


def save(network: ControlNetModel, folder: Path) -> dict[str, str]:
    """Writes it as diffusers does; returns file name → kind."""
    (folder / FOLDER).mkdir(exist_ok=True)
    config = {name: value for name, value in network.config.items() if not name.startswith("_")}
    write_json({"_class_name": type(network).__name__, **config}, folder / CONFIG)
    write_safetensors(network.state_dict(), folder / WEIGHTS)
    return {CONFIG: "controlnet-config", WEIGHTS: "controlnet"}


@torch.no_grad()
def load(network: ControlNetModel, weights: Path, config: Path) -> None:
    """Takes over the weights in a file, in whatever type they are. Raises BolidError if one of the files is missing,
    cannot be read, or is of another network."""
    _refuse_other_config(network, config)
    stored, own = read_safetensors(weights), network.state_dict()
    refuse_other_tensors(stored, own, weights)
    for name, value in own.items():
        value.copy_(stored[name])


def _refuse_other_config(network: ControlNetModel, path: Path) -> None:
    """What tensors do not show, but changes the result."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config.get("_class_name")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BolidError(f"{path}: cannot be read as a ControlNet's configuration ({error})") from error
    if kind != type(network).__name__:
        raise BolidError(f"{path}: is not the configuration of a ControlNetModel")
    for name in (
        "attention_head_dim",
        "num_attention_heads",
        "down_block_types",
        "controlnet_conditioning_channel_order",
    ):
        own = network.config.get(name)
        if name in config and config[name] is not None and _plain(config[name]) != _plain(own):
            raise BolidError(f"{path} does not fit this base: {name} is {config[name]}, not {own}")


def _plain(value: object) -> object:
    """Tuples are lists in JSON."""
    return list(value) if isinstance(value, tuple | list) else value


def body_images(keypoints: Tensor, width: int, height: int, min_confidence: float) -> tuple[Tensor, Tensor]:
    """What IdentityNet is shown of bodies, (B, 3, H, W) in 0..1, and which rows show one, bool (B,).

    keypoints: (B, 17, 3): x, y as fractions of the image, confidence.
    """
    images = draw_pose(keypoints, width, height, min_confidence)
    return images, (keypoints[..., 2] >= min_confidence).any(dim=1)


def face_images(keypoints: Tensor, width: int, height: int, min_confidence: float) -> tuple[Tensor, Tensor]:
    """The same of faces, whose five points are derived from eyes and nose."""
    scaled = keypoints.cpu() * torch.tensor([width, height, 1])
    images = torch.zeros(len(keypoints), height, width, 3)
    shown = torch.zeros(len(keypoints), dtype=torch.bool)
    for row, points in enumerate(scaled.numpy()):
        if (face := five_points(points, min_confidence)) is not None:
            images[row], shown[row] = torch.from_numpy(draw_face(face, width, height)) / 255, True
    return images.permute(0, 3, 1, 2).to(keypoints), shown.to(keypoints.device)
