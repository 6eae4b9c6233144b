"""Method `instantid`: one branch on an identity embedding, and IdentityNet on it and a pose."""

from pathlib import Path

from bolid_data.manifest import Train
from bolid_train.data.features.face import FaceEmbedding
from bolid_train.data.features.feature import Feature
from bolid_train.data.features.reference import ReferenceEmbedding
from bolid_train.methods.instantid.method import InstantId
from bolid_train.methods.instantid.settings import Settings
from bolid_train.methods.spec import MethodSpec


def _identity(train: Train, relative_to: Path) -> Feature:
    encoder = Settings.of(train).face_encoder
    return FaceEmbedding(train, encoder, relative_to) if encoder else ReferenceEmbedding(train, relative_to)


SPEC = MethodSpec(
    "instantid",
    InstantId,
    settings=Settings,
    features=(_identity,),
    conditions=("text", "body", "pose"),
    scales=("body", "pose"),
    default_scales={"body": 0.8, "pose": 0.8},
    kept_by_guidance=frozenset({"pose"}),
)
