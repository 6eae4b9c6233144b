"""Keys of a manifest that have moved to another table: manifests may still have them where they were."""

from collections.abc import Iterator, Mapping
from typing import Any

Keys = tuple[str, ...]
"""The keys that lead to a value."""


def move(table: Mapping[str, Any], moved: Mapping[Keys, Keys]) -> dict[str, Any]:
    """The table with each value of an old place at its new one. Raises ValueError for a value that is in both."""
    result = dict(table)
    for old, new in moved.items():
        if _has(result, old):
            if _has(result, new):
                raise ValueError(f"{'.'.join(old)} is also given as {'.'.join(new)}; keep the latter")
            result, value = _without(result, old)
            result = _with(result, new, value)
    return result


def old_places(table: Any, moved: Mapping[Keys, Keys]) -> Iterator[tuple[Keys, Keys]]:
    """The old and the new place of each value that the table has at an old one."""
    return ((old, new) for old, new in moved.items() if _has(table, old))


def _has(table: Any, keys: Keys) -> bool:
    for key in keys:
        if not isinstance(table, dict) or key not in table:
            return False
        table = table[key]
    return True


def _without(table: dict[str, Any], keys: Keys) -> tuple[dict[str, Any], Any]:
    first, *rest = keys
    if not rest:
        return {key: value for key, value in table.items() if key != first}, table[first]
    inner, value = _without(table[first], tuple(rest))
    return table | {first: inner}, value


def _with(table: dict[str, Any], keys: Keys, value: Any) -> dict[str, Any]:
    first, *rest = keys
    inner = table.get(first, {})
    if rest and not isinstance(inner, dict):
        return table  # a mistake that is reported as such
    return table | {first: _with(inner, tuple(rest), value) if rest else value}
