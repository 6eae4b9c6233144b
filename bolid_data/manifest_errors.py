"""Words the mistakes of a manifest: all of them at once, each with its place."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

KINDS = ("theplace", "folder", "urls")
"""The values of `[source] kind`."""

_MAX_SHOWN = 20

Mistake = tuple[tuple[str, ...], str]
"""The keys that lead to a value, and what is wrong with it."""


def explain(path: Path, text: str, mistakes: Iterable[Mistake], options: Iterable[str] = ()) -> list[str]:
    """One line per mistake, in the order of the file: `file:line: key: what is wrong`.

    A mistake in a key of `[source]` that a command's option has set (`options`) is the option's, and has no line.
    """
    lines: dict[tuple[str, ...], tuple[int, str]] = {}
    for keys, message in mistakes:
        if len(keys) > 1 and keys[0] == "source" and keys[1] in options:
            option = f"--{keys[1].replace('_', '-')}"
            lines.setdefault(keys, (0, f"{option}: {message.replace('no such key', 'no such setting')}"))
        else:
            number = _line(text, keys)
            lines.setdefault(keys, (number, f"{path}:{number}: {'.'.join(keys) or 'manifest'}: {message}"))
    explained = [line for _, line in sorted(lines.values(), key=lambda numbered: numbered[0])]
    if len(explained) > _MAX_SHOWN:
        explained[_MAX_SHOWN:] = [f"{path}: {len(explained) - _MAX_SHOWN} more mistakes"]
    return explained


def mistakes_of(error: ValidationError, kind: object, schema: dict[str, Any]) -> list[Mistake]:
    """The mistakes that pydantic found; `kind` is the source's, and `schema` the manifest's JSON schema."""
    return [_mistake(details, kind, schema) for details in error.errors(include_url=False)]


def _mistake(details: Any, kind: object, schema: dict[str, Any]) -> Mistake:
    # pydantic adds the union's branch ("theplace") to the location of an error; the file has no such key.
    branch = kind if details["loc"][:1] == ("source",) and kind in KINDS else None
    keys = tuple(str(key) for i, key in enumerate(details["loc"]) if not (i == 1 and key == branch))
    keys = tuple(key for key in keys if not key.startswith(("dict[", "constrained-", "[key]")))
    if details["type"].startswith("union_tag"):
        return ("source", "kind"), f"must be one of {', '.join(KINDS)}"
    if details["type"] == "missing":
        return keys, "is missing" if keys != ("source",) else "[source] with a kind is missing"
    if details["type"] == "extra_forbidden":
        for_kind = f" for kind '{kind}'" if branch and len(keys) == 2 else ""
        nearest = difflib.get_close_matches(keys[-1], _known_keys(keys[:-1], kind, schema), n=1)
        return keys, f"no such key{for_kind}" + (f"; did you mean {nearest[0]}?" if nearest else "")
    if details["type"] == "value_error":
        return keys, details["msg"].removeprefix("Value error, ")
    return keys, f"{details['msg']} (it is {_short(details['input'])})"


def _known_keys(table: tuple[str, ...], kind: object, schema: dict[str, Any]) -> list[str]:
    """The keys that a table of the manifest may have."""
    section = schema
    for key in table:
        of_each = section.get("patternProperties", {}).values()  # a table for each person
        value: dict[str, Any] = section.get("properties", {}).get(key) or next(iter(of_each), {})
        if "patternProperties" in value:
            section = value
            continue
        references = [option["$ref"] for option in (value, *value.get("oneOf", ())) if "$ref" in option]
        sections = [schema["$defs"][reference.removeprefix("#/$defs/")] for reference in references]
        kinds = [one for one in sections if one["properties"].get("kind", {}).get("const") == kind]
        section = next(iter(kinds or sections), {})
    return list(section.get("properties", {}))


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:99]}…"


def _line(text: str, keys: tuple[str, ...]) -> int:
    """The line of `keys`, or of the nearest table; tomllib does not keep positions."""
    best, depth = 1, 0
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = tuple(part.strip(" \"'") for part in header[1].split("."))
            current = table
        elif assignment := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            current = table + tuple(part.strip(" \"'") for part in assignment[1].split("."))
        else:
            continue
        if current == keys[: len(current)] and len(current) > depth:
            best, depth = number, len(current)
    return best
