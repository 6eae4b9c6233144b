"""What a person sees of a crawl: one live panel on a terminal, a plain line now and then elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from bolid_data.collect.stats import Tally
from bolid_data.progress import console, note

PLAIN_EVERY = 15.0
"""Seconds between two plain lines."""


@contextmanager
def display(tally: Tally) -> Iterator[None]:
    """Shows a tally while it grows."""
    if console.is_terminal:
        with Live(get_renderable=lambda: _panel(tally), console=console, refresh_per_second=4, transient=True):
            yield
        return
    done = threading.Event()

    def lines() -> None:
        while not done.wait(PLAIN_EVERY):
            note(f"scrape: {line(tally)}")

    thread = threading.Thread(target=lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def line(tally: Tally) -> str:
    """A tally in one line: what is there, how fast it came, and what did not come."""
    parts = [f"{tally.people} people", f"{tally.new} photos new ({decimal(tally.bytes)})"]
    for words, count in (
        ("already had", tally.known),
        ("unchanged", tally.unchanged),
        ("changed", tally.changed),
        ("gone", tally.gone),
        ("opted out", tally.opted_out),
        ("people skipped", tally.skipped_people),
    ):
        if count:
            parts.append(f"{count} {words}")
    parts.append(f"{tally.requests} requests in {clock(tally.seconds)}")
    return ", ".join(parts) + (f"; not fetched: {reasons(tally)}" if tally.reasons else "")


def reasons(tally: Tally) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(tally.reasons.items()))


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _panel(tally: Tally) -> Table:
    seconds = max(tally.seconds, 1e-3)
    left = tally.expected - tally.visited
    eta = clock(left * seconds / tally.visited) if tally.visited and left else "–"
    grid = Table.grid(padding=(0, 2))
    photos = Table.grid(padding=(0, 1))
    photos.add_row(
        ProgressBar(total=max(tally.expected, 1), completed=tally.visited, width=30),
        f"{tally.visited} of {tally.expected} looked at",
    )
    grid.add_row("people", f"{tally.people}" + (f" ({tally.skipped_people} skipped)" if tally.skipped_people else ""))
    grid.add_row("photos", photos)
    grid.add_row("", f"{tally.new} new, {tally.known} already had")
    speed = f"{tally.new / seconds:.1f} photos/s, {decimal(int(tally.received / seconds))}/s"
    grid.add_row("bytes", f"{decimal(tally.received)} ({speed})")
    grid.add_row("not fetched", reasons(tally) or "–")
    grid.add_row("time", f"{clock(seconds)}, about {eta} left")
    return grid
