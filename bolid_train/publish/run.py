"""The files of an adapter's repository: what a finished run needs to generate, its card and its pictures."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bolid_data.errors import BolidError
from bolid_data.lockfile import read_sealed
from bolid_data.manifest import Manifest
from bolid_data.paths import regular_file
from bolid_data.progress import note
from bolid_data.publication import Publication
from bolid_train.evaluate.finished_runs import FinishedRun
from bolid_train.methods import adapter
from bolid_train.methods.adapter import Adapter
from bolid_train.publish.card import About, adapter_card
from bolid_train.publish.comfyui import ComfyUIError, comfyui_layout

_PATH = re.compile(r"^(see )?(?:/|~|\.\.).*/")
"""A folder on this machine, also where a licence refers to its card."""


@dataclass(frozen=True)
class People:
    """Whom a run was trained on: keyed ids, or, in runs of BoLID 0.1, what tells whether a slug is one of them."""

    key: str | None
    ids: list[str]
    is_salted: Callable[[str], bool] | None
    count: int


def trained_on(root: Path, name: str) -> People:
    """Whom a finished run was trained on. Raises UsageError if there is no such run, BolidError if it is unfinished or
    altered, or its files do not tell."""
    folder = adapter.run_folder(root, name)
    loaded = adapter.read(folder)
    if not loaded.components:
        raise BolidError(f"{folder}: has no weights to publish: '{loaded.method}' trains none")
    if loaded.trained_on and loaded.trained_on.key and loaded.trained_on.people:
        return People(loaded.trained_on.key, loaded.trained_on.people, None, len(loaded.trained_on.people))
    if loaded.people and loaded.people.hashes:
        return People(None, [], loaded.people.has, len(loaded.people.hashes))
    raise BolidError(f"{folder}: not published: its files do not tell whom it was trained on; train again")


def publication(
    manifest: Manifest, root: Path, name: str, repository: str, licence: str | None, pictures: bool
) -> Publication:
    """What is published of a run: the method's files, `adapter.json` without paths of this machine, the card and, if
    `pictures`, images that may show anybody in the dataset. Checkpoints, optimizer and losses stay."""
    folder = adapter.run_folder(root, name)
    loaded = adapter.read(folder)
    loaded = replace(
        loaded,
        base=_without_path(loaded.base),
        settings=_portable(loaded.settings),
        licences=_portable(loaded.licences),
    )
    files: dict[str, Path | bytes] = {one.file: regular_file(folder, one.file) for one in loaded.components}
    files["adapter.json"] = json.dumps(asdict(loaded), indent=2, sort_keys=True).encode() + b"\n"
    evaluated = _evaluation(root, folder)
    images = _pictures(root, folder, evaluated is not None) if pictures else {}
    files |= images
    about = About(
        run=name,
        repository=repository,
        adapter=loaded,
        base=loaded.base,
        base_is_on_hub=_is_on_hub(loaded.base, manifest),
        licence=licence,
        encoder=str(loaded.settings.get("image_encoder") or ""),
        dataset_models=_models(root),
        metrics=[row for row in evaluated or [] if row.get("method") == FinishedRun(folder, loaded).name],
        pictures=sorted(images),
        comfyui=_comfyui(folder, loaded),
        people=trained_on(root, name).count,
    )
    files["README.md"] = adapter_card(about)
    return Publication("model", files)


def _comfyui(folder: Path, loaded: Adapter) -> dict[str, str]:
    """What ComfyUI makes of each file in IP-Adapter layout."""
    outcomes = {}
    for component in loaded.components:
        if component.kind != "ip-adapter":
            continue
        try:
            layout = comfyui_layout(folder / component.file)
        except ComfyUIError as error:
            outcomes[component.file] = f"not loaded: {str(error).removeprefix(f'{folder / component.file}: ')}"
            continue
        if component.file == "body.safetensors":
            outcomes[component.file] = (
                f"loaded as a {layout.kind} IP-Adapter of {layout.base}, but of no use there: it takes a body "
                "embedding, which no node computes"
            )
        else:
            outcomes[component.file] = (
                f"loaded as a {layout.kind} IP-Adapter of {layout.base}, with a CLIP Vision model whose embeddings are "
                f"{layout.width} wide"
            )
    return outcomes


def _portable(value: Any) -> Any:
    """Settings with the last part of paths on this machine, which would tell where its owner keeps files."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item) for item in value]
    return _without_path(value) if isinstance(value, str) else value


def _without_path(text: str) -> str:
    return _PATH.sub(r"\1", text)


def _is_on_hub(name: str, manifest: Manifest) -> bool:
    return name.count("/") == 1 and not (manifest.folder / name).exists()


def _models(root: Path) -> list[dict[str, Any]]:
    """The models that measured and captioned the dataset, by its lock, if it is here."""
    lock = root / "dataset.lock.json"
    models = read_sealed(lock)["models"] if lock.is_file() else []
    return [model for model in models if not model["id"].startswith("site-mark")]


def _evaluation(root: Path, folder: Path) -> list[dict[str, Any]] | None:
    """The rows of the evaluation, if it is not older than the run."""
    table = root / "evaluation" / "table.json"
    if not table.is_file():
        return None
    if table.stat().st_mtime < (folder / "adapter.json").stat().st_mtime:
        note("publish: the evaluation is older than the run, and left out; `bolid evaluate` makes it again")
        return None
    try:
        rows = json.loads(regular_file(root, "evaluation", "table.json").read_text(encoding="utf-8"))
        return [row for row in rows if isinstance(row, dict)]
    except (ValueError, TypeError, RecursionError) as error:
        raise BolidError(f"{table}: cannot be read ({error}); run `bolid evaluate` again") from error


def _pictures(root: Path, folder: Path, evaluated: bool) -> dict[str, Path | bytes]:
    """The grid of the evaluation, and the last validation image."""
    pictures: dict[str, Path | bytes] = {}
    grid, last = root / "evaluation" / "grid.png", sorted(folder.glob("validation/step-*.png"))[-1:]
    if evaluated and grid.is_file():
        pictures["grid.png"] = regular_file(root, "evaluation", "grid.png")
    for image in last:
        pictures["validation.png"] = regular_file(folder, "validation", image.name)
    return pictures
