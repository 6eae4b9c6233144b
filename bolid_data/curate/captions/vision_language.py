"""Captions by any image-text-to-text model that transformers reads: BLIP-2 (Li et al., Bootstrapping Language-Image
Pre-training with Frozen Image Encoders and Large Language Models, 2023) and its like continue a prompt; chat models,
such as Qwen2.5-VL, are told what to do."""

import json
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils import logging

from bolid_data.curate.captions.captioner import CaptionError, tidy
from bolid_data.curate.measurers.measurer import Keypoints, Photo, describe_model
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Caption
from bolid_data.weights import Weights

INSTRUCTION = "Describe this photo of a person in one sentence."
"""What a chat model is told where the manifest has no prompt."""

LONGEST, STEP = 896, 56
"""Chat models read a photo of any size, at a price per pixel: theirs are brought to so many pixels on the longest side,
and the other one to a multiple, so that many photos have the same size and fit into one batch."""

Inputs = dict[str, torch.Tensor]


class VisionLanguageCaptioner:
    """A model of a folder in transformers' layout; only safetensors are read, and no code that lies beside them."""

    def __init__(self, found: Weights, settings: Caption, device: str = "cpu") -> None:
        """Raises UsageError for a model of another kind, BolidError for one that cannot be loaded."""
        _check_kind(found)
        self._device = torch.device(device)
        dtype = _dtype(settings.dtype, self._device)
        self._processor, self._network = _load(found, dtype)
        self._network = self._network.to(self._device).eval()
        self._chats = bool(getattr(self._processor, "chat_template", None))
        self._settings = settings
        self.prompt = settings.prompt or (INSTRUCTION if self._chats else "")
        size = {"longest": LONGEST, "step": STEP} if self._chats else {}
        words = {"max_new_tokens": settings.max_new_tokens, "dtype": str(dtype).removeprefix("torch.")}
        self.model = describe_model(found, **words, **size)

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """One line a photo, in greedy decoding; keypoints are not used.

        Only photos whose inputs have the same shape share a batch, and batches are always full: a caption does not
        depend on its neighbours. Raises CaptionError where the model fails on these photos.
        """
        inputs = [self._prepare(photo.image) for photo in photos]
        alike: dict[tuple[Any, ...], list[int]] = {}
        for index, one in enumerate(inputs):
            alike.setdefault(tuple((name, tensor.shape) for name, tensor in one.items()), []).append(index)
        captions = [""] * len(photos)
        size = self._settings.batch_size
        for rows in alike.values():
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                texts = self._generate([inputs[row] for row in part])
                for row, text in zip(part, texts, strict=True):
                    captions[row] = tidy(text)
        return captions

    def _prepare(self, image: Image.Image) -> Inputs:
        """The inputs of one photo, each with a first axis to be batched along."""
        try:
            if not self._chats:
                return dict(self._processor(images=[image], text=[self.prompt], return_tensors="pt"))
            content = [{"type": "image", "image": to_step(image)}, {"type": "text", "text": self.prompt}]
            conversation = [{"role": "user", "content": content}]
            asked = self._processor.apply_chat_template(
                conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
            return dict(asked)
        except (RuntimeError, ValueError) as error:
            raise CaptionError(f"{self.model.name} cannot be asked with the prompt '{self.prompt}': {error}") from error

    @torch.inference_mode()
    def _generate(self, inputs: list[Inputs]) -> list[str]:
        """The words about each photo; the last photo stands in for those that a full batch lacks."""
        full = inputs + inputs[-1:] * (self._settings.batch_size - len(inputs))
        limit = self._settings.max_new_tokens
        try:
            batch = {name: self._cast(torch.cat([one[name] for one in full])) for name in full[0]}
            tokens = self._network.generate(**batch, max_new_tokens=limit, do_sample=False, num_beams=1)
        except torch.OutOfMemoryError as error:
            raise CaptionError(
                f"{self.model.name}: not enough memory for {len(full)} photos at once; lower caption.batch_size"
            ) from error
        except (RuntimeError, ValueError, IndexError) as error:
            raise CaptionError(f"{self.model.name}: {error}") from error
        said = _without_prompt(tokens, batch["input_ids"])[: len(inputs)]
        return list(self._processor.batch_decode(said, skip_special_tokens=True))

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, self._network.dtype if tensor.is_floating_point() else tensor.dtype)


def _check_kind(found: Weights) -> None:
    config = found.path / "config.json"
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise UsageError(f"{found.name}: {config} is not the description of a model of transformers") from None
    if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise UsageError(
            f"{found.name}: not a model that captions photos (the model type in {config} is {kind}); name one such as "
            "Salesforce/blip2-opt-2.7b or Qwen/Qwen2.5-VL-3B-Instruct"
        )


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16


def _load(found: Weights, dtype: torch.dtype) -> tuple[Any, Any]:
    logging.disable_progress_bar()
    try:
        processor = AutoProcessor.from_pretrained(found.path, trust_remote_code=False)
        network, info = AutoModelForImageTextToText.from_pretrained(
            found.path, use_safetensors=True, trust_remote_code=False, dtype=dtype, output_loading_info=True
        )
    except Exception as error:  # whatever a file's content leads to: transformers does not sum it up
        raise BolidError(f"{found.name}: the model in {found.path} cannot be loaded: {error}") from error
    if not hasattr(processor, "image_processor"):
        raise BolidError(f"{found.name}: {found.path} has no processor for photos (preprocessor_config.json)")
    if info["missing_keys"]:
        raise BolidError(
            f"{found.name}: {len(info['missing_keys'])} of the model's weights are not in {found.path}, "
            f"{min(info['missing_keys'])} among them; copy or download it again"
        )
    return processor, network


def to_step(image: Image.Image) -> Image.Image:
    """The photo at LONGEST pixels on its longest side, and a multiple of STEP on the other."""
    share = LONGEST / max(image.size)
    width, height = (max(STEP, round(side * share / STEP) * STEP) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _without_prompt(tokens: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """Tokens (b, s) without the prompt (b, p), which decoders repeat and encoder-decoders do not."""
    length = prompt.shape[1]
    return tokens[:, length:] if torch.equal(tokens[:, :length], prompt) else tokens
