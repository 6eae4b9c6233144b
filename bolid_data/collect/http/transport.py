"""The HTTP/1.1 transport, which refuses to connect to private networks, and reason words for its errors."""

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

MayBePrivate = Callable[[str, int], bool]
"""Whether (host, port) may be in a private network, because the manifest names it."""


class PrivateAddressError(OSError):
    """A host name resolves to an address that is not on the public internet."""


class _Resolver(AbstractResolver):
    """Resolves names and refuses private addresses; connections are made to the addresses that were checked."""

    def __init__(self, may_be_private: MayBePrivate) -> None:
        self._may_be_private, self._resolver = may_be_private, aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        addresses = await self._resolver.resolve(host, port, family)
        if not self._may_be_private(host, port):
            for address in addresses:
                refuse_private(address["host"])
        return addresses

    async def close(self) -> None:
        await self._resolver.close()


_TRANSLATED = [
    ipaddress.IPv6Network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96", "fec0::/10")
]
"""IPv6 ranges that embed IPv4 addresses, private ones included (NAT64, 6to4, IPv4-compatible), and site-local ones."""


def refuse_private(address: str) -> None:
    """Raises PrivateAddressError for an IP address that is private, loopback, link-local or otherwise not public."""
    ip = ipaddress.ip_address(address.split("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    translated = isinstance(ip, ipaddress.IPv6Address) and any(ip in network for network in _TRANSLATED)
    if translated or not (mapped or ip).is_global or ip.is_multicast:
        raise PrivateAddressError(f"{address} is not on the public internet")


def is_private(url: str) -> bool:
    """Whether an address names this machine or a private network; host names are not resolved."""
    host = urlsplit(url).hostname or ""
    if is_this_machine(url):
        return True
    try:
        refuse_private(host)
    except PrivateAddressError:
        return True
    except ValueError:  # a name, which is checked when it is resolved
        return False
    return False


class _Stream(AiohttpResponseStream):
    CHUNK_SIZE = 1 << 20  # with the default of 16 KiB, chunks take more time than everything else about a photo


class _Transport(AiohttpTransport):
    """Sends a request's target exactly as it is in the address: httpx and yarl would unquote and requote it, which
    breaks signed addresses."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        timeout = request.extensions["timeout"]
        with map_aiohttp_exceptions():
            response = await self.client.request(
                request.method,
                URL(request.extensions["target"], encoded=True),
                headers=request.headers,
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(sock_connect=timeout["connect"], sock_read=timeout["read"]),
            )
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Stream(response), request=request)


def transport(may_be_private: MayBePrivate) -> AiohttpTransport:
    """The transport of a crawl, to be created inside its event loop; it keeps no cookies."""
    context = httpx.create_ssl_context()

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, ssl=context, resolver=_Resolver(may_be_private))
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding", "Accept"),
            read_bufsize=1 << 18,
        )

    return _Transport(verify=context, client=session)


def reason_of(error: BaseException) -> tuple[str, bool]:
    """The reason word for a failed request, and whether retrying is pointless."""
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
