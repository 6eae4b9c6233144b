"""The embedding of the face on a photo, by a recognition network."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import openvino
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_data import weights
from bolid_data.errors import BolidError
from bolid_data.manifest import Train
from bolid_data.progress import note
from bolid_train.data.crops import Keypoints
from bolid_train.data.faces import SIDE, aligned_face, five_points
from bolid_train.data.features.feature import Feature, FeatureSettings, Photo, Role, Tensors
from bolid_train.data.features.reference import ReferenceStates
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.precision import FULL, Precision

_LICENCES = {
    "a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60": "AuraFace's glintr100, Apache-2.0",
}
"""Known recognition networks by sha256."""
_SIDE_FOR_CLIP = 2 * SIDE
"""Side in pixels of the aligned face that CLIP is given, as published."""


class FaceEmbedding(Feature):
    """`face_embeds` (D,) of the reference photo: not normalised, as the network gives it. Zeros if the photo shows no
    face: an eye or the nose is not visible, or its keypoints are unknown."""

    name: ClassVar[str] = "face-embedding"
    role: ClassVar[Role] = "reference"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"face_embeds": torch.float32}

    class Settings(FeatureSettings):
        min_keypoint_confidence: float

    def __init__(self, train: Train, encoder: str, relative_to: Path = Path()) -> None:
        """`encoder`: an ONNX file, or `owner/repository/file` on the hub."""
        super().__init__(train, relative_to)
        self._encoder = encoder

    @cached_property
    def _file(self) -> Path:
        return weights.single_file(self._encoder, self.relative_to, "face encoder", "an ONNX file")

    @cached_property
    def _network(self) -> Any:
        """Raises BolidError for a file that is not a network from faces to embeddings."""
        try:
            network = openvino.Core().read_model(self._file)
            network.reshape([1, 3, SIDE, SIDE])
            shape = tuple(network.output(0).shape)
        except RuntimeError as error:
            text = " ".join(str(error).split())[:200]
            raise BolidError(f"{self._file}: cannot be read as a face recognition network ({text})") from error
        if len(shape) != 2 or shape[0] != 1:
            raise BolidError(f"{self._file}: gives {list(shape)} for a face, not one embedding")
        return network

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        [name] = self.dtypes
        return {name: (self._network.output(0).shape[1],)}

    def models(self, base: Base) -> Sequence[Path]:
        return []

    def key(self, base: Base, precision: Precision = FULL) -> str:
        return f"{super().key(base, precision)}-{weights.file_sha256(self._file)[:16]}"

    def finds_face(self, keypoints: Keypoints) -> bool:
        """Whether it gives more than zeros of a photo with these keypoints (17, 3), in pixels."""
        return five_points(keypoints, self.settings.min_keypoint_confidence) is not None

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        licence = _LICENCES.get(
            weights.file_sha256(self._file),
            "licence unknown; those of InsightFace are for non-commercial research only",
        )
        note(f"face encoder {self._file.name}: {licence}")
        compiled = openvino.Core().compile_model(self._network, "CPU")
        width, [name] = self._network.output(0).shape[1], self.dtypes

        def embed(photo: Photo) -> Tensor:
            points = five_points(photo.keypoints, self.settings.min_keypoint_confidence)
            if points is None:
                return torch.zeros(width)
            face = np.asarray(aligned_face(photo.image, points), dtype=np.float32)
            pixels = ((face - 127.5) / 127.5).transpose(2, 0, 1)[None]
            return torch.from_numpy(np.array(compiled(np.ascontiguousarray(pixels))[0][0], dtype=np.float32))

        return lambda photos: [{name: embed(photo)} for photo in photos]


class ViewFaceEmbedding(FaceEmbedding):
    """`view_face_embeds` (D,): the same of each view."""

    name: ClassVar[str] = "view-face-embedding"
    role: ClassVar[Role] = "view"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"view_face_embeds": torch.float32}


class FaceStates(ReferenceStates):
    """`image_states` (S, D) of the face, aligned as for a recognition network. Zeros if the photo shows no face."""

    name: ClassVar[str] = "face-states"

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        encode, threshold = super().encoder(pipe), self.settings.min_keypoint_confidence

        def encode_faces(photos: Sequence[Photo]) -> list[Tensors]:
            shown = [five_points(photo.keypoints, threshold) is not None for photo in photos]
            return [
                {name: value * shows for name, value in tensors.items()}
                for tensors, shows in zip(encode(photos), shown, strict=True)
            ]

        return encode_faces

    def cropped(self, photos: Sequence[Photo]) -> list[Image.Image]:
        """The faces; the whole photo where there is none."""
        return [self._aligned(photo) for photo in photos]

    def _aligned(self, photo: Photo) -> Image.Image:
        points = five_points(photo.keypoints, self.settings.min_keypoint_confidence)
        return photo.image if points is None else aligned_face(photo.image, points, _SIDE_FOR_CLIP)
