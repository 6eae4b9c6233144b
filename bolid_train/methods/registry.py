"""Methods by name."""

from collections.abc import Callable

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.methods.bolid.method import Bolid
from bolid_train.methods.ip_adapter import IpAdapter, IpAdapterViews
from bolid_train.methods.lora import Lora
from bolid_train.methods.protocol import Method
from bolid_train.methods.text import TextOnly

METHODS: dict[str, Callable[[Train, int], Method]] = {
    "text": TextOnly,
    "ip-adapter": IpAdapter,
    "ip-adapter-views": IpAdapterViews,
    "bolid": Bolid,
    "lora": Lora,
}
"""Name → constructor of the method, from the settings and the width of the CLIP image embedding."""


def resolve(name: str) -> Callable[[Train, int], Method]:
    """The constructor of a method. Raises UsageError, listing the known methods, for an unknown name."""
    if name not in METHODS:
        raise UsageError(f"[train] method '{name}' is not known; known methods are {', '.join(sorted(METHODS))}")
    return METHODS[name]
