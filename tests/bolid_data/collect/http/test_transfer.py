"""Requests go out as they were listed, and answers are read to their end."""

import gzip
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web

from bolid_data import manifest as manifests
from bolid_data.collect.http.address import encode_url, resolve_link
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from tests.bolid_data.collect.sources.test_gallery_site import people, rows
from tests.bolid_data.collect.test_hostile import fetch, write_csv
from tests.support.gallery_site import Site, page, photo, serve


def crawl(site: Site, folder: Path) -> dict[str, object]:
    source = f'kind = "theplace"\nbase_url = "{site.base_url}"\nmin_photos = 1\ndelay = 0.0\n'
    (folder / "m.toml").write_text(f'name = "m"\n[source]\n{source}')
    return scrape(manifests.load(folder / "m.toml"), Dataset(folder / "data"))


def answer(body: bytes, coding: str, kind: str = "image/jpeg") -> Callable[[web.Request], object]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Encoding": coding, "Content-Type": kind})

    return handler


def members(data: bytes, *cuts: int) -> bytes:
    """A gzip file of several members."""
    edges = [0, *cuts, len(data)]
    return b"".join(gzip.compress(data[a:b]) for a, b in pairwise(edges))


@pytest.mark.parametrize(
    ("pack", "coding"),
    [
        (lambda data: members(data, 500), "gzip"),
        (lambda data: members(data, 1, 2, len(data) - 1), "x-gzip"),
        (lambda data: gzip.compress(data) + bytes(8), "GZip"),
        (lambda data: gzip.compress(data) + b"\x1f", "gzip"),
        *(
            (lambda data: data, coding)
            for coding in ("none", "UTF-8", "binary", "aws-chunked", "identity, identity", "")
        ),
    ],
)
def test_a_photo_is_read_to_its_end_whatever_the_header_calls_it(
    pack: Callable[[bytes], bytes], coding: str, tmp_path: Path
) -> None:
    site = Site(people(1))
    data = site.people["person_0"][0]
    site.faults["/archive/person_0/img/0.jpg"] = answer(pack(data), coding)  # type: ignore[assignment]
    with serve(site):
        crawl(site, tmp_path)
    assert {file.read_bytes() for file in Dataset(tmp_path / "data").store.files()} == {data}


@pytest.mark.parametrize("cut", [10, 60])
def test_a_member_that_is_cut_is_not_the_end(cut: int, tmp_path: Path) -> None:
    site = Site(people(1))
    packed = members(site.people["person_0"][0], 500)
    site.faults["/archive/person_0/img/0.jpg"] = answer(packed[:-cut], "gzip")  # type: ignore[assignment]
    with serve(site):
        crawl(site, tmp_path)
    assert rows(tmp_path, "SELECT state, reason FROM sightings") == [("failed", "truncated")]


def test_a_page_of_several_members_lists_all_its_photos(tmp_path: Path) -> None:
    site = Site(people(4), per_page=10)
    html = site.person("person_0", 1).body
    assert isinstance(html, bytes)
    packed = members(html, html.index(b"pic/1"))
    site.faults["/photos/person_0/"] = answer(packed, "gzip", "text/html")  # type: ignore[assignment]
    with serve(site):
        assert crawl(site, tmp_path)["new"] == 4


def test_a_base_element_is_followed(tmp_path: Path) -> None:
    site = Site(people(1))

    async def person(request: web.Request) -> web.StreamResponse:
        cards = '<div class="row gx-1 justify-content-center"><a href="person_0/pic/0">photo</a></div>'
        return page(f'<base href="/photos/"><h1 class="my-3">Anna</h1>{cards}')

    site.faults["/photos/person_0/"] = person
    with serve(site):
        assert crawl(site, tmp_path)["new"] == 1


def test_a_page_that_states_more_than_it_lists_is_a_warning_and_nobody_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(people(4), per_page=10)
    with serve(site):
        crawl(site, tmp_path)
        first = site.person("person_0", 1)

        async def fewer(request: web.Request) -> web.StreamResponse:
            text = str(first.text).replace('<a href="/photos/person_0/pic/3">photo</a>', "")
            return web.Response(text=text, content_type="text/html")

        site.faults["/photos/person_0/"] = fewer
        assert crawl(site, tmp_path)["gone"] == 0
    assert f"warning: {site.base_url}/photos/person_0/: states 4 photos and lists 3" in capsys.readouterr().err
    assert rows(tmp_path, "SELECT count(*) FROM sightings WHERE gone_at IS NOT NULL") == [(0,)]


def test_trouble_with_robots_txt_names_it(tmp_path: Path) -> None:
    site = Site(people(1))
    site.faults["/robots.txt"] = answer(b"x", "br", "text/plain")  # type: ignore[assignment]
    with serve(site), pytest.raises(BolidError, match=r"bad encoding at .*/robots\.txt"):
        crawl(site, tmp_path)


# Request targets.


@contextmanager
def echo() -> Iterator[tuple[str, list[str]]]:
    """A server whose every answer is a photo, and the targets that it was asked for, to the letter."""
    targets: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rules = self.path.startswith(("/robots.txt", "/.well-known"))
            if not rules:
                targets.append(self.path)
            body = b"" if rules else photo(len(targets))
            self.send_response(404 if rules else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", targets
    finally:
        server.shutdown()
        server.server_close()


TARGETS = [
    "/t/plain.jpg?exp=1", "/t/http%3A%2F%2Forigin%2Fa.jpg?exp=1", "/t/it%27s.jpg?exp=1", "/t/a.jpg?src=x%2Fy&exp=1",
    "/t/a.jpg?user=a%40b&exp=1", "/t/%41%7E%7e.jpg", "/t/%d1%8f%D1%8F.jpg", "/t/a+b.jpg?c+d", "/t/a;b=1,c!$*()'.jpg",
    "/t/?a=/b?c:d@e", "/t/%25%2500.jpg",
]  # fmt: skip
ENCODED = {
    "/t/a b.jpg": "/t/a%20b.jpg",
    "/t/я.jpg?я": "/t/%D1%8F.jpg?%D1%8F",
    '/t/"<>`{}^.jpg': "/t/%22%3C%3E%60%7B%7D%5E.jpg",
    "/t/a.jpg?b='c d'": "/t/a.jpg?b=%27c%20d%27",
    "/t/a.jpg?b=c#top": "/t/a.jpg?b=c",
}


def test_a_request_target_goes_out_as_it_was_listed(tmp_path: Path) -> None:
    with echo() as (server, targets):
        addresses = [*TARGETS, *(target for target in ENCODED if "," not in target and '"' not in target)]
        write_csv(tmp_path / "list.csv", [("Anna", f'"{server}{target}"') for target in addresses])
        fetch(tmp_path)
    expected = [*TARGETS, *(ENCODED[target] for target in addresses if target in ENCODED)]
    assert sorted(targets) == sorted(expected)


@pytest.mark.parametrize(("target", "sent"), [*((target, target) for target in TARGETS), *ENCODED.items()])
def test_what_may_not_stand_in_a_target_is_encoded(target: str, sent: str) -> None:
    assert encode_url(f"http://a.example{target}") == f"http://a.example{sent}"
    assert encode_url(f"http://a.example{sent}") == f"http://a.example{sent}"


@pytest.mark.parametrize("target", TARGETS)
def test_a_link_of_a_page_stays_as_it_stands_there(target: str) -> None:
    assert resolve_link(target, "https://a.example/b/") == f"https://a.example{target}"
    assert resolve_link(f"https://a.example{target}", "https://b.example/") == f"https://a.example{target}"
