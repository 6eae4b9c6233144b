"""Models of the Hugging Face hub: what is in its cache on this machine, what is downloaded, and at which revision.

A name is `owner/model`, or `owner/model@revision` for a branch, a tag or a commit. The hub's library is imported where
it is used: it reads its environment variables when it is imported, and takes a while.
"""

import glob
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from bolid_data import model_files

_IN_SNAPSHOT = re.compile(r"/models--[^/]+/snapshots/([0-9a-f]{40})(?:/|$)")


class NoHubNameError(ValueError):
    """No repository can have this name."""


def cached(name: str) -> Path | None:
    """The folder of a repository in the hub's cache, complete or not; None if there is none. Raises NoHubNameError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repository, revision = split_revision(name)
    try:
        # Without patterns, the library would expect all files of the repository.
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[], local_files_only=True))
    except HFValidationError as error:
        raise NoHubNameError(name) from error
    except OSError:
        return None


def download(name: str) -> Path:
    """Downloads what is loaded of a repository (`model_files.needed`), and returns its folder in the hub's cache.

    Passes on the exceptions of the hub's library and its HTTP library.
    """
    from huggingface_hub import HfApi, hf_hub_download

    repository, revision = split_revision(name)
    files = HfApi().list_repo_files(repository, revision=revision)
    named = None
    if model_files.PIPELINE_INDEX in files:
        index = hf_hub_download(repository, model_files.PIPELINE_INDEX, revision=revision)
        named = model_files.components(Path(index).parent)
    descriptions, weights = model_files.needed(files, named)
    # The weights come last, so that a copy that has them has everything.
    download_files(name, descriptions)
    return download_files(name, weights)


def download_files(name: str, files: Sequence[str]) -> Path:
    """Downloads those of the files that a repository has, and returns its folder in the hub's cache. Passes on
    exceptions as `download` does."""
    from huggingface_hub import snapshot_download

    repository, revision = split_revision(name)
    return Path(snapshot_download(repository, revision=revision, allow_patterns=[glob.escape(file) for file in files]))


def download_command(name: str, files: Sequence[str] = ()) -> str:
    """The command that puts a repository, or some of its files, into the hub's cache."""
    repository, revision = split_revision(name)
    included = "".join(f" --include {shlex.quote(file)}" for file in files)
    return f"hf download {repository}" + (f" --revision {revision}" if revision else "") + included


def split_revision(name: str) -> tuple[str, str | None]:
    """A repository and its revision, from `owner/model@revision`."""
    repository, _, revision = name.partition("@")
    return repository, revision or None


def commit_of(path: Path) -> str | None:
    """The commit of the repository that a file or folder in the hub's cache belongs to; None for any other path."""
    match = _IN_SNAPSHOT.search(path.absolute().as_posix())
    return match[1] if match else None


def reason(error: Exception) -> str:
    """Why a download failed, in words that say what to do."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return "it is gated: accept its terms on its page, and set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub has no such model, or HF_TOKEN does not allow it"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such revision"
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return type(error).__name__
