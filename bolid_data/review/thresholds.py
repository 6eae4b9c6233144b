"""The thresholds of `[filter]` as sliders: their range, meaning and place among the photos; what others would change;
and their way into the manifest."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bolid_data.curate.judge.preview import distributions, preview
from bolid_data.curate.judge.rules import RULES
from bolid_data.curate.run import rejudge
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter, Manifest
from bolid_data.review.manifest_file import ManifestFile

_NO_SLIDER = ("background", "turn_sideways")
_STEPS = 200  # of a slider, about


def describe(manifest: Manifest, dataset: Dataset) -> list[dict[str, Any]]:
    """Every numeric threshold, in the manifest's order: key, text, value, default, range, step, the reasons that it
    gives, the side that is out, and the histogram of what it is compared with. Raises UsageError before anything is
    measured."""
    histograms = distributions(dataset.catalog, manifest.filter)
    schema = Filter.model_json_schema()["properties"]
    keys = [key for key in Filter.model_fields if key not in _NO_SLIDER]
    return [_describe(key, schema[key], manifest.filter, histograms.get(key)) for key in keys]


def preview_of(manifest: Manifest, dataset: Dataset, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest's thresholds would change, with these in their place."""
    return preview(dataset.catalog, changed(manifest.filter, values))


def apply(file: ManifestFile, dataset: Dataset, values: Mapping[str, Any]) -> dict[str, Any]:
    """Writes thresholds into the manifest, and judges by it, as `bolid filter --rejudge` does."""
    thresholds = changed(file.current().filter, values)
    written = {key: value if value is None else getattr(thresholds, key) for key, value in values.items()}
    return rejudge(file.set("filter", written) if written else file.current(), dataset)


def changed(thresholds: Filter, values: Mapping[str, Any]) -> Filter:
    """Thresholds with some replaced; None for a key's default. Raises UsageError for a value that a manifest may not
    have."""
    kept = {key: value for key, value in thresholds.model_dump().items() if values.get(key, "") is not None}
    typed = {key: _typed(key, value) for key, value in values.items() if value is not None}
    try:
        return Filter.model_validate(kept | typed)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _typed(key: str, value: Any) -> Any:
    """JSON of a browser has no integers: 4.0 is 4 where the manifest wants one."""
    if isinstance(value, float) and value.is_integer() and _is_integer(key):
        return int(value)
    return value


def _is_integer(key: str) -> bool:
    schema = Filter.model_json_schema()["properties"].get(key, {})
    return "integer" in [schema.get("type"), *(option.get("type") for option in schema.get("anyOf", ()))]


def _describe(key: str, schema: dict[str, Any], thresholds: Filter, histogram: dict[str, Any] | None) -> dict[str, Any]:
    options = [schema, *schema.get("anyOf", ())]
    number = next(option for option in options if option.get("type") in ("integer", "number"))
    value = getattr(thresholds, key)
    low, high = number.get("minimum", number.get("exclusiveMinimum")), number.get("maximum")
    shown = [histogram["low"], histogram["high"]] if histogram else []
    if high is None:
        highest = max([*shown, value or 0, 1])
        high = math.ceil(highest) if number["type"] == "integer" else highest
    if low is None:
        low = min([*shown, value or 0])
    rules = [rule for rule in RULES if rule.threshold == key]
    step = 1 if number["type"] == "integer" else 10 ** math.floor(math.log10((high - low) / _STEPS or 1))
    return {
        "key": key, "text": schema.get("description", ""), "value": value, "default": Filter.model_fields[key].default,
        "low": low, "high": high, "step": step, "optional": any(option.get("type") == "null" for option in options),
        "reasons": list(dict.fromkeys(rule.reason for rule in rules)),
        "out_below": any(rule.op in ("<", "<=") for rule in rules), "histogram": histogram,
    }  # fmt: skip
