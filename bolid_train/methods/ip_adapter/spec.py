"""Method `ip-adapter`: one branch, on the reference photo."""

from bolid_data.manifest import Train
from bolid_train.data.features.feature import Feature
from bolid_train.data.features.reference import ReferenceEmbedding, ReferenceStates
from bolid_train.methods.ip_adapter.method import IpAdapter
from bolid_train.methods.ip_adapter.settings import Settings
from bolid_train.methods.spec import MethodSpec


def _reference(train: Train) -> Feature:
    return ReferenceEmbedding(train) if Settings.of(train).layout == "plain" else ReferenceStates(train)


SPEC = MethodSpec(
    "ip-adapter",
    IpAdapter,
    settings=Settings,
    features=(_reference,),
    conditions=("text", "ref"),
    scales=("ref",),
)
