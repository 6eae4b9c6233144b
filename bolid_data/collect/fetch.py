"""The polite HTTP client: robots.txt and opt-outs obeyed, a delay per host, retries with back-off, bounded bodies."""

import asyncio
import hashlib
import ipaddress
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx
import stamina
from httpx_aiohttp import HttpxAiohttpClient

from bolid_data.collect.consent import AGENT, Robots, opted_out
from bolid_data.errors import BolidError

MAX_PAGE = 10_000_000
MAX_PHOTO = 100_000_000
MAX_REDIRECTS = 5
_LONGEST_WAIT = 120.0  # a Retry-After beyond this is given up, and asked again by the next run


class FetchError(BolidError):
    """An address gave nothing. `reason` is a word; `final` says that asking again is pointless or unwanted."""

    def __init__(self, url: str, reason: str, status: int | None = None, final: bool = False) -> None:
        super().__init__(f"{url}: {reason.replace('_', ' ')}")
        self.url, self.reason, self.status, self.final = url, reason, status, final


class _AgainError(FetchError):
    """A failure that may pass; `after` seconds are the server's own wish."""

    def __init__(self, url: str, reason: str, status: int | None, after: float | None) -> None:
        super().__init__(url, reason, status)
        self.after = after


@dataclass(frozen=True)
class Download:
    """A whole file, at the place it was asked to."""

    sha256: str
    bytes: int
    status: int


class _Host:
    """One host's turn-taking and robots.txt."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.robots: Robots | None = None
        self.lock = asyncio.Lock()
        self._next = 0.0

    async def turn(self) -> None:
        """Waits until `delay` seconds have passed since the last request began."""
        now = time.monotonic()
        begin = max(now, self._next)
        self._next = begin + self.delay
        await asyncio.sleep(begin - now)


class Fetcher:
    """Fetches pages and photos by their canonical addresses.

    `origin` is the site's own (`https://www.theplace.ru`), `base_url` where it is served for this crawl, a mirror or
    a gallery on this machine: addresses go in and come out under the origin, whatever the port of the day.
    """

    def __init__(self, origin: str, base_url: str | None, contact: str | None, delay: float, concurrency: int) -> None:
        self.origin = origin.rstrip("/")
        self.base_url = (base_url or origin).rstrip("/")
        self._delay = delay
        self._hosts: dict[str, _Host] = {}
        self._places = asyncio.Semaphore(concurrency)
        self._client = HttpxAiohttpClient(
            headers={"User-Agent": f"{AGENT}/0.1 (+{contact})" if contact else f"{AGENT}/0.1"},
            timeout=httpx.Timeout(30, connect=10),
            limits=httpx.Limits(max_connections=concurrency),
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def page(self, url: str, encoding: str) -> str:
        """A page's text. Raises FetchError."""

        async def once() -> str:
            async with self._answer(url) as answer:
                return (await _read(answer, url, MAX_PAGE)).decode(encoding, errors="replace")

        async with self._places:
            return await _retrying(once)

    async def photo(self, url: str, file: Path) -> Download:
        """Writes a photo's bytes to `file`, which is there only once it is whole. Raises FetchError."""

        async def once() -> Download:
            async with self._answer(url) as answer:
                return await _save(answer, url, file)

        async with self._places:
            return await _retrying(once)

    @asynccontextmanager
    async def _answer(self, url: str) -> AsyncIterator[httpx.Response]:
        """The answer to a GET, redirects followed, consent checked, its body not yet read."""
        address = url
        for _ in range(MAX_REDIRECTS + 1):
            host = await self._host(address)
            if host.robots and not host.robots.allows(address):
                raise FetchError(url, "robots", final=True)
            await host.turn()
            try:
                async with self._client.stream("GET", self._served(address)) as answer:
                    if not answer.is_redirect:
                        _check(answer, url)
                        yield answer
                        return
                    address = self._canonical(urljoin(self._served(address), answer.headers["location"]))
            except httpx.TransportError as error:
                raise _AgainError(url, f"unreachable: {error or type(error).__name__}", None, None) from error
            except (httpx.InvalidURL, ValueError) as error:
                raise FetchError(url, "bad_address", final=True) from error
        raise FetchError(url, "too_many_redirects", final=True)

    async def _host(self, address: str) -> _Host:
        """The host's turn-taking; at the first request to it, its addresses are checked and its robots.txt read."""
        parts = urlsplit(self._served(address))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FetchError(address, "bad_address", final=True)
        key = f"{parts.scheme}://{parts.netloc}"
        host = self._hosts.setdefault(key, _Host(self._delay))
        async with host.lock:
            if host.robots is None:
                if key != self.base_url:
                    await _refuse_inside(parts.hostname, address)
                host.robots = await self._robots(key, host)
                host.delay = max(host.delay, host.robots.crawl_delay)
        return host

    async def _robots(self, key: str, host: _Host) -> Robots:
        await host.turn()
        try:
            answer = await self._client.get(f"{key}/robots.txt")
        except httpx.TransportError:
            return Robots(None, "")
        return Robots(answer.status_code, answer.text[:500_000])

    def _served(self, url: str) -> str:
        return self.base_url + url.removeprefix(self.origin) if _below(url, self.origin) else url

    def _canonical(self, url: str) -> str:
        return self.origin + url.removeprefix(self.base_url) if _below(url, self.base_url) else url


def is_this_machine(url: str) -> bool:
    """Whether an address's host is this machine, by name or loopback address."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _below(url: str, origin: str) -> bool:
    return url.startswith(origin) and url[len(origin) : len(origin) + 1] in ("", "/", "?", "#")


async def _refuse_inside(host: str, url: str) -> None:
    """A page must not send us into somebody's private network (server-side request forgery)."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _AgainError(url, f"unreachable: {error}", None, None) from error
    if not all(ipaddress.ip_address(str(address[0]).split("%")[0]).is_global for *_, address in found):
        raise FetchError(url, "private_address", final=True)


def _check(answer: httpx.Response, url: str) -> None:
    status = answer.status_code
    if status == 429 or status >= 500:
        raise _AgainError(url, f"http_{status}", status, _retry_after(answer.headers.get("retry-after", "")))
    if status >= 400:
        # Forbidden or gone today may be there tomorrow: the next run asks once more.
        raise FetchError(url, f"http_{status}", status)
    if directive := opted_out(answer.headers.get_list("x-robots-tag")):
        raise FetchError(url, f"opted_out: {directive}", status, final=True)


def _retry_after(value: str) -> float | None:
    """Seconds a Retry-After header asks for, given as seconds or as a date."""
    if re.fullmatch(r"\s*\d+\s*", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _again(error: Exception) -> bool | float:
    """Whether to ask once more: after the server's own wish in seconds, or after the usual back-off."""
    if not isinstance(error, _AgainError):
        return False
    return True if error.after is None else error.after if error.after <= _LONGEST_WAIT else False


_retrying = stamina.AsyncRetryingCaller(attempts=4, timeout=None, wait_initial=0.5, wait_max=30).on(_again)


async def _read(answer: httpx.Response, url: str, most: int) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > most:
            raise FetchError(url, "too_large", answer.status_code, final=True)
    return bytes(body)


async def _save(answer: httpx.Response, url: str, file: Path) -> Download:
    digest, size, partial = hashlib.sha256(), 0, file.with_name(f"{file.name}.part")
    with partial.open("wb") as out:
        async for chunk in answer.aiter_bytes():
            size += len(chunk)
            if size > MAX_PHOTO:
                raise FetchError(url, "too_large", answer.status_code, final=True)
            digest.update(chunk)
            out.write(chunk)
    partial.replace(file)
    return Download(digest.hexdigest(), size, answer.status_code)
