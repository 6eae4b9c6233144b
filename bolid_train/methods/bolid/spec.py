"""Method `bolid`: two branches, on the reference photo and on the body."""

from bolid_train.data.features.reference import ReferenceEmbedding
from bolid_train.data.features.views import ViewEmbedding, ViewLatents
from bolid_train.methods.bolid.method import Bolid
from bolid_train.methods.bolid.settings import Settings
from bolid_train.methods.spec import MethodSpec

SPEC = MethodSpec(
    "bolid",
    Bolid,
    settings=Settings,
    features=(ReferenceEmbedding, ViewEmbedding, ViewLatents),
    conditions=("text", "ref", "body"),
    scales=("ref", "body"),
    generates_without_photos=True,
)
