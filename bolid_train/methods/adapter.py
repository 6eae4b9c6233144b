"""The finished adapter: the method's files in the run's folder, and `adapter.json` that describes them."""

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from bolid_data import atomic_io, hub
from bolid_data.errors import BolidError, UsageError
from bolid_data.fields import Commit, Count, KeyedId, RunFile, Sha256
from bolid_data.manifest import Manifest, Train
from bolid_data.paths import regular_file
from bolid_data.versions import refuse_newer
from bolid_data.weights import BASES, file_sha256, is_file_here, is_here
from bolid_train.diffusion.base import IMAGE_ENCODERS, Base
from bolid_train.files import write_json
from bolid_train.methods import registry
from bolid_train.methods.protocol import Method
from bolid_train.settings import BranchSettings, MethodSettings, method_settings, train_model

_COMMIT = re.compile("[0-9a-f]{40}")

ShortText = Annotated[str, Field(max_length=4096)]


def run_folder(data: Path, name: str) -> Path:
    """The folder of a run. Raises UsageError for a name that is not a plain folder name."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}", name):
        raise UsageError(f"run name {name!r}: letters, digits and '_.-' only, at most 80")
    return data / "runs" / name


@dataclass(frozen=True)
class Component:
    """A file of a run, in its folder or in a folder of it."""

    file: RunFile
    kind: ShortText
    sha256: Sha256


VERSION = 4
"""1: the adapters of version 0.1, which have no version field and keep salted hashes of people. 2: those without tables
of methods in their settings; what is not given to a branch is a projected zero. 3: those whose references are cropped
and whose views are squashed."""
MAX_BYTES = 200_000_000
"""Of an `adapter.json`: enough for millions of photos."""


@dataclass(frozen=True)
class TrainedOn:
    """The people and photos a run was trained on, as keyed ids of the shards' index, meaningless without its key."""

    key: KeyedId | None  # fingerprint of the key
    people: list[KeyedId] = field(default_factory=list)
    photos: list[KeyedId] = field(default_factory=list)


@dataclass(frozen=True)
class SaltedPeople:
    """The people that a run was trained on, in the format of version 1: whoever guesses a slug can test the guess."""

    salt: Annotated[str, Field(max_length=200)]
    hashes: list[Sha256]  # sha256(salt + slug)

    def has(self, slug: str) -> bool:
        return hashlib.sha256((self.salt + slug).encode()).hexdigest() in self.hashes


@dataclass(frozen=True)
class Adapter:
    """The content of `adapter.json`. It may be untrusted, so `read` checks every field."""

    method: Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")]
    base: ShortText  # one of `weights.BASES`, or folder or hub repository of the base pipeline
    components: Annotated[list[Component], Field(max_length=20)]
    ref_dim: Annotated[int, Field(ge=1, le=16384)]
    body_dim: Annotated[int, Field(ge=1, le=16384)] | None  # None: the method has no body embedding
    steps: Count
    settings: dict[str, Any]  # the manifest's [train], without a person's name and photos
    lock: Sha256 | None  # sha256 of dataset.lock.json
    licences: dict[str, ShortText]
    people: SaltedPeople | None = None  # of version 1: all people trained on
    photos: Count | None = None  # number of training photos; not in older files
    trained_on: TrainedOn | None = None
    revisions: dict[Literal["base", "image_encoder"], Commit] = field(default_factory=dict)
    """Commits of the hub repositories that base and image encoder were loaded from; not in older files."""
    version: int = 1

    def train_settings(self, path: Path) -> Train:
        """The settings it was trained with. Raises BolidError, naming `path`, for settings that no manifest allows."""
        try:
            return train_model().model_validate(_completed(self.settings, self.version))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise BolidError(f"{path}: settings.{place}: {first['msg']}; `bolid train` writes no such run") from None


def _completed(settings: dict[str, Any], version: int) -> dict[str, Any]:
    """Settings of an earlier version with what was done then and could not be set."""
    if version < 4:
        settings = settings | {"reference_fit": "crop", "view_fit": "squash"}
    if version < 3:
        branched = [name for name, model in method_settings().items() if issubclass(model, BranchSettings)]
        settings = settings | {name: {**settings.get(name, {}), "absent": "projected_zeros"} for name in branched}
    return settings


_ADAPTER = TypeAdapter(Adapter)


def publish(
    folder: Path,
    method: Method,
    settings: Train,
    base: Base,
    steps: int,
    people: Iterable[str],
    data: Path,
    start: Adapter | None = None,
    photos: int | None = None,
    trained_on: TrainedOn | None = None,
) -> Adapter:
    """Writes the method's files to `folder`, and `adapter.json` last, so that its presence means all files are there.

    Args:
        people: slugs, written as salted hashes if there is no `trained_on`, because the index has no keyed ids.
        start: the run from whose weights this one started; its people count as trained on, too.
        photos: the number of photos of this run alone.
    """
    unfinished = folder / ".adapter.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    kinds = method.save(unfinished)
    adapter = Adapter(
        method=settings.method,
        base=base.name,
        components=[Component(file, kind, file_sha256(unfinished / file)) for file, kind in kinds.items()],
        ref_dim=base.image_embed_dim,
        body_dim=getattr(method, "widths", {}).get("body"),
        steps=steps,
        settings=registry.resolve(settings.method).portable_settings(settings),
        lock=file_sha256(lock) if (lock := data / "dataset.lock.json").is_file() else None,
        people=_salted(() if trained_on else people, start.people if start else None),
        licences={"base": _licence(base)},
        photos=photos,
        trained_on=merge_trained_on(trained_on, start.trained_on if start else None),
        revisions=_revisions(settings, base),
        version=VERSION,
    )
    (folder / "adapter.json").unlink(missing_ok=True)
    for file in kinds:
        (folder / file).parent.mkdir(exist_ok=True)
        atomic_io.replace(unfinished / file, folder / file)
    shutil.rmtree(unfinished)
    write_json(asdict(adapter), folder / "adapter.json")
    return adapter


def read(folder: Path) -> Adapter:
    """The run's adapter; checks its files. Raises UsageError if there is no such run, BolidError if it is unfinished or
    was altered."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such run; `bolid train` creates it")
    path = folder / "adapter.json"
    if not path.exists():
        raise BolidError(f"{folder} is not finished; `bolid train --resume` continues it")
    adapter = _parsed(path)
    for component in adapter.components:
        file = folder / component.file
        if not file.is_file() or file_sha256(regular_file(folder, component.file)) != component.sha256:
            raise BolidError(f"{file} is missing or not what adapter.json says; train again")
    return adapter


def _parsed(path: Path) -> Adapter:
    try:
        if regular_file(path.parent, path.name).stat().st_size > MAX_BYTES:
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


def pinned(adapter: Adapter, manifest: Manifest) -> Adapter:
    """The adapter with its base and image encoder named at the commits that it was trained on, `owner/model@commit`, so
    that a repository which has changed since does not change its images.

    Where the manifest names a revision of the same repository, the adapter follows the manifest. Folders, and adapters
    that record no commit, stay as they are.
    """
    settings = dict(adapter.settings)
    for key, commit in adapter.revisions.items():
        name, in_manifest = settings.get(key), getattr(manifest.train, key)
        if not isinstance(name, str) or (manifest.folder / name).is_dir():
            continue
        repository, _ = hub.split_revision(name)
        other_repository, other = hub.split_revision(in_manifest or "")
        if repository == other_repository and other and in_manifest != name:
            settings[key] = in_manifest
        else:
            settings[key] = f"{repository}@{commit}"
    return replace(adapter, settings=settings)


def refuse_untrusted_models(settings: Train, manifest: Manifest, path: Path) -> None:
    """Raises BolidError, naming `path`, if a model that a run needs besides its own files is not trusted: a run may be
    untrusted, and names models that would be fetched and loaded.

    Trusted are models that ship, those that the manifest names, also at the commit to which a run pins them, folders
    and files beside the manifest, and hub models that are already on this machine.
    """

    def refuse(table: str, key: str, name: str) -> None:
        raise BolidError(
            f"{path}: was made on {key} '{name}', which the manifest does not name; if you trust it, set "
            f'[{table}] {key} = "{name}"'
        )

    for key, shipped in (("base", {*BASES}), ("image_encoder", {None, *IMAGE_ENCODERS})):
        name, in_manifest = getattr(settings, key), getattr(manifest.train, key)
        if name in {*shipped, in_manifest} or _is_pinned(name, in_manifest):
            continue
        if not is_here(name, manifest.folder):
            refuse("train", key, name)
    of_method = method_settings().get(settings.method, MethodSettings)
    for key in of_method.frozen_files:
        name, in_manifest = (getattr(of_method.of(train), key) for train in (settings, manifest.train))
        if name not in (None, in_manifest) and not is_file_here(name, manifest.folder):
            refuse(f"train.{settings.method}", key, name)


def _is_pinned(name: str, in_manifest: str | None) -> bool:
    """Whether a name is that of a commit of the manifest's hub model."""
    repository, commit = hub.split_revision(name)
    return repository == hub.split_revision(in_manifest or "")[0] and bool(_COMMIT.fullmatch(commit or ""))


def merge_trained_on(trained_on: TrainedOn | None, start: TrainedOn | None) -> TrainedOn | None:
    """The people and photos of a run and of the run it started from, whose ids can be merged if they have one key."""
    if trained_on is None or start is None:
        return trained_on
    if start.key != trained_on.key:
        return TrainedOn(None, [], [])  # unknown: ids of different keys cannot be merged
    people, photos = {*trained_on.people, *start.people}, {*trained_on.photos, *start.photos}
    return TrainedOn(trained_on.key, sorted(people), sorted(photos))


def _salted(people: Iterable[str], start: SaltedPeople | None) -> SaltedPeople | None:
    """The format of version 1, for an index without ids, or a run that started from one that has it."""
    slugs = list(people)
    if not slugs:
        return start
    salt = start.salt if start else secrets.token_hex(16)
    hashes = {hashlib.sha256((salt + slug).encode()).hexdigest() for slug in slugs}
    return SaltedPeople(salt, sorted(hashes.union(start.hashes if start else ())))


def _revisions(settings: Train, base: Base) -> dict[Literal["base", "image_encoder"], Commit]:
    """The commits of those models that come from the hub; an image encoder of the base is at the base's."""
    folders: dict[Literal["base", "image_encoder"], Path] = {"base": base.folder}
    if settings.image_encoder:
        folders["image_encoder"] = base.image_encoder
    commits = {key: hub.commit_of(folder) for key, folder in folders.items()}
    return {key: commit for key, commit in commits.items() if commit}


def _licence(base: Base) -> str:
    if base.name in BASES:
        return "MIT"
    card = base.folder / "README.md"
    match = (
        re.search(r"^license(?:_name)?:\s*(\S+)", card.read_text(encoding="utf-8"), re.M) if card.is_file() else None
    )
    return match[1] if match else f"see {base.name}"
