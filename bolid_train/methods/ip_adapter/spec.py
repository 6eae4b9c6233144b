"""Method `ip-adapter`: one branch, on the reference photo."""

from collections.abc import Callable
from pathlib import Path

from bolid_data.manifest import Train
from bolid_train.data.features.face import FaceEmbedding, FaceStates
from bolid_train.data.features.feature import Feature
from bolid_train.data.features.reference import ReferenceEmbedding, ReferenceStates
from bolid_train.methods.ip_adapter.method import IpAdapter
from bolid_train.methods.ip_adapter.settings import Settings
from bolid_train.methods.spec import MethodSpec

_BY_CLIP: dict[str, Callable[[Train, Path], Feature]] = {
    "plain": ReferenceEmbedding,
    "plus": ReferenceStates,
    "full-face": ReferenceStates,
    "face-id-plus": FaceStates,
}
"""What each layout reads of CLIP."""


def _by_clip(train: Train, relative_to: Path) -> Feature | None:
    make = _BY_CLIP.get(Settings.of(train).layout)
    return make(train, relative_to) if make else None


def _face(train: Train, relative_to: Path) -> Feature | None:
    encoder = Settings.of(train).face_encoder
    return FaceEmbedding(train, encoder, relative_to) if encoder else None


SPEC = MethodSpec(
    "ip-adapter",
    IpAdapter,
    settings=Settings,
    features=(_by_clip, _face),
    conditions=("text", "ref"),
    scales=("ref",),
)
