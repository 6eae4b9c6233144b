"""Slug collisions: people whose names give one slug (张伟 and 章薇 are both `zhangwei`) are never merged silently."""

from collections.abc import Mapping

from bolid_data.errors import UsageError
from bolid_data.names import same_name
from bolid_data.progress import note

_MAX_SHOWN = 5


class Slugs:
    """Names by slug, first from the catalog, then from a source."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._merged: dict[str, tuple[str, str]] = {}
        self._clashes: list[tuple[str, str, str]] = []

    def claim(self, person: str, name: str) -> bool:
        """Claims a slug for a name; False where it belongs to another person."""
        first = self._names.setdefault(person, name)
        if first == name:
            return True
        # A name that is the slug itself means that person, whatever the script of the other name.
        if same_name(first, name) or person in (first, name):
            self._merged.setdefault(person, (first, name))
            return True
        self._clashes.append((person, first, name))
        return False

    def check(self, where: str, source: str) -> None:
        """Notes which spellings were merged into one person. Raises UsageError where several people share a slug."""
        if self._clashes:
            pairs = "; ".join(
                f"'{one}' and '{other}' are both '{slug}'" for slug, one, other in self._clashes[:_MAX_SHOWN]
            )
            others = f", and {len(self._clashes) - _MAX_SHOWN} more" if len(self._clashes) > _MAX_SHOWN else ""
            raise UsageError(f"{where}: {pairs}{others} once normalised; give one of them another name in {source}")
        for person, (one, other) in self._merged.items():
            note(f"scrape: '{one}' and '{other}' are treated as one person, '{person}'")
