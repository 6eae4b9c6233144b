"""Identity embeddings: a transformers image encoder, given by name, on the person's crop (a network trained on faces or
bodies, or a general one: DINOv2, CLIP, SigLIP)."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel
from transformers.utils import logging

from bolid_data import model_files, weights
from bolid_data.curate.measurers.measurer import PAD_VALUE, Photo, describe_model
from bolid_data.curate.runtime import GPU_BATCH
from bolid_data.errors import BolidError, UsageError
from bolid_data.records import Model

Box = Sequence[float]
FindBoxes = Callable[[Sequence[str]], Mapping[str, Box]]
"""Maps sha256s of photos to the box (x0, y0, x1, y1 in pixels) of each photo's person; photos without a person are left
out. Implemented by `PersonBoxes` in `curate/run.py`."""


class IdentityMeasurer:
    """Records a unit vector of the person on each photo; photos without a person get no row. `name` is a local folder
    (relative to `relative_to`) or a hub repository in transformers' layout, of which only safetensors are read."""

    def __init__(self, name: str, relative_to: Path, device: str, pose: Model, boxes: FindBoxes) -> None:
        folder = weights.folder(name, relative_to)
        model_weights = weights.Weights(name, folder, weights.folder_sha256(folder), "the model's own")
        runtime = f"torch {version('torch')} transformers {version('transformers')} float32"
        self.model = describe_model(model_weights, crop="square", pose=pose.id, runtime=runtime)
        self._boxes = boxes
        self._encoder = _Encoder(name, folder, torch.device(device))

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        boxes = self._boxes([photo.sha256 for photo in photos]) if photos else {}
        with_person = [photo for photo in photos if photo.sha256 in boxes]
        vectors = self._encoder.embed([crop(photo.image, boxes[photo.sha256]) for photo in with_person])
        return {
            "embeddings": [
                {"sha256": photo.sha256, "vector": [round(value, 4) for value in vector.tolist()]}
                for photo, vector in zip(with_person, vectors, strict=True)
            ]
        }


def crop(image: Image.Image, box: Box) -> Image.Image:
    """The box padded with grey to a square: encoders crop to a square, which would cut off head and feet."""
    x0, y0 = (int(value) for value in box[:2])
    x1, y1 = (max(int(np.ceil(value)), low + 1) for value, low in zip(box[2:], (x0, y0), strict=True))
    side = max(x1 - x0, y1 - y0)
    square = Image.new("RGB", (side, side), (PAD_VALUE, PAD_VALUE, PAD_VALUE))
    square.paste(image.crop((x0, y0, x1, y1)), ((side - x1 + x0) // 2, (side - y1 + y0) // 2))
    return square


class _Encoder:
    def __init__(self, name: str, folder: Path, device: torch.device) -> None:
        # Loading is silent: missing weights are checked below.
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            self._processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
            network, loaded = AutoModel.from_pretrained(
                folder,
                variant=model_files.variant(folder),
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise BolidError(f"{name}: no image encoder can be loaded from {folder}: {error}") from error
        if not hasattr(network, "get_image_features") and network.main_input_name != "pixel_values":
            raise UsageError(
                f"{name}: not an image encoder (it takes {network.main_input_name}); name one such as DINOv2"
            )
        # A pooler that the file lacks would have random weights: other embeddings in every run.
        missing = sorted(key for key in loaded["missing_keys"] if "pooler" not in key)
        if missing:
            raise BolidError(f"{name}: {folder} lacks weights of the network ({', '.join(missing[:3])} …)")
        self._pooler = not loaded["missing_keys"]
        self._network: Any = network.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def embed(self, crops: Sequence[Image.Image]) -> list[Tensor]:
        """Unit vectors (d,), one per image; a vector does not depend on the other images."""
        # One by one: a processor treats images of several sizes differently.
        pixels = [self._processor(images=image, return_tensors="pt")["pixel_values"] for image in crops]
        size = 1 if self._device.type == "cpu" else GPU_BATCH  # always full
        vectors: list[Tensor] = []
        for start in range(0, len(pixels), size):
            part = pixels[start : start + size]
            batch = torch.cat(part + part[:1] * (size - len(part))).to(self._device)
            vectors += torch.nn.functional.normalize(self._pool(batch).flatten(1), dim=1)[: len(part)].cpu()
        return vectors

    def _pool(self, pixels: Tensor) -> Tensor:
        """The network's embedding of an image: projected (CLIP), pooled, or the class token."""
        if hasattr(self._network, "get_image_features"):
            features = self._network.get_image_features(pixel_values=pixels)
            return features if isinstance(features, Tensor) else features.pooler_output
        output = self._network(pixel_values=pixels)
        pooled = getattr(output, "pooler_output", None) if self._pooler else None
        return output.last_hidden_state[:, 0] if pooled is None else pooled
