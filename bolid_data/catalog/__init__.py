"""The catalog (`catalog.duckdb`): the only state of a dataset. All SQL is here and in `curate/judge/`."""

from pathlib import Path
from typing import Any

from bolid_data.catalog.address_list import AddressList
from bolid_data.catalog.caption_files import CaptionFiles
from bolid_data.catalog.caption_words import CaptionWords
from bolid_data.catalog.captions import Captions
from bolid_data.catalog.connection import Connection
from bolid_data.catalog.consent import Consent, WithdrawnPhoto
from bolid_data.catalog.decisions import Decisions
from bolid_data.catalog.embeddings import Embeddings
from bolid_data.catalog.erasure import Erasure, without_person
from bolid_data.catalog.exports import Exports
from bolid_data.catalog.index import IndexWriter, Samples
from bolid_data.catalog.lock_content import LockContent
from bolid_data.catalog.measurements import Measures
from bolid_data.catalog.near_copies import NearCopies
from bolid_data.catalog.photo_names import PhotoNames
from bolid_data.catalog.pixels import Pixels
from bolid_data.catalog.rows import dicts, insert, upsert, utc_now
from bolid_data.catalog.sightings import Sightings
from bolid_data.catalog.site_marks import SiteMarks
from bolid_data.catalog.summary import summarise

__all__ = [
    "AddressList", "Catalog", "IndexWriter", "WithdrawnPhoto", "dicts", "insert", "upsert", "utc_now", "without_person",
]  # fmt: skip


class Catalog(Connection):
    """The database, with one attribute per concern; `open` is for a caller's own batch."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.sightings = Sightings(self)
        self.photo_names = PhotoNames(self)
        self.pixels = Pixels(self)
        self.measurements = Measures(self)
        self.embeddings = Embeddings(self)
        self.near_copies = NearCopies(self)
        self.site_marks = SiteMarks(self)
        self.decisions = Decisions(self)
        self.captions = Captions(self)
        self.caption_files = CaptionFiles(self)
        self.caption_words = CaptionWords(self)
        self.samples = Samples(self)
        self.lock_content = LockContent(self)
        self.consent = Consent(self)
        self.erasure = Erasure(self)
        self.exports = Exports(self)

    def summary(self) -> list[dict[str, Any]]:
        """The progress of each person's photos."""
        return summarise(self)
