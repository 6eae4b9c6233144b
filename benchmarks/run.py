"""`make bench`: all benchmarks. `python -m benchmarks.run NAME…` repeats some of the tables.

Each table is written to `benchmarks/results/NAME.md`, with the machine it was measured on. Speeds on shared machines
drift; a row claims the ratio of two throughputs that were timed in turn.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import collect, crawl, curate, duplicates, ledger, review, shards, syncing, train
from benchmarks.rows import Row
from bolid_data import manifest
from bolid_data.collect.run import scrape
from bolid_data.curate.captions.run import caption_photos
from bolid_data.curate.run import filter_photos
from bolid_data.dataset import Dataset
from bolid_data.gallery import draw_gallery, serve_gallery
from bolid_data.manifest import Manifest
from bolid_data.progress import note
from bolid_data.shards.write import shard

RESULTS = Path(__file__).with_name("results")
HEAD = ["what", "against", "ours", "theirs", "", "ours / theirs"]


def _shards(work: Path) -> str:
    loaded, dataset = _curated(work)
    return _table(shards.rows(loaded, dataset, work))


def _syncing(work: Path) -> str:
    loaded, dataset = _curated(work)
    return _table(syncing.rows(loaded, dataset, work))


TABLES: dict[str, Callable[[Path], str]] = {
    "collecting": lambda work: _table(collect.rows(work)),
    "growth": collect.growth,
    "crawling": lambda work: _table(crawl.rows(draw_gallery(seed=31), work)),
    "measuring": lambda work: curate.table(work, _table),
    "judging": ledger.table,
    "reviewing": review.table,
    "duplicates": lambda _: duplicates.table(),
    "shards": _shards,
    "syncing": _syncing,
    "training": lambda work: _table(train.rows(work)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*TABLES, []], metavar="NAME", help=", ".join(TABLES))
    RESULTS.mkdir(exist_ok=True)
    for name in parser.parse_args().names or TABLES:
        with tempfile.TemporaryDirectory() as folder:
            text = TABLES[name](Path(folder))
        note(f"{name}\n{text}")
        machine = (
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        (RESULTS / f"{name}.md").write_text(f"{text}\n\n{machine}, no GPU. `python -m benchmarks.run {name}`\n")


def _table(rows: list[Row]) -> str:
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in (HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows))
    )


def _machine() -> str:
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, no GPU"
    )


def _curated(work: Path) -> tuple[Manifest, Dataset]:
    """The dataset of the demo, up to its shards."""
    path = work / "m.toml"
    with serve_gallery(draw_gallery(seed=31)) as site:
        path.write_text(crawl.MANIFEST.format(site.base_url) + "[filter]\nmin_photos_per_person = 1\n")
        loaded, dataset = manifest.load(path), Dataset(work / "data")
        scrape(loaded, dataset)
    filter_photos(loaded, dataset)
    caption_photos(loaded, dataset)
    shard(loaded, dataset)
    return loaded, dataset


if __name__ == "__main__":
    main()
