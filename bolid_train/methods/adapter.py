"""The finished adapter: the method's files in the run's folder, and `adapter.json` that describes them."""

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from bolid_data import atomic_io
from bolid_data.errors import BolidError, UsageError
from bolid_data.fields import Count, FileName, KeyedId, Sha256
from bolid_data.manifest import Manifest, Train
from bolid_data.paths import regular_file
from bolid_data.versions import refuse_newer
from bolid_data.weights import file_sha256, is_here
from bolid_train.diffusion.base import CLIP_BODIES, SMALL_SDXL, Base
from bolid_train.files import write_json
from bolid_train.methods.protocol import Method

Text = Annotated[str, Field(max_length=4096)]


def run_folder(data: Path, name: str) -> Path:
    """Where a run is. Raises UsageError for a name that is no plain folder name."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}", name):
        raise UsageError(f"run name {name!r}: letters, digits and '_.-' only, at most 80")
    return data / "runs" / name


@dataclass(frozen=True)
class Component:
    """A file of a run."""

    file: FileName
    kind: Text
    sha256: Sha256


VERSION = 2
"""1: the adapters of version 0.1, which do not say it and keep salted hashes of people."""
LARGEST = 200_000_000
"""Bytes of an `adapter.json`: of some millions of photos."""


@dataclass(frozen=True)
class TrainedOn:
    """Whom and what a run has seen, as keyed ids that the shards' index has: without its key they say nothing."""

    key: KeyedId | None  # fingerprint of the key
    people: list[KeyedId] = field(default_factory=list)
    photos: list[KeyedId] = field(default_factory=list)


@dataclass(frozen=True)
class Salted:
    """People that a run has seen as earlier versions wrote them down: whoever guesses a slug can test it."""

    salt: Annotated[str, Field(max_length=200)]
    hashes: list[Sha256]  # sha256(salt + slug)

    def has(self, slug: str) -> bool:
        return hashlib.sha256((self.salt + slug).encode()).hexdigest() in self.hashes


@dataclass(frozen=True)
class Adapter:
    """What `adapter.json` holds. It may come from a stranger, so `read` checks every field."""

    method: Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")]
    base: Text  # `small-sdxl`, or folder or hub name of the base pipeline
    components: Annotated[list[Component], Field(max_length=20)]
    ref_dim: Annotated[int, Field(ge=1, le=16384)]
    body_dim: Annotated[int, Field(ge=1, le=16384)]
    steps: Count
    settings: dict[str, Any]  # the manifest's [train], without a person's name and photos
    lock: Sha256 | None  # sha256 of dataset.lock.json
    licences: dict[str, Text]
    people: Salted | None = None  # of version 1: everyone trained on
    photos: Count | None = None  # how many it was trained on; older files do not say
    trained_on: TrainedOn | None = None
    version: int = 1

    def train_settings(self, path: Path) -> Train:
        """The settings it was trained by. Raises BolidError, naming `path`, for what no manifest could say."""
        try:
            return Train.model_validate(self.settings)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise BolidError(f"{path}: settings.{place}: {first['msg']}; `bolid train` writes no such run") from None


_ADAPTER = TypeAdapter(Adapter)


def publish(
    folder: Path,
    method: Method,
    settings: Train,
    base: Base,
    ref_dim: int,
    steps: int,
    people: Iterable[str],
    data: Path,
    start: Adapter | None = None,
    photos: int | None = None,
    trained_on: TrainedOn | None = None,
) -> Adapter:
    """Writes the method's files to `folder`, `adapter.json` last: where it is, all is there. A run that started from
    another's weights has seen that one's people, too; `photos` counts those of this run alone. `people` (slugs) are
    written down as salted hashes where the index has no keyed ids, so that there is no `trained_on`."""
    unfinished = folder / ".adapter.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    kinds = method.save(unfinished)
    adapter = Adapter(
        method=settings.method,
        base=base.name,
        components=[Component(file, kind, file_sha256(unfinished / file)) for file, kind in kinds.items()],
        ref_dim=ref_dim,
        body_dim=settings.body_dim,
        steps=steps,
        settings=settings.model_dump(mode="json", exclude={"person", "photos"}),
        lock=file_sha256(lock) if (lock := data / "dataset.lock.json").is_file() else None,
        people=_salted(() if trained_on else people, start.people if start else None),
        licences={"base": _licence(base)},
        photos=photos,
        trained_on=trained_with(trained_on, start.trained_on if start else None),
        version=VERSION,
    )
    (folder / "adapter.json").unlink(missing_ok=True)
    for file in kinds:
        atomic_io.replace(unfinished / file, folder / file)
    unfinished.rmdir()
    write_json(asdict(adapter), folder / "adapter.json")
    return adapter


def read(folder: Path) -> Adapter:
    """The run's adapter, its files checked. Raises UsageError for no such run, BolidError for an unfinished
    or altered one."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such run; `bolid train` makes it")
    path = folder / "adapter.json"
    if not path.exists():
        raise BolidError(f"{folder} is not finished; `bolid train --resume` goes on with it")
    adapter = _parsed(path)
    for component in adapter.components:
        file = folder / component.file
        if not file.is_file() or file_sha256(regular_file(folder, component.file)) != component.sha256:
            raise BolidError(f"{file} is missing or not what adapter.json says; train again")
    return adapter


def _parsed(path: Path) -> Adapter:
    try:
        if regular_file(path.parent, path.name).stat().st_size > LARGEST:
            raise BolidError(f"{path}: larger than any adapter.json")
        text = path.read_text(encoding="utf-8")
        refuse_newer(path, "run", json.loads(text).get("version", 1), VERSION)
        adapter = _ADAPTER.validate_json(text, strict=True)
        adapter.train_settings(path)
        return adapter
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BolidError(f"{path}: {place}: {first['msg']}; `bolid train` writes no such run") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BolidError(f"{path} cannot be read ({error}); train again") from error


def refuse_strange_models(settings: Train, manifest: Manifest, path: Path) -> None:
    """Raises BolidError, naming `path`, for a run whose base or image encoder somebody else chose: a run may come from
    a stranger, and names what is fetched and loaded.

    Its models are those that ship, those that the manifest names, folders beside the manifest, and hub models that are
    on this machine.
    """
    for key, shipped in (("base", {SMALL_SDXL}), ("image_encoder", {None, CLIP_BODIES})):
        name = getattr(settings, key)
        if name not in {*shipped, getattr(manifest.train, key)} and not is_here(name, manifest.folder):
            raise BolidError(
                f"{path}: was made on {key} '{name}', which the manifest does not name; if you trust it, set "
                f'[train] {key} = "{name}"'
            )


def trained_with(trained_on: TrainedOn | None, start: TrainedOn | None) -> TrainedOn | None:
    """Whom and what a run has seen that started from another. Their ids are put together where one key made them."""
    if trained_on is None or start is None:
        return trained_on
    if start.key != trained_on.key:
        return TrainedOn(None, [], [])  # nobody can tell any more
    people, photos = {*trained_on.people, *start.people}, {*trained_on.photos, *start.photos}
    return TrainedOn(trained_on.key, sorted(people), sorted(photos))


def _salted(people: Iterable[str], before: Salted | None) -> Salted | None:
    """Of version 1: where an index has no ids, or a run started from one that had none."""
    names = list(people)
    if not names:
        return before
    salt = before.salt if before else secrets.token_hex(16)
    hashes = {hashlib.sha256((salt + slug).encode()).hexdigest() for slug in names}
    return Salted(salt, sorted(hashes.union(before.hashes if before else ())))


def _licence(base: Base) -> str:
    if base.name == SMALL_SDXL:
        return "MIT"
    card = base.folder / "README.md"
    found = (
        re.search(r"^license(?:_name)?:\s*(\S+)", card.read_text(encoding="utf-8"), re.M) if card.is_file() else None
    )
    return found[1] if found else f"see {base.name}"
