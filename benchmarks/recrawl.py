"""The cost of a second crawl, and of a third after five new photos: `python -m benchmarks.recrawl`."""

import json
import shutil
import tempfile
from pathlib import Path

from bolid_data import manifest as manifests
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.gallery import draw_gallery, serve_gallery

NEW = 5
COUNTS = ("requests", "received", "seconds", "new", "known", "unchanged", "gone")
MANIFEST = """
name = "recrawl"
[source]
kind = "theplace"
base_url = "{}"
min_photos = 1
delay = 0.0
"""


def main() -> None:
    gallery = draw_gallery(seed=0)
    with tempfile.TemporaryDirectory() as work:
        folder, truth = Path(work) / "gallery", (gallery / "truth.jsonl").read_text().splitlines()
        shutil.copytree(gallery, folder)
        clean = [line for line in truth if json.loads(line)["kind"] == "clean"]
        later = clean[:: len(clean) // NEW][:NEW]  # not on the site at first
        first = [line for line in truth if line not in later]
        for number, lines in enumerate((first, first, truth), start=1):
            (folder / "truth.jsonl").write_text("\n".join(lines) + "\n")
            with serve_gallery(folder) as site:
                manifest = Path(work) / "m.toml"
                manifest.write_text(MANIFEST.format(site.base_url))
                stats = scrape(manifests.load(manifest), Dataset(Path(work) / "data"))
                pages = [status for path, status, _ in site.requests if path.startswith("/photos")]
                files = sorted(path for path, status, _ in site.requests if path.startswith("/archive"))
            print(f"crawl {number}: {', '.join(f'{name} {stats[name]}' for name in COUNTS)}")
            print(f"  pages: {pages.count(200)} sent, {pages.count(304)} not changed; photos requested: {len(files)}")
        assert files == sorted(f"/{json.loads(line)['file']}" for line in later), "exactly the new ones are fetched"
        print("fetched by the third:", *files, sep="\n  ")


if __name__ == "__main__":
    main()
