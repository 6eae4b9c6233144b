"""What carries requests: HTTP/1.1 that refuses to connect into a private network, and names for what goes wrong."""

import ipaddress
import ssl
from collections.abc import Callable
from socket import AF_INET, AddressFamily
from urllib.parse import urlsplit

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream, map_aiohttp_exceptions
from yarl import URL

from bolid_data.collect.http.address import is_this_machine

Own = Callable[[str, int], bool]
"""Whether (host, port) may lie inside: it is the manifest's own."""


class PrivateAddressError(OSError):
    """A name leads to an address that is not on the public internet."""


class _Resolver(AbstractResolver):
    """Looks names up and refuses answers that point inside; what is connected to is what was looked at."""

    def __init__(self, own: Own) -> None:
        self._own, self._resolver = own, aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not self._own(host, port):
            for answer in found:
                refuse_inside(answer["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


_TRANSLATED = [
    ipaddress.IPv6Network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96", "fec0::/10")
]
"""IPv6 that stands for IPv4 addresses, private ones among them (NAT64, 6to4, IPv4-compatible), and site-local."""


def refuse_inside(address: str) -> None:
    """Raises PrivateAddressError for an IP address that is private, loopback, link-local or otherwise not public."""
    found = ipaddress.ip_address(address.split("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    translated = isinstance(found, ipaddress.IPv6Address) and any(found in network for network in _TRANSLATED)
    if translated or not (mapped or found).is_global or found.is_multicast:
        raise PrivateAddressError(f"{address} is not on the public internet")


def is_inside(url: str) -> bool:
    """Whether an address names, without looking it up, this machine or a network that is not public."""
    host = urlsplit(url).hostname or ""
    if is_this_machine(url):
        return True
    try:
        refuse_inside(host)
    except PrivateAddressError:
        return True
    except ValueError:  # a name, which is checked when it is looked up
        return False
    return False


class _Stream(AiohttpResponseStream):
    CHUNK_SIZE = 1 << 20  # chunks of 16 KiB, the default, cost more time than all else about a photo


class _Transport(AiohttpTransport):
    """Sends a request's target as it stands in the address: httpx and yarl would unquote and quote it again, and a
    server that signed it would not know it any more."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        timeout = request.extensions["timeout"]
        with map_aiohttp_exceptions():
            answer = await self.client.request(
                request.method,
                URL(request.extensions["target"], encoded=True),
                headers=request.headers,
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(sock_connect=timeout["connect"], sock_read=timeout["read"]),
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Stream(answer), request=request)


def transport(own: Own) -> AiohttpTransport:
    """The transport of a crawl, for use inside its event loop; it keeps no cookies."""
    context = httpx.create_ssl_context()

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, ssl=context, resolver=_Resolver(own))
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding", "Accept"),
            read_bufsize=1 << 18,
        )

    return _Transport(verify=context, client=session)


def reason_of(error: BaseException) -> tuple[str, bool]:
    """A failed exchange in a word, and whether asking again is pointless."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain += [cause, *([cause.os_error] if isinstance(cause, aiohttp.ClientConnectorError) else [])]
        cause = cause.__cause__ or cause.__context__

    def is_a(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    if is_a(PrivateAddressError):
        return "private_address", True
    if is_a(ssl.SSLError, ssl.CertificateError, aiohttp.ClientSSLError):
        return "tls", False
    if is_a(aiohttp.ClientConnectorDNSError):
        return "dns", False
    if is_a(TimeoutError):  # httpx's own timeout classes also stand for refused connections here
        return "timeout", False
    if is_a(aiohttp.ClientPayloadError, httpx.ReadError):
        return "truncated", False
    return "unreachable", False
