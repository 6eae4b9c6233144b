"""Undo and redo. A decision is undone by the log of decisions, as `bolid undo` does; captions have no log, so those
that this page changed are remembered here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bolid_data.catalog.decisions import ASSIGN, KEEP
from bolid_data.curate import decide
from bolid_data.curate.captions.by_hand import set_captions
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest

Entries = list[dict[str, Any]]
"""Entries of the log of decisions."""
Changed = Entries | dict[str, str]
"""What a step changed: decisions, or captions by hand by sha256."""

_DEEP = 1000  # steps


@dataclass(frozen=True)
class Captioned:
    before: Mapping[str, str]  # captions by hand by sha256; "" for none
    after: Mapping[str, str]


@dataclass(frozen=True)
class Decided:
    entries: Sequence[dict[str, Any]] = ()  # once they were undone


@dataclass(frozen=True)
class Cleared:
    """Everything that was decided on some photos was taken back."""

    entries: Sequence[dict[str, Any]]


Step = Captioned | Decided | Cleared


class History:
    def __init__(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def record(self, step: Step) -> None:
        """A new step, after which nothing can be redone."""
        self._done = [*self._done[1 - _DEEP :], step]
        self._undone.clear()

    def undo(self, manifest: Manifest, dataset: Dataset) -> Changed:
        """Undoes the last step of this page or, where there is none, the last command that decided."""
        step = self._done[-1] if self._done else Decided()
        if isinstance(step, Captioned):
            changed: Changed = set_captions(manifest, dataset, step.before)
        elif isinstance(step, Cleared):
            changed = _decide_again(dataset, step.entries)
        else:
            changed, _ = decide.undo(dataset)
            step = Decided(changed)
        self._done = self._done[:-1]
        self._undone.append(step)
        return changed

    def redo(self, manifest: Manifest, dataset: Dataset) -> Changed:
        """Does again what was undone last. Raises UsageError where nothing was."""
        if not self._undone:
            raise UsageError("there is nothing to redo")
        step = self._undone[-1]
        if isinstance(step, Captioned):
            changed: Changed = set_captions(manifest, dataset, step.after)
        elif isinstance(step, Cleared):
            changed, _ = decide.undo(dataset, list(dict.fromkeys(entry["sha256"] for entry in step.entries)))
        else:
            changed = _decide_again(dataset, step.entries)
        self._undone.pop()
        self._done.append(step)
        return changed


def _decide_again(dataset: Dataset, entries: Sequence[dict[str, Any]]) -> Entries:
    for (what, person, why), group in groupby(entries, _what):
        photos = list(dict.fromkeys(entry["sha256"] for entry in group))
        if what == ASSIGN:
            decide.assign(dataset, photos, person, why)
        elif what == KEEP:
            decide.keep(dataset, photos, why)
        else:
            decide.reject(dataset, photos, why)
    return list(entries)


def _what(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["what"], entry["person"] if entry["what"] == ASSIGN else "", entry["why"] or ""
