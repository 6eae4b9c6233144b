"""The card of an adapter's repository (README.md)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from bolid_data import words
from bolid_data.markdown import card, code, escaped, table
from bolid_train.methods.adapter import Adapter

_MEANS = {
    "agpl-3.0": "Whoever offers a service that runs this model has to offer the service's source code too.",
    "openrail++": "Uses that the licence forbids are forbidden to every user of this adapter, too.",
    "creativeml-openrail-m": "Uses that the licence forbids are forbidden to every user of this adapter, too.",
    "cc-by-nc-4.0": "Not for commercial use.",
    "mit": "Free to use; keep the notice.",
    "apache-2.0": "Free to use; keep the notice.",
    "bsd-2-clause": "Free to use; keep the notice.",
    "bsd-3-clause": "Free to use; keep the notice.",
}
"""What a licence means for users, in a sentence."""

_HOLDS = {
    "ip-adapter": "a branch of cross-attention, in IP-Adapter layout",
    "body-encoder": "computes a body embedding from photos of a person",
    "body-prior": "draws a body embedding for a text, where there are no photos",
    "lora": "low-rank layers of the UNet, which hold one person",
}

_GENERAL = ("resolution", "batch_size", "views", "learning_rate", "reference", "captions", "mixed_precision")


@dataclass(frozen=True)
class About:
    """What a card says of a run."""

    run: str
    repository: str
    adapter: Adapter
    base: str
    base_is_on_hub: bool
    licence: str | None
    encoder: str  # "" for the base's own
    dataset_models: list[dict[str, Any]]  # rows of the lock
    metrics: list[dict[str, Any]]  # rows of the evaluation's table
    pictures: list[str]
    comfyui: dict[str, str]  # by file
    people: int


def adapter_card(about: About) -> bytes:
    return card(_header(about), _text(about))


def _header(about: About) -> dict[str, Any]:
    kinds = {component.kind for component in about.adapter.components}
    return {
        "license": about.licence or "other",
        "license_name": None if about.licence else "see-the-card",
        "license_link": None if about.licence else "README.md#licences",
        "base_model": about.base.partition("@")[0] if about.base_is_on_hub else None,
        "base_model_relation": "adapter" if about.base_is_on_hub else None,
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["people", "bolid", *(name for name in ("ip-adapter", "lora") if name in kinds)],
    }


def _text(about: About) -> Iterator[str]:
    adapter = about.adapter
    yield f"# {escaped(about.run)}"
    yield ""
    photos = f", with {adapter.photos} photos" if adapter.photos else ""
    yield (
        f"An adapter of the method {code(adapter.method)} for the base {code(about.base)}. It was trained for "
        f"{adapter.steps} steps on {words.people(about.people)}{photos}, each with a recorded basis for it."
    )
    for picture in about.pictures:
        yield ""
        yield f"![{_CAPTIONS[picture]}]({picture})"
    yield from _section("Use", _use(about))
    yield from _section("Files", _files(about))
    if about.comfyui:
        rows = [(code(file), escaped(outcome)) for file, outcome in about.comfyui.items()]
        yield from _section("ComfyUI", table(("file", "by the rules of the IP-Adapter node"), rows))
    yield from _section("How well it keeps people", _metrics(about))
    yield from _section("Training", _training(about))
    yield from _section("Licences", _licences(about))
    yield from _section("Limits, and removing a person", _limits())


_CAPTIONS = {
    "grid.png": "References and generated images of the evaluation",
    "validation.png": "The last validation images of the training",
}


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "", *lines)


def _use(about: About) -> Iterator[str]:
    kinds = {component.kind: component.file for component in about.adapter.components}
    yield f"With BoLID, as a run of a dataset's folder (`data/NAME/runs/{about.run}`):"
    yield from ("", "```sh")
    yield f"hf download {about.repository} --local-dir data/NAME/runs/{about.run}"
    yield f'bolid generate MANIFEST --run {about.run} --prompt "a person on a beach" --photo anna.jpg --out out.png'
    yield "```"
    if not about.base_is_on_hub:
        return
    yield from ("", "With diffusers alone:", "", "```python", "from diffusers import StableDiffusionXLPipeline", "")
    base, _, revision = about.base.partition("@")
    at = f', revision="{revision}"' if revision else ""
    yield f'pipe = StableDiffusionXLPipeline.from_pretrained("{base}"{at})'
    if "lora" in kinds:
        yield f'pipe.load_lora_weights("{about.repository}", weight_name="{kinds["lora"]}")'
    else:
        yield f'pipe.load_ip_adapter("{about.repository}", subfolder="", weight_name="ref.safetensors")'
    yield "```"
    if "body-encoder" in kinds:
        yield ""
        yield "That loads the reference branch. The body branch takes what the body encoder computes, which BoLID runs."


def _files(about: About) -> Iterator[str]:
    rows = [
        (code(one.file), _HOLDS.get(one.kind, escaped(one.kind)), code(one.sha256)) for one in about.adapter.components
    ]
    yield from table(("file", "holds", "sha256"), rows)
    yield ""
    yield (
        "`adapter.json` describes them. It names people and photos by keyed ids, which mean nothing without the key of "
        "the dataset."
    )


def _metrics(about: About) -> Iterator[str]:
    if not about.metrics:
        yield "Not evaluated."
        return
    rows = [
        (
            escaped(row.get("set", "")), escaped(row.get("views", "")), escaped(row.get("metric", "")),
            _number(row.get("mean")), f"{_number(row.get('low'))} to {_number(row.get('high'))}",
            escaped(row.get("people", "")),
        )
        for row in about.metrics
    ]  # fmt: skip
    yield from table(("set", "photos", "metric", "mean", "95 % interval", "people"), rows)
    yield ""
    yield "On people whom it was not trained on, unless the set says otherwise; the interval is over people."


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


def _training(about: About) -> Iterator[str]:
    settings = about.adapter.settings
    rows = [(code(key), code(_toml(settings[key]))) for key in _GENERAL if settings.get(key) is not None]
    own = settings.get(about.adapter.method.replace("-", "_")) or settings.get(about.adapter.method) or {}
    rows += [
        (code(f"{about.adapter.method}.{key}"), code(_toml(value)))
        for key, value in sorted(own.items())
        if value is not None
    ]
    yield from table(("setting", "value"), rows)
    yield ""
    lock = f"the lock {code(about.adapter.lock)}" if about.adapter.lock else "shards without a lock"
    yield f"Trained by bolid {version('bolid')} or an earlier one on {lock}; `adapter.json` has all settings."


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _licences(about: About) -> Iterator[str]:
    base = about.adapter.licences.get("base", "unknown")
    rows = [("base", code(about.base), escaped(base), _meaning(base))]
    encoder = about.encoder or "that of the base"
    rows.append(("image encoder", escaped(encoder), escaped(base if not about.encoder else f"see {encoder}"), ""))
    for model in about.dataset_models:
        rows.append(("dataset", code(model["name"]), escaped(model["licence"]), _meaning(model["licence"])))
    yield from table(("used as", "model", "licence", "what it means for you"), rows)
    yield ""
    yield (
        "Models of the dataset measured and captioned the photos. Of these, `bolid generate` runs the pose model on "
        "the photos that you give it."
    )
    yield ""
    if about.licence:
        yield f"The adapter itself is under {escaped(about.licence)}, as far as the licence of its base allows."
    else:
        yield "For the adapter itself, no licence is granted beyond what the people whom it was trained on agreed to."


def _meaning(licence: str) -> str:
    return _MEANS.get(licence.lower(), "Read it before you use the adapter.")


def _limits() -> Iterator[str]:
    yield "- It can generate images that look like a real person. Ask that person, and say that images are generated."
    yield (
        "- It keeps what it learnt: when a person is removed from the dataset, train and publish an adapter again, "
        "and delete the copies of this one."
    )
