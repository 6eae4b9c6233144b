"""Methods by name: every package of `bolid_train.methods` with a module `spec` is one."""

from functools import cache
from importlib import import_module
from pathlib import Path

from bolid_data.errors import UsageError
from bolid_train.methods.spec import MethodSpec
from bolid_train.settings import package_of


@cache
def names() -> list[str]:
    """The names of all methods, sorted."""
    return sorted(file.parent.name.replace("_", "-") for file in Path(__file__).parent.glob("*/spec.py"))


def resolve(name: str) -> MethodSpec:
    """The spec of a method. Raises UsageError, listing the known methods, for an unknown name."""
    if name not in names():
        raise UsageError(f"[train] method '{name}' is not known; known methods are {', '.join(names())}")
    spec: MethodSpec = import_module(f"bolid_train.methods.{package_of(name)}.spec").SPEC
    return spec


def specs() -> list[MethodSpec]:
    """The specs of all methods."""
    return [resolve(name) for name in names()]
