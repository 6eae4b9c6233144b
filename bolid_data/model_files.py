"""The files of a model in the layout of diffusers or transformers: which of them are needed, and which are missing.

A repository often holds the same weights many times: as safetensors and as pickles, in two precisions, for other
frameworks. A network needs one set of them: the safetensors; where there are none, their `fp16` variant; where there
is none either, `.bin` files, which not every caller loads.
"""

import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

PIPELINE_INDEX = "model_index.json"
"""The file at the top of a diffusers pipeline, which names its components."""

_CONFIG = "config.json"
_SCHEDULER_CONFIG = "scheduler_config.json"
_SETS = (("safetensors", None), ("safetensors", "fp16"), ("bin", None))
"""Sets of weights as (format, variant), best first."""

# model.safetensors, model.fp16.safetensors, model-00001-of-00002.safetensors, model.safetensors.index.fp16.json, …
_WEIGHTS = re.compile(
    r"(?:model|diffusion_pytorch_model|pytorch_model)(?:\.(?P<variant>\w+))?(?P<shard>-\d+-of-\d+)?"
    r"(?:\.(?P<late_variant>\w+))?\.(?P<format>safetensors|bin)(?P<index>\.index(?:\.(?P<index_variant>\w+))?\.json)?"
)
_DESCRIPTIONS = re.compile(r"[^/]+\.(?:json|txt|model|jinja)|README\.md|LICEN[SC]E[^/]*")
_ABOUT = re.compile(r"model_index\.json|README\.md|LICEN[SC]E.*")
_COMPONENT = re.compile(r"\w{1,80}")
_WITHOUT_WEIGHTS = re.compile(r"Tokenizer|Scheduler|Processor|Extractor")
_IMAGE_ENCODER = "image_encoder"

Components = Mapping[str, str]
"""The class of each component of a pipeline, by its folder."""


def components(folder: Path) -> Components | None:
    """The components that a pipeline's `model_index.json` names; None for a folder that is no pipeline."""
    index = folder / PIPELINE_INDEX
    if not index.is_file():
        return None
    return {
        name: value[1]
        for name, value in _read_json(index).items()
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str) and _COMPONENT.fullmatch(name)
    }


def needed(files: Collection[str], named: Components | None) -> tuple[list[str], list[str]]:
    """Of the files of a folder or repository, those that are loaded: descriptions (configurations, tokenizers,
    schedulers, the licence) and weights. `named`: the components, if it is a pipeline."""
    top = [file for file in files if "/" not in file]
    if named is None:
        return _descriptions(top), weights_among(top)[1]
    descriptions, weights = [file for file in top if _ABOUT.fullmatch(file)], []
    # A pipeline may have an image encoder without naming it.
    for part in {*named, _IMAGE_ENCODER}:
        names = [file.removeprefix(f"{part}/") for file in files if file.startswith(f"{part}/")]
        descriptions += [f"{part}/{name}" for name in _descriptions(names)]
        weights += [f"{part}/{name}" for name in weights_among(names)[1]]
    return sorted(descriptions), sorted(weights)


def _descriptions(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if _DESCRIPTIONS.fullmatch(name) and not _WEIGHTS.fullmatch(name))


def weights_among(names: Iterable[str]) -> tuple[str | None, list[str]]:
    """The best set of weights among the files of one network: its variant and its files."""
    matches = [match for name in names if (match := _WEIGHTS.fullmatch(name))]
    for kind, variant in _SETS:
        files = [match for match in matches if match["format"] == kind and _variant(match) == variant]
        single = [match for match in files if not (match["shard"] or match["index"])]
        if single or files:
            return variant, sorted(match.string for match in single or files)
    return None, []


def variant(folder: Path) -> str | None:
    """The `variant` with which a network, or a pipeline, must be loaded: `fp16` if it, or one of its networks, has no
    other weights."""
    named = components(folder)
    folders = [folder] if named is None else [folder / part for part in named]
    return next((found for one in folders if (found := weights_among(_names(one))[0])), None)


def is_model(folder: Path) -> bool:
    """Whether a folder has the file by which a pipeline or a model of transformers is recognised."""
    return any((folder / name).is_file() for name in (PIPELINE_INDEX, _CONFIG))


def missing(folder: Path) -> list[str]:
    """What the folder of a model lacks, as files or patterns: a component's configuration or weights, a shard that the
    index of the weights names, the target of a link. Folders of other layouts lack nothing."""
    named = components(folder)
    files = _names(folder)
    for part in {*(named or ()), _IMAGE_ENCODER}:
        files += [f"{part}/{name}" for name in _names(folder / part)]
    descriptions, weights = needed(files, named)
    lacking = {file for file in descriptions + weights if not (folder / file).is_file()}
    for file in weights:
        if file.endswith(".json"):
            lacking |= _missing_shards(folder, file)
    if named is None and _is_network(_read_json(folder / _CONFIG)) and not weights:
        lacking.add("*.safetensors")
    if named is not None and any(file.startswith(f"{_IMAGE_ENCODER}/") for file in files):
        named = {_IMAGE_ENCODER: "CLIPVisionModelWithProjection", **named}
    for part, kind in (named or {}).items():
        if _WITHOUT_WEIGHTS.search(kind):
            lacking |= _missing_description(part, kind, descriptions)
            continue
        if f"{part}/{_CONFIG}" not in files:
            lacking.add(f"{part}/{_CONFIG}")
        if not any(file.startswith(f"{part}/") for file in weights):
            lacking.add(f"{part}/*.safetensors")
    return sorted(lacking)


def _missing_description(part: str, kind: str, descriptions: Collection[str]) -> set[str]:
    """What a component without weights lacks: a scheduler its configuration, a tokenizer or a processor every file."""
    if "Scheduler" in kind:
        return {f"{part}/{_SCHEDULER_CONFIG}"}.difference(descriptions)
    return set() if any(file.startswith(f"{part}/") for file in descriptions) else {f"{part}/*.json"}


def _missing_shards(folder: Path, index: str) -> set[str]:
    """The shards of an index that are no files, as paths below the folder."""
    shards = _read_json(folder / index).get("weight_map")
    names = set(shards.values()) if isinstance(shards, dict) else set()
    plain = {name for name in names if isinstance(name, str) and _WEIGHTS.fullmatch(name)}
    paths = {(PurePosixPath(index).parent / name).as_posix() for name in plain}
    return {path for path in paths if not (folder / path).is_file()}


def _is_network(config: Mapping[str, Any]) -> bool:
    """Whether `config.json` describes a network, of transformers or of timm."""
    return any(key in config for key in ("model_type", "architectures", "architecture"))


def _variant(match: re.Match[str]) -> str | None:
    return match["variant"] or match["late_variant"] or match["index_variant"]


def _names(folder: Path) -> list[str]:
    """The names of files and of links in a folder, also of links to nothing."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.is_dir())
    except OSError:
        return []


def _read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none, which the libraries that load it report."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
