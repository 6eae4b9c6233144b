"""The files of a repository on the Hugging Face hub: listed, written to a folder, or uploaded in one commit."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bolid_data.atomic_io import atomic_folder
from bolid_data.errors import BolidError, UsageError
from bolid_data.progress import note

Kind = Literal["dataset", "model"]

_BINARY = {".tar", ".safetensors"}
"""Files that nobody edits in place, so that a folder may share them with the dataset by hard links."""


@dataclass(frozen=True)
class Publication:
    """`files`: what a repository holds, by the name there; a path to copy, or the content."""

    kind: Kind
    files: dict[str, Path | bytes]

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: len(file) if isinstance(file, bytes) else file.stat().st_size
            for name, file in sorted(self.files.items())
        }

    def write(self, folder: Path) -> None:
        """Writes the files to a new or empty folder. Raises UsageError for any other."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder}: exists and is not an empty folder; name a new one")
        if folder.exists():
            folder.rmdir()
        with atomic_folder(folder) as unfinished:
            for name, file in self.files.items():
                target = unfinished / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(file, target)


def _write(file: Path | bytes, target: Path) -> None:
    if isinstance(file, bytes):
        target.write_bytes(file)
        return
    if file.suffix in _BINARY:
        try:
            os.link(file.resolve(), target)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(file, target)


@dataclass(frozen=True)
class Repository:
    """A repository as it is on the hub: whether it exists, and whether everybody can see it."""

    name: str
    kind: Kind
    exists: bool
    public: bool

    @property
    def url(self) -> str:
        """Its address."""
        return repository_url(self.name, self.kind)


def repository_url(name: str, kind: Kind) -> str:
    """The address of a repository on the hub of HF_ENDPOINT."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"


def find_repository(name: str, kind: Kind) -> Repository:
    """Looks a repository up. Raises UsageError for a name that none can have, BolidError if the hub does not answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = _asked(name, lambda: HfApi().repo_info(name, repo_type=kind))
    except RepositoryNotFoundError:
        return Repository(name, kind, False, False)
    return Repository(name, kind, True, not info.private)


def upload(publication: Publication, repository: Repository, public: bool) -> str:
    """Creates the repository if it does not exist, private unless `public`, and makes it hold exactly the publication's
    files, in one commit. Returns the commit's address. Raises BolidError if the hub refuses, or is not reached."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api, name, kind = HfApi(), repository.name, repository.kind
    if not repository.exists:
        _asked(name, lambda: api.create_repo(name, repo_type=kind, private=not public))
    there = _asked(name, lambda: api.list_repo_files(name, repo_type=kind))
    outdated = sorted(set(there) - publication.files.keys() - {".gitattributes"})
    operations: list[Any] = [CommitOperationDelete(file) for file in outdated]
    operations += [CommitOperationAdd(file, content) for file, content in sorted(publication.files.items())]
    if outdated:
        note(f"publish: removing what is no longer part of it: {', '.join(outdated[:10])}")
    message = "Published by bolid"
    commit = _asked(name, lambda: api.create_commit(name, operations, commit_message=message, repo_type=kind))
    return str(commit.commit_url)


def check_name(name: str) -> None:
    """Raises UsageError for a name that no repository has: it is OWNER/NAME, or NAME for your own."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UsageError(f"{name}: not the name of a repository; give OWNER/NAME") from None
    if name.count("/") != 1:
        raise UsageError(f"{name}: not the name of a repository; give OWNER/NAME")


def _asked(name: str, question: Callable[[], Any]) -> Any:
    """The hub's answer. Raises RepositoryNotFoundError, and BolidError for every other failure."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,  # of its HTTP client, which is httpx or httpx2
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        return question()
    except RepositoryNotFoundError as error:
        if error.response is not None and error.response.status_code == 401:
            raise BolidError(
                f"{name}: {constants.ENDPOINT} asks who you are; run `hf auth login`, or set HF_TOKEN"
            ) from error
        raise
    except OfflineModeIsEnabled as error:
        raise BolidError(
            f"{name}: HF_HUB_OFFLINE is set, so nothing is published; --dry-run DIR needs no hub"
        ) from error
    except HfHubHTTPError as error:
        said = error.server_message or (str(error).splitlines() or ["no reason given"])[0]
        raise BolidError(f"{name}: {constants.ENDPOINT} refused: {said}") from error
    except (HTTPError, RuntimeError, ValueError, OSError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise BolidError(f"{name}: cannot be published to {constants.ENDPOINT}: {first}; run it again") from error
