"""Rows of the catalog, as dataclasses."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bolid_data.fields import Commit


@dataclass(frozen=True)
class ListedPerson:
    person: str
    name: str
    url: str
    listed_photos: int | None = None
    state: str = "listed"


@dataclass(frozen=True)
class StoredPhoto:
    sha256: str
    format: str
    width: int
    height: int
    bytes: int
    traits: str | None = ""  # why it is not plain sRGB, as words separated by spaces; None: not yet checked


@dataclass(frozen=True)
class Validators:
    """Headers by which a server can tell whether a page or photo has changed (RFC 9110, 8.8)."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class Sighting:
    url: str
    person: str
    page_url: str
    state: str
    sha256: str | None = None
    http_status: int | None = None
    reason: str | None = None
    fetched_at: datetime | None = None
    consent: str | None = None  # "allowed", or the text of the opt-out
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class ReadPage:
    """A page of links as last read: the items on it, the reader (a hash of the site profile), and the crawl."""

    url: str
    person: str  # "" for pages that list people
    found: str  # the items, as JSON
    reader: str
    crawl: int
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class Model:
    """A model that measured photos; `id` changes with its weights and its configuration."""

    id: str
    name: str
    sha256: str
    config: str
    licence: str
    revision: Commit | None = None  # of the hub repository that its weights were downloaded from


@dataclass
class Measurements:
    """What one model measured on a batch of photos: the photos, and rows by table."""

    model: Model
    sha256s: list[str]
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Frontier:
    """The progress of a crawl for some people."""

    pages: dict[str, ReadPage]  # pages of links as last read, by address
    settled: set[tuple[str, str]]  # (person, photo page) that need not be fetched again


@dataclass(frozen=True)
class ModelIds:
    """The ids of the models whose measurements are judged."""

    pose: str
    face: str
    watermark: str
    hash: str
    quality: str | None = None
    identity: str | None = None
