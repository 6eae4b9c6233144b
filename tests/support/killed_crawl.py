"""One crawl killed again and again at random instants.

Its final catalog and store must equal those of a crawl that nobody disturbed, and the server must never have sent a
whole photo twice.
"""

import asyncio
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bolid_data.dataset import Dataset
from tests.support.fault_site import FAULTS, Exchange, Fault, Hostile, serve
from tests.support.gallery_site import Site, photo

PEOPLE, PHOTOS, SIDE = 6, 25, 260
MANIFEST = """
name = "kills"
[source]
kind = "theplace"
base_url = "{}"
min_photos = 1
delay = 0.0
[filter]
min_width = 1
min_height = 1
"""
TABLES = {
    "people": "*",
    "photos": "*",
    "sightings": "* EXCLUDE (fetched_at)",
    "pages": "* EXCLUDE (crawl)",
}
"""What is compared: all but times, and the number of the crawl that read a page last."""


def main(kills: int, seed: int) -> int:
    rng = random.Random(seed)
    FAULTS["paced"] = Fault("stored", None, _paced)
    people = {f"person_{p}": [photo(1000 * p + i, SIDE, SIDE) for i in range(PHOTOS)] for p in range(PEOPLE)}
    with tempfile.TemporaryDirectory() as work, serve(Hostile(Site(people, per_page=10))) as site:
        for person, photos in people.items():
            for number in range(len(photos)):
                site.plan(person, number, "paced")
        manifest = Path(work) / "m.toml"
        manifest.write_text(MANIFEST.format(site.base_url))
        undisturbed, killed = Dataset(Path(work) / "whole"), Dataset(Path(work) / "killed")
        started = time.monotonic()
        assert _start(manifest, undisturbed.root).wait() == 0
        seconds = time.monotonic() - started
        site.log.clear()
        moments = []
        for _ in range(kills):
            process = _start(manifest, killed.root)
            time.sleep(rng.uniform(0, 4 * seconds / kills) + 0.4)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                moments.append(len(site.sent("/archive")))
            process.wait()
        assert _start(manifest, killed.root).wait() == 0
        expected, actual = contents(undisturbed), contents(killed)
        same = expected == actual
        for table in expected:
            for row in set(map(str, expected[table])) ^ set(map(str, actual[table])):
                print(f"differs in {table}: {row}")
        files = [exchange for exchange in site.log if exchange.path.startswith("/archive")]
        completed = Counter(exchange.path for exchange in files if exchange.status == 200 and exchange.is_complete)
        again = sum(count - 1 for count in completed.values())
        print(f"undisturbed: {seconds:.1f} s, {PEOPLE * PHOTOS} photos")
        print(f"killed {len(moments)} times, photos asked for by then: {moments}")
        print(f"requests for photos: {len(files)}, of them resumed: {sum(e.status == 206 for e in files)}")
        print(f"whole photos sent twice: {again}")
        print(f"catalog and store {'equal' if same else 'DIFFER from'} those of the undisturbed crawl")
        return 0 if same and not again else 1


def contents(dataset: Dataset) -> dict[str, Any]:
    with dataset.catalog.open(read_only=True) as con:
        tables: dict[str, Any] = {
            table: sorted(map(repr, con.execute(f"SELECT {columns} FROM {table}").fetchall()))
            for table, columns in TABLES.items()
        }
    tables["files"] = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in dataset.store.files()]
    tables["inbox"] = sorted(file.name for file in dataset.store.inbox.iterdir())
    return tables


async def _paced(site: Hostile, exchange: Exchange, data: bytes) -> None:
    """The honest answer, slowly, as a distant site would give it."""
    send = exchange.send

    async def slowly(data: bytes) -> None:
        for start in range(0, len(data), 8192):
            await send(data[start : start + 8192])
            await asyncio.sleep(0.03)

    exchange.send = slowly  # type: ignore[method-assign]
    await site.honest(exchange, data)


def _start(manifest: Path, data: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bolid", "scrape", str(manifest), "--data", str(data)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)
