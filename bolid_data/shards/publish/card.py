"""The card of a dataset's repository (README.md)."""

import json
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from bolid_data import words
from bolid_data.manifest import Filter
from bolid_data.markdown import card, code, escaped, size, table
from bolid_data.shards.publish.contents import Contents
from bolid_data.shards.publish.words import BASES, collection, description, limitations, preprocessing, sensitive, uses

_MAX_PEOPLE = 500
"""Rows of the table of people; the lock and `samples.parquet` have all of them."""

_SIZES = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")]


def dataset_card(contents: Contents, repository: str) -> bytes:
    """README.md, whose header lets the hub and `datasets` find the tars of each split."""
    return card(_header(contents), _text(contents, repository))


def _header(contents: Contents) -> dict[str, Any]:
    gate = (
        "These are photos of real people. State who you are and what you use them for. You delete a person from your "
        "copy when the owner does."
    )
    return {
        "license": contents.licence or "other",
        "license_name": None if contents.licence else "see-the-card",
        "license_link": None if contents.licence else "README.md#licence",
        "pretty_name": contents.name,
        "task_categories": ["text-to-image", "image-to-image", "keypoint-detection"],
        "size_categories": [next((name for limit, name in _SIZES if contents.photos < limit), "10M<n<100M")],
        "tags": ["people", "bolid", "webdataset", "croissant", *(["synthetic"] if contents.is_synthetic else [])],
        "extra_gated_prompt": None if contents.is_synthetic else gate,
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"shards/{name}-*.tar"} for name in contents.splits],
            }
        ],
    }


def _text(contents: Contents, repository: str) -> Iterator[str]:
    yield f"# {escaped(contents.name)}"
    yield ""
    yield description(contents)
    if not contents.is_synthetic:
        yield ""
        yield (
            "> **These are photos of real people.** Keep the repository private, or gate it: on its settings page, "
            "require that you approve each request for access. Whoever has a copy has to delete a person when you do."
        )
    yield from _section("Splits", _splits(contents))
    yield from _section("People, and on what basis", _people(contents))
    yield from _section("What the photos show", _coverage(contents))
    yield from _section("How it was made", _making(contents))
    yield from _section("Files, and how to read them", _files(contents, repository))
    yield from _section("Removing a person", _removal(contents))
    yield from _section("Personal data", [f"- {line}" for line in sensitive(contents)])
    yield from _section("Uses and limits", [f"- {line}" for line in (*uses(contents), *limitations(contents))])
    yield from _section("Licence", _licence(contents))


def _section(title: str, lines: Any) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from lines


def _splits(contents: Contents) -> Iterator[str]:
    rows = [
        (code(name), len(split.people), split.photos, len(split.tars), size(split.bytes))
        for name, split in contents.splits.items()
    ]
    yield from table(("split", "people", "photos", "tars", "size"), rows)
    yield ""
    yield "Splits are by person: nobody is in two of them."


def _people(contents: Contents) -> Iterator[str]:
    split_of = contents.split_of
    shown = sorted(contents.basis)[:_MAX_PEOPLE]
    rows = []
    for person in shown:
        basis = contents.basis[person]
        row = (code(person), code(split_of[person]), contents.photos_of[person])
        rows.append((*row, escaped(basis.basis), escaped(basis.by or ""), basis.until or ""))
    yield from table(("person", "split", "photos", "basis", "recorded by", "until"), rows)
    if (more := len(contents.basis) - len(shown)) > 0:
        yield ""
        yield f"{words.people(more)} more are in `samples.parquet`."
    known = Counter(basis.basis for basis in contents.basis.values() if basis.basis in BASES)
    yield ""
    for word in known:
        yield f"- {code(word)}: {BASES[word or '']}"
    yield ""
    yield (
        "A person is named by a slug, here, in the keys of the samples and in their JSON; it may be made of the "
        "person's name. After the day under \"until\", if there is one, the person's photos may no longer be used."
    )


def _coverage(contents: Contents) -> Iterator[str]:
    rows = [(part, f"{100 * count / contents.photos:.0f} %") for part, count in contents.visible.most_common()]
    yield from table(("visible", "of the photos"), rows)
    yield ""
    shortest, longest = contents.sides
    yield (
        f"{contents.captioned} of {contents.photos} photos have a caption. Sides are {shortest} to {longest} pixels. "
        "A part of the body is visible if one of its keypoints has a confidence of at least 0.5."
    )


def _making(contents: Contents) -> Iterator[str]:
    yield collection(contents)
    yield ""
    yield from (f"- {line}" for line in preprocessing(contents))
    yield ""
    yield "Thresholds that decided which photos are in:"
    yield ""
    defaults = Filter().model_dump(mode="json")
    given = contents.lock["thresholds"]
    rows = [
        (code(name), code(_toml(given[name])), "" if given[name] == default else code(_toml(default)))
        for name, default in defaults.items()
        if given.get(name) is not None
    ]
    yield from table(("threshold", "value", "default, if it differs"), rows)
    yield ""
    yield "Models that measured and captioned them, with the licences of their weights:"
    yield ""
    rows = [(escaped(model["name"]), escaped(model["licence"]), code(model["id"])) for model in _models(contents)]
    yield from table(("model", "licence", "id"), rows)
    if trigger := (contents.lock.get("captioner") or {}).get("trigger"):
        yield ""
        yield f"Every caption begins with the trigger word {code(trigger)}."
    yield ""
    lock = code(contents.lock_sha256)
    yield f"Written by bolid {version('bolid')}; the dataset's lock is {lock}, which adapters record."


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _models(contents: Contents) -> list[dict[str, Any]]:
    """Without the marks of sites, which are models too, and name a host."""
    return [model for model in contents.lock["models"] if not model["id"].startswith("site-mark")]


def _files(contents: Contents, repository: str) -> Iterator[str]:
    rows = [
        ("`shards/*.tar`", "WebDataset: of each sample `<key>.jpg`, `<key>.txt` (the caption) and `<key>.json`"),
        ("`samples.parquet`", "a row per sample: key, person, split, shard, sha256, size, caption, keypoints"),
        ("`croissant.json`", "the description that Croissant's readers use"),
    ]
    if contents.with_lock:
        rows += [
            ("`dataset.lock.json`", "pins photos, their addresses, models, thresholds and the sha256 of every tar"),
            (
                "`measurements.parquet`",
                "what was measured; with it, `bolid rebuild` makes the dataset again from the lock",
            ),
            ("`shards/index.duckdb`", "locates each sample; `bolid train` reads it"),
        ]
    yield from table(("file", "content"), rows)
    yield ""
    split = next(iter(contents.splits))
    yield from ("```python", "from datasets import load_dataset", "")
    yield f'photos = load_dataset("{repository}", split="{split}", streaming=True)'
    yield 'next(iter(photos))["jpg"]'
    yield from ("```", "", "A copy of the repository, as `hf download` makes it, is read by Croissant:", "")
    yield from ("```python", "import mlcroissant", "")
    yield 'records = mlcroissant.Dataset(jsonld="croissant.json").records("samples")'
    yield 'next(iter(records))["samples/image"]'
    yield "```"
    if contents.with_lock:
        yield from ("", "and, as `--data`, by `bolid train`.")


def _removal(contents: Contents) -> Iterator[str]:
    contact = f"Write to {escaped(contents.contact)}" if contents.contact else "Write to the owner of this repository"
    yield (
        f"{contact}, or open a discussion here. The owner runs `bolid forget` and publishes again, and the person is "
        "in none of the new files. Earlier commits have to be deleted too (`HfApi.super_squash_history`), and so does "
        "every copy: whoever downloaded the dataset downloads it again. Models that were trained on the person keep "
        "what they learnt, and have to be trained again."
    )


def _licence(contents: Contents) -> Iterator[str]:
    if contents.licence:
        yield f"The dataset is under {escaped(contents.licence)}."
        return
    if contents.is_synthetic:
        yield "None is granted."
        return
    yield (
        "None is granted beyond what the people in the table agreed to. The photos may be used for that alone, and as "
        "long as it lasts."
    )
