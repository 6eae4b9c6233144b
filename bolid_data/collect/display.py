"""Progress of a crawl: a live panel on a terminal, an occasional plain line elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from bolid_data.collect.stats import CrawlStats
from bolid_data.progress import console, note
from bolid_data.words import counted, people, photos

PLAIN_EVERY = 15.0
"""Seconds between plain lines."""


@contextmanager
def display(stats: CrawlStats) -> Iterator[None]:
    """Shows the stats of a crawl while it runs."""
    if console.is_terminal:
        with Live(get_renderable=lambda: _panel(stats), console=console, refresh_per_second=4, transient=True):
            yield
        return
    done = threading.Event()

    def lines() -> None:
        while not done.wait(PLAIN_EVERY):
            note(f"scrape: {line(stats)}")

    thread = threading.Thread(target=lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def line(stats: CrawlStats) -> str:
    """The stats in one line: what was collected, in what time, and what was not fetched."""
    parts = [people(stats.people), f"{photos(stats.new)} new ({decimal(stats.bytes)})"]
    for words, count in (
        ("already had", stats.known),
        ("unchanged", stats.unchanged),
        ("changed", stats.changed),
        ("gone", stats.gone),
        ("opted out", stats.opted_out),
    ):
        if count:
            parts.append(f"{count} {words}")
    if stats.skipped_people:
        parts.append(f"{people(stats.skipped_people)} skipped")
    parts.append(f"{counted(stats.requests, 'request')} in {clock(stats.seconds)}")
    return ", ".join(parts) + (f"; not fetched: {reasons(stats)}" if stats.reasons else "")


def reasons(stats: CrawlStats) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(stats.reasons.items()))


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _panel(stats: CrawlStats) -> Table:
    seconds = max(stats.seconds, 1e-3)
    grid = Table.grid(padding=(0, 2))
    grid.add_row("people", f"{stats.people}" + (f" ({stats.skipped_people} skipped)" if stats.skipped_people else ""))
    grid.add_row("photos", _checked(stats))
    grid.add_row("", f"{stats.new} new, {stats.known} already had")
    speed = f"{stats.new / seconds:.1f} photos/s, {decimal(int(stats.received / seconds))}/s"
    grid.add_row("bytes", f"{decimal(stats.received)} ({speed})")
    grid.add_row("not fetched", reasons(stats) or "–")
    grid.add_row("time", clock(seconds) + _time_left(stats, seconds))
    return grid


def _checked(stats: CrawlStats) -> Table | str:
    """How many photos were checked; of how many, once that is known for the whole crawl."""
    if not stats.all_listed:
        return f"{stats.visited} checked"
    checked = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(stats.expected, 1), completed=stats.visited, width=30)
    checked.add_row(bar, f"{stats.visited} of {stats.expected} checked")
    return checked


def _time_left(stats: CrawlStats, seconds: float) -> str:
    """The time that is left for the whole crawl, where that can be told."""
    left = stats.expected - stats.visited
    can_tell = stats.all_listed and stats.visited and left > 0
    return f", about {clock(left * seconds / stats.visited)} left" if can_tell else ""
