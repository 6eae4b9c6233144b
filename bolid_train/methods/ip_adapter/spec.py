"""Method `ip-adapter`: one branch, on the reference photo."""

from bolid_train.data.features.reference import ReferenceEmbedding
from bolid_train.methods.ip_adapter.method import IpAdapter
from bolid_train.methods.ip_adapter.settings import Settings
from bolid_train.methods.spec import MethodSpec

SPEC = MethodSpec(
    "ip-adapter",
    IpAdapter,
    settings=Settings,
    features=(ReferenceEmbedding,),
    conditions=("text", "ref"),
    scales=("ref",),
)
