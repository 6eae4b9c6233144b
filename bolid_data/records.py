"""What rooms hand to the catalog: its rows, by name."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Person:
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
    traits: str | None = ""  # why it is not plain sRGB, words with spaces between them; None: nobody has looked


@dataclass(frozen=True)
class Validators:
    """What a server says by which it can tell whether a page or photo has changed (RFC 9110, 8.8)."""

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
    consent: str | None = None  # "allowed", or by which words the owner opted out
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class ReadPage:
    """A page of links as it was last read: what was found on it, by which reader (the site profile), in which crawl."""

    url: str
    person: str  # "" for pages that list people
    found: str  # JSON
    reader: str
    crawl: int
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class Model:
    """A model as it measured: `id` changes with its weights and its configuration."""

    id: str
    name: str
    sha256: str
    config: str
    licence: str


@dataclass
class Measurements:
    """What one model saw on a batch of photos: the photos, and rows for the tables of what it measures."""

    model: Model
    sha256s: list[str]
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Frontier:
    """How far a crawl has come with some people."""

    pages: dict[str, ReadPage]  # pages of links by their addresses, as they were last read
    settled: set[tuple[str, str]]  # (person, photo page) that need no further visit


@dataclass(frozen=True)
class ModelIds:
    """The models whose measurements are judged, by their ids in the catalog."""

    pose: str
    face: str
    watermark: str
    hash: str
    quality: str | None = None
    identity: str | None = None
