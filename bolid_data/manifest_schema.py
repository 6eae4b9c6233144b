"""The manifest's JSON schema, for editors, and docs/settings.md, which is made from it."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from bolid_data.manifest import Manifest

Schema = dict[str, Any]

_INTRODUCTION = """\
All keys of a manifest, written by `make docs` from the classes of `bolid_data/manifest.py` and of
`bolid_train/methods/<method>/settings.py`. `bolid schema` prints the same as a JSON schema. With
`bolid schema > manifest.schema.json`, and `#:schema manifest.schema.json` as a manifest's first line, an editor with a
TOML language server (taplo, Even Better TOML) completes and checks it."""


class _WithoutTitles(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # "Min Width" tells no more than the key


def schema(model: type[Manifest] = Manifest) -> Schema:
    """The manifest's JSON schema (draft 2020-12). `model`: the manifest's, with the tables of methods."""
    made = _tidied(model.model_json_schema(schema_generator=_WithoutTitles))
    for section in made["$defs"].values():
        section.pop("title", None)
    return {"$schema": GenerateJsonSchema.schema_dialect} | made | {"title": "A BoLID manifest"}


def _tidied(node: Any) -> Any:
    """The schema without null, which TOML does not have, and without the defaults of whole tables."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _tidied(value) for key, value in node.items()}
    if options := [option for option in node.pop("anyOf", []) if option != {"type": "null"}]:
        node |= options[0] if len(options) == 1 else {"anyOf": options}
    if "default" in node and (node["default"] is None or "$ref" in node):
        del node["default"]
    return node


def settings_page(model: type[Manifest] = Manifest) -> str:
    """Every key of a manifest with type, range, default and meaning, as Markdown."""
    made = schema(model)
    lines = ["# Settings", "", _INTRODUCTION]
    for title, section, keys in _tables(made, made, ""):
        description = section.get("description", "")
        lines += ["", f"## {title or 'Top level'}", "", *([_escaped(description), ""] if title and description else [])]
        lines += ["| key | values | default | |", "| --- | --- | --- | --- |"]
        for key in keys:
            details = section["properties"][key]
            default = f"`{_toml(details['default'])}`" if "default" in details else ""
            if key in section.get("required", ()):
                default = "required"
            cells = (f"`{key}`", _values(details), default, _escaped(details.get("description", "")))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _tables(
    made: dict[str, Any], section: dict[str, Any], name: str
) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """The title of a table of the manifest, its schema and its plain keys; then the same of the tables in it."""
    inner = {key: sections for key, value in section["properties"].items() if (sections := _sections(made, value))}
    kind = section["properties"].get("kind", {}).get("const")
    if keys := [key for key in section["properties"] if key not in inner]:
        keys.sort(key=lambda key: key not in section.get("required", ()))  # required keys first
        yield name and f"`[{name}]`" + (f" with `kind = {_toml(kind)}`" if kind else ""), section, keys
    for key, sections in inner.items():
        one_each = ".<slug>" if "patternProperties" in section["properties"][key] else ""
        for table in sections:
            yield from _tables(made, table, f"{name}.{key}{one_each}".lstrip("."))


def _sections(made: Schema, details: Schema) -> list[Schema]:
    """The tables that a key may hold, also one for each person; none for a plain value."""
    options = [details, *details.get("oneOf", []), *details.get("patternProperties", {}).values()]
    references = [option["$ref"] for option in options if "$ref" in option]
    return [made["$defs"][reference.removeprefix("#/$defs/")] for reference in references]


def _values(details: Schema) -> str:
    """The type and range of a value, in words."""
    if "const" in details:
        return f"`{_toml(details['const'])}`"
    if "enum" in details:
        return ", ".join(f"`{_toml(value)}`" for value in details["enum"])
    if "anyOf" in details:
        return " or ".join(_values(option) for option in details["anyOf"])
    match details.get("type"):
        case "array":
            return f"list of {_values(details['items'])}"
        case "object":
            return f"table of {_values(details['additionalProperties'])}"
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "date" if details.get("format") == "date" else "text"
    ranges = (
        ("minimum", "≥ "), ("exclusiveMinimum", "> "), ("maximum", "≤ "), ("exclusiveMaximum", "< "),
        ("multipleOf", "multiple of "),
    )  # fmt: skip
    limits = [f"{sign}{details[name]}" for name, sign in ranges if name in details]
    return ", ".join([{"integer": "integer", "number": "number"}.get(details.get("type", ""), "any"), *limits])


def _escaped(text: str) -> str:
    """A text in one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "&#124;")


def _toml(value: Any) -> str:
    """A value as a manifest has it."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}" if value else "{}"
    if isinstance(value, float):
        return f"{value:.6g}" if value != int(value) else f"{value:.1f}"
    return json.dumps(value, ensure_ascii=False)
