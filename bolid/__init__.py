"""The names that a notebook needs of BoLID; each is imported when it is first used.

import bolid

manifest = bolid.load_manifest("manifests/demo.toml")
dataset = bolid.Dataset("data/demo")
shards = bolid.ShardDataset(dataset.root / "shards")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bolid_data.collect.run import scrape
    from bolid_data.curate.captions.run import caption_photos
    from bolid_data.curate.run import filter_photos
    from bolid_data.dataset import Dataset
    from bolid_data.errors import BolidError, UsageError
    from bolid_data.images import read_upright
    from bolid_data.manifest import Manifest
    from bolid_data.shards.write import shard
    from bolid_train.data.shard_dataset import Sample, ShardDataset
    from bolid_train.evaluate.run import evaluate
    from bolid_train.inference.generate import Request, generate
    from bolid_train.settings import load as load_manifest
    from bolid_train.training.trainer import train

__all__ = [
    "BolidError", "Dataset", "Manifest", "Request", "Sample", "ShardDataset", "UsageError", "caption_photos",
    "evaluate", "filter_photos", "generate", "load_manifest", "read_upright", "scrape", "shard", "train",
]  # fmt: skip

_MODULES = {
    "bolid_data.collect.run": ["scrape"],
    "bolid_data.curate.captions.run": ["caption_photos"],
    "bolid_data.curate.run": ["filter_photos"],
    "bolid_data.dataset": ["Dataset"],
    "bolid_data.errors": ["BolidError", "UsageError"],
    "bolid_data.images": ["read_upright"],
    "bolid_data.manifest": ["Manifest"],
    "bolid_data.shards.write": ["shard"],
    "bolid_train.data.shard_dataset": ["Sample", "ShardDataset"],
    "bolid_train.evaluate.run": ["evaluate"],
    "bolid_train.inference.generate": ["Request", "generate"],
    "bolid_train.settings": ["load"],
    "bolid_train.training.trainer": ["train"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    original = "load" if name == "load_manifest" else name
    if name not in __all__:
        raise AttributeError(f"module 'bolid' has no attribute '{name}'")
    return getattr(import_module(_HOME[original]), original)


def __dir__() -> list[str]:
    return __all__
