"""IP-Adapter (Ye et al. 2023), with its variants Plus, Plus Face and Full Face."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_data.manifest import Train
from bolid_data.progress import note
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.methods.branched import BranchedMethod
from bolid_train.methods.ip_adapter.face_id import FaceIdBranch
from bolid_train.methods.ip_adapter.settings import Settings
from bolid_train.methods.layers.branches import Branches
from bolid_train.methods.layers.projections import FullProjection
from bolid_train.methods.layers.resampler import PerceiverSize, Resampler
from bolid_train.methods.spec import Shapes

_QUERIES = 16
_FEATURES = {"plain": "image_embeds", "face-id": "face_embeds"}


class IpAdapter(BranchedMethod):
    """Method `ip-adapter`: what CLIP gives of one reference photo; for several photos, the batch has their mean."""

    def __init__(self, settings: Train, shapes: Shapes) -> None:
        self.method_settings = Settings.of(settings)
        self._feature = _FEATURES.get(self.method_settings.layout, "image_states")
        super().__init__(settings, {"ref": shapes[self._feature][-1]}, self.method_settings)

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        if self.method_settings.layout == "plain":
            return super().install(unet, base)
        if self.method_settings.layout == "face-id":
            self.branches = FaceIdBranch(unet, self.widths["ref"], self._zero_tokens)
            return None
        self._base = base
        projection = self._projection(unet.config.cross_attention_dim)
        self.branches = Branches(unet, self.widths, self._zero_tokens, {"ref": projection})
        if not self._zero_tokens:
            self.branches.stand_in("ref", _states_of_nothing(base))
        return None

    def _projection(self, text: int) -> nn.Module:
        """A projection to tokens `text` wide, with the sizes of the published ones."""
        features = self.widths["ref"]
        if self.method_settings.layout == "full-face":
            return FullProjection(features, text)
        return Resampler(PerceiverSize.usual(features, text), _QUERIES)

    def load_public(self, path: Path) -> None:
        super().load_public(path)
        if self.method_settings.layout == "face-id":
            note(f"{path}: the published FaceID files are for non-commercial use only")
        elif self.method_settings.layout != "plain":
            self.branches.stand_in("ref", _states_of_nothing(self._base))

    def embeddings(self, batch: Batch) -> tuple[Sequence[Tensor], Any]:
        return [batch.features[self._feature]], None


@torch.no_grad()
def _states_of_nothing(base: Base) -> Tensor:
    """Hidden states (S, D) of an image that is zero after normalisation, which is grey: what the published adapters
    were given without a photo."""
    encoder = base.image_encoder_model()
    side = encoder.config.image_size
    states: Tensor = encoder(torch.zeros(1, 3, side, side), output_hidden_states=True).hidden_states[-2][0]
    return states
