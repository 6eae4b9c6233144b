"""What `dataset.lock.json` says, read back. It may come from a stranger, so nothing of it is used before it is checked:
names become paths, addresses are fetched and printed."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from bolid_data.errors import UsageError
from bolid_data.fields import Count as Bounded
from bolid_data.fields import Offset, Sha256, ShardName, Slug, SplitName, Words
from bolid_data.manifest import Filter, Manifest, Shards, ThePlaceSource
from bolid_data.names import clean_name
from bolid_data.records import Model, ModelIds
from bolid_data.versions import NewerVersionError, refuse_newer
from bolid_data.weights import file_sha256

VERSION = 2
"""1: the locks of version 0.1, whose addresses hold what was secret in them."""
LARGEST = 4 << 30
"""Bytes of a lock: of some ten million photos."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # an escape sequence would reach the terminal


def _address(text: str) -> str:
    """On the web, or in a folder that is named when the dataset is rebuilt."""
    parts = urlsplit(text)
    on_the_web = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    if _CONTROL.search(text) or len(text) > 8000 or not (on_the_web or text.startswith("file:")):
        raise ValueError("no address of a photo")
    return text


Address = Annotated[str, AfterValidator(_address)]
Name = Annotated[str, Field(max_length=2000), AfterValidator(clean_name)]
Text = Annotated[str, Field(max_length=100_000)]


class Source(BaseModel):
    """Where the addresses lead: what a rebuild needs of it, and nothing of whoever collected them."""

    kind: Literal["theplace", "folder", "urls"]
    profile: Text | None = None
    serve_gallery: bool = False  # the site is the embedded gallery, drawn with the lock's seed


class LockedSighting(BaseModel):
    person: Slug
    url: Address
    page_url: Address | None = None
    left_out: list[Annotated[str, Field(max_length=100)]] = []  # names of what was secret in the address


class LockedPhoto(BaseModel):
    sha256: Sha256
    sightings: list[LockedSighting]  # none: it was withdrawn, and is not to be fetched again
    kept: bool
    format: Text | None = None
    bytes: Bounded | None = None


class LockedPerson(BaseModel):
    person: Slug
    name: Name
    url: Address | None = None
    listed_photos: Bounded | None = None


class LockedShard(BaseModel):
    shard: ShardName
    sha256: Sha256
    bytes: Offset
    samples: Bounded
    split: SplitName


class Captioner(BaseModel):
    model: Text
    prompt: Words


class Lock(BaseModel):
    """A lock whose own sha256 is right. What older locks lack is None."""

    version: Annotated[int, Field(ge=1, le=VERSION)]
    pixels: Annotated[int, Field(ge=1, le=1000)] = 1  # version of the function that made them
    name: Slug
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    shape: Shards  # `max_size` and `splits`
    source: Source | None = None
    thresholds: Filter
    models: list[Model]
    judgement: ModelIds | None = None
    captioner: Captioner | None = None
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
                # What was left out of an address may be all that told it from another.
                if not sighting.left_out and photos.setdefault(sighting.url, photo.sha256) != photo.sha256:
                    raise ValueError(f"{sighting.url} is pinned for two photos")
        if len({photo.sha256 for photo in self.photos}) < len(self.photos):
            raise ValueError("a photo is pinned twice")
        return self

    @property
    def measurements_file(self) -> Path:
        return self.path.parent / "measurements.parquet"


class Recipe(BaseModel):
    """What of a manifest, or of a lock, decides what the shards are."""

    name: str
    seed: int
    shape: Shards
    source: Source | None
    background: str = "white"  # what transparent pixels are laid on

    @classmethod
    def of(cls, made_by: Manifest | Lock) -> Self:
        if isinstance(made_by, Lock):
            background = made_by.thresholds.background
            return cls(
                name=made_by.name, seed=made_by.seed, shape=made_by.shape, source=made_by.source, background=background
            )
        source = Source(kind=made_by.source.kind)
        if isinstance(made_by.source, ThePlaceSource):
            source.profile, source.serve_gallery = made_by.source.profile, made_by.source.serve_gallery
        background = made_by.filter.background
        return cls(name=made_by.name, seed=made_by.seed, shape=made_by.shards, source=source, background=background)


def read_lock(path: Path) -> Lock:
    """A lock and its measurements beside it, both as they were written. Raises UsageError saying what is wrong."""
    content = read_sealed(path)
    lock = check_lock(path, content)
    if not lock.measurements_file.is_file():
        raise UsageError(f"{lock.measurements_file}: missing; the lock's measurements belong beside it")
    if file_sha256(lock.measurements_file) != lock.measurements:
        raise UsageError(f"{lock.measurements_file}: not the one that {path.name} pins (its sha256 differs)")
    return lock


def read_sealed(path: Path) -> dict[str, Any]:
    """The JSON of a lock whose own sha256 is right; nothing else of it is checked. Raises UsageError."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: is no regular file")
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path}: larger than any lock")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such lock") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: not JSON; a lock is the dataset.lock.json that `bolid shard` writes") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: no JSON object; a lock is the dataset.lock.json that `bolid shard` writes")
    refuse_newer(path, "lock", content.get("version"), VERSION)
    try:
        intact = content.get("sha256") == lock_digest(content)
    except (ValueError, RecursionError):  # a lone surrogate
        intact = False
    if not intact:
        raise UsageError(f"{path}: was altered since it was written (its sha256 differs); get it again")
    return content


def check_lock(path: Path, content: dict[str, Any]) -> Lock:
    """A lock's content, every field checked. Raises UsageError naming the first that `bolid shard` would not write."""
    try:
        shape = {"max_size": content.get("max_size"), "splits": _mapping(content.get("splits"))}
        return Lock.model_validate(content | {"shape": shape, "path": path})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "lock"
        raise UsageError(f"{path}: {place}: {first['msg']}; `bolid shard` writes no such lock") from error
    except (TypeError, ValueError):
        raise UsageError(f"{path}: splits: no pairs of name and share; `bolid shard` writes no such lock") from None


def own_lock(file: Path) -> dict[str, Any] | None:
    """What a lock says that `bolid shard` wrote here; None for one that was altered or cannot be read.

    Raises FileNotFoundError, and UsageError for one whose sha256 is right but which `bolid shard` did not write, or a
    newer one did.
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
    """`splits`, which a lock has as pairs to keep their order. Raises TypeError or ValueError for anything else."""
    if not isinstance(pairs, list) or not all(isinstance(pair, list) for pair in pairs):
        raise TypeError
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError
    return mapping


def lock_digest(lock: dict[str, Any]) -> str:
    """sha256 of all a lock says, its own `sha256` aside."""
    return hashlib.sha256(canonical({key: value for key, value in lock.items() if key != "sha256"})).hexdigest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
