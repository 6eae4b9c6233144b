"""Method `ip-adapter-views`: one branch, on weighted views."""

from bolid_train.data.features.views import ViewEmbedding
from bolid_train.methods.ip_adapter_views.method import IpAdapterViews
from bolid_train.methods.ip_adapter_views.settings import Settings
from bolid_train.methods.spec import MethodSpec

SPEC = MethodSpec(
    "ip-adapter-views",
    IpAdapterViews,
    settings=Settings,
    features=(ViewEmbedding,),
    conditions=("text", "body"),
    scales=("body",),
)
