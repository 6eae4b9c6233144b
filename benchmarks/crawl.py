"""Collecting from a gallery on loopback, against a loop over `requests`."""

import hashlib
import shutil
from pathlib import Path

import requests
from selectolax.lexbor import LexborHTMLParser

from benchmarks.rows import Row, compare
from bolid_data import manifest
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.gallery import serve_gallery

MANIFEST = (
    'name = "bench"\n[source]\nkind = "theplace"\nbase_url = "{}"\nmin_photos = 1\ndelay = 0.0\nconcurrency = 16\n'
)


def rows(gallery: Path, work: Path) -> list[Row]:
    pages = sorted({f"/photos/{path.parent.parent.name}/" for path in gallery.glob("files/archive/*/img/*")})
    with serve_gallery(gallery) as site:

        def ours() -> None:
            shutil.rmtree(work / "crawl", ignore_errors=True)
            (work / "m.toml").write_text(MANIFEST.format(site.base_url))
            scrape(manifest.load(work / "m.toml"), Dataset(work / "crawl"))

        def plain() -> None:
            folder = work / "plain"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for page in pages:
                for card in _cards(site.base_url, page):
                    html = LexborHTMLParser(requests.get(site.base_url + card).text)
                    image = html.css("div.pic-big-box__main > span.s-pic > img")[0]
                    data = requests.get(site.base_url + (image.attributes["src"] or "")).content
                    (folder / f"{hashlib.sha256(data).hexdigest()}.jpg").write_bytes(data)

        photos = len(list(gallery.glob("files/archive/*/img/*")))
        return compare(
            "crawl: pages + photos → store + catalog",
            photos,
            "photos/s",
            ours,
            {"`requests`, one by one, to files": plain},
        )


def _cards(base_url: str, page: str) -> list[str]:
    """The addresses of a person's photo pages, from all listing pages."""
    cards: dict[str, None] = {}
    queue, visited = [page], set()
    while queue:
        url = queue.pop(0)
        visited.add(url)
        tree = LexborHTMLParser(requests.get(base_url + url).text)
        cards |= dict.fromkeys(a.attributes["href"] or "" for a in tree.css("div.row.gx-1.justify-content-center a"))
        links = [a.attributes["href"] or "" for a in tree.css("div.listalka a")]
        links = [link if link.startswith("/") else page + link for link in links]
        queue += [link for link in dict.fromkeys(links) if link not in visited and link not in queue]
    return list(cards)
