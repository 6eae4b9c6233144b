"""The polite HTTP client: obeys robots.txt, throttles per host, retries with back-off, bounds redirects and bodies."""

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

from bolid_data.collect.http.address import Mirror, encode_url, host_and_port, is_ip, origin, resolve_link
from bolid_data.collect.http.consent import AGENT
from bolid_data.collect.http.failure import BusyError, FetchError, TransientError
from bolid_data.collect.http.host import Host
from bolid_data.collect.http.transport import PrivateAddressError, reason_of, refuse_private, transport
from bolid_data.collect.log import log
from bolid_data.manifest import WebSource

MAX_RULES = 500 * 1024
"""Bytes of a host's rules that are read, at most (RFC 9309, 2.5)."""
MAX_REDIRECTS = 5
MAX_WAIT = 120.0
"""Seconds. A host that requests a longer back-off is closed until then, for this run and the next ones."""
FIRST_PAUSE = 0.5
"""Seconds before the first retry of a failed request; later pauses grow."""
MAX_HOSTS = 5_000
"""Hosts whose rules and throttle are cached; beyond that, the least recently used one is dropped."""
RESPONSE_TIMEOUTS = 10
"""Multiples of the manifest's timeout that a complete response may take, however steadily it arrives."""

_BUSY = {429, 503}
_CONDITIONAL = {"If-None-Match", "If-Modified-Since"}

T = TypeVar("T")


class Client:
    """Sends requests under the rules of each host.

    `closed` maps hosts (scheme and name) that requested back-off to the time (UTC) until which they are left alone.
    """

    def __init__(self, source: WebSource, site: Mirror | None = None) -> None:
        self.closed: dict[str, datetime] = {}
        self.requests = self.received = 0  # bytes of bodies, as sent
        self._source, self._site = source, site or Mirror()
        self._hosts: OrderedDict[str, Host] = OrderedDict()
        self._private_allowed = {host_and_port(self._site.base_url)} if self._site.base_url else set()
        self._agent = f"{AGENT}/0.1 (+{source.contact})" if source.contact else f"{AGENT}/0.1"

    async def __aenter__(self) -> Self:
        self._transport = transport(may_be_private=lambda host, port: (host, port) in self._private_allowed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    def allow_private(self, url: str) -> None:
        """Allows the host of this address, which the manifest itself names, to be in a private network."""
        self._private_allowed.add(host_and_port(url))

    def closed_until(self, url: str) -> datetime | None:
        """The time (UTC) until which the host of an address is closed, or None."""
        until = self.closed.get(origin(url)) if self.closed else None
        return until if until and datetime.now(UTC) < until else None

    async def with_retries(self, once: Callable[[], Awaitable[T]]) -> T:
        """Retries transient failures a few times, and waits where a host requests back-off."""
        try:
            return await once()  # nearly always enough, and much cheaper than stamina's caller
        except TransientError:
            await asyncio.sleep(FIRST_PAUSE)
        except BusyError:
            pass  # the throttle waits
        return await _while_busy(_retrying, once)

    @asynccontextmanager
    async def exchange(
        self, url: str, headers: dict[str, str], method: str = "GET"
    ) -> AsyncIterator[tuple[httpx.Response, Host]]:
        """The response to a request and the host that sent it, after redirects, with the body not yet read.

        Raises FetchError for any status other than 200, 206, 416 and, for a conditional request, 304.
        """
        address = url
        for _ in range(MAX_REDIRECTS + 1):
            host = self._host(address, url)
            await host.read_rules(self._rules_text, origin(self._site.to_served(address)))
            host.admit(address, url)
            async with self._hop(host, address, url, headers, method) as response:
                if not response.has_redirect_location:
                    yield response, host
                    return
                target = response.headers["location"]
            address = self._redirected(address, target, url)
        raise FetchError(url, "too_many_redirects", final=True)

    @asynccontextmanager
    async def _hop(
        self, host: Host, address: str, url: str, headers: dict[str, str], method: str
    ) -> AsyncIterator[httpx.Response]:
        """One throttled request, whose response can be used or is a redirect."""
        async with host.slot():
            await host.throttle.wait()
            if self.closed_until(address):
                raise FetchError(url, "asked_to_wait")
            try:
                async with (
                    asyncio.timeout(RESPONSE_TIMEOUTS * self._source.timeout) as timeout,
                    self._send(address, headers, method, host) as response,
                ):
                    if not response.has_redirect_location:
                        self._check(response, host, address, url, not _CONDITIONAL.isdisjoint(headers))
                    yield response
            except (httpx.TransportError, aiohttp.ClientError, TimeoutError) as error:
                if timeout.expired():
                    raise FetchError(url, "timeout") from error  # it would take as long again
                reason, final = reason_of(error)
                if reason in ("unreachable", "dns", "tls"):
                    host.record_failure()
                raise (FetchError(url, reason, final=True) if final else TransientError(url, reason)) from error

    @asynccontextmanager
    async def _send(
        self, address: str, headers: dict[str, str], method: str, host: Host
    ) -> AsyncIterator[httpx.Response]:
        """One request and its response; the time to the first byte is recorded as the host's latency."""
        timeout = {"connect": self._source.timeout, "read": self._source.timeout}
        headers = {"User-Agent": self._agent, "Accept": "*/*"} | headers
        target = encode_url(self._site.to_served(address))
        try:
            request = httpx.Request(method, target, headers=headers, extensions={"timeout": timeout, "target": target})
        except httpx.InvalidURL:
            raise FetchError(address, "bad_address", final=True) from None
        self.requests += 1
        started = time.monotonic()
        try:
            response = await self._transport.handle_async_request(request)
        except Exception as error:
            log(target, "%s: %s", method, type(error).__name__)
            raise
        log(target, "%s: %d after %.3f s", method, response.status_code, time.monotonic() - started)
        try:
            if response.status_code < 400:
                host.record_response(time.monotonic() - started)
            yield response
        finally:
            await response.aclose()

    async def body(self, response: httpx.Response, url: str, max_bytes: int) -> AsyncIterator[bytes]:
        """The decoded bytes of a body, at most `max_bytes` of them: a bomb is never unpacked further than that."""
        codings = _codings(response.headers.get("content-encoding", ""))
        if codings not in ([], ["gzip"]):
            raise FetchError(url, "bad_encoding", response.status_code, final=True)
        unpack = _Gunzip() if codings else None
        stated = response.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > max_bytes:
            raise FetchError(url, "too_large", response.status_code, final=True)
        size = 0
        # The raw stream, not httpx's decoding iterators: those cut photos into small pieces.
        async for chunk in cast(httpx.AsyncByteStream, response.stream):
            self.received += len(chunk)
            try:
                data = unpack(chunk, max_bytes + 1 - size) if unpack else chunk
            except zlib.error as error:
                raise FetchError(url, "bad_encoding", response.status_code) from error
            size += len(data)
            if size > max_bytes:
                raise FetchError(url, "too_large", response.status_code, final=True)
            yield data
        if unpack and not unpack.complete:
            raise TransientError(url, "truncated", response.status_code)

    def _check(self, response: httpx.Response, host: Host, address: str, url: str, conditional: bool) -> None:
        """Raises FetchError for a response that cannot be used, and backs off where the host requests it."""
        status = response.status_code
        if status in _BUSY:
            wait = _retry_after(response.headers.get("retry-after", ""))
            host.throttle.back_off(wait)
            if wait is not None and wait > MAX_WAIT:
                self.closed[origin(address)] = datetime.now(UTC) + timedelta(seconds=wait)
                raise FetchError(url, "asked_to_wait", status)
            raise BusyError(url, f"http_{status}", status)
        if status >= 500:
            raise TransientError(url, f"http_{status}", status)
        if status not in (200, 206, 416) and not (status == 304 and conditional):
            # A photo that is forbidden or missing today may be there tomorrow: the next run tries again. Gone is final.
            raise FetchError(url, f"http_{status}", status, final=status == 410)

    def _host(self, address: str, url: str) -> Host:
        """The host of an address. Raises FetchError where nothing may be requested from it."""
        key = origin(self._site.to_served(address))
        if self.closed_until(address):
            raise FetchError(url, "asked_to_wait")
        if host := self._hosts.get(key):
            self._hosts.move_to_end(key)
            return host
        try:
            name, port = host_and_port(key)
            if is_ip(name) and (name, port) not in self._private_allowed:
                refuse_private(name)  # a domain name is checked when it is resolved
        except ValueError:
            raise FetchError(url, "bad_address", final=True) from None
        except PrivateAddressError:
            raise FetchError(url, "private_address", final=True) from None
        if len(self._hosts) >= MAX_HOSTS and (idle := next((k for k, h in self._hosts.items() if not h.users), None)):
            del self._hosts[idle]
        return self._hosts.setdefault(key, Host(self._source.delay, self._source.concurrency))

    async def _rules_text(self, address: str, host: Host) -> tuple[int, str]:
        """Status and first part of a host's robots.txt or tdmrep.json, after redirects. Raises FetchError where the
        rules cannot be determined."""

        async def once() -> tuple[int, str]:
            at, at_host = address, host
            for _ in range(MAX_REDIRECTS + 1):
                async with self._hop(at_host, at, address, {"Accept-Encoding": "identity"}, "GET") as response:
                    if not response.has_redirect_location:
                        text = bytearray()
                        async for chunk in self.body(response, address, 1 << 40):
                            text += chunk
                            if len(text) >= MAX_RULES:
                                break
                        return response.status_code, text[:MAX_RULES].decode("utf-8-sig", errors="replace")
                    target = response.headers["location"]
                at = self._redirected(at, target, address)
                at_host = self._host(at, address)
            return 404, ""  # RFC 9309, 2.3.1.2

        try:
            return await self.with_retries(once)
        except FetchError as error:
            if error.status and 400 <= error.status < 500 and error.status != 429:
                return error.status, ""
            raise

    def _redirected(self, address: str, target: str, url: str) -> str:
        joined = resolve_link(target, self._site.to_served(address))
        if not joined:
            raise FetchError(url, "bad_redirect", final=True)
        return self._site.to_canonical(joined)


_CODINGS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "exi", "dcb", "dcz", "pack200-gzip"}
"""IANA's registry of content codings, without identity."""


def _codings(header: str) -> list[str]:
    """The codings that a Content-Encoding names. Servers also write other words there (`utf-8`, `none`, `aws-chunked`)
    and send plain bytes."""
    tokens = [token.strip().lower() for token in header.split(",")]
    return [token.removeprefix("x-") for token in tokens if token in _CODINGS]


class _Gunzip:
    """Unpacks all members of a gzip stream (RFC 1952, 2.2) and ignores what follows the last one, such as padding."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._between = b""  # bytes that may begin a member
        self._finished = False

    def __call__(self, chunk: bytes, max_bytes: int) -> bytes:
        """Unpacks a chunk, to at most `max_bytes` bytes. Raises zlib.error."""
        unpacked = bytearray()
        while chunk and not self._finished and len(unpacked) < max_bytes:
            if self._member.eof:
                chunk, self._between = self._between + chunk, b""
                if len(chunk) < len(_GZIP) and _GZIP.startswith(chunk):
                    self._between = chunk
                    break
                if not chunk.startswith(_GZIP):
                    self._finished = True
                    break
                self._member = zlib.decompressobj(wbits=31)
            unpacked += self._member.decompress(chunk, max_bytes - len(unpacked))
            chunk = self._member.unused_data
        return bytes(unpacked)

    @property
    def complete(self) -> bool:
        return self._member.eof


_GZIP = b"\x1f\x8b"


def _retry_after(value: str) -> float | None:
    """The seconds that a Retry-After header requests, as a number or as a date."""
    if re.fullmatch(r"\s*\d{1,9}\s*", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


# The throttle waits where a host requests back-off, so stamina need not.
_while_busy = stamina.AsyncRetryingCaller(attempts=10, timeout=None).on(
    lambda error: 0.001 if isinstance(error, BusyError) else False
)
_retrying = stamina.AsyncRetryingCaller(attempts=3, timeout=None, wait_initial=1, wait_max=30).on(TransientError)
