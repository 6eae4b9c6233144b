"""The polite HTTP client: robots.txt obeyed, a pace per host, retries with back-off, redirects and bodies bounded."""

import asyncio
import re
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self, TypeVar, cast

import aiohttp
import httpx
import stamina

from bolid_data.collect.http.address import Served, as_sent, is_ip, listed, origin, place
from bolid_data.collect.http.consent import AGENT
from bolid_data.collect.http.failure import BusyError, FetchError, TransientError
from bolid_data.collect.http.host import Host
from bolid_data.collect.http.transport import PrivateAddressError, reason_of, refuse_inside, transport
from bolid_data.manifest import WebSource

MAX_RULES = 500 * 1024
"""Bytes of a host's rules that are read (RFC 9309, 2.5)."""
MAX_REDIRECTS = 5
LONGEST_WAIT = 120.0
"""Seconds; a host that asks for a longer pause is left alone for this run, and until then by the next ones."""
FIRST_PAUSE = 0.5
"""Seconds before a failed request is made again; the pauses after that grow."""
MOST_HOSTS = 5_000
"""Hosts whose rules and pace are kept in mind; of more, those not used for longest are asked for their rules again."""
LONGEST_ANSWER = 10
"""Times the manifest's timeout that a whole answer may take, however steadily it drips."""

_BUSY = {429, 503}
_CONDITIONAL = {"If-None-Match", "If-Modified-Since"}

T = TypeVar("T")


class Client:
    """Asks for addresses as their owners wish to be asked.

    `closed` holds the hosts (scheme and name) that asked to be left alone, and until when (UTC).
    """

    def __init__(self, source: WebSource, site: Served | None = None) -> None:
        self.closed: dict[str, datetime] = {}
        self.requests = self.received = 0  # bytes of bodies, as sent
        self._source, self._site = source, site or Served()
        self._hosts: OrderedDict[str, Host] = OrderedDict()
        self._own = {place(self._site.base_url)} if self._site.base_url else set()
        self._agent = f"{AGENT}/0.1 (+{source.contact})" if source.contact else f"{AGENT}/0.1"

    async def __aenter__(self) -> Self:
        self._transport = transport(own=lambda host, port: (host, port) in self._own)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    def own(self, url: str) -> None:
        """Says that the manifest itself names this address's host: it may lie inside a private network."""
        self._own.add(place(url))

    def closed_until(self, url: str) -> datetime | None:
        """Until when (UTC) the host of an address wants to be left alone, if it does."""
        until = self.closed.get(origin(url)) if self.closed else None
        return until if until and datetime.now(UTC) < until else None

    async def patiently(self, once: Callable[[], Awaitable[T]]) -> T:
        """Tries until it works, a failure does not pass, or patience ends. A host that asks for a pause gets it."""
        try:
            return await once()  # nearly always enough, and much cheaper than a retrying caller
        except TransientError:
            await asyncio.sleep(FIRST_PAUSE)
        except BusyError:
            pass  # the pace knows when
        return await _while_busy(_retrying, once)

    @asynccontextmanager
    async def exchange(
        self, url: str, headers: dict[str, str], method: str = "GET"
    ) -> AsyncIterator[tuple[httpx.Response, Host]]:
        """The answer to a request and the host that gave it, redirects followed, the body not yet read.

        Raises FetchError for everything but an answer that can be used: 200, 206, 416, and 304 where it was asked for.
        """
        address = url
        for _ in range(MAX_REDIRECTS + 1):
            host = self._host(address, url)
            await host.read_rules(self._rules_text, origin(self._site.served(address)))
            host.admit(address, url)
            async with self._hop(host, address, url, headers, method) as answer:
                if not answer.has_redirect_location:
                    yield answer, host
                    return
                target = answer.headers["location"]
            address = self._redirected(address, target, url)
        raise FetchError(url, "too_many_redirects", final=True)

    @asynccontextmanager
    async def _hop(
        self, host: Host, address: str, url: str, headers: dict[str, str], method: str
    ) -> AsyncIterator[httpx.Response]:
        """One request in its turn, and an answer that can be used, or leads elsewhere."""
        async with host.place():
            await host.pace.turn()
            if self.closed_until(address):
                raise FetchError(url, "asked_to_wait")
            try:
                async with (
                    asyncio.timeout(LONGEST_ANSWER * self._source.timeout) as whole,
                    self._answer(address, headers, method, host) as answer,
                ):
                    if not answer.has_redirect_location:
                        self._check(answer, host, address, url, not _CONDITIONAL.isdisjoint(headers))
                    yield answer
            except (httpx.TransportError, aiohttp.ClientError, TimeoutError) as error:
                if whole.expired():
                    raise FetchError(url, "timeout") from error  # it would take as long again
                reason, final = reason_of(error)
                if reason in ("unreachable", "dns", "tls"):
                    host.failed()
                raise (FetchError(url, reason, final=True) if final else TransientError(url, reason)) from error

    @asynccontextmanager
    async def _answer(
        self, address: str, headers: dict[str, str], method: str, host: Host
    ) -> AsyncIterator[httpx.Response]:
        """One request and its answer; how long its first byte took is the host's latency."""
        timeout = {"connect": self._source.timeout, "read": self._source.timeout}
        given = {"User-Agent": self._agent, "Accept": "*/*"} | headers
        target = as_sent(self._site.served(address))
        try:
            request = httpx.Request(method, target, headers=given, extensions={"timeout": timeout, "target": target})
        except httpx.InvalidURL:
            raise FetchError(address, "bad_address", final=True) from None
        self.requests += 1
        began = time.monotonic()
        answer = await self._transport.handle_async_request(request)
        try:
            if answer.status_code < 400:
                host.answered(time.monotonic() - began)
            yield answer
        finally:
            await answer.aclose()

    async def body(self, answer: httpx.Response, url: str, most: int) -> AsyncIterator[bytes]:
        """A body's bytes, decoded, at most `most` of them: a bomb is never unpacked further than that."""
        codings = _codings(answer.headers.get("content-encoding", ""))
        if codings not in ([], ["gzip"]):
            raise FetchError(url, "bad_encoding", answer.status_code, final=True)
        unpack = _Gunzip() if codings else None
        stated = answer.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > most:
            raise FetchError(url, "too_large", answer.status_code, final=True)
        size = 0
        # The answer's own stream, not its decoding iterators: those cut photos into small pieces.
        async for chunk in cast(httpx.AsyncByteStream, answer.stream):
            self.received += len(chunk)
            try:
                data = unpack(chunk, most + 1 - size) if unpack else chunk
            except zlib.error as error:
                raise FetchError(url, "bad_encoding", answer.status_code) from error
            size += len(data)
            if size > most:
                raise FetchError(url, "too_large", answer.status_code, final=True)
            yield data
        if unpack and not unpack.whole:
            raise TransientError(url, "truncated", answer.status_code)

    def _check(self, answer: httpx.Response, host: Host, address: str, url: str, conditional: bool) -> None:
        """Raises FetchError for an answer that cannot be used, and slows down for a host that asks for it."""
        status = answer.status_code
        if status in _BUSY:
            wait = _retry_after(answer.headers.get("retry-after", ""))
            host.pace.refused(wait)
            if wait is not None and wait > LONGEST_WAIT:
                self.closed[origin(address)] = datetime.now(UTC) + timedelta(seconds=wait)
                raise FetchError(url, "asked_to_wait", status)
            raise BusyError(url, f"http_{status}", status)
        if status >= 500:
            raise TransientError(url, f"http_{status}", status)
        if status not in (200, 206, 416) and not (status == 304 and conditional):
            # Forbidden or lost today may be there tomorrow: the next run asks once more. Gone is gone.
            raise FetchError(url, f"http_{status}", status, final=status == 410)

    def _host(self, address: str, url: str) -> Host:
        """The host of an address. Raises FetchError where none of its addresses may be asked for."""
        key = origin(self._site.served(address))
        if self.closed_until(address):
            raise FetchError(url, "asked_to_wait")
        if host := self._hosts.get(key):
            self._hosts.move_to_end(key)
            return host
        try:
            found = place(key)
            if is_ip(found[0]) and found not in self._own:
                refuse_inside(found[0])  # a name is checked when it is looked up
        except ValueError:
            raise FetchError(url, "bad_address", final=True) from None
        except PrivateAddressError:
            raise FetchError(url, "private_address", final=True) from None
        if len(self._hosts) >= MOST_HOSTS and (idle := next((k for k, h in self._hosts.items() if not h.users), None)):
            del self._hosts[idle]
        return self._hosts.setdefault(key, Host(self._source.delay, self._source.concurrency))

    async def _rules_text(self, address: str, host: Host) -> tuple[int, str]:
        """Status and first part of a host's robots.txt or the like, redirects followed. Raises FetchError where
        there is no telling what the rules are."""

        async def once() -> tuple[int, str]:
            at, asked = address, host
            for _ in range(MAX_REDIRECTS + 1):
                async with self._hop(asked, at, address, {"Accept-Encoding": "identity"}, "GET") as answer:
                    if not answer.has_redirect_location:
                        text = bytearray()
                        async for chunk in self.body(answer, address, 1 << 40):
                            text += chunk
                            if len(text) >= MAX_RULES:
                                break
                        return answer.status_code, text[:MAX_RULES].decode("utf-8-sig", errors="replace")
                    target = answer.headers["location"]
                at = self._redirected(at, target, address)
                asked = self._host(at, address)
            return 404, ""  # RFC 9309, 2.3.1.2

        try:
            return await self.patiently(once)
        except FetchError as error:
            if error.status and 400 <= error.status < 500 and error.status != 429:
                return error.status, ""
            raise

    def _redirected(self, address: str, target: str, url: str) -> str:
        joined = listed(target, self._site.served(address))
        if not joined:
            raise FetchError(url, "bad_redirect", final=True)
        return self._site.canonical(joined)


_CODINGS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "exi", "dcb", "dcz", "pack200-gzip"}
"""IANA's registry of content codings, without identity."""


def _codings(header: str) -> list[str]:
    """The codings that a Content-Encoding names. Servers write other words there (`utf-8`, `none`, `aws-chunked`), over
    plain bytes."""
    tokens = [token.strip().lower() for token in header.split(",")]
    return [token.removeprefix("x-") for token in tokens if token in _CODINGS]


class _Gunzip:
    """Unpacks gzip, all of its members (RFC 1952, 2.2). What follows the last one, such as padding, is passed over."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._between = b""  # bytes that may begin a member
        self._done = False

    def __call__(self, chunk: bytes, most: int) -> bytes:
        """At most so many bytes of what a chunk unpacks to. Raises zlib.error."""
        unpacked = bytearray()
        while chunk and not self._done and len(unpacked) < most:
            if self._member.eof:
                chunk, self._between = self._between + chunk, b""
                if len(chunk) < len(_GZIP) and _GZIP.startswith(chunk):
                    self._between = chunk
                    break
                if not chunk.startswith(_GZIP):
                    self._done = True
                    break
                self._member = zlib.decompressobj(wbits=31)
            unpacked += self._member.decompress(chunk, most - len(unpacked))
            chunk = self._member.unused_data
        return bytes(unpacked)

    @property
    def whole(self) -> bool:
        return self._member.eof


_GZIP = b"\x1f\x8b"


def _retry_after(value: str) -> float | None:
    """Seconds a Retry-After header asks for, given as seconds or as a date."""
    if re.fullmatch(r"\s*\d{1,9}\s*", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


# A host that asks for a pause is asked again when its pace allows it, which is not for stamina to wait.
_while_busy = stamina.AsyncRetryingCaller(attempts=10, timeout=None).on(
    lambda error: 0.001 if isinstance(error, BusyError) else False
)
_retrying = stamina.AsyncRetryingCaller(attempts=3, timeout=None, wait_initial=1, wait_max=30).on(TransientError)
