"""A small thePlace-like site on loopback that misbehaves where a test wants it to."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from aiohttp import web
from PIL import Image

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def photo(seed: int, width: int = 64, height: int = 48) -> bytes:
    """A small JPEG that differs from those of other seeds."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


@dataclass
class Site:
    people: dict[str, list[bytes]]
    per_page: int = 2
    robots: str = ""
    faults: dict[str, Handler] = field(default_factory=dict)  # path with query -> what answers instead
    requests: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    base_url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        self.requests.append(path)
        self.agents.add(request.headers.get("User-Agent", ""))
        if path in self.faults:
            return await self.faults[path](request)
        match request.path.strip("/").split("/"):
            case ["robots.txt"]:
                return web.Response(text=self.robots)
            case ["photos"]:
                return page('<div class="letters-list"><a href="/photos/letter-a/">A</a></div>')
            case ["photos", "letter-a"]:
                links = "".join(f'<a href="/photos/{slug}/">{slug.title()}</a>' for slug in self.people)
                return page(f'<div class="models_list row my-5">{links}</div>')
            case ["photos", slug] if slug in self.people:
                return self.person(slug, int(request.query.get("page", "1")))
            case ["photos", slug, "pic", number]:
                image = f'<span class="s-pic"><img src="/archive/{slug}/img/{number}.jpg"></span>'
                return page(f'<div class="pic-big-box__main">{image}</div>')
            case ["archive", slug, "img", name]:
                return web.Response(body=self.people[slug][int(name.removesuffix(".jpg"))], content_type="image/jpeg")
        return web.Response(status=404)

    def person(self, slug: str, number: int) -> web.Response:
        photos = range(len(self.people[slug]))[(number - 1) * self.per_page : number * self.per_page]
        cards = "".join(f'<a href="/photos/{slug}/pic/{index}">photo</a>' for index in photos)
        pages = range(1, -(-len(self.people[slug]) // self.per_page) + 1)
        links = "".join(f'<a href="/photos/{slug}/?page={page}">{page}</a>' for page in pages)
        count = f"<p>Всего {len(self.people[slug])} фото</p>"
        return page(
            f'<h1 class="my-3">{slug.title()}</h1><div class="main-col-content"><div class="d-none d-sm-block">{count}'
            f'</div></div><div class="row gx-1 justify-content-center">{cards}</div><div class="listalka">{links}</div>'
        )

    def sent(self, prefix: str) -> list[str]:
        return [path for path in self.requests if path.startswith(prefix)]


def page(body: str) -> web.Response:
    return web.Response(text=f"<!doctype html><body>{body}</body>", content_type="text/html")


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def start() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", site.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        server = web.TCPSite(runner, "127.0.0.1", 0)
        await server.start()
        site.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()

    starting = loop.create_task(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    assert started.wait(10), starting
    try:
        yield site
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
