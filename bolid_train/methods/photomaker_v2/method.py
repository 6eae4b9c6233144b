"""PhotoMaker, version 2 (TencentARC 2024)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bolid_data.manifest import Train
from bolid_train.methods.photomaker.method import PhotoMaker, chosen_views
from bolid_train.methods.photomaker_v2.id_encoder import FaceIdEncoder
from bolid_train.methods.photomaker_v2.settings import Settings
from bolid_train.methods.spec import Shapes


class PhotoMakerV2(PhotoMaker):
    """Method `photomaker-v2`: as version 1, but each photo gives two tokens, of an identity embedding and of CLIP."""

    encoder: FaceIdEncoder

    def __init__(self, settings: Train, shapes: Shapes) -> None:
        super().__init__(settings, Settings.of(settings))
        self._identity = "view_embeds"
        self._width = shapes[self._identity][0]

    def build_encoder(self, clip: Any, widths: tuple[int, int]) -> FaceIdEncoder:
        return FaceIdEncoder.for_faces(clip, widths, self._width)

    def encode(self, features: Mapping[str, Tensor], order: Tensor) -> Tensor:
        pixels, embeds = (
            chosen_views(features[name], order).flatten(0, 1) for name in ("id_pixels", self._identity)
        )
        return self.encoder(pixels, embeds)
