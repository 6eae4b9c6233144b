"""Captions by any image-text-to-text model of transformers: BLIP-2 (Li et al., Bootstrapping Language-Image
Pre-training with Frozen Image Encoders and Large Language Models, 2023) and similar models continue a prompt; chat
models, such as Qwen2.5-VL, follow an instruction."""

import json
from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils import logging

from bolid_data import model_files
from bolid_data.curate.captions.captioner import CaptionError, no_instructions, tidy
from bolid_data.curate.measurers.measurer import Keypoints, Photo, describe_model
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import CaptionSettings
from bolid_data.weights import Weights

INSTRUCTION = "Describe this photo of a person in one sentence."
"""The instruction to a chat model if the manifest has no prompt."""

LONGEST_SIDE, SIDE_MULTIPLE = 896, 56
"""Chat models read photos of any size, at a cost per pixel. Photos are resized to LONGEST_SIDE, and the shorter side to
a multiple of SIDE_MULTIPLE, so that many photos have the same size and fit into one batch."""

Inputs = dict[str, torch.Tensor]


class VisionLanguageCaptioner:
    """A model of a folder in transformers' layout; only safetensors are read, and no code beside them is run."""

    def __init__(self, weights: Weights, settings: CaptionSettings, device: str = "cpu") -> None:
        """Raises UsageError for a model of another kind, BolidError for one that cannot be loaded."""
        _check_kind(weights)
        self._device = torch.device(device)
        dtype = _dtype(settings.dtype, self._device)
        self._processor, self._network = _load(weights, dtype)
        self._network = self._network.to(self._device).eval()
        self._is_chat_model = bool(getattr(self._processor, "chat_template", None))
        self._settings = settings
        self.prompt = self._text = settings.prompt or (INSTRUCTION if self._is_chat_model else "")
        size = {"longest": LONGEST_SIDE, "step": SIDE_MULTIPLE} if self._is_chat_model else {}
        generation: dict[str, Any] = {
            "max_new_tokens": settings.max_new_tokens,
            "dtype": str(dtype).removeprefix("torch."),
        }
        self._weights, self._configuration = weights, generation | size
        self.model = describe_model(weights, **self._configuration)

    def instructed(self, name: str, instruction: str) -> "VisionLanguageCaptioner":
        """The same network with another text. Raises UsageError for a model that continues a prompt."""
        if not self._is_chat_model:
            raise no_instructions(self.model.name, name)
        captioner = copy(self)
        captioner.prompt, captioner._text = name, instruction
        captioner.model = describe_model(self._weights, **self._configuration, instruction=instruction)
        return captioner

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """One line per photo, by greedy decoding; keypoints are not used.

        Only photos whose inputs have the same shape share a batch, and batches are always full, so that a caption does
        not depend on the other photos. Raises CaptionError if the model fails on these photos.
        """
        inputs = [self._prepare(photo.image) for photo in photos]
        by_shape: dict[tuple[Any, ...], list[int]] = {}
        for index, tensors in enumerate(inputs):
            by_shape.setdefault(tuple((name, tensor.shape) for name, tensor in tensors.items()), []).append(index)
        captions = [""] * len(photos)
        size = self._settings.batch_size
        for indices in by_shape.values():
            for start in range(0, len(indices), size):
                part = indices[start : start + size]
                texts = self._generate([inputs[index] for index in part])
                for index, text in zip(part, texts, strict=True):
                    captions[index] = tidy(text)
        return captions

    def _prepare(self, image: Image.Image) -> Inputs:
        """The model's inputs for one photo, each with a batch axis."""
        try:
            if not self._is_chat_model:
                return dict(self._processor(images=[image], text=[self._text], return_tensors="pt"))
            content = [{"type": "image", "image": resize(image)}, {"type": "text", "text": self._text}]
            conversation = [{"role": "user", "content": content}]
            inputs = self._processor.apply_chat_template(
                conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
            return dict(inputs)
        except (RuntimeError, ValueError) as error:
            raise CaptionError(f"{self.model.name} does not accept the prompt '{self._text}': {error}") from error

    @torch.inference_mode()
    def _generate(self, inputs: list[Inputs]) -> list[str]:
        """The text for each photo; copies of the last photo fill the batch."""
        full = inputs + inputs[-1:] * (self._settings.batch_size - len(inputs))
        limit = self._settings.max_new_tokens
        try:
            batch = {name: self._cast(torch.cat([tensors[name] for tensors in full])) for name in full[0]}
            tokens = self._network.generate(**batch, max_new_tokens=limit, do_sample=False, num_beams=1)
        except torch.OutOfMemoryError as error:
            raise CaptionError(
                f"{self.model.name}: not enough memory for {len(full)} photos at once; lower caption.batch_size"
            ) from error
        except (RuntimeError, ValueError, IndexError) as error:
            raise CaptionError(f"{self.model.name}: {error}") from error
        generated = _without_prompt(tokens, batch["input_ids"])[: len(inputs)]
        return list(self._processor.batch_decode(generated, skip_special_tokens=True))

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, self._network.dtype if tensor.is_floating_point() else tensor.dtype)


def _check_kind(weights: Weights) -> None:
    config = weights.path / "config.json"
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise UsageError(f"{weights.name}: {config} is not the configuration of a transformers model") from None
    if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise UsageError(
            f"{weights.name}: not a model that captions photos (the model type in {config} is {kind}); name one such "
            "as Salesforce/blip2-opt-2.7b or Qwen/Qwen2.5-VL-3B-Instruct"
        )


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16


def _load(weights: Weights, dtype: torch.dtype) -> tuple[Any, Any]:
    logging.disable_progress_bar()
    try:
        processor = AutoProcessor.from_pretrained(weights.path, trust_remote_code=False)
        network, info = AutoModelForImageTextToText.from_pretrained(
            weights.path,
            variant=model_files.variant(weights.path),
            use_safetensors=True,
            trust_remote_code=False,
            dtype=dtype,
            output_loading_info=True,
        )
    except Exception as error:  # transformers can raise anything on invalid files
        raise BolidError(f"{weights.name}: the model in {weights.path} cannot be loaded: {error}") from error
    if not hasattr(processor, "image_processor"):
        raise BolidError(f"{weights.name}: {weights.path} has no processor for photos (preprocessor_config.json)")
    if info["missing_keys"]:
        raise BolidError(
            f"{weights.name}: {len(info['missing_keys'])} of the model's weights are missing from {weights.path}, "
            f"{min(info['missing_keys'])} among them; copy or download it again"
        )
    return processor, network


def resize(image: Image.Image) -> Image.Image:
    """The photo with LONGEST_SIDE pixels on its longest side and a multiple of SIDE_MULTIPLE on the other."""
    scale = LONGEST_SIDE / max(image.size)
    width, height = (max(SIDE_MULTIPLE, round(side * scale / SIDE_MULTIPLE) * SIDE_MULTIPLE) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _without_prompt(tokens: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """Tokens (b, s) without the prompt (b, p), which decoders repeat and encoder-decoders do not."""
    length = prompt.shape[1]
    return tokens[:, length:] if torch.equal(tokens[:, :length], prompt) else tokens
