"""A crawl of a site with every fault at once: the outcomes, memory and time.

`python -m benchmarks.hostile`; exits with 1 if any claim does not hold.
"""

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bolid_data.dataset import Dataset
from bolid_data.images import BrokenPhotoError, read_upright
from tests.support.fault_site import FAULTS, PAGES, READABLE, Hostile, serve
from tests.support.gallery_site import Site, photo

PHOTOS = 500
PEOPLE = 10  # who have the photos; further people have a fault in their page
MAX_MEMORY = 600
"""MiB."""

MANIFEST = """
name = "hostile"
[source]
kind = "theplace"
base_url = "{base_url}"
min_photos = 1
delay = 0.0
concurrency = 16
timeout = 1.0
"""

Outcome = tuple[str, str | None]  # state and reason of a sighting


def hostile_site() -> tuple[Hostile, dict[str, str], set[str]]:
    """The site, its faults by page address, and the sha256s of the photos that can be fetched."""
    pages = sorted(PAGES.keys() - {"busy_for_an_hour", "hostile_links", "redirect_elsewhere"})
    each = (PHOTOS - 2 * len(pages)) // PEOPLE
    counts = {f"person_{number}": each for number in range(PEOPLE)} | {f"page_{name.lower()}": 2 for name in pages}
    seeds = iter(range(PHOTOS))
    people = {person: [photo(next(seeds)) for _ in range(count)] for person, count in counts.items()}
    site = Hostile(Site(people, per_page=20))
    site.faults["/photos/letter-a/"] = "hostile_links"
    site.faults |= {f"/photos/page_{name.lower()}/": name for name in pages}
    readable = {person for person in people if person.removeprefix("page_") in {name.lower() for name in READABLE}}
    names, planned, expected = cycle(FAULTS), {}, set()
    for person, photos in people.items():
        for number, data in enumerate(photos):
            faulty = person.startswith("person_") and number % 2
            if faulty:
                planned[f"/photos/{person}/pic/{number}"] = name = next(names)
                site.plan(person, number, name)
            if (person.startswith("person_") or person in readable) and not (faulty and FAULTS[name].state != "stored"):
                expected.add(hashlib.sha256(data).hexdigest())
    return site, planned, expected


def crawl(site: Hostile, work: Path) -> tuple["subprocess.CompletedProcess[str]", float, float]:
    """Runs the command itself. Returns the process, its peak memory in MiB, and seconds."""
    manifest = work / "m.toml"
    manifest.write_text(MANIFEST.format(base_url=site.base_url))
    began = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-m", "bolid", "scrape", str(manifest), "--data", str(work / "data")],
        capture_output=True,
        text=True,
        check=False,
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # KiB, on Linux
    return process, peak, time.monotonic() - began


def outcomes(dataset: Dataset, planned: dict[str, str]) -> Counter[tuple[str, Outcome]]:
    """How often each fault had each outcome."""
    with dataset.catalog.open(read_only=True) as con:
        rows = con.execute("SELECT page_url, state, reason FROM sightings").fetchall()
    states = {url.removeprefix("https://www.theplace.ru"): (state, reason) for url, state, reason in rows}
    return Counter((name, states.get(page, ("missing", None))) for page, name in planned.items())


def undecodable(dataset: Dataset) -> int:
    count = 0
    for file in dataset.store.files():
        try:
            read_upright(file)
        except BrokenPhotoError:
            count += 1
    return count


def table(counts: Counter[tuple[str, Outcome]]) -> Table:
    rows = Table("fault", "outcome", "photos", "as expected")
    for (name, (state, reason)), count in sorted(counts.items(), key=str):
        right = (state, reason) == (FAULTS[name].state, FAULTS[name].reason)
        rows.add_row(name, f"{state} {reason or ''}", str(count), "" if right else "NO")
    return rows


def main() -> int:
    console = Console(width=100)
    site, planned, expected = hostile_site()
    with tempfile.TemporaryDirectory() as folder, serve(site):
        dataset = Dataset(Path(folder) / "data")
        process, peak, seconds = crawl(site, Path(folder))
        print(process.stderr.strip())
        if not dataset.catalog.path.exists():
            return 1
        counts = outcomes(dataset, planned)
        stored = {file.stem for file in dataset.store.files()}
        intact = all(hashlib.sha256(file.read_bytes()).hexdigest() == file.stem for file in dataset.store.files())
        unfinished = sum(file.stat().st_size for file in dataset.store.inbox.iterdir())
        claims = {
            "exit status 1, as pages could not be read": process.returncode == 1,
            "no traceback": "Traceback" not in process.stderr and "unexpected" not in process.stderr,
            "every fault had the expected outcome": all(
                outcome == (FAULTS[name].state, FAULTS[name].reason) for name, outcome in counts
            ),
            f"{len(expected & stored)} of {len(expected)} photos that can be fetched are stored byte for byte": expected
            <= stored
            and intact,
            f"{len(stored - expected)} other files are stored": stored <= expected,
            f"{undecodable(dataset)} of {len(stored)} files cannot be decoded": not undecodable(dataset),
            f"{unfinished} bytes of unfinished downloads are kept": unfinished < 1_000_000,
            f"{len(site.canary)} connections into the private network": not site.canary,
            f"{peak:.0f} MiB at most (allowed: {MAX_MEMORY})": peak < MAX_MEMORY,
        }
    console.print(table(counts))
    console.print(f"{PHOTOS} photos, {len(planned)} of them with faults; {len(site.log)} requests in {seconds:.0f} s")
    for claim, holds in claims.items():
        console.print(f"{'yes' if holds else 'NO '}  {claim}", highlight=False)
    return 0 if all(claims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
