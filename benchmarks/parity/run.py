"""Runs fixtures against our modules."""

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.parity.fixture import Fixture
from bolid_data.errors import BolidError

FIXTURES = Path(__file__).parents[2] / "tests" / "data" / "parity"

Compute = Callable[[Fixture], Mapping[str, Tensor]]
"""The outputs of a fixture by name, of its weights and inputs."""


@dataclass(frozen=True)
class Outcome:
    """The comparison of one fixture."""

    name: str  # system/file
    differences: Mapping[str, float] = field(default_factory=dict)  # by output
    excess: frozenset[str] = frozenset()  # outputs that differ by more than they may
    skipped: str = ""  # why, if it was not compared
    error: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.error or self.excess)

    def line(self) -> str:
        """For people, such as `ok       1.2e-06  instantid/image_projection`."""
        if self.skipped:
            return f"skipped           {self.name}: {self.skipped}"
        if self.error:
            return f"failed            {self.name}: {self.error}"
        status = "differs" if self.excess else "ok"
        where = f": {', '.join(sorted(self.excess))}" if self.excess else ""
        return f"{status:<9}{max(self.differences.values()):<9.1e}{self.name}{where}"


def run(folder: Path) -> Iterator[Outcome]:
    """The outcomes of the fixtures in `folder`, which is a system's, or has a folder for each system."""
    own = sorted(folder.glob("*.safetensors"))
    systems = [folder.resolve()] if own else sorted(path for path in folder.glob("*/") if path.is_dir())
    for system in systems:
        for path in sorted(system.glob("*.safetensors")):
            yield _compare(system.name, path)


def cases(system: str) -> Mapping[str, Compute] | None:
    """The cases of a system; None if it has no module here."""
    name = f"{__package__}.{system}"
    if not system.isidentifier() or importlib.util.find_spec(name) is None:
        return None
    found: Mapping[str, Compute] | None = getattr(importlib.import_module(name), "CASES", None)
    return found


def _compare(system: str, path: Path) -> Outcome:
    name = f"{system}/{path.stem}"
    known = cases(system)
    if known is None:
        return Outcome(name, skipped="this system is not built")
    try:
        fixture = Fixture.read(path)
        compute = _case(known, fixture.case) or _case(known, path.stem)
        if compute is None:
            return Outcome(name, error=f"no such case as '{fixture.case}'")
        if not fixture.outputs:
            return Outcome(name, error="it has no outputs")
        with torch.no_grad():
            differences = fixture.differences(compute(fixture))
    except (BolidError, KeyError, ValueError, RuntimeError) as error:
        return Outcome(name, error=f"{type(error).__name__}: {error}")
    excess = {output for output, value in differences.items() if value > fixture.tolerance(output)}
    return Outcome(name, differences, frozenset(excess))


def _case(known: Mapping[str, Compute], case: str) -> Compute | None:
    """The case of this name, or the longest one that the name continues."""
    fitting = [name for name in known if case == name or case.startswith(f"{name}_")]
    return known[max(fitting, key=len)] if fitting else None
