"""Who is on a photo, as a vector: an image encoder of transformers' on the person's crop, by name (a network trained on
faces or bodies, or one that sees likeness of any kind: DINOv2, CLIP, SigLIP)."""

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

from bolid_data import weights
from bolid_data.curate.measurers.measurer import GREY, Photo, describe_model
from bolid_data.curate.runtime import GPU_BATCH
from bolid_data.errors import BolidError, UsageError
from bolid_data.records import Model

Box = Sequence[float]
FindBoxes = Callable[[Sequence[str]], Mapping[str, Box]]
"""From photos' sha256 to the box (x0, y0, x1, y1 in pixels) of each one's person; those without a person are left out.
`Catalog.person_boxes` is one."""


class IdentityMeasurer:
    """Writes a unit vector of the person on each photo; photos without a person get no row. `name` is a local folder
    or a hub repository in transformers' layout, of which only safetensors are read."""

    def __init__(self, name: str, near: Path, device: str, pose: Model, boxes: FindBoxes) -> None:
        folder = weights.folder(name, near)
        found = weights.Weights(name, folder, weights.folder_sha256(folder), "the model's own")
        runtime = f"torch {version('torch')} transformers {version('transformers')} float32"
        self.model = describe_model(found, crop="square", pose=pose.id, runtime=runtime)
        self._boxes = boxes
        self._encoder = _Encoder(name, folder, torch.device(device))

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        boxes = self._boxes([photo.sha256 for photo in photos]) if photos else {}
        seen = [photo for photo in photos if photo.sha256 in boxes]
        vectors = self._encoder.embed([crop(photo.image, boxes[photo.sha256]) for photo in seen])
        return {
            "embeddings": [
                {"sha256": photo.sha256, "vector": [round(value, 4) for value in vector.tolist()]}
                for photo, vector in zip(seen, vectors, strict=True)
            ]
        }


def crop(image: Image.Image, box: Box) -> Image.Image:
    """The box as a square with grey beside it: encoders cut a square from the middle, and with it head and feet."""
    x0, y0 = (int(value) for value in box[:2])
    x1, y1 = (max(int(np.ceil(value)), low + 1) for value, low in zip(box[2:], (x0, y0), strict=True))
    side = max(x1 - x0, y1 - y0)
    square = Image.new("RGB", (side, side), (GREY, GREY, GREY))
    square.paste(image.crop((x0, y0, x1, y1)), ((side - x1 + x0) // 2, (side - y1 + y0) // 2))
    return square


class _Encoder:
    def __init__(self, name: str, folder: Path, device: torch.device) -> None:
        # Loading has no news: what a file lacks is looked at below.
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            self._processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
            network, loaded = AutoModel.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise BolidError(f"{name}: no image encoder can be loaded from {folder}: {error}") from error
        if not hasattr(network, "get_image_features") and network.main_input_name != "pixel_values":
            raise UsageError(
                f"{name}: not an image encoder (it takes {network.main_input_name}); name one such as DINOv2"
            )
        # A pooler that the file lacks would be random weights, another embedding in every run.
        missing = sorted(key for key in loaded["missing_keys"] if "pooler" not in key)
        if missing:
            raise BolidError(f"{name}: {folder} lacks weights of the network ({', '.join(missing[:3])} …)")
        self._pooler = not loaded["missing_keys"]
        self._network: Any = network.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def embed(self, crops: Sequence[Image.Image]) -> list[Tensor]:
        """Each image's unit vector (d,). What is seen on one does not depend on the others."""
        # One by one: given images of several sizes, a processor treats them otherwise.
        pixels = [self._processor(images=image, return_tensors="pt")["pixel_values"] for image in crops]
        size = 1 if self._device.type == "cpu" else GPU_BATCH  # always full
        vectors: list[Tensor] = []
        for start in range(0, len(pixels), size):
            part = pixels[start : start + size]
            batch = torch.cat(part + part[:1] * (size - len(part))).to(self._device)
            vectors += torch.nn.functional.normalize(self._pool(batch).flatten(1), dim=1)[: len(part)].cpu()
        return vectors

    def _pool(self, pixels: Tensor) -> Tensor:
        """The network's own embedding of an image: projected as CLIP's, pooled, or the class token."""
        if hasattr(self._network, "get_image_features"):
            found = self._network.get_image_features(pixel_values=pixels)
            return found if isinstance(found, Tensor) else found.pooler_output
        output = self._network(pixel_values=pixels)
        pooled = getattr(output, "pooler_output", None) if self._pooler else None
        return output.last_hidden_state[:, 0] if pooled is None else pooled
