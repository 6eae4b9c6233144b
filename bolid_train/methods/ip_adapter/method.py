"""IP-Adapter (Ye et al. 2023), with its variants Plus, Plus Face, Full Face, FaceID and FaceID Plus."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import normalize

from bolid_data.errors import BolidError
from bolid_data.manifest import Train
from bolid_data.progress import note
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.methods.branched import BranchedMethod
from bolid_train.methods.ip_adapter.face_id import FaceIdBranch
from bolid_train.methods.ip_adapter.face_id_plus import FaceIdPlusBranch, embedding_rows, joined
from bolid_train.methods.ip_adapter.settings import Layout, Settings
from bolid_train.methods.layers.branches import Branches
from bolid_train.methods.layers.projections import (
    EmbeddingProjection,
    FacePlusProjection,
    FaceProjection,
    FullProjection,
    projection_like,
)
from bolid_train.methods.layers.public import read_ip_adapter
from bolid_train.methods.layers.resampler import PerceiverSize, Resampler
from bolid_train.methods.spec import Shapes

_QUERIES = 16
_LAYOUTS: dict[type[nn.Module], Layout] = {
    EmbeddingProjection: "plain",
    Resampler: "plus",
    FullProjection: "full-face",
    FaceProjection: "face-id",
    FacePlusProjection: "face-id-plus",
}
_FEATURES = {"plain": "image_embeds", "face-id": "face_embeds"}


class IpAdapter(BranchedMethod):
    """Method `ip-adapter`: what CLIP gives of one reference photo, or a recognition network of the face on it; for
    several photos, the batch has their mean."""

    def __init__(self, settings: Train, shapes: Shapes) -> None:
        self.method_settings = Settings.of(settings)
        self._layout = self.method_settings.layout
        self._feature = _FEATURES.get(self._layout, "image_states")
        self._face = shapes["face_embeds"][0] if self.method_settings.face_encoder else 0
        super().__init__(settings, {"ref": shapes[self._feature][-1]}, self.method_settings)

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        self._base = base
        self.branches = self._branches(unet)
        if not self._zero_tokens:
            self._stand_in()

    def _branches(self, unet: UNet2DConditionModel) -> Branches:
        """With the sizes of the published files."""
        features, text = self.widths["ref"], unet.config.cross_attention_dim
        if self._layout == "face-id-plus":
            return FaceIdPlusBranch(unet, self._face, features, self._zero_tokens)
        if self._layout == "face-id":
            return FaceIdBranch(unet, FaceProjection(features, text), features, self._zero_tokens)
        projections: dict[str, nn.Module] = {}
        if self._layout == "full-face":
            projections["ref"] = FullProjection(features, text)
        elif self._layout == "plus":
            projections["ref"] = Resampler(PerceiverSize.usual(features, text), _QUERIES)
        return Branches(unet, self.widths, self._zero_tokens, projections)

    def load_public(self, path: Path) -> None:
        try:
            super().load_public(path)
        except BolidError as error:
            if (layout := _layout_of(path)) in (None, self._layout):
                raise
            raise BolidError(f'{error}; it is of another layout: set [train.ip-adapter] layout = "{layout}"') from error
        if self._face:
            note(f"{path}: the published FaceID files are for non-commercial use only")
        self._stand_in()

    def embeddings(self, batch: Batch) -> tuple[Sequence[Tensor], Any]:
        of_photo = batch.features[self._feature]
        if not self._face:
            return [of_photo], None
        faces = normalize(batch.features["face_embeds"].float(), dim=-1)  # as published
        return [joined(faces, of_photo) if self._layout == "face-id-plus" else faces], None

    def _stand_in(self) -> None:
        """Layouts that read hidden states get those of a grey image without a photo, as published."""
        if self._feature != "image_states":
            return
        states = _states_of_nothing(self._base)
        if self._face:
            width = states.shape[1]
            states = torch.cat([states.new_zeros(embedding_rows(self._face, width), width), states])
        self.branches.stand_in("ref", states)


def _layout_of(path: Path) -> Layout | None:
    """The layout of a published file; None for a file of none."""
    prefix = "image_proj."
    try:
        tensors = read_ip_adapter(path)
        projection = projection_like(
            {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}, path
        )
    except BolidError:
        return None
    return _LAYOUTS[type(projection)]


@torch.no_grad()
def _states_of_nothing(base: Base) -> Tensor:
    """Hidden states (S, D) of an image that is zero after normalisation, which is grey: what the published adapters
    were given without a photo."""
    encoder = base.image_encoder_model()
    side = encoder.config.image_size
    states: Tensor = encoder(torch.zeros(1, 3, side, side), output_hidden_states=True).hidden_states[-2][0]
    return states
