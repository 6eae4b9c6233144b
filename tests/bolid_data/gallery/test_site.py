"""The gallery's site: the markup of profile A, every photo reachable, files with validators and ranges."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from bolid_data.errors import BolidError, UsageError
from bolid_data.gallery import Site, serve_gallery


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    with serve_gallery(folder) as site:
        yield site


def _links(site: Site, path: str, selector: str) -> list[str]:
    page = httpx.get(site.base_url + path).raise_for_status()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    return [str(node.attributes["href"]) for node in LexborHTMLParser(page.text).css(selector)]


def test_every_photo_is_reached_through_the_pages_and_only_these(site: Site, folder: Path) -> None:
    addresses = set()
    for letter in _links(site, "/photos/", "div.letters-list a[href]"):
        for person in _links(site, letter, "div.models_list.row.my-5 a[href]"):
            pages = [person, *_links(site, person, "div.listalka a[href]")]
            assert len(pages) > 1 and all(page.startswith(f"{person}?page=") for page in pages[1:])
            for page in pages:
                cards = _links(site, page, "div.row.gx-1.justify-content-center a[href]")
                assert 1 <= len(cards) <= 12
                for card in cards:
                    html = LexborHTMLParser(httpx.get(site.base_url + card).text)
                    image = html.css("div.pic-big-box__main > span.s-pic > img[src]")
                    addresses.add(str(image[0].attributes["src"]))
    assert addresses == {f"/{json.loads(line)['file']}" for line in (folder / "truth.jsonl").read_text().splitlines()}


def test_a_persons_page_has_the_name_and_the_number_of_photos(site: Site, folder: Path) -> None:
    slug = next((folder / "files/archive").iterdir()).name
    html = LexborHTMLParser(httpx.get(f"{site.base_url}/photos/{slug}/").text)
    assert html.css_first("h1.my-3").text() == slug.replace("_", " ").title()
    words = html.css_first(".main-col-content > div.d-none.d-sm-block p").text().split()
    assert int(words[1]) == len(list((folder / "files/archive" / slug / "img").iterdir()))


def test_files_have_validators_and_ranges(site: Site, folder: Path) -> None:
    path = next((folder / "files").rglob("*.jpg"))
    url = f"{site.base_url}/{path.relative_to(folder / 'files').as_posix()}"
    complete = httpx.get(url)
    assert complete.content == path.read_bytes() and "last-modified" in complete.headers
    part = httpx.get(url, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.content) == (206, complete.content[100:])
    assert httpx.get(url, headers={"If-None-Match": complete.headers["etag"]}).status_code == 304


def test_a_page_that_has_not_changed_is_not_sent_again(site: Site) -> None:
    page = httpx.get(f"{site.base_url}/photos/")
    again = httpx.get(f"{site.base_url}/photos/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(f"{site.base_url}/photos/", headers={"If-None-Match": '"other"'}).status_code == 200


def test_requests_are_counted(site: Site, folder: Path) -> None:
    path = "/" + next((folder / "files").rglob("*.jpg")).relative_to(folder / "files").as_posix()
    size = len(httpx.get(site.base_url + path).content)
    httpx.get(f"{site.base_url}/photos/nobody_here/?page=2")
    httpx.get(f"{site.base_url}/robots.txt")
    assert site.requests[0] == (path, 200, size)
    assert site.requests[1][:2] == ("/photos/nobody_here/?page=2", 404)


def test_robots_allow_all_but_admin(site: Site) -> None:
    robots = httpx.get(f"{site.base_url}/robots.txt").text
    assert "Allow: /\n" in robots and "Disallow: /admin/" in robots


def test_missing_pages_are_404(site: Site, folder: Path) -> None:
    slug = next((folder / "files/archive").iterdir()).name
    person = f"/photos/{slug}/"
    for path in ("/photos/letter/1/", f"{person}?page=99", f"{person}?page=x", f"{person}pic-1.html", "/truth.jsonl"):
        assert httpx.get(site.base_url + path).status_code == 404, path


def test_the_site_stops_with_its_context(folder: Path) -> None:
    with serve_gallery(folder) as site:
        assert httpx.get(f"{site.base_url}/photos/").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{site.base_url}/photos/")


def test_a_taken_port_and_a_folder_without_a_gallery_are_clear_errors(folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BolidError, match=f"port {port}"), serve_gallery(folder, port):
            pass
    with pytest.raises(UsageError, match="no gallery"), serve_gallery(tmp_path):
        pass
