"""IP-Adapter (Ye et al. 2023)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.methods.branched import BranchedMethod
from bolid_train.methods.ip_adapter.settings import Settings
from bolid_train.methods.spec import Shapes


class IpAdapter(BranchedMethod):
    """Method `ip-adapter`: the CLIP embedding of one reference photo; for several photos, the batch has their mean."""

    def __init__(self, settings: Train, shapes: Shapes) -> None:
        super().__init__(settings, {"ref": shapes["image_embeds"][0]}, Settings.of(settings))

    def embeddings(self, batch: Batch) -> tuple[Sequence[Tensor], Any]:
        return [batch.features["image_embeds"]], None
