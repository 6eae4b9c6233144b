"""`bolid scrape --dry-run`: counts what a crawl would collect, and fetches no photo."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from bolid_data.catalog import AddressList
from bolid_data.collect.ingest import Ingest
from bolid_data.collect.run import crawl_site
from bolid_data.collect.sources.folder import choose_people
from bolid_data.collect.sources.gallery_site import ListReader
from bolid_data.collect.sources.people_folders import list_files
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.folder_address import to_address
from bolid_data.manifest import FolderSource, Manifest, ThePlaceSource, UrlsSource
from bolid_data.names import slug
from bolid_data.words import people, photos


@dataclass
class Counts:
    """What the source has; `new` of the photos are not in the store. `bytes` are those of the new ones, by the average
    of the stored photos where they are not known before they are fetched, and None where none is stored."""

    people: int = 0
    photos: int = 0
    new: int = 0
    bytes: int | None = None
    bytes_estimated: bool = False

    def __str__(self) -> str:
        size = "of unknown size" if self.bytes is None else decimal(self.bytes)
        about = "about " if self.bytes_estimated else ""
        return f"{people(self.people)}, {photos(self.photos)}, {self.new} of them new ({about}{size})"


def count(manifest: Manifest, dataset: Dataset) -> Counts:
    """Counts the people and photos that `bolid scrape` would collect.

    Of a site, the pages of links are read, and kept for the crawl, which need not request them again for a day.
    Nothing else is written. Raises what `scrape` raises.
    """
    match manifest.source:
        case FolderSource() as source:
            return _of_folder(manifest.folder / source.path, source, dataset)
        case UrlsSource() as source:
            counts = _of_list(manifest.folder / source.path, source, dataset)
        case ThePlaceSource() as source:
            counts = _of_site(source, manifest, dataset)
    return _with_estimate(counts, dataset)


def _of_folder(root: Path, source: FolderSource, dataset: Dataset) -> Counts:
    counts = Counts(bytes=0)
    for person, folder in choose_people(root, source).items():
        stored: Any = dataset.catalog.sightings.settled_files(person) if dataset.catalog.path.exists() else {}
        listed = list_files(folder)
        files = [Path(file) for file in listed.photos]
        archived = {Path(file): photo.bytes for file, photo in listed.archived.items()}
        new = [file for file in files if to_address(file, root) not in stored and (file in archived or file.is_file())]
        counts.people += 1
        counts.photos += len(files)
        counts.new += len(new)
        counts.bytes = (counts.bytes or 0) + sum(
            archived[file] if file in archived else file.stat().st_size for file in new
        )
    return counts


def _of_list(path: Path, source: UrlsSource, dataset: Dataset) -> Counts:
    if not path.is_file():
        raise UsageError(f"source.path: {path}: no such file")
    counts = Counts()
    seen: set[str] = set()
    for batch in AddressList(path, source.encoding).batches():
        rows = [(slug(name), url) for name, url in batch]
        rows = [row for row in rows if row[0] and (not source.people or row[0] in source.people)]
        urls = [url for _, url in rows]
        sightings = dataset.catalog.sightings.at_addresses(urls) if dataset.catalog.path.exists() else []
        settled = {sighting.url for sighting in sightings if sighting.state != "failed"}
        for person, url in rows:
            if person not in seen and len(seen) == source.max_people:
                continue
            seen.add(person)
            counts.photos += 1
            counts.new += url not in settled
    counts.people = len(seen)
    return counts


def _of_site(source: ThePlaceSource, manifest: Manifest, dataset: Dataset) -> Counts:
    with dataset.working():
        dataset.prepare()
        ingest = Ingest(dataset, source.formats)
        try:
            crawl_site(source, manifest, ingest, ListReader)
        finally:
            ingest.commit()
    stats = ingest.stats
    return Counts(stats.people, stats.known + stats.expected, stats.expected)


def _with_estimate(counts: Counts, dataset: Dataset) -> Counts:
    if not counts.new:
        counts.bytes = 0
    elif average := dataset.catalog.sightings.average_bytes() if dataset.catalog.path.exists() else None:
        counts.bytes, counts.bytes_estimated = round(average * counts.new), True
    return counts
