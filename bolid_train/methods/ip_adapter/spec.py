"""Method `ip-adapter`: one branch, on the reference photo."""

from bolid_data.manifest import Train
from bolid_train.data.features.face import FaceEmbedding
from bolid_train.data.features.feature import Feature
from bolid_train.data.features.reference import ReferenceEmbedding, ReferenceStates
from bolid_train.methods.ip_adapter.method import IpAdapter
from bolid_train.methods.ip_adapter.settings import Settings
from bolid_train.methods.spec import MethodSpec


def _reference(train: Train) -> Feature:
    settings = Settings.of(train)
    if settings.face_encoder:
        return FaceEmbedding(train, settings.face_encoder)
    return ReferenceEmbedding(train) if settings.layout == "plain" else ReferenceStates(train)


SPEC = MethodSpec(
    "ip-adapter",
    IpAdapter,
    settings=Settings,
    features=(_reference,),
    conditions=("text", "ref"),
    scales=("ref",),
)
