"""Two people whose names give one slug (张伟 and 章薇 are both `zhangwei`) are never taken for one silently."""

from collections.abc import Mapping

from bolid_data.errors import UsageError
from bolid_data.names import same_name
from bolid_data.progress import note

_SHOWN = 5


class Slugs:
    """Names by slug, as they come: from the catalog, then from a source."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._merged: dict[str, tuple[str, str]] = {}
        self._clashes: list[tuple[str, str, str]] = []

    def take(self, person: str, name: str) -> bool:
        """Takes a name for a slug; False where the slug is another's."""
        first = self._names.setdefault(person, name)
        if first == name:
            return True
        # Whoever writes the slug itself means that person, in whatever script the other name is.
        if same_name(first, name) or person in (first, name):
            self._merged.setdefault(person, (first, name))
            return True
        self._clashes.append((person, first, name))
        return False

    def check(self, where: str, source: str) -> None:
        """Notes which spellings were taken for one person. Raises UsageError for names of several people."""
        if self._clashes:
            pairs = "; ".join(f"'{one}' and '{other}' are both '{slug}'" for slug, one, other in self._clashes[:_SHOWN])
            more = f", and {len(self._clashes) - _SHOWN} more" if len(self._clashes) > _SHOWN else ""
            raise UsageError(f"{where}: {pairs}{more} once normalised; give one of them another name in {source}")
        for person, (one, other) in self._merged.items():
            note(f"scrape: '{one}' and '{other}' are taken for one person, '{person}'")
