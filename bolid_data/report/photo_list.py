"""The output of `bolid list`, and of the commands that decide on photos."""

import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from bolid_data.printable import one_line, printable_json, say
from bolid_data.report.tables import cells, print_table
from bolid_data.words import photos as photos_word

MAX_ROWS = 1000
"""Rows that a table on the terminal has at most."""

DECIDED = {"keep": "kept", "reject": "rejected", "assign": "assigned", "undo": "decided on no more"}
"""What an entry of the log of decisions did."""


def print_photos(photos: Iterable[dict[str, Any]], total: int) -> None:
    """Prints photos as a table; `total` is the number there are, of which these may be the first."""
    table = Table("person", "photo", "sha256", "verdict", "caption")
    rows = 0
    for photo in photos:
        values = (photo["person"], photo["file"], photo["sha256"][:8], _verdict(photo), photo["caption"] or "")
        table.add_row(*cells(*values))
        rows += 1
    if rows:
        print_table(table)
    if rows < total:
        say(f"{photos_word(rows)} of {total}; narrow them down with --person or --reason, or write all with --out")
    else:
        say(photos_word(total))


def print_photos_as_json(photos: Iterable[dict[str, Any]]) -> None:
    """Prints `{"photos": […]}`. They are read into a temporary file first: whoever reads stdout slowly must not keep
    the catalog from other commands."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        file.write('{"photos": [')
        for number, photo in enumerate(photos):
            file.write(f"{', ' if number else ''}{printable_json(photo)}")
        file.write("]}\n")
        file.seek(0)
        shutil.copyfileobj(file, sys.stdout)


def print_decided(result: dict[str, Any]) -> None:
    """Prints what was undone, if anything, and what the photos are now."""
    for entry in result.get("undone", [])[:MAX_ROWS]:
        say(f"undone: {entry['sha256'][:8]} was {DECIDED[entry['what']]} ({entry['person']})")
    for photo in result["photos"][:MAX_ROWS]:
        say(f"{one_line(photo['file'])} ({photo['sha256'][:8]}) of {photo['person']}: {_verdict(photo)}")
    if len(result["photos"]) > MAX_ROWS:
        say(f"… {photos_word(len(result['photos']))} in all")


def print_log(entries: Sequence[dict[str, Any]]) -> None:
    """Prints the log of decisions."""
    table = Table("", "when", "who", "what", "photo", "person", "why")
    for entry in entries:
        what = f"{entry['what']}{' (undone)' if entry['undone'] else ''}"
        values = (entry["id"], entry["decided_at"], entry["who"] or "", what, entry["sha256"][:8], entry["person"])
        table.add_row(*cells(*values, entry["why"] or ""))
    if entries:
        print_table(table)
    else:
        say("nothing was decided by hand yet")


def _verdict(photo: dict[str, Any]) -> str:
    if photo["kept"] is None:
        return "not judged yet"
    margins = photo.get("margins", {})
    reasons = (f"{reason} {margins[reason]:+.4g}" if reason in margins else reason for reason in photo["reasons"])
    return "kept" if photo["kept"] else f"out: {', '.join(reasons)}"
