"""Published checkpoints of random weights, in the layouts that the authors' code writes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]


def resampler_shapes(
    features: int, width: int, queries: int, depth: int, text: int, inner: int
) -> dict[str, tuple[int, ...]]:
    """Of `image_proj` in IP-Adapter Plus and InstantID; `inner`: heads times 64."""
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, queries, width),
        "proj_in.weight": (width, features), "proj_in.bias": (width,),
        "proj_out.weight": (text, width), "proj_out.bias": (text,),
        "norm_out.weight": (text,), "norm_out.bias": (text,),
    }  # fmt: skip
    for layer in range(depth):
        shapes |= {
            f"layers.{layer}.0.{norm}.{kind}": (width,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")
        } | {
            f"layers.{layer}.0.to_q.weight": (inner, width),
            f"layers.{layer}.0.to_kv.weight": (2 * inner, width),
            f"layers.{layer}.0.to_out.weight": (width, inner),
            f"layers.{layer}.1.0.weight": (width,),
            f"layers.{layer}.1.0.bias": (width,),
            f"layers.{layer}.1.1.weight": (4 * width, width),
            f"layers.{layer}.1.3.weight": (width, 4 * width),
        }
    return shapes


def full_face_shapes(features: int, text: int) -> dict[str, tuple[int, ...]]:
    """Of `image_proj` in IP-Adapter Full Face."""
    return {
        "proj.0.weight": (features, features), "proj.0.bias": (features,),
        "proj.2.weight": (text, features), "proj.2.bias": (text,),
        "proj.3.weight": (text,), "proj.3.bias": (text,),
    }  # fmt: skip


def face_shapes(features: int, hidden: int, text: int) -> dict[str, tuple[int, ...]]:
    """Of `image_proj` in FaceID."""
    return {
        "proj.0.weight": (hidden, features), "proj.0.bias": (hidden,),
        "proj.2.weight": (4 * text, hidden), "proj.2.bias": (4 * text,),
        "norm.weight": (text,), "norm.bias": (text,),
    }  # fmt: skip


def face_plus_shapes(features: int, hidden: int, clip: int, text: int, inner: int) -> dict[str, tuple[int, ...]]:
    """Of `image_proj` in FaceID Plus; `clip`: the width of CLIP's states; `inner`: heads times 64."""
    perceiver = resampler_shapes(clip, text, 0, 4, text, inner)
    return face_shapes(features, hidden, text) | {
        f"perceiver_resampler.{name}": shape for name, shape in perceiver.items() if name != "latents"
    }


def branch_shapes(unet: UNet2DConditionModel) -> dict[str, tuple[int, ...]]:
    """Of `ip_adapter`: the layers of cross-attention, by their numbers."""
    text = unet.config.cross_attention_dim
    return {
        f"{number}.to_{kind}_ip.weight": (unet.get_submodule(name).to_q.out_features, text)
        for number, name in enumerate(_attentions(unet))
        if name.endswith("attn2")
        for kind in "kv"
    }


def low_rank_shapes(unet: UNet2DConditionModel, rank: int) -> dict[str, tuple[int, ...]]:
    """Of FaceID's low-rank layers in `ip_adapter`, on self- and cross-attention."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, name in enumerate(_attentions(unet)):
        attention = unet.get_submodule(name)
        width = attention.to_q.out_features
        for part, wide in {
            "q": width,
            "k": attention.to_k.in_features,
            "v": attention.to_v.in_features,
            "out": width,
        }.items():
            shapes[f"{number}.to_{part}_lora.down.weight"] = (rank, wide)
            shapes[f"{number}.to_{part}_lora.up.weight"] = (width, rank)
    return shapes


def _attentions(unet: UNet2DConditionModel) -> list[str]:
    """All attention layers in the order in which they are numbered: down, up, mid."""
    names = [name for name, _ in unet.named_modules() if name.endswith(("attn1", "attn2"))]
    return sorted(names, key=lambda name: ["down_blocks", "up_blocks", "mid_block"].index(name.split(".")[0]))


def drawn(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Random weights, small enough that images stay finite."""
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write(parts: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """A `.bin` of dictionaries, or a `.safetensors` with flat names."""
    if path.suffix == ".bin":
        torch.save({part: dict(tensors) for part, tensors in parts.items()}, path)
        return
    save_file({f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}, path)


def write_instantid(folder: Path, unet: UNet2DConditionModel, features: int, channels: tuple[int, ...]) -> Path:
    """`ip-adapter.bin`, and `ControlNetModel` as diffusers writes it. Sizes are none that BoLID would choose."""
    shapes = resampler_shapes(features, 32, 6, 2, unet.config.cross_attention_dim, 128)
    parts = {"image_proj": drawn(shapes), "ip_adapter": drawn(branch_shapes(unet), 1)}
    write(parts, folder / "ip-adapter.bin")
    network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in network.parameters():
            value += 0.05 * torch.randn(value.shape, generator=generator)
    network.half().save_pretrained(folder / "ControlNetModel")
    return folder / "ip-adapter.bin"


def photomaker_shapes(clip: Mapping[str, int], widths: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Of `id_encoder` in PhotoMaker's version 1: a CLIP vision model of the sizes `clip`, two projections, and the fuse
    module."""
    hidden, mlp, patch, tokens = clip["hidden"], clip["mlp"], clip["patch"], clip["tokens"]
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.class_embedding": (hidden,),
        "vision_model.embeddings.patch_embedding.weight": (hidden, 3, patch, patch),
        "vision_model.embeddings.position_embedding.weight": (tokens, hidden),
        "visual_projection.weight": (widths[0], hidden),
        "visual_projection_2.weight": (widths[1], hidden),
    }
    norms = ["vision_model.pre_layrnorm", "vision_model.post_layernorm"]
    for layer in range(clip["layers"]):
        block = f"vision_model.encoder.layers.{layer}"
        norms += [f"{block}.layer_norm1", f"{block}.layer_norm2"]
        linear = {f"self_attn.{name}_proj": (hidden, hidden) for name in ("q", "k", "v", "out")}
        for name, shape in (linear | {"mlp.fc1": (mlp, hidden), "mlp.fc2": (hidden, mlp)}).items():
            shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
    width = sum(widths)
    fuse = {"mlp1.layernorm": (2 * width,), "mlp2.layernorm": (width,), "layer_norm": (width,)} | {
        "mlp1.fc1": (width, 2 * width), "mlp1.fc2": (width, width),
        "mlp2.fc1": (width, width), "mlp2.fc2": (width, width),
    }  # fmt: skip
    for name, shape in fuse.items():
        shapes |= {f"fuse_module.{name}.weight": shape, f"fuse_module.{name}.bias": shape[:1]}
    return shapes


def photomaker_lora_shapes(unet: UNet2DConditionModel, rank: int) -> dict[str, tuple[int, ...]]:
    """Of `lora_weights`: low-rank layers on all attention, by the names of their modules."""
    numbered = {f"{number}.": f"unet.{name}.processor." for number, name in enumerate(_attentions(unet))}
    shapes = {}
    for key, shape in low_rank_shapes(unet, rank).items():
        number, _, rest = key.partition(".")
        shapes[numbered[f"{number}."] + rest] = shape
    return shapes


def face_perceiver_shapes(features: int, width: int, face: int, inner: int) -> dict[str, tuple[int, ...]]:
    """Of `id_encoder` in PhotoMaker's version 2, what version 1 lacks: two tokens `width` wide from a face embedding,
    and a perceiver on CLIP's tokens, which are `features` wide. `inner`: heads times their width."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_proj.0.weight": (4 * face, face), "token_proj.0.bias": (4 * face,),
        "token_proj.2.weight": (2 * width, 4 * face), "token_proj.2.bias": (2 * width,),
        "token_norm.weight": (width,), "token_norm.bias": (width,),
    }  # fmt: skip
    perceiver = resampler_shapes(features, width, 0, 4, width, inner)
    shapes |= {f"perceiver_resampler.{name}": shape for name, shape in perceiver.items() if name != "latents"}
    return {f"qformer_perceiver.{name}": shape for name, shape in shapes.items()}


def write_photomaker(
    path: Path,
    unet: UNet2DConditionModel,
    clip: Mapping[str, int],
    widths: tuple[int, int],
    rank: int,
    face: int | None = None,
) -> Path:
    """`photomaker-v1.bin` or, with the width of a face embedding, `photomaker-v2.bin`, or the same as safetensors."""
    shapes, width = photomaker_shapes(clip, widths), sum(widths)
    if face:
        shapes |= face_perceiver_shapes(clip["hidden"], width, face, width)
    write({"id_encoder": drawn(shapes), "lora_weights": drawn(photomaker_lora_shapes(unet, rank), 1)}, path)
    return path
