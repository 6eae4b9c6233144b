"""Whom the identity model suspects to be one person under two names, or two under one."""

import threading
from typing import Any

from bolid_data import dlib_weights
from bolid_data.catalog import Catalog
from bolid_data.curate import judge
from bolid_data.manifest import Manifest

_NONE: dict[str, Any] = {"one_person": [], "two_people": [], "model": None}


class Suspects:
    """Found once for every state of the catalog: it takes seconds for many people."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._lock = catalog, threading.Lock()
        self._suspects, self._revision = _NONE, ""

    def of(self, manifest: Manifest) -> dict[str, Any]:
        """As `identity_suspects.find`, with `model`: the identity model, or None where there is none that suspects
        anybody."""
        last = judge.last_judgement(self._catalog)
        model = last[1].identity if last and manifest.models.identity == dlib_weights.NAME else None
        if model is None:
            return _NONE
        from bolid_data.curate import identity_suspects

        with self._lock:
            if revision_of(self._catalog) != self._revision:
                self._suspects = identity_suspects.find(self._catalog, model) | {"model": model}
                self._revision = revision_of(self._catalog)
            return self._suspects

    def photos(self, manifest: Manifest) -> list[str]:
        """sha256s of the photos that seem to show somebody else than the others of their person."""
        return [sha256 for row in self.of(manifest)["two_people"] for sha256 in row["photos"]]


def revision_of(catalog: Catalog) -> str:
    """A text that changes with every commit. The catalog is not opened for it."""
    times = []
    for file in (catalog.path, catalog.path.with_name(f"{catalog.path.name}.wal")):
        try:
            status = file.stat()
            times.append(f"{status.st_mtime_ns}-{status.st_size}")
        except FileNotFoundError:
            times.append("")
    return "/".join(times)
