"""The terminal output of `bolid filter`, `bolid status` and `bolid explain`."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bolid_data import words
from bolid_data.curate.judge import explain
from bolid_data.curate.judge.framing import FACINGS, FRAMINGS
from bolid_data.dataset import Dataset
from bolid_data.printable import printable, say
from bolid_data.progress import note
from bolid_data.report.photo_list import DECIDED
from bolid_data.stale import decisions_since_lock, find_stale

COVERAGE = tuple(f"{framing} {facing}" for framing in FRAMINGS for facing in FACINGS)
"""The combinations of framing and facing that a person's photos should cover."""

_COUNTS = ("listed", "stored", "failed", "judged", "kept", "captioned")
_COLUMNS = ("listed", "stored", "kept")  # what fits a terminal beside the reasons


def status(dataset: Dataset) -> dict[str, Any]:
    """What is done and what is left, per person and in total."""
    people = dataset.catalog.summary()
    for row in people:
        row["missing_views"] = [view for view in COVERAGE if view not in row["views"]] if row["kept"] else []
    total: dict[str, Any] = {count: sum(row[count] or 0 for row in people) for count in _COUNTS}
    for key in ("reasons", "unfetched", "views"):
        total[key] = Counter()
        for row in people:
            total[key].update(row[key])
    stale = find_stale(dataset)
    if stale.problem:
        note(f"status: {stale.problem}")
    return {
        "people": people,
        "total": total,
        "locked": dataset.lock.exists(),
        "decisions": decisions_since_lock(dataset),  # that the shards lack
        "stale": stale.summary(),
    }


def steps_left(status: dict[str, Any]) -> list[tuple[str, int]]:
    """The commands that are left to run, in their order, each with the number of photos."""
    total = status["total"]
    is_outdated = not status["locked"] or status["stale"]["photos"] or status["decisions"]
    steps = [
        ("filter", total["stored"] - total["judged"]),
        ("caption", total["kept"] - total["captioned"]),
        ("shard", total["kept"] if is_outdated else 0),
    ]
    return [(step, photos) for step, photos in steps if photos > 0]


def next_steps(status: dict[str, Any]) -> list[str]:
    """The commands that bring the shards up to date, in their order; each needs those after it."""
    steps = ["filter", "caption", "shard"]
    first = next((step for step, _ in steps_left(status)), None)
    return steps[steps.index(first) :] if first else []


def print_status(status: dict[str, Any]) -> None:
    table = Table("person", *_COLUMNS, "out because", "not fetched")
    for column in table.columns[1:-2]:
        column.justify = "right"
    for row in [*status["people"], {"person": "all", "state": "listed"} | status["total"]]:
        person = row["person"] if row["state"] == "listed" else f"{row['person']} ({row['state']})"
        why = (", ".join(f"{reason} {n}" for reason, n in row[kind].items()) for kind in ("reasons", "unfetched"))
        table.add_row(*_cells(person, *(row[column] or 0 for column in _COLUMNS), *why))
    _show(table)
    _print_coverage(status["people"])
    todo = ", ".join(f"`bolid {step}` for {words.photos(number)}" for step, number in steps_left(status))
    _print_stale(status["stale"])
    if status["decisions"]:
        say(f"decided by hand since the shards were written: {status['decisions']}; `bolid shard` follows")
    say(f"left to do: {todo or 'nothing'}")


def _print_stale(stale: dict[str, Any]) -> None:
    """What was made from photos that have since been withdrawn."""
    if stale["photos"]:
        why = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in sorted(stale["reasons"].items()))
        places = ", ".join([f"shards/{name}" for name in stale["shards"]] + stale["features"])
        number = words.photos(stale["photos"])
        say(f"stale: {number} in {places} withdrawn since ({why}); `bolid dataset` leaves them out")
    if stale["runs"]:
        say(f"stale runs, trained on what was withdrawn: {', '.join(stale['runs'])}")


def _print_coverage(people: list[dict[str, Any]]) -> None:
    """How many kept photos of each person have which framing and facing; gaps show what to collect."""
    kept = [row for row in people if row["kept"]]
    if not kept:
        return
    title = f"kept photos by facing: {' · '.join(FACINGS)}"
    table = Table("person", *(framing.replace("_", " ") for framing in FRAMINGS), title=title)
    for row in kept:
        counts = ([str(row["views"].get(f"{framing} {facing}", "–")) for facing in FACINGS] for framing in FRAMINGS)
        table.add_row(*_cells(row["person"], *(" · ".join(numbers) for numbers in counts)))
    _show(table)


def print_funnel(funnel: dict[str, Any]) -> None:
    """For each reason, how many photos have it and how many are left after it."""
    table = Table("reason", "photos", "left")
    for column in table.columns[1:]:
        column.justify = "right"
    left = funnel["photos"]
    table.add_row("collected", str(left), str(left))
    for reason, photos in funnel["reasons"].items():
        left -= funnel["leaving"][reason]
        table.add_row(*_cells(reason, photos, left))
    table.add_row("kept", "", str(funnel["kept"]))
    _show(table)
    if (funnel["gained"] and funnel["gained"] < funnel["kept"]) or funnel["lost"]:
        lines = (f"+{funnel['gained']} kept{_by('were', funnel['gained_by'])}",
                 f"−{funnel['lost']}{_by('are now', funnel['lost_by'])}")  # fmt: skip
        say(f"against the last judgement: {', '.join(lines)}")


def _show(table: Table) -> None:
    Console().print(table)


def _cells(*values: object) -> list[Text]:
    """Cells of a table, as plain text: `[…]` in a name is not markup."""
    return [Text(printable(value)) for value in values]


def _by(word: str, reasons: dict[str, int]) -> str:
    counts = ", ".join(f"{reason} {photos}" for reason, photos in sorted(reasons.items(), key=lambda item: -item[1]))
    return f" ({word} {counts})" if counts else ""


def print_explanation(explanation: dict[str, Any]) -> None:
    photo = explanation["photo"]
    say(f"{photo['sha256']}  {photo['format']} {photo['width']}×{photo['height']}, {photo['bytes']} bytes")
    for sighting in explanation["sightings"]:
        since = f", gone since {sighting['gone_at']}" if sighting["gone_at"] else ""
        consent = f", {sighting['consent']}" if sighting["consent"] else ""
        say(f"seen as {sighting['person']} at {sighting['url']} ({sighting['fetched_at']}{since}{consent})")
    for verdict in explanation["verdicts"]:
        say(f"{verdict['person']}: {'kept' if verdict['kept'] else 'out: ' + ', '.join(verdict['reasons'])}")
    for entry in explanation["decisions"]:
        undone = ", undone since" if entry["undone"] else ""
        why = f": {entry['why']}" if entry["why"] else ""
        said = f"{DECIDED[entry['what']]} by hand by {entry['who'] or 'somebody'} at {entry['decided_at']}"
        say(f"{entry['person']}: {said}{undone}{why}")
    several = len(explanation["verdicts"]) > 1
    table = Table(*(["person"] if several else []), "reason", "measured", "out if", "margin", "")
    for rule in explanation["rules"]:
        if rule["limit"] is None and rule["value"] is None:
            continue  # neither limited nor measured
        value = "not measured" if rule["value"] is None else f"{rule['fact']} = {rule['value']:.4g}"
        margin = "" if rule["margin"] is None else f"{rule['margin']:+.4g}"
        limit = "off" if rule["limit"] is None else f"{rule['out_if']} {rule['limit']:g}"
        row = [rule["reason"], value, f"{limit} ({rule['threshold']})", margin, "out" if rule["out"] else ""]
        table.add_row(*_cells(*([rule["person"]] if several else []), *row))
    _show(table)
    for turn in explanation["turns"]:
        word = "in" if turn["kept"] else "out"
        change = f"{turn['to']:.5g} instead of {turn['from']:g}"
        say(f"{turn['person']}: alone, {turn['threshold']} = {change} would put it {word}")
    for row in explanation["detections"]:
        box = ", ".join(f"{value:.0f}" for value in row["box"])
        say(f"{row['kind']} {row['score']:.2f} at [{box}] by {row['model']}")
    for row in explanation["near"]:
        say(f"{row['distance']} bits from {row['sha256']}")
    for row in explanation["captions"]:
        name = f" ({row['prompt']})" if row["prompt"] else ""
        say(f"caption by {row['model']}{name}{', in use' if row['used'] else ''}: {row['caption']}")
    if broken := next((rule["broken"] for rule in explanation["rules"] if rule["broken"]), None):
        say(f"broken: {broken}")


__all__ = ["explain", "print_explanation", "print_funnel", "print_status", "status", "steps_left"]
