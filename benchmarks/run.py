"""`make bench`: every row in one run on this machine, written to `benchmarks/README.md`.

Speeds of shared machines drift; the ratio of two things timed in turn is what a row claims.
"""

import os
import platform
import tempfile
from pathlib import Path

from benchmarks import collect, crawl, curate, shards
from benchmarks.rows import ROUNDS, Row
from bolid_data import manifest
from bolid_data.collect.run import scrape
from bolid_data.curate.captioning import caption_photos
from bolid_data.curate.run import filter_photos
from bolid_data.dataset import Dataset
from bolid_data.gallery import draw_gallery, serve_gallery
from bolid_data.progress import note
from bolid_data.shards.write import shard

README = Path(__file__).with_name("README.md")
HEAD = ["what", "against", "ours", "theirs", "", "ours / theirs"]


def main() -> None:
    gallery = draw_gallery(seed=31)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        path = work / "m.toml"
        with serve_gallery(gallery) as site:
            path.write_text(crawl.MANIFEST.format(site.base_url) + "[filter]\nmin_photos_per_person = 1\n")
            loaded, dataset = manifest.load(path), Dataset(work / "data")
            scrape(loaded, dataset)
        filter_photos(loaded, dataset)
        caption_photos(loaded, dataset)
        shard(loaded, dataset)
        rows = [
            *collect.rows(work / "collect"),
            *crawl.rows(gallery, work),
            *curate.rows(dataset, work),
            *shards.rows(loaded, dataset, work),
        ]
        growth = collect.growth(work / "growth")
    for row in rows:
        note(" | ".join(row.cells()))
    _write(rows, growth)


def _write(rows: list[Row], growth: str) -> None:
    table = "\n".join(
        "| " + " | ".join(cells) + " |" for cells in (HEAD, ["---"] * len(HEAD), *(r.cells() for r in rows))
    )
    README.write_text(
        f"""# Benchmarks

Repeat with `make bench`. Each row times ours and a named alternative in turn, {ROUNDS} rounds in one run, and
compares the medians; the ratio is the claim, the speeds belong to the machine: {platform.system()}
{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, no GPU.

{table}

`fetch` runs whole processes, start-up included, against a server in a process of its own; peak memory is that of the
largest process. img2dataset writes WebDataset without resizing, two processes of 32 threads, the best of the settings
tried. The sockets are the limit: nothing is looked at, hashed or kept in mind. `crawl` serves the embedded gallery on
loopback in the same process, so both sides share the processor with the server. `filter` measures {curate.PHOTOS}
photos with every measurer, models loaded beforehand on both sides. `shard` against `TarWriter` includes what the other
does not write: index, lock with its hashes, measurements. `loader` reads the photos a training step asks for: any
person's, in any order.

How a list of photos of {collect.SMALL // 1000} KB grows (`kind = "urls"`, one run each). Time is linear. Our
own memory is flat; what grows, by about half a KiB a photo, is what DuckDB holds of a larger catalog.

{growth}

Not timed, but to be repeated: `python -m benchmarks.hostile` (every fault at once), `python -m benchmarks.kills` (one
crawl killed twenty times), `python -m benchmarks.recrawl` (what a second and a third crawl cost),
`python -m benchmarks.accuracy --seed N` (verdicts against the truth of a drawn gallery).
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
