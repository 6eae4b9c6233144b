"""Web addresses: what a host is, and where a site's addresses are really served."""

import ipaddress
import re
from urllib.parse import urljoin, urlsplit

from yarl import URL

LONGEST = 4_000
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-f:.]*")


def place(url: str) -> tuple[str, int]:
    """Host and port of a web address. Raises ValueError where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > LONGEST:
        raise ValueError(f"{url[:200]}: no address on the web")
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def normal(url: str, base: str) -> str | None:
    """`url` as it stands on the page at `base`: absolute, http(s), in its one normal form, without a fragment.

    None for what is no such address: another scheme, no host or a bad one, a bad port, more than 4000 characters.
    """
    if len(url) > LONGEST:
        return None
    try:
        link = URL(urljoin(base, re.sub(r"[\x00-\x1f\x7f]", "", url).strip()))
        if link.scheme not in ("http", "https") or not _HOST.fullmatch(link.raw_host or "") or not link.host:
            return None
        address = f"{link.scheme}://{link.host_port_subcomponent}{link.raw_path_qs}"
    except ValueError:
        return None
    return address if len(address) <= LONGEST else None


def origin(url: str) -> str:
    """Scheme, host and port as they stand in an address: what is before its path."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + re.split(r"[/?#]", rest, maxsplit=1)[0]


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    return True


def is_this_machine(url: str) -> bool:
    """Whether an address's host is this machine, by name or loopback address."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or (is_ip(host) and ipaddress.ip_address(host).is_loopback)


class Served:
    """A site whose addresses are kept under its own origin, and fetched from where it is served for this crawl: a
    mirror, or a gallery on this machine. Without an origin, addresses are what they are."""

    def __init__(self, origin: str = "", base_url: str | None = None) -> None:
        self.origin, self.base_url = origin.rstrip("/"), (base_url or origin).rstrip("/")

    def served(self, url: str) -> str:
        return _moved(url, self.origin, self.base_url)

    def canonical(self, url: str) -> str:
        return _moved(url, self.base_url, self.origin)


def _moved(url: str, old: str, new: str) -> str:
    below = old and url.startswith(old) and url[len(old) : len(old) + 1] in ("", "/", "?", "#")
    return new + url[len(old) :] if below else url
