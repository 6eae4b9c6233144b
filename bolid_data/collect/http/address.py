"""Web addresses: what a host is, and where a site's addresses are really served."""

import ipaddress
import re
from urllib.parse import urljoin, urlsplit

from yarl import URL

LONGEST = 4_000
_NOT_IN_PATH = re.compile(r"""[^!$-;=@-\]_a-z|~]""")
_NOT_IN_QUERY = re.compile(r"""[^!$-&(-;=?-~]""")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$|\?)", re.IGNORECASE)
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


def listed(url: str, base: str) -> str | None:
    """`url` as it stands on the page at `base`, absolute, its path and query to the letter: a server may have signed
    them. None where it has no normal form.

    Two addresses lead to one place where they have one normal form (`comparable`); what is asked for is this.
    """
    if (address := normal(url, base)) is None:
        return None
    joined = urljoin(base, re.sub(r"[\x00-\x1f\x7f]", "", url).strip())
    exact = as_sent(f"{origin(address)}{joined[len(origin(joined)) :]}")
    same = (normal(exact, base) or "").partition("?")[0] == address.partition("?")[0]
    return exact if same and len(exact) <= LONGEST and not _DOTS.search(exact) else address


def as_sent(url: str) -> str:
    """An address as a request for it goes out: existing escapes untouched, characters that may not stand in a path or a
    query percent-encoded (WHATWG URL, the path and the special-query percent-encode sets), without a fragment."""
    head = origin(url)
    path, mark, query = url[len(head) :].partition("#")[0].partition("?")
    path = _NOT_IN_PATH.sub(_encode, path.replace("\\", "/"))
    return f"{head}{path or '/'}{mark}{_NOT_IN_QUERY.sub(_encode, query)}"


def comparable(url: str) -> str:
    """What two addresses of one place have in common."""
    return (normal(url, url) or url) if "%" in url else url


def _encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode(errors="replace"))


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
