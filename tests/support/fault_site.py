"""A thePlace-like site on loopback that does every hostile thing by name; raw sockets, as it must lie about framing.

`FAULTS` says of each what a crawl has to make of a photo that has it. The pages are those of `site.Site`.
"""

import asyncio
import gzip
import hashlib
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

from aiohttp.test_utils import make_mocked_request

from tests.support.gallery_site import Site

Headers = dict[str, str]
LAST_MODIFIED = "Mon, 01 Jan 2024 00:00:00 GMT"
RULES = ("/robots.txt", "/.well-known/tdmrep.json")


@dataclass
class Exchange:
    """One request and what was really sent in answer."""

    time: float  # monotonic
    method: str
    path: str  # with its query
    headers: Headers  # names in lower case
    writer: asyncio.StreamWriter = field(repr=False)
    status: int = 0
    sent: int = 0  # bytes after the status line's and headers' end
    is_complete: bool = False
    ended: float = 0.0
    keep_alive: bool = True

    async def head(self, status: int, headers: Headers) -> None:
        self.status = status
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{key}: {headers[key]}" for key in headers)]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        if self.method != "HEAD":
            self.writer.write(data)
            await self.writer.drain()
            self.sent += len(data)

    async def answer(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        """A well-formed answer, unless its headers say otherwise."""
        await self.head(status, {"Content-Type": "image/jpeg", "Content-Length": str(len(body))} | (headers or {}))
        await self.send(body)


Run = Callable[["Hostile", Exchange, bytes], Awaitable[None]]
"""Answers a request whose honest answer would have had this body."""


@dataclass(frozen=True)
class Fault:
    state: str  # of the sighting of a photo that has it
    reason: str | None
    run: Run | None = None
    address: Callable[["Hostile"], str] | None = None  # where the photo's page says that the photo is


@dataclass
class Hostile:
    """The site. `faults` are names of FAULTS by path with query; `plan` gives one to a photo."""

    site: Site
    faults: dict[str, str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)  # photo page -> fault whose address its photo has
    tdmrep: str | None = None
    latency: float = 0.0  # seconds before every answer
    elsewhere: str = ""  # where `redirect_elsewhere` leads
    everywhere: Run | None = None  # answers everything but the rules while it is set
    log: list[Exchange] = field(default_factory=list)
    canary: list[bytes] = field(default_factory=list)  # the first bytes of whatever reached the other port
    asked: Counter[str] = field(default_factory=Counter)
    port: int = 0
    canary_port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def plan(self, person: str, number: int, name: str) -> None:
        if FAULTS[name].address:
            self.images[f"/photos/{person}/pic/{number}"] = name
        else:
            self.faults[f"/archive/{person}/img/{number}.jpg"] = name

    def sent(self, prefix: str) -> list[str]:
        return [exchange.path for exchange in self.log if exchange.path.startswith(prefix)]

    async def respond(self, exchange: Exchange) -> None:
        self.log.append(exchange)
        self.asked[exchange.path] += 1
        await asyncio.sleep(self.latency)
        name = self.faults.get(exchange.path, "")
        run = FAULTS[name].run if name in FAULTS else PAGES.get(name)
        if exchange.path in RULES and not run:
            text = self.tdmrep if "tdmrep" in exchange.path else self._robots()
            await exchange.answer(200 if text is not None else 404, (text or "").encode())
        elif self.everywhere and exchange.path not in RULES:
            await self.everywhere(self, exchange, b"")
        elif run:
            await run(self, exchange, await self.body(exchange.path))
        else:
            await self.honest(exchange, await self.body(exchange.path))
        exchange.is_complete = True

    def _robots(self) -> str:
        forbidden = [path for path, name in self.faults.items() if name == "robots_disallowed"]
        return self.site.robots or "\n".join(["User-agent: *", *(f"Disallow: {path}" for path in forbidden)])

    async def body(self, path: str) -> bytes:
        if path in self.images:
            address = FAULTS[self.images[path]].address
            assert address
            return (
                f'<div class="pic-big-box__main"><span class="s-pic"><img src="{address(self)}"></span></div>'.encode()
            )
        answer = await self.site.answer(make_mocked_request("GET", path))
        body = getattr(answer, "body", None)
        return body if isinstance(body, bytes) and answer.status == 200 else b""

    async def honest(self, exchange: Exchange, body: bytes, more: Headers | None = None, ranges: bool = True) -> None:
        """The answer of a well-kept server: validators, conditional requests, ranges. No body: no such page."""
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"ETag": etag, "Last-Modified": LAST_MODIFIED} | (more or {})
        if not exchange.path.startswith("/archive"):
            headers |= {"Content-Type": "text/html; charset=utf-8"}
        start = exchange.headers.get("range", "").removeprefix("bytes=").removesuffix("-")
        if not body:
            await exchange.answer(404)
        elif exchange.headers.get("if-none-match") == etag:
            await exchange.head(304, headers)
        elif not (ranges and start.isdecimal() and exchange.headers.get("if-range", etag) == etag):
            await exchange.answer(200, body, headers)
        elif int(start) >= len(body):
            await exchange.answer(416, headers={"Content-Range": f"bytes */{len(body)}"})
        else:
            of = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            await exchange.answer(206, body[int(start) :], headers | of)


@contextmanager
def serve(hostile: Hostile, tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """Serves the site and its canary from a thread of their own."""
    started = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        servers = [
            await asyncio.start_server(_talk(hostile), "127.0.0.1", 0, ssl=tls),
            await asyncio.start_server(_bird(hostile), "127.0.0.1", 0),
        ]
        hostile.port, hostile.canary_port = (server.sockets[0].getsockname()[1] for server in servers)
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        started.set()
        await over.wait()
        for server in servers:
            server.close()

    thread = threading.Thread(target=asyncio.run, args=[main()], daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield hostile
    finally:
        stop[0]()
        thread.join(10)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _talk(hostile: Hostile) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled when the server stops: without a word, or asyncio would log it.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            while True:
                if not (beginning := await reader.readexactly(1)).isalpha():  # TLS, or nothing we speak
                    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                    break
                first, *lines = (beginning + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = [*first.split(" "), "", ""][:3]
                headers = {
                    line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines if ":" in line
                }
                exchange = Exchange(time.monotonic(), method, path, headers, writer)
                try:
                    await hostile.respond(exchange)
                finally:
                    exchange.ended = time.monotonic()
                if not exchange.keep_alive:
                    break
        writer.close()

    return talk


def _bird(hostile: Hostile) -> Talk:
    async def sing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hostile.canary.append(b"")  # a connection alone is too much
        with suppress(asyncio.CancelledError, ConnectionError):
            hostile.canary[-1] = await reader.read(1000)
        writer.close()

    return sing


def _fixed(status: int = 200, body: bytes | None = None, headers: Headers | None = None) -> Run:
    async def run(site: Hostile, exchange: Exchange, data: bytes) -> None:
        await exchange.answer(status, data if body is None else body, headers)

    return run


def _honest(**headers: str) -> Run:
    """The honest answer with more headers."""

    async def run(site: Hostile, exchange: Exchange, data: bytes) -> None:
        await site.honest(exchange, data, {name.replace("_", "-"): value for name, value in headers.items()})

    return run


def _redirect(target: Callable[[Hostile, Exchange], str]) -> Run:
    async def run(site: Hostile, exchange: Exchange, data: bytes) -> None:
        await exchange.answer(302, headers={"Location": target(site, exchange)})

    return run


def _raw(*parts: bytes, pause: float = 0.0, forever: bool = False) -> Run:
    """Writes parts as they are, the last without end where `forever`, and hangs up."""

    async def run(site: Hostile, exchange: Exchange, data: bytes) -> None:
        exchange.keep_alive = False
        for part in parts:
            await exchange.send(part)
            await asyncio.sleep(pause)
        while forever:
            await exchange.send(parts[-1])
            await asyncio.sleep(pause)

    return run


def _first(run: Run, ranges: bool = True) -> Run:
    """The first request for an address gets this answer, later ones the honest one."""

    async def first(site: Hostile, exchange: Exchange, data: bytes) -> None:
        if site.asked[exchange.path] == 1:
            await run(site, exchange, data)
        else:
            await site.honest(exchange, data, ranges=ranges)

    return first


def _many(site: Hostile, exchange: Exchange) -> str:
    path, _, number = exchange.path.partition("?")
    hop = f"{path}?{int(number or 0) + 1}"
    site.faults[hop] = "redirect_many"
    return hop


async def _reset(site: Hostile, exchange: Exchange, data: bytes) -> None:
    exchange.keep_alive = False
    linger = struct.pack("ii", 1, 0)  # closing sends RST
    exchange.writer.get_extra_info("socket").setsockopt(1, 13, linger)


async def _length_too_long(site: Hostile, exchange: Exchange, data: bytes) -> None:
    exchange.keep_alive = False
    await exchange.answer(200, data, {"Content-Length": str(len(data) + 1000)})


async def _length_too_short(site: Hostile, exchange: Exchange, data: bytes) -> None:
    """What goes beyond the length is an answer to a request that nobody has made yet."""
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
    await exchange.answer(200, data[: len(data) // 2] + smuggled, {"Content-Length": str(len(data) // 2)})


async def _later(site: Hostile, exchange: Exchange, data: bytes) -> None:
    await exchange.answer(503, headers={"Retry-After": formatdate(time.time() + 2, usegmt=True)})


async def _stalls(site: Hostile, exchange: Exchange, data: bytes) -> None:
    """Half of the body, and then nothing."""
    await exchange.head(
        200,
        {"Content-Length": str(len(data)), "ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'},
    )
    await exchange.send(data[: len(data) // 2])
    await asyncio.sleep(3600)


async def _cut(site: Hostile, exchange: Exchange, data: bytes) -> None:
    await exchange.answer(200, data[: len(data) // 2])


async def _html(site: Hostile, exchange: Exchange, data: bytes) -> None:
    await site.honest(exchange, data, {"Content-Type": "text/html"})


def _gzip_bomb() -> bytes:
    """10 MB that unpack to 10 GB: one block, again and again."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 10_000


def _image_bomb() -> bytes:
    """A PNG of a few bytes that claims 30000×30000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
_NOTHING, _JPEG = b"", b"\xff\xd8\xff\xe0"
_DOUBLE = gzip.compress(gzip.compress(_JPEG))
_DATED = "unavailable_after: Wed, 25 Jun 2098 15:00:00 GMT, noai"

FAULTS = {
    "redirect_loop": Fault("refused", "too_many_redirects", _redirect(lambda site, exchange: exchange.path)),
    "redirect_many": Fault("refused", "too_many_redirects", _redirect(_many)),
    "redirect_to_canary": Fault(
        "refused", "private_address", _redirect(lambda site, _: f"http://127.0.0.1:{site.canary_port}/1.jpg")
    ),
    "redirect_to_localhost_name": Fault(
        "refused", "private_address", _redirect(lambda site, _: f"http://localhost:{site.canary_port}/1.jpg")
    ),
    "redirect_to_a_number": Fault(  # 127.0.0.1 as one number
        "refused", "private_address", _redirect(lambda site, _: f"http://0x7f000001:{site.canary_port}/1.jpg")
    ),
    "redirect_to_mapped_ipv6": Fault(
        "refused", "private_address", _redirect(lambda site, _: f"http://[::ffff:127.0.0.1]:{site.canary_port}/1.jpg")
    ),
    "redirect_link_local": Fault(
        "refused", "private_address", _redirect(lambda *_: "http://169.254.169.254/latest/meta-data/")
    ),
    "redirect_file_scheme": Fault("refused", "bad_redirect", _redirect(lambda *_: "file:///etc/passwd")),
    "redirect_garbage": Fault("refused", "bad_redirect", _redirect(lambda *_: "http://[::1/\xff%%")),
    "redirect_to_empty_labels": Fault("refused", "bad_redirect", _redirect(lambda *_: "http://a..example/1.jpg")),
    "redirect_nowhere": Fault("failed", "http_302", _fixed(302, _NOTHING)),
    "slow_headers": Fault("failed", "timeout", _raw(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", pause=0.2, forever=True)),
    "slow_body": Fault("failed", "timeout", _raw(_OK + b"Content-Length: 5000\r\n\r\n", b"x", pause=0.1, forever=True)),
    "endless_body": Fault("refused", "too_large", _raw(_OK + b"\r\n" + _JPEG, bytes(1 << 20), forever=True)),
    "endless_continue": Fault(
        "failed",
        "timeout",
        _raw(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.1, forever=True),
    ),
    "length_too_long": Fault("failed", "truncated", _length_too_long),
    "length_too_short": Fault("refused", "broken", _length_too_short),
    "length_of_gigabytes": Fault("refused", "too_large", _fixed(headers={"Content-Length": str(10**10)})),
    "bad_chunks": Fault("failed", "unreachable", _raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + _JPEG)),
    # aiohttp reads on to the end of its patience when such a chunk comes after the headers.
    "bad_chunks_late": Fault(
        "failed", "timeout", _raw(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n" + _JPEG, pause=0.1)
    ),
    "cut_chunks": Fault("failed", "truncated", _raw(_OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\n" + _JPEG)),
    "two_lengths": Fault(
        "failed", "unreachable", _raw(_OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n" + _JPEG)
    ),
    "wrong_type": Fault("stored", None, _html),
    "html_as_jpeg": Fault("refused", "broken", _fixed(body=b"<!doctype html><p>Log in, please")),
    "gzip_bomb": Fault("refused", "too_large", _fixed(body=_gzip_bomb(), headers={"Content-Encoding": "gzip"})),
    "double_gzip": Fault("refused", "bad_encoding", _fixed(body=_DOUBLE, headers={"Content-Encoding": "gzip, gzip"})),
    "brotli": Fault("refused", "bad_encoding", _fixed(headers={"Content-Encoding": "br"})),
    "image_bomb": Fault("refused", "broken", _fixed(body=_image_bomb())),
    "truncated_file": Fault("refused", "broken", _cut),
    "empty": Fault("refused", "broken", _fixed(body=_NOTHING)),
    "garbage_status_line": Fault("failed", "unreachable", _raw(b"NONSENSE \x00\xff\r\n\r\n")),
    "endless_headers": Fault("failed", "unreachable", _raw(_OK, b"X-Filler: " + b"x" * 4000 + b"\r\n", forever=True)),
    "reset": Fault("failed", "unreachable", _reset),
    "hang_up": Fault("failed", "unreachable", _raw()),
    "http_204": Fault("failed", "http_204", _fixed(204, _NOTHING)),
    "http_206_unasked": Fault("failed", "bad_range", _fixed(206, headers={"Content-Range": "bytes 10-20/30"})),
    "http_304_unasked": Fault("failed", "http_304", _fixed(304, _NOTHING)),
    "http_404": Fault("failed", "http_404", _fixed(404, _NOTHING)),
    "http_410": Fault("refused", "http_410", _fixed(410, _NOTHING)),
    "http_416_unasked": Fault("failed", "bad_range", _fixed(416, _NOTHING)),
    "http_500": Fault("failed", "http_500", _fixed(500, _NOTHING)),
    "http_500_then_ok": Fault("stored", None, _first(_fixed(500, _NOTHING))),
    "http_429_then_ok": Fault("stored", None, _first(_fixed(429, _NOTHING, {"Retry-After": "1"}))),
    "http_503_date": Fault("stored", None, _first(_later)),
    "retry_after_nonsense": Fault("stored", None, _first(_fixed(503, _NOTHING, {"Retry-After": "-1e9 soon \xff"}))),
    "etag_nonsense": Fault("stored", None, _honest(ETag='"' + "\xff\\" * 39 + '"', Last_Modified="\xff" * 40)),
    "opted_out_header": Fault("opted_out", "opted_out", _honest(X_Robots_Tag="otherbot: all, bolid: noai")),
    "opted_out_dated": Fault("opted_out", "opted_out", _honest(X_Robots_Tag=_DATED)),
    "opted_out_of_another": Fault("stored", None, _honest(X_Robots_Tag="otherbot: noai, nofollow")),
    "tdm_header": Fault("opted_out", "opted_out", _honest(tdm_reservation="1")),
    "robots_disallowed": Fault("skipped", "robots", _fixed()),
    "tls": Fault("failed", "tls", address=lambda site: f"https://127.0.0.1:{site.port}/1.jpg"),
    "dns": Fault("failed", "dns", address=lambda site: "http://no-such-name.invalid/1.jpg"),
    "image_at_canary": Fault(
        "refused", "private_address", address=lambda site: f"http://127.0.0.1:{site.canary_port}/1.jpg"
    ),
    "image_at_localhost": Fault(
        "refused", "private_address", address=lambda site: f"http://localhost:{site.canary_port}/1.jpg"
    ),
    "image_of_zero_host": Fault(
        "refused", "private_address", address=lambda site: f"http://0.0.0.0:{site.canary_port}/1.jpg"
    ),
    "stalls_once": Fault("stored", None, _first(_stalls)),  # for a crawl that is killed meanwhile
    "stalls_and_ignores_range": Fault("stored", None, _first(_stalls, ranges=False)),
}


def _page(change: Callable[[bytes], bytes], **headers: str) -> Run:
    """The honest page, changed, with more headers."""

    async def run(site: Hostile, exchange: Exchange, data: bytes) -> None:
        more = {"Content-Type": "text/html; charset=utf-8"} | {k.replace("_", "-"): v for k, v in headers.items()}
        await exchange.answer(200, change(data), more)

    return run


async def _pagination_loop(site: Hostile, exchange: Exchange, data: bytes) -> None:
    """The same photos on every page, and always one page more."""
    path, _, number = exchange.path.partition("?page=")
    following = f"{path}?page={int(number or 1) + 1}"
    site.faults[following] = "pagination_loop"
    first = await site.body(path)
    await site.honest(
        exchange, first.replace(b'<div class="listalka">', f'<div class="listalka"><a href="{following}">'.encode())
    )


def _before(html: str) -> Callable[[bytes], bytes]:
    return lambda data: html.encode(errors="surrogatepass") + data


HOSTILE_LINKS = "".join(
    f'<a href="{href}">{name}</a>'
    for href, name in (
        ("javascript:alert(1)", "Script"),
        ("data:text/html,hello", "Data"),
        ("http://[::1", "Half an address"),
        ("/photos/..%2f..%2fetc%2fpasswd/", "../../etc/passwd"),
        ("/photos/%00/", "Nul\0"),
        ("/photos/%2e%2e/", ".."),
        (f"/photos/{'x' * 300}/", "X" * 300),
        ("/photos/%1b%5b2j/", "\x1b[2J\x1b]0;owned\x07"),
        ("/photos/%e2%80%aegpj/", "\u202egpj.\u2066"),
    )
)
# What has no one outcome for a photo: for pages, or for all of the site.
PAGES: dict[str, Run] = {
    "busy_for_an_hour": _fixed(503, _NOTHING, {"Retry-After": "3600"}),
    "redirect_elsewhere": _redirect(lambda site, _: site.elsewhere),
    "pagination_loop": _pagination_loop,
    "huge_html": _page(lambda data: data + b"<p>filler" * 1_300_000),
    "gzip_cut": _page(lambda data: gzip.compress(data, mtime=0)[:-20], Content_Encoding="gzip"),
    "invalid_utf8": _page(lambda data: b"\xff\xfe\xc3\x28<p>\xed\xa0\x80" + data),
    "drift": _page(lambda data: b"<p>A new design"),
    "hostile_links": _page(lambda data: data.replace(b'my-5">', b'my-5">' + HOSTILE_LINKS.encode())),
    "hostile_name": _page(lambda data: data.replace(b'my-3">', b'my-3">\x1b[2J\0../' + b"\xe2\x80\xaeX" * 300)),
    "meta_noai": _page(_before('<meta name="Robots" content="index, NOAI">')),
    "meta_of_another": _page(_before('<meta name="otherbot" content="noai">')),
    "meta_tdm": _page(_before('<meta name="tdm-reservation" content="1">')),
    "meta_nofollow": _page(_before('<meta name="robots" content="nofollow">')),
    "header_nofollow": _page(_before(""), X_Robots_Tag="nofollow"),
    **{
        f"charset_{name}": _page(_before(""), Content_Type=f"text/html; charset={name}")
        for name in ("hex", "rot13", "idna", "undefined", "no-such-thing")
    },
}
READABLE = {"hostile_name", "invalid_utf8", "meta_of_another", "pagination_loop"} | {
    name for name in PAGES if name.startswith("charset_")
}
"""Pages that are odd, but whose photos can be had."""
