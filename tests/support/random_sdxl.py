"""SDXL with random weights, as a diffusers folder: of the published size, or of full depth but narrow.

The narrow one has every layer of the published one (70 transformer blocks), so it takes as many operators and names its
weights alike, and is small enough for a CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from transformers.utils import logging

from bolid_data.weights import embedded_path
from small_world.sdxl import build_scheduler
from tests.support.sdxl import SDXL

_TOKENS = 4  # of a published IP-Adapter without "plus"
_LIGHTNING_RANK = 64
_LIGHTNING_LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]


@dataclass(frozen=True)
class Size:
    """The configurations of SDXL's networks, where they differ from the libraries' defaults."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    text_encoder: dict[str, Any]
    text_encoder_2: dict[str, Any]
    image_encoder: dict[str, Any]
    train: dict[str, Any] = field(default_factory=dict)
    """Keys of `[train]` that fit it, where they differ from those for SDXL."""


PUBLISHED = Size(
    unet=SDXL,
    vae={"block_out_channels": (128, 256, 512, 512), "sample_size": 1024},
    text_encoder={"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
                  "projection_dim": 768},
    text_encoder_2={"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
                    "num_attention_heads": 20, "projection_dim": 1280, "hidden_act": "gelu"},
    image_encoder={"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
                   "patch_size": 14, "image_size": 224, "projection_dim": 1024, "hidden_act": "gelu"},
)  # fmt: skip
"""SDXL, with the ViT-H that IP-Adapter uses."""

_SMALL_TEXT = {"vocab_size": 4096, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
NARROW = Size(
    unet=SDXL | {"sample_size": 8, "block_out_channels": (32, 32, 64), "attention_head_dim": (1, 1, 2),
                 "cross_attention_dim": 80, "addition_time_embed_dim": 32,
                 "projection_class_embeddings_input_dim": 48 + 6 * 32},
    vae={"block_out_channels": (16, 16, 32, 32), "norm_num_groups": 8, "sample_size": 64},
    text_encoder=_SMALL_TEXT | {"hidden_size": 32, "projection_dim": 32},
    text_encoder_2=_SMALL_TEXT | {"hidden_size": 48, "projection_dim": 48},
    image_encoder={"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
                   "patch_size": 8, "image_size": 64, "projection_dim": 64},
    train={"resolution": 64, "view_resolution": 64, "bolid": {"body_dim": 32}},
)  # fmt: skip
"""As deep as SDXL, for images of 64×64 pixels."""


@torch.no_grad()
def write_sdxl(
    folder: Path, size: Size, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> None:
    """Writes the pipeline with its image encoder to `folder`. The weights are always the same on one kind of device."""
    tokenizer = CLIPTokenizer.from_pretrained(embedded_path("small-sdxl") / "tokenizer")
    side = size.image_encoder["image_size"]
    with _defaults(device, dtype):
        networks = {
            "vae": build_vae(size),
            "text_encoder": CLIPTextModel(_text(size.text_encoder, tokenizer)),
            "text_encoder_2": CLIPTextModelWithProjection(_text(size.text_encoder_2, tokenizer)),
            "unet": build_unet(size),
            "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**size.image_encoder)),
        }
    pipe = StableDiffusionXLPipeline(
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=build_scheduler(),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side),
        add_watermarker=False,
        **networks,
    )
    logging.disable_progress_bar()
    pipe.save_pretrained(folder, max_shard_size="20GB")


def build_unet(size: Size) -> UNet2DConditionModel:
    """The UNet, on torch's default device."""
    return UNet2DConditionModel(**size.unet)


def build_vae(size: Size) -> AutoencoderKL:
    """SDXL's VAE: 8 pixels to a latent pixel."""
    stages = len(size.vae["block_out_channels"])
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * stages,
        up_block_types=("UpDecoderBlock2D",) * stages,
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=0.13025,
        force_upcast=True,
        **size.vae,
    )


def write_ip_adapter(path: Path, size: Size, scale: float = 0.05) -> dict[str, tuple[int, ...]]:
    """Writes random weights in the layout of `ip-adapter_sdxl_vit-h.safetensors`; returns their shapes by name.

    Cross-attention layers are numbered 1, 3, 5 … through the down blocks, the up blocks and the middle block.
    """
    with torch.device("meta"):
        unet = build_unet(size)
    widths = {name: value.shape for name, value in unet.named_parameters() if name.endswith("attn2.to_k.weight")}
    ordered = sorted(widths, key=lambda name: ["down_blocks", "up_blocks", "mid_block"].index(name.split(".")[0]))
    text, image = unet.config.cross_attention_dim, size.image_encoder["projection_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "image_proj.proj.weight": (_TOKENS * text, image),
        "image_proj.proj.bias": (_TOKENS * text,),
        "image_proj.norm.weight": (text,),
        "image_proj.norm.bias": (text,),
    }
    for number, name in enumerate(ordered):
        shapes |= {f"ip_adapter.{2 * number + 1}.to_{kind}_ip.weight": tuple(widths[name]) for kind in "kv"}
    _write_random(path, shapes, scale)
    return shapes


def write_lightning(path: Path, size: Size, scale: float = 1e-3) -> None:
    """Writes random LoRA weights of the rank and for the transformer layers of SDXL-Lightning's."""
    with torch.device("meta"):
        unet = build_unet(size)
        unet.add_adapter(LoraConfig(r=_LIGHTNING_RANK, lora_alpha=_LIGHTNING_RANK, target_modules=_LIGHTNING_LAYERS))
    layers: dict[str, Tensor] = get_peft_model_state_dict(unet)
    _write_random(path, {f"unet.{name}": tuple(layer.shape) for name, layer in layers.items()}, scale)


def _write_random(path: Path, shapes: dict[str, tuple[int, ...]], scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    tensors = {name: scale * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file({name: tensor.half() for name, tensor in tensors.items()}, path)


def _text(config: dict[str, Any], tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return CLIPTextConfig(**ids, **config)


@contextmanager
def _defaults(device: torch.device | str, dtype: torch.dtype) -> Iterator[None]:
    """Networks are built on this device, in this type, from a seed of their own."""
    cuda = [torch.cuda.current_device()] if torch.device(device).type == "cuda" else []
    usual = torch.get_default_dtype()
    with torch.random.fork_rng(devices=cuda), torch.device(device):
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(usual)
