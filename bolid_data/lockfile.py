"""Reads `dataset.lock.json`. It may come from a stranger, so everything is checked before it is used: names become
paths, addresses are fetched and printed."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from bolid_data.errors import UsageError
from bolid_data.fields import CaptionName, Offset, Sha256, ShardName, Slug, SplitName, TriggerWord, Words
from bolid_data.fields import Count as Bounded
from bolid_data.manifest import Basis, Consent, Filter, Manifest, ShardSettings, ThePlaceSource
from bolid_data.names import clean_name
from bolid_data.records import Model, ModelIds
from bolid_data.versions import NewerVersionError, refuse_newer
from bolid_data.weights import file_sha256

VERSION = 2
"""1: the locks of BoLID 0.1, whose addresses still contain secrets."""
MAX_LOCK_BYTES = 4 << 30
"""The size of a lock of about ten million photos."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # an escape sequence would reach the terminal


def _address(text: str) -> str:
    """Checks an address on the web, or in a folder that is named when the dataset is rebuilt."""
    parts = urlsplit(text)
    on_the_web = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    if _CONTROL.search(text) or len(text) > 8000 or not (on_the_web or text.startswith("file:")):
        raise ValueError("not the address of a photo")
    return text


Address = Annotated[str, AfterValidator(_address)]
Name = Annotated[str, Field(max_length=2000), AfterValidator(clean_name)]
Text = Annotated[str, Field(max_length=100_000)]


class LockedSource(BaseModel):
    """What a rebuild needs to know of the source; nothing about who collected it."""

    kind: Literal["theplace", "folder", "urls"]
    profile: Text | None = None
    serve_gallery: bool = False  # the site is the embedded gallery, drawn with the lock's seed


class LockedSighting(BaseModel):
    person: Slug
    url: Address
    page_url: Address | None = None
    left_out: list[Annotated[str, Field(max_length=100)]] = []  # names of the secrets in the address


class LockedPhoto(BaseModel):
    sha256: Sha256
    sightings: list[LockedSighting]  # none: it was withdrawn, and must not be fetched again
    kept: bool
    format: Text | None = None
    bytes: Bounded | None = None


class LockedPerson(BaseModel):
    person: Slug
    name: Name
    url: Address | None = None
    listed_photos: Bounded | None = None
    consent: Basis | None = None  # on what basis the photos may be used


class LockedShard(BaseModel):
    shard: ShardName
    sha256: Sha256
    bytes: Offset
    samples: Bounded
    split: SplitName


class LockedSite(BaseModel):
    """Photos of one host and size group, of which it is known whether they share marks; the ids of these."""

    host: Annotated[str, Field(pattern=r"^[^\s/?#:@\x00-\x20\x7f-\x9f]{1,253}$")]
    size_group: Annotated[int, Field(ge=0, le=100)]
    photos: Bounded
    marks: Annotated[list[Annotated[str, Field(pattern=r"^site-mark@[0-9a-f]{12}$")]], Field(max_length=100)]


class LockedCaptioner(BaseModel):
    model: Text | None
    prompt: Words | None
    use: CaptionName = ""
    trigger: TriggerWord = ""


class Lock(BaseModel):
    """A lock whose sha256 is correct. Fields that older locks lack are None."""

    version: Annotated[int, Field(ge=1, le=VERSION)]
    pixels: Annotated[int, Field(ge=1, le=1000)] = 1  # version of the function that made them
    name: Slug
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    shape: ShardSettings  # `max_size` and `splits`
    source: LockedSource | None = None
    thresholds: Filter
    models: list[Model]
    judgement: ModelIds | None = None
    captioner: LockedCaptioner | None = None
    sites: list[LockedSite] = []
    people: list[LockedPerson] = []
    photos: list[LockedPhoto]
    shards: list[LockedShard]
    index: Sha256
    measurements: Sha256
    sha256: Sha256
    path: Path

    @model_validator(mode="after")
    def _one_photo_an_address(self) -> Self:
        photos: dict[str, str] = {}
        for photo in self.photos:
            for sighting in photo.sightings:
                # Two addresses may differ only in the secrets that were left out.
                if not sighting.left_out and photos.setdefault(sighting.url, photo.sha256) != photo.sha256:
                    raise ValueError(f"{sighting.url} is locked for two photos")
        if len({photo.sha256 for photo in self.photos}) < len(self.photos):
            raise ValueError("a photo is locked twice")
        return self

    @property
    def measurements_file(self) -> Path:
        return self.path.parent / "measurements.parquet"


class ShardRecipe(BaseModel):
    """The part of a manifest or a lock that determines the shards and their lock."""

    name: str
    seed: int
    shape: ShardSettings
    source: LockedSource | None
    background: str = "white"  # of transparent pixels
    consent: Consent = Consent()

    @classmethod
    def from_origin(cls, origin: Manifest | Lock) -> Self:
        if isinstance(origin, Lock):
            background = origin.thresholds.background
            consent = Consent(people={row.person: row.consent for row in origin.people if row.consent})
            return cls(
                name=origin.name, seed=origin.seed, shape=origin.shape, source=origin.source, background=background,
                consent=consent,
            )  # fmt: skip
        source = LockedSource(kind=origin.source.kind)
        if isinstance(origin.source, ThePlaceSource):
            source.profile, source.serve_gallery = origin.source.profile, origin.source.serve_gallery
        return cls(
            name=origin.name, seed=origin.seed, shape=origin.shards, source=source,
            background=origin.filter.background, consent=origin.consent,
        )  # fmt: skip


def read_lock(path: Path) -> Lock:
    """Reads a lock, and checks that its measurements beside it are unaltered. Raises UsageError."""
    content = read_sealed(path)
    lock = check_lock(path, content)
    if not lock.measurements_file.is_file():
        raise UsageError(f"{lock.measurements_file}: missing; the lock's measurements belong beside it")
    if file_sha256(lock.measurements_file) != lock.measurements:
        raise UsageError(f"{lock.measurements_file}: not the one in {path.name} (its sha256 differs)")
    return lock


def read_sealed(path: Path) -> dict[str, Any]:
    """The JSON of a lock whose sha256 is correct; nothing else is checked. Raises UsageError."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: is not a regular file")
        if path.stat().st_size > MAX_LOCK_BYTES:
            raise UsageError(f"{path}: larger than any lock")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such lock") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: not JSON; a lock is the dataset.lock.json that `bolid shard` writes") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a JSON object; a lock is the dataset.lock.json that `bolid shard` writes")
    refuse_newer(path, "lock", content.get("version"), VERSION)
    try:
        intact = content.get("sha256") == lock_digest(content)
    except (ValueError, RecursionError):  # a lone surrogate
        intact = False
    if not intact:
        raise UsageError(f"{path}: was altered since it was written (its sha256 differs); get it again")
    return content


def check_lock(path: Path, content: dict[str, Any]) -> Lock:
    """Checks every field of a lock's content. Raises UsageError naming the first that `bolid shard` would not write."""
    try:
        shape = {"max_size": content.get("max_size"), "splits": _mapping(content.get("splits"))}
        return Lock.model_validate(content | {"shape": shape, "path": path})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "lock"
        raise UsageError(f"{path}: {place}: {first['msg']}; `bolid shard` writes no such lock") from error
    except (TypeError, ValueError):
        raise UsageError(f"{path}: splits: not pairs of name and share; `bolid shard` writes no such lock") from None


def local_lock(file: Path) -> dict[str, Any] | None:
    """The content of a lock that `bolid shard` wrote here; None if it was altered or cannot be read.

    Raises FileNotFoundError, and UsageError for a lock with a correct sha256 that `bolid shard` did not write, or a
    newer version did.
    """
    if not file.exists():
        raise FileNotFoundError(file)
    try:
        content = read_sealed(file)
    except NewerVersionError:
        raise
    except UsageError:
        return None
    check_lock(file, content)
    return content


def _mapping(pairs: Any) -> dict[str, Any]:
    """Converts `splits`, which a lock stores as pairs to keep their order. Raises TypeError or ValueError."""
    if not isinstance(pairs, list) or not all(isinstance(pair, list) for pair in pairs):
        raise TypeError
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError
    return mapping


def lock_digest(lock: dict[str, Any]) -> str:
    """The sha256 of a lock's content without its `sha256`."""
    return hashlib.sha256(canonical({key: value for key, value in lock.items() if key != "sha256"})).hexdigest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
