"""`bolid doctor`: checks the machine, the installation, and a manifest's models and source; what a run costs."""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from rich.filesize import decimal

from bolid.options import is_drawn
from bolid_data import dlib_weights, hub, weights
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.manifest import FolderSource, Manifest, ThePlaceSource, UrlsSource
from bolid_data.printable import say
from bolid_data.words import people, photos

State = Literal["ok", "warning", "problem"]
_EXTRAS = {"collect": "scrape", "curate": "filter and caption", "train": "train, generate and evaluate"}
_SOME_MEMORY = 8e9
"""Bytes of memory with which the embedded models run comfortably."""
_SDXL_MEMORY = 22e9
"""Bytes of an accelerator on which SDXL can be trained (docs/training.md)."""
_PHOTO = 500_000
"""Bytes of a photo whose size is not known."""
_FEATURE = 2
"""Bytes of a number in the feature cache."""
_TOKENS, _TEXT_WIDTH, _CHANNELS, _VAE = 77, 2048, 4, 8
"""A prompt's tokens and the width of SDXL's two text encoders together; channels and scale of its VAE."""


@dataclass(frozen=True)
class Check:
    name: str
    state: State
    text: str
    todo: str = ""


@dataclass(frozen=True)
class Cost:
    """What a run needs. All bytes are estimates but `photo_bytes` where `exact`."""

    photos: int
    exact: bool  # counted, rather than the most that the manifest allows
    photo_bytes: int
    shard_bytes: int
    feature_bytes: int

    @property
    def bytes(self) -> int:
        return self.photo_bytes + self.shard_bytes + self.feature_bytes


def examine(manifest: Manifest | None, dataset: Dataset | None) -> dict[str, Any]:
    """All checks, as `{"ok": …, "checks": […], "cost": …}`. Nothing is requested from the network, and nothing
    written."""
    checks = [_installation(), *_extras(), *_accelerator(manifest), _memory(), *_hub()]
    cost = None
    if manifest and dataset:
        checks += [*_source(manifest), *_models(manifest)]
        cost = _cost(manifest, dataset)
    checks.append(_disk(dataset.root if dataset else Path("data"), cost))
    ok = all(check.state != "problem" for check in checks)
    return {"ok": ok, "checks": [asdict(check) for check in checks], "cost": asdict(cost) if cost else None}


def describe_cost(cost: dict[str, Any]) -> str:
    """The arithmetic in words."""
    number = "" if cost["exact"] else "at most "
    size, shards, features = (decimal(cost[f"{part}_bytes"]) for part in ("photo", "shard", "feature"))
    return (
        f"{number}{photos(cost['photos'])}: {size} of photos, about {shards} of shards and {features} of features; "
        "calculated from the settings, not measured"
    )


def _installation() -> Check:
    system = f"{platform.system()} {platform.machine()}"
    return Check("installation", "ok", f"bolid {version('bolid')}, Python {platform.python_version()}, {system}")


def _extras() -> Iterator[Check]:
    """The packages of each extra, which commands import when they need them."""
    from packaging.requirements import Requirement

    listed = [Requirement(text) for text in requires("bolid") or []]
    for extra, commands in _EXTRAS.items():
        needed = [item for item in listed if item.marker and item.marker.evaluate({"extra": extra})
                  and not item.marker.evaluate({"extra": ""})]  # fmt: skip
        if missing := sorted(item.name for item in needed if not _is_installed(item.name)):
            text = f"[{extra}] lacks {', '.join(missing)}, without which {commands} may fail"
            yield Check("extras", "problem", text, f"run `pip install 'bolid[{extra}]'`")
        else:
            yield Check("extras", "ok", f"[{extra}] is installed: {commands}")


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _accelerator(manifest: Manifest | None) -> Iterator[Check]:
    sdxl = manifest is not None and manifest.train.base not in weights.BASES
    try:
        import torch
    except ModuleNotFoundError:
        return  # the extras say so
    cores = os.cpu_count() or 1
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            enough = device.total_memory >= _SDXL_MEMORY or not sdxl
            yield Check(
                "accelerator",
                "ok" if enough else "warning",
                f"cuda:{index}, {device.name}, {decimal(device.total_memory)}",
                "" if enough else "SDXL needs 24 GB for training; see docs/training.md",
            )
    elif sdxl:
        text = f"none; SDXL would be trained on {cores} CPU cores, for weeks"
        yield Check("accelerator", "warning", text, "train on a machine with an accelerator of 24 GB or more")
    else:
        yield Check("accelerator", "ok", f"none; models run on {cores} CPU cores, which suits the embedded ones")
    if manifest and manifest.models.device.startswith("cuda") and not torch.cuda.is_available():
        text = f"models.device = '{manifest.models.device}' is not on this machine"
        yield Check("accelerator", "problem", text, "set [models] device to auto")
    if manifest and manifest.train.optimizer == "adamw8bit" and not _is_installed("bitsandbytes"):
        yield Check(
            "extras", "problem", "[train] optimizer adamw8bit needs bitsandbytes", "run `pip install bitsandbytes`"
        )


def _memory() -> Check:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return Check("memory", "ok", "its size cannot be determined on this system")
    if total < _SOME_MEMORY:
        return Check("memory", "warning", decimal(total), "close other programs; filter and train use several GB")
    return Check("memory", "ok", decimal(total))


def _hub() -> Iterator[Check]:
    from huggingface_hub import constants, get_token

    token = "a token is set" if get_token() else "no token, which only gated models need (HF_TOKEN)"
    offline = "; offline (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else ""
    yield Check("hub", "ok", f"{token}; cache {constants.HF_HUB_CACHE}{offline}")


def _source(manifest: Manifest) -> Iterator[Check]:
    from bolid_data.collect.contact import problem_with
    from bolid_data.collect.sources.people_folders import find_people

    source = manifest.source
    if isinstance(source, FolderSource):
        root = manifest.folder / source.path
        try:
            folders = find_people(root)[0]
        except BolidError as error:
            yield Check("source", "problem", str(error), "correct [source] path")
            return
        if folders:
            yield Check("source", "ok", f"{root} has photos of {people(len(folders))}")
        else:
            yield Check("source", "problem", f"{root} has no folders of people", "put each person's photos into one")
    elif isinstance(source, UrlsSource):
        path = manifest.folder / source.path
        if path.is_file():
            yield Check("source", "ok", f"the list {path}")
        else:
            yield Check("source", "problem", f"source.path: {path}: no such file", "correct [source] path")
    asks_others = isinstance(source, UrlsSource) or (
        isinstance(source, ThePlaceSource) and not source.serve_gallery and not source.base_url
    )
    if not isinstance(source, FolderSource) and asks_others and (problem := problem_with(source.contact)):
        yield Check("contact", "problem", f"source.contact {problem}", "set [source] contact to your address")


def _models(manifest: Manifest) -> Iterator[Check]:
    """Every model that the manifest names, and whether it is here."""
    drawn = is_drawn(manifest)
    models, train = manifest.models, manifest.train
    named = {"models.pose": models.pose, "models.face": models.face, "models.watermark": models.watermark,
             "models.caption": models.caption, "models.identity": models.identity, "train.base": train.base,
             "train.image_encoder": train.image_encoder}  # fmt: skip
    for key, name in named.items():
        if name:
            yield _model(key, name, manifest.folder)
    if models.caption == "tiny-blip2" and not drawn:
        text = "models.caption = tiny-blip2 knows only made-up people"
        yield Check("models", "warning", text, 'for real photos, set [models] caption = "describe", or a large model')
    if train.base in weights.BASES and not drawn:
        text = f"train.base = {train.base} draws synthetic people only, never the person"
        yield Check("models", "warning", text, "for images of the person, the README shows which lines make it SDXL")


def _model(key: str, name: str, relative_to: Path) -> Check:
    if name == "describe":
        return Check("models", "ok", f"{key} = describe, which needs no model")
    if name.startswith("lavis:"):
        from bolid_data.curate.captions.lavis import ENVIRONMENT

        here = (ENVIRONMENT / ".ready").is_file()
        return Check("models", "ok" if here else "problem", f"{key} = {name}", "" if here else "run `make lavis`")
    if name == dlib_weights.NAME or name in weights.embedded_names():
        try:
            dlib_weights.find() if name == dlib_weights.NAME else weights.find(name)
        except BolidError as error:
            return Check("models", "problem", f"{key} = {name}: {error}", f"install the weights of {name} again")
        return Check("models", "ok", f"{key} = {name}, {'set up' if name == dlib_weights.NAME else 'which ships'}")
    if (relative_to / name).is_dir():
        return Check("models", "ok", f"{key} = {name}, a folder")
    if weights.is_here(name, relative_to):
        return Check("models", "ok", f"{key} = {name}, in the hub's cache")
    from huggingface_hub import constants

    text, get = f"{key} = {name} is not on this machine", hub.download_command(name)
    if constants.HF_HUB_OFFLINE:
        return Check("models", "problem", text, f"run `{get}` while HF_HUB_OFFLINE is not set")
    return Check("models", "warning", text, f"it is downloaded when it is first used; now, with `{get}`")


def _cost(manifest: Manifest, dataset: Dataset) -> Cost:
    stored, stored_bytes = _stored(dataset)
    number, size, exact = _listed(manifest)
    exact = exact or number <= stored
    number = max(number, stored)
    average = stored_bytes / stored if stored else _PHOTO
    size = size if size is not None else round(number * average)
    return Cost(number, exact, max(0, size - stored_bytes), size, number * _feature_bytes(manifest))


def _stored(dataset: Dataset) -> tuple[int, int]:
    """The number and the bytes of the photos in the store."""
    if not dataset.store.root.is_dir():
        return 0, 0
    sizes = [file.stat().st_size for file in dataset.store.files()]
    return len(sizes), sum(sizes)


def _listed(manifest: Manifest) -> tuple[int, int | None, bool]:
    """The number of photos that the source has, their bytes if known, and whether they were counted."""
    from bolid_data.catalog import AddressList
    from bolid_data.collect.sources.people_folders import find_people, list_files

    source = manifest.source
    try:
        if isinstance(source, FolderSource):
            folders = find_people(manifest.folder / source.path)[0]
            files = [file for folder in folders.values() for file in list_files(folder).photos]
            return len(files), sum(Path(file).stat().st_size for file in files if Path(file).is_file()), True
        if isinstance(source, UrlsSource):
            return sum(AddressList(manifest.folder / source.path, source.encoding).people().values()), None, True
    except BolidError:  # named by the checks of the source
        return 0, None, True
    if source.serve_gallery:
        return 279, None, False  # of the embedded gallery's eight people
    return (len(source.people) or source.max_people) * source.max_photos, None, False


def _feature_bytes(manifest: Manifest) -> int:
    """Bytes of a photo's features: the latents of the photo and of its view, and the prompt's embedding."""
    train = manifest.train
    latents = _CHANNELS * ((train.resolution // _VAE) ** 2 + (train.view_resolution // _VAE) ** 2)
    return _FEATURE * (latents + _TOKENS * _text_width(manifest))


def _text_width(manifest: Manifest) -> int:
    """Width of the two text encoders of the base, where it is here; otherwise SDXL's."""
    name = manifest.train.base
    folder = weights.embedded_path(name) if name in weights.embedded_names() else manifest.folder / name
    try:
        parts = (folder / part / "config.json" for part in ("text_encoder", "text_encoder_2"))
        return sum(int(json.loads(part.read_text(encoding="utf-8"))["hidden_size"]) for part in parts)
    except (OSError, ValueError, KeyError):
        return _TEXT_WIDTH


def _disk(folder: Path, cost: Cost | None) -> Check:
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    text = f"{decimal(free)} free at {existing}"
    if not os.access(existing, os.W_OK):
        return Check("disk", "problem", f"{existing} cannot be written", "name another folder with --data")
    if cost and cost.bytes > free:
        state: State = "problem" if cost.exact else "warning"
        text += f", and a run may need {decimal(cost.bytes)}"
        return Check("disk", state, text, "free some space, name a folder on another disk with --data, or collect less")
    return Check("disk", "ok", text)


def print_diagnosis(result: dict[str, Any]) -> None:
    """The checks on stdout, one per line, then the cost and what to do."""
    for check in result["checks"]:
        say(f"{check['state']:<9}{check['name']:<14}{check['text']}")
    if result["cost"]:
        say(f"a run needs {describe_cost(result['cost'])}")
    for state, heading in (("problem", "to do"), ("warning", "consider")):
        for check in result["checks"]:
            if check["state"] == state:
                say(f"{heading}: {check['text']}; {check['todo']}")
