"""Captions by BLIP-2 (Li et al., Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large
Language Models, 2023), through transformers."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, Blip2ForConditionalGeneration

from bolid_data import weights
from bolid_data.curate.measure import Keypoints, Photo, describe_model
from bolid_data.errors import BolidError, UsageError

MAX_NEW_TOKENS = 40


class Blip2Captioner:
    """A BLIP-2 model of a folder in transformers' layout; only safetensors are read."""

    def __init__(self, name: str, folder: Path, prompt: str = "", device: str = "cpu", batch: int = 8) -> None:
        config = folder / "config.json"
        kind = json.loads(config.read_text()).get("model_type") if config.is_file() else None
        if kind != "blip-2":
            raise UsageError(
                f"{name}: not a BLIP-2 model (the model type in {config} is {kind}); "
                "name one such as Salesforce/blip2-opt-2.7b, or use 'describe'"
            )
        found = weights.Weights(name, folder, weights.folder_sha256(folder), "the model's own")
        self.model = describe_model(found, max_new_tokens=MAX_NEW_TOKENS)
        self.prompt = prompt
        self._batch = batch
        self._device = torch.device(device)
        dtype = torch.float32 if self._device.type == "cpu" else torch.float16
        try:
            self._processor = AutoProcessor.from_pretrained(folder)
            network: Any = Blip2ForConditionalGeneration.from_pretrained(folder, use_safetensors=True, dtype=dtype)
        except (OSError, ValueError) as error:
            raise BolidError(f"{name}: the model in {folder} cannot be loaded: {error}") from error
        self._network = network.to(self._device).eval()

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """One line a photo, in greedy decoding: the same photo always gets the same caption. Keypoints are not used."""
        parts = [photos[start : start + self._batch] for start in range(0, len(photos), self._batch)]
        return [caption for part in parts for caption in self._caption_batch(part)]

    @torch.inference_mode()
    def _caption_batch(self, photos: Sequence[Photo]) -> list[str]:
        images, prompts = [photo.image for photo in photos], [self.prompt] * len(photos)
        inputs = self._processor(images=images, text=prompts, return_tensors="pt")
        inputs = inputs.to(self._device, self._network.dtype)
        tokens = self._network.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        said = tokens[:, inputs["input_ids"].shape[1] :]  # without the prompt it continues
        return [tidy(text) for text in self._processor.batch_decode(said, skip_special_tokens=True)]


def tidy(text: str) -> str:
    """One line, without the words and phrases that a language model repeats at the end of its thoughts."""
    line = " ".join(text.split())
    return re.sub(r"\b(\w+(?:[ ,]+\w+){0,3}?)(?:[ ,]+\1\b)+", r"\1", line, flags=re.IGNORECASE)
