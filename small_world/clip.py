"""Builds the small world's CLIPs, and a pipeline's image encoder out of one."""

from copy import deepcopy
from pathlib import Path

from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPVisionModelWithProjection

from bolid_data.weights import embedded_path
from bolid_train.diffusion.clip import Clip, load_clip
from small_world.tokenizer import build_tokenizer
from small_world.worlds import FLAT, World

CLIPS = ("clip-0", "clip-1")
"""Each world's, as `World.model` takes them."""

PATCHES = 8
"""Along each side of a photo."""

_SHARED = 128  # width of the space of images and texts


def build_clip(width: int, image_layers: int, text_layers: int, world: World = FLAT) -> Clip:
    """A CLIP (Radford et al. 2021) for a world's photos and words, with random weights."""
    tokenizer, side = build_tokenizer(world.vocabulary), world.size.side
    common = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": 4,
        "projection_dim": _SHARED,
    }
    text = common | {
        "num_hidden_layers": text_layers,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = common | {"num_hidden_layers": image_layers, "image_size": side, "patch_size": side // PATCHES}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=_SHARED))
    model.set_attn_implementation("eager")  # on CPU the fused attention's backward pass is slow
    return Clip(model, tokenizer, CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side))


def load_trained(name: str) -> Clip:
    """A CLIP as it lies here, pinned or trained just now."""
    return load_clip(str(embedded_path(name)))


def save_image_encoder(folder: Path, name: str = "clip-0") -> None:
    """Writes a CLIP's vision tower, in full precision, and its image processor: the `image_encoder` of a pipeline."""
    clip = load_trained(name)
    image_encoder_of(clip).save_pretrained(folder)
    clip.image_processor.save_pretrained(folder)


def image_encoder_of(clip: Clip) -> CLIPVisionModelWithProjection:
    """A copy of its vision tower."""
    encoder = CLIPVisionModelWithProjection(deepcopy(clip.model.config.vision_config))
    state = clip.model.state_dict()
    encoder.load_state_dict({key: state[key] for key in encoder.state_dict()})
    return encoder
