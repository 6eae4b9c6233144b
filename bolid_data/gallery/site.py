"""Serves a drawn gallery on this machine as a thePlace-like site (profile A of its pages)."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from jinja2 import Environment, PackageLoader, StrictUndefined

from bolid_data.errors import BolidError, UsageError

CARDS_PER_PAGE = 12
_ROBOTS = "User-agent: *\nAllow: /\nDisallow: /admin/\n"


@dataclass
class Site:
    """A running gallery site; `requests` collects (path with query, status, bytes of the body) of each response."""

    base_url: str
    requests: list[tuple[str, int, int]] = field(default_factory=list)


@contextmanager
def serve_gallery(folder: Path, port: int = 0) -> Iterator[Site]:
    """Serves a gallery of `draw_gallery` on 127.0.0.1, in a thread, until the context ends; port 0 takes a free one.

    Raises UsageError for a folder without a gallery, BolidError for a port that is taken.
    """
    if not (folder / "truth.jsonl").is_file():
        raise UsageError(f"{folder} holds no gallery; draw one first")
    loop = asyncio.new_event_loop()
    site = Site("")
    thread = threading.Thread(target=loop.run_forever, name="gallery", daemon=True)
    thread.start()
    runner: web.AppRunner | None = None
    try:
        runner = asyncio.run_coroutine_threadsafe(_start(folder, port, site), loop).result()
        yield site
    finally:
        if runner:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(folder: Path, port: int, site: Site) -> web.AppRunner:
    class Count(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            site.requests.append((request.path_qs, response.status, response.content_length or 0))

    runner = web.AppRunner(_application(folder), access_log_class=Count, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        await runner.cleanup()
        raise BolidError(f"port {port} of this machine cannot be used ({error.strerror}); choose another") from None
    site.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner


def _application(folder: Path) -> web.Application:
    pages = _Pages(_photos(folder))
    app = web.Application()
    app.add_routes(
        [
            web.get("/robots.txt", pages.robots),
            web.get("/", pages.home),
            web.get("/photos/", pages.index),
            web.get("/photos/letter/{letter}/", pages.letter),
            web.get("/photos/{slug}/", pages.person),
            web.get("/photos/{slug}/pic-{number}.html", pages.photo),
            web.static("/archive", folder / "files" / "archive"),
        ]
    )
    return app


def _photos(folder: Path) -> dict[str, dict[str, str]]:
    """For each person, in the site's order, the numbers and addresses of the photos."""
    people: dict[str, dict[str, str]] = {}
    for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines():
        truth = json.loads(line)
        number = Path(truth["file"]).stem.rpartition("_")[2]
        people.setdefault(truth["person"], {})[number] = f"/{truth['file']}"
    return dict(sorted(people.items()))


class _Pages:
    """The site's HTML pages."""

    def __init__(self, people: dict[str, dict[str, str]]) -> None:
        self._people = people
        self._names = {slug: slug.replace("_", " ").title() for slug in people}
        # An undefined name in a template is a bug, not an empty string.
        loader = PackageLoader("bolid_data.gallery")
        self._templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)

    def _page(self, request: web.Request, template: str, **values: object) -> web.Response:
        """A page, or 304 if it has not changed."""
        html = self._templates.get_template(template).render(names=self._names, people=self._people, **values)
        etag = hashlib.sha256(html.encode()).hexdigest()[:16]
        if any(validator.value == etag for validator in request.if_none_match or ()):
            response = web.Response(status=304)
        else:
            response = web.Response(text=html, content_type="text/html", charset="utf-8")
        response.etag = etag
        return response

    async def robots(self, request: web.Request) -> web.Response:
        return web.Response(text=_ROBOTS)

    async def home(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/photos/")

    async def index(self, request: web.Request) -> web.Response:
        return self._page(request, "index.html", letters=sorted({slug[0].upper() for slug in self._people}))

    async def letter(self, request: web.Request) -> web.Response:
        letter = request.match_info["letter"]
        slugs = [slug for slug in self._people if slug[0].upper() == letter]
        if not slugs:
            raise web.HTTPNotFound
        return self._page(request, "letter.html", letter=letter, slugs=slugs)

    async def person(self, request: web.Request) -> web.Response:
        slug = request.match_info["slug"]
        photos = list(self._person(slug).items())
        pages = -(-len(photos) // CARDS_PER_PAGE)
        wanted = request.query.get("page", "1")
        page = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
        if not 1 <= page <= pages:
            raise web.HTTPNotFound
        cards = photos[(page - 1) * CARDS_PER_PAGE : page * CARDS_PER_PAGE]
        return self._page(request, "person.html", slug=slug, total=len(photos), cards=cards, page=page, pages=pages)

    async def photo(self, request: web.Request) -> web.Response:
        slug, number = request.match_info["slug"], request.match_info["number"]
        address = self._person(slug).get(number)
        if address is None:
            raise web.HTTPNotFound
        return self._page(request, "photo.html", slug=slug, address=address)

    def _person(self, slug: str) -> dict[str, str]:
        if slug not in self._people:
            raise web.HTTPNotFound
        return self._people[slug]
