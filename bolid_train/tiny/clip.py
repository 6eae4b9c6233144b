"""The small world's two CLIPs: `clip-0` conditions and is trained against, `clip-1` only evaluates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer, CLIPVisionModelWithProjection

from bolid_data.errors import BolidError
from bolid_train.tiny.tokenizer import build_tokenizer

WEIGHTS = Path(__file__).parent / "weights"
NAMES = ("clip-0", "clip-1")
_SIDE, _PATCH = 64, 8  # pixels
_SHARED = 128  # width of the space of images and texts


@dataclass(frozen=True)
class Clip:
    """A CLIP with what prepares its inputs. D is the width of the space that images and texts share."""

    model: CLIPModel
    tokenizer: CLIPTokenizer
    image_processor: CLIPImageProcessor

    def embed_images(self, images: Tensor) -> Tensor:
        """Square images (B, 3, H, H) in -1..1, as a VAE decodes them, to unit vectors (B, D); carries gradients."""
        features = self.model.get_image_features(pixel_values=self.pixel_values(images))
        return normalize(features.pooler_output, dim=1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (B, D); what is longer than 77 tokens is cut off."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return normalize(self.model.get_text_features(**tokens.to(self.model.device)).pooler_output, dim=1)

    def pixel_values(self, images: Tensor) -> Tensor:
        """What the image processor makes of such images, in one differentiable step."""
        side = self.model.config.vision_config.image_size
        if images.shape[-1] != side:
            images = interpolate(images, size=(side, side), mode="bicubic", antialias=True)
        processor = self.image_processor
        mean, std = (images.new_tensor(values)[:, None, None] for values in (processor.image_mean, processor.image_std))
        return (images / 2 + 0.5 - mean) / std


def build_clip(width: int, image_layers: int, text_layers: int) -> Clip:
    """A CLIP (Radford et al. 2021) for photos of 64×64 px in patches of 8×8, with random weights."""
    tokenizer = build_tokenizer()
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
    vision = common | {"num_hidden_layers": image_layers, "image_size": _SIDE, "patch_size": _PATCH}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=_SHARED))
    model.set_attn_implementation("eager")  # on CPU the fused attention's backward pass is slow
    return Clip(model, tokenizer, CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=_SIDE))


def load_clip(name: str) -> Clip:
    """One of `NAMES`: frozen, in evaluation mode, in full precision. Raises BolidError where its files are missing."""
    folder = _folder(name)
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    return Clip(
        model.eval().requires_grad_(False),
        CLIPTokenizer.from_pretrained(folder),
        CLIPImageProcessor.from_pretrained(folder),
    )


def save_image_encoder(folder: Path, name: str = "clip-0") -> None:
    """Writes a CLIP's vision tower, in full precision, and its image processor: the `image_encoder` of a pipeline."""
    clip = load_clip(name)
    encoder = CLIPVisionModelWithProjection(clip.model.config.vision_config)
    state = clip.model.state_dict()
    encoder.load_state_dict({key: state[key] for key in encoder.state_dict()})
    encoder.save_pretrained(folder)
    clip.image_processor.save_pretrained(folder)


def _folder(name: str) -> Path:
    folder = WEIGHTS / name
    if not (folder / "model.safetensors").is_file():
        raise BolidError(
            f"the weights of the small world's '{name}' are missing at {folder}; install bolid again, or train them: "
            f"`python -m bolid_train.tiny.training.clip {name} --work FOLDER`"
        )
    return folder
