"""Folders that photos or captions were exported to: `bolid forget` removes a person from those inside the dataset's
folder, and names the others."""

from dataclasses import dataclass
from pathlib import Path

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts, upsert, utc_now

PUBLISHED = "published"


@dataclass(frozen=True)
class Export:
    folder: str  # relative to the dataset's folder if it is inside, otherwise absolute; the URL of a repository
    format: str  # `captions` for caption files without photos, `published` for what `bolid publish` wrote or uploaded

    @property
    def inside(self) -> bool:
        return not (self.published or Path(self.folder).is_absolute())

    @property
    def published(self) -> bool:
        return self.format == PUBLISHED


class Exports(Part):
    def record(self, folder: Path, file_format: str) -> None:
        """Records an export, before its first file is written."""
        folder, root = folder.resolve(), self._catalog.path.parent.resolve()
        place = folder.relative_to(root) if folder.is_relative_to(root) else folder
        self._record(str(place), file_format)

    def record_published(self, place: str) -> None:
        """Records a repository, by its URL, or a folder, before anything is uploaded or written."""
        self._record(place, PUBLISHED)

    def _record(self, place: str, file_format: str) -> None:
        with self._catalog.open() as con:
            upsert(con, "exports", [{"folder": place, "format": file_format, "exported_at": utc_now()}])

    def all(self) -> list[Export]:
        """All recorded exports, also those that were deleted since."""
        with self._catalog.open() as con:
            return [Export(**row) for row in dicts(con.execute("SELECT folder, format FROM exports ORDER BY ALL"))]

    def discard(self, folders: list[str]) -> None:
        """Deletes the records of exports that no longer exist."""
        with self._catalog.open() as con:
            con.execute("DELETE FROM exports WHERE list_contains($1, folder)", [folders])
