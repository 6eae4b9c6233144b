"""The terminal output of `bolid filter`, `bolid status` and `bolid explain`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.table import Column, Table

from bolid_data import words
from bolid_data.curate.judge import explain
from bolid_data.curate.judge.framing import FACINGS, FRAMINGS
from bolid_data.dataset import Dataset
from bolid_data.printable import say
from bolid_data.progress import note
from bolid_data.report.photo_list import DECIDED
from bolid_data.report.tables import cells, print_table
from bolid_data.stale import decisions_since_lock, find_stale

COVERAGE = tuple(f"{framing} {facing}" for framing in FRAMINGS for facing in FACINGS)
"""The combinations of framing and facing that a person's photos should cover."""

_COUNTS = ("listed", "stored", "failed", "judged", "kept", "captioned")
_COLUMNS = ("listed", "stored", "kept")  # what fits a terminal beside the reasons

MAX_PEOPLE = 100
"""People that a table on the terminal has at most: nobody reads more, and laying out thousands takes half a minute."""


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


def print_status(status: dict[str, Any], people: int = 1) -> None:
    """`people` is the number of people that a photo should show, of `[filter]`."""
    table = Table(Column("person", no_wrap=True), *_COLUMNS, "out because", "not fetched")
    for column in table.columns[1:-2]:
        column.justify = "right"
    rows = _fewest_kept(status["people"])
    for row in [*rows, {"person": "all", "state": "listed"} | status["total"]]:
        person = row["person"] if row["state"] == "listed" else f"{row['person']} ({row['state']})"
        why = (_counted(row[kind], people) for kind in ("reasons", "unfetched"))
        table.add_row(*cells(person, *(row[column] or 0 for column in _COLUMNS), *why))
    print_table(table)
    _print_coverage(status["people"])
    if len(rows) < len(status["people"]):
        say(f"{len(rows)} of {len(status['people'])} people, those with the fewest kept photos; --json has everyone")
    todo = ", ".join(f"`bolid {step}` for {words.photos(number)}" for step, number in steps_left(status))
    _print_stale(status["stale"])
    if status["decisions"]:
        say(f"decided by hand since the shards were written: {status['decisions']}; `bolid shard` follows")
    say(f"left to do: {todo or 'nothing'}")


def _fewest_kept(people: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The people to show: all, or of too many those with the fewest kept photos, who need more photos or other
    thresholds."""
    return people if len(people) <= MAX_PEOPLE else sorted(people, key=lambda row: row["kept"])[:MAX_PEOPLE]


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
    kept = _fewest_kept([row for row in people if row["kept"]])
    if not kept:
        return
    title = f"kept photos by facing: {' · '.join(FACINGS)}"
    table = Table(Column("person", no_wrap=True), *(framing.replace("_", " ") for framing in FRAMINGS), title=title)
    for row in kept:
        counts = ([str(row["views"].get(f"{framing} {facing}", "–")) for facing in FACINGS] for framing in FRAMINGS)
        table.add_row(*cells(row["person"], *(" · ".join(numbers) for numbers in counts)))
    print_table(table)


def print_funnel(funnel: dict[str, Any], people: int = 1) -> None:
    """For each reason, how many photos have it and how many are left after it; `people` as in `print_status`."""
    table = Table("reason", "photos", "left")
    for column in table.columns[1:]:
        column.justify = "right"
    left = funnel["photos"]
    table.add_row("collected", str(left), str(left))
    for reason, photos in funnel["reasons"].items():
        left -= funnel["leaving"][reason]
        table.add_row(*cells(reason_words(reason, people), photos, left))
    table.add_row("kept", "", str(funnel["kept"]))
    print_table(table)
    if (funnel["gained"] and funnel["gained"] < funnel["kept"]) or funnel["lost"]:
        lines = (f"+{funnel['gained']} kept{_by('were', funnel['gained_by'], people)}",
                 f"−{funnel['lost']}{_by('are now', funnel['lost_by'], people)}")  # fmt: skip
        say(f"against the last judgement: {', '.join(lines)}")


def reason_words(reason: str, people: int) -> str:
    """A reason in words that are right for photos of several people, too."""
    several = {"no_person": f"fewer than {people} people", "several_people": f"more than {people} people"}
    return reason if people == 1 else several.get(reason, reason)


def _counted(reasons: dict[str, int], people: int) -> str:
    return ", ".join(f"{reason_words(reason, people)} {photos}" for reason, photos in reasons.items())


def _by(word: str, reasons: dict[str, int], people: int) -> str:
    counts = _counted(dict(sorted(reasons.items(), key=lambda item: -item[1])), people)
    return f" ({word} {counts})" if counts else ""


def print_explanation(explanation: dict[str, Any]) -> None:
    photo = explanation["photo"]
    say(f"{photo['sha256']}  {photo['format']} {photo['width']}×{photo['height']}, {photo['bytes']} bytes")
    for sighting in explanation["sightings"]:
        since = f", gone since {sighting['gone_at']}" if sighting["gone_at"] else ""
        consent = f", {sighting['consent']}" if sighting["consent"] else ""
        say(f"seen as {sighting['person']} at {sighting['url']} ({sighting['fetched_at']}{since}{consent})")
    people = next((int(rule["limit"]) for rule in explanation["rules"] if rule["threshold"] == "people"), 1)
    for verdict in explanation["verdicts"]:
        reasons = ", ".join(reason_words(reason, people) for reason in verdict["reasons"])
        say(f"{verdict['person']}: {'kept' if verdict['kept'] else f'out: {reasons}'}")
    for entry in explanation["decisions"]:
        undone = ", undone since" if entry["undone"] else ""
        why = f": {entry['why']}" if entry["why"] else ""
        decision = f"{DECIDED[entry['what']]} by hand by {entry['who'] or 'somebody'} at {entry['decided_at']}"
        say(f"{entry['person']}: {decision}{undone}{why}")
    several = len(explanation["verdicts"]) > 1
    table = Table(*(["person"] if several else []), "reason", "measured", "out if", "margin", "")
    measured = {(rule["person"], rule["reason"]) for rule in explanation["rules"] if rule["value"] is not None}
    for rule in explanation["rules"]:
        if rule["value"] is None and (rule["limit"] is None or _is_other_case(rule, measured)):
            continue  # neither limited nor measured, or meant for photos of other hosts
        value = "not measured" if rule["value"] is None else f"{rule['fact']} = {rule['value']:.4g}"
        margin = "" if rule["margin"] is None else f"{rule['margin']:+.4g}"
        limit = "off" if rule["limit"] is None else f"{rule['out_if']} {rule['limit']:g}"
        row = [
            reason_words(rule["reason"], people),
            value,
            f"{limit} ({rule['threshold']})",
            margin,
            "out" if rule["out"] else "",
        ]
        table.add_row(*cells(*([rule["person"]] if several else []), *row))
    print_table(table)
    for turn in explanation["turns"]:
        word = "in" if turn["kept"] else "out"
        change = f"{turn['to']:.5g} instead of {turn['from']:g}"
        say(f"{turn['person']}: alone, {turn['threshold']} = {change} would put it {word}")
    for row in explanation["people"] if len(explanation["people"]) > 1 else []:
        say(_describe_person(row))
    for row in explanation["detections"]:
        box = ", ".join(f"{value:.0f}" for value in row["box"])
        say(f"{row['kind']} {row['score']:.2f} at [{box}] by {row['model']}")
    for row in explanation["site_marks"]:
        say(f"{row['score']:.2f} like the mark of {row['host']}, {row['model']}")
    for row in explanation["near"]:
        say(f"{row['distance']} bits from {row['sha256']}")
    for row in explanation["captions"]:
        name = f" ({row['prompt']})" if row["prompt"] else ""
        say(f"caption by {row['model']}{name}{', in use' if row['used'] else ''}: {row['caption']}")
    if broken := next((rule["broken"] for rule in explanation["rules"] if rule["broken"]), None):
        say(f"broken: {broken}")


def _describe_person(row: dict[str, Any]) -> str:
    sharpness = row["relative_sharpness"]
    traits = [f"{row['prominence']:.2g} of the largest, of at least {row['min_prominence']:g} ({row['margin']:+.2g})"]
    traits += [f"sharpness {sharpness:.2g} of the largest's"] if sharpness is not None else []
    traits += ["cut by the edge"] if row["cut"] else []
    box = ", ".join(f"{value:.0f}" for value in row["box"])
    return (
        f"person {row['score']:.2f} at [{box}] {'counts' if row['counts'] else 'is a bystander'}: {', '.join(traits)}"
    )


def _is_other_case(rule: dict[str, Any], measured: set[tuple[str, str]]) -> bool:
    """Whether a rule on watermarks is for other hosts than the photo's: one of the three applies to each photo."""
    by_default = rule["threshold"] == "max_watermark"
    judged = (rule["person"], rule["reason"]) in measured
    return rule["reason"] == "watermarked" and (judged or not by_default)


__all__ = ["explain", "print_explanation", "print_funnel", "print_status", "status", "steps_left"]
