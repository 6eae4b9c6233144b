"""Web addresses: normal forms, hosts, and mirrors of a site."""

import ipaddress
import re
from urllib.parse import urljoin, urlsplit

from yarl import URL

MAX_URL_LENGTH = 4_000
_NOT_IN_PATH = re.compile(r"""[^!$-;=@-\]_a-z|~]""")
_NOT_IN_QUERY = re.compile(r"""[^!$-&(-;=?-~]""")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$|\?)", re.IGNORECASE)
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-f:.]*")


def host_and_port(url: str) -> tuple[str, int]:
    """Host and port of a web address. Raises ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > MAX_URL_LENGTH:
        raise ValueError(f"{url[:200]}: not an address on the web")
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def normalise(url: str, base: str) -> str | None:
    """The normal form of a link on the page at `base`: absolute, http(s), without a fragment.

    None for anything else: another scheme, a missing or bad host, a bad port, more than 4000 characters.
    """
    if len(url) > MAX_URL_LENGTH:
        return None
    try:
        link = URL(urljoin(base, re.sub(r"[\x00-\x1f\x7f]", "", url).strip()))
        if link.scheme not in ("http", "https") or not _HOST.fullmatch(link.raw_host or "") or not link.host:
            return None
        address = f"{link.scheme}://{link.host_port_subcomponent}{link.raw_path_qs}"
    except ValueError:
        return None
    return address if len(address) <= MAX_URL_LENGTH else None


def resolve_link(url: str, base: str) -> str | None:
    """The absolute address of a link on the page at `base`, with path and query unchanged, as a server may have signed
    them. None where it has no normal form.

    This address is requested; its normal form (`comparable`) tells whether two addresses are the same.
    """
    if (address := normalise(url, base)) is None:
        return None
    joined = urljoin(base, re.sub(r"[\x00-\x1f\x7f]", "", url).strip())
    exact = encode_url(f"{origin(address)}{joined[len(origin(joined)) :]}")
    same = (normalise(exact, base) or "").partition("?")[0] == address.partition("?")[0]
    return exact if same and len(exact) <= MAX_URL_LENGTH and not _DOTS.search(exact) else address


def encode_url(url: str) -> str:
    """An address as it is sent in a request: without a fragment, existing escapes unchanged, characters that a path or
    a query may not hold percent-encoded (WHATWG URL, the path and the special-query percent-encode sets)."""
    head = origin(url)
    path, mark, query = url[len(head) :].partition("#")[0].partition("?")
    path = _NOT_IN_PATH.sub(_encode, path.replace("\\", "/"))
    return f"{head}{path or '/'}{mark}{_NOT_IN_QUERY.sub(_encode, query)}"


def comparable(url: str) -> str:
    """The form in which two addresses of the same thing are equal."""
    return (normalise(url, url) or url) if "%" in url else url


def _encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode(errors="replace"))


def origin(url: str) -> str:
    """Scheme, host and port as written in an address: everything before its path."""
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
    if not is_ip(host):
        return host == "localhost"
    address = ipaddress.ip_address(host)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class Mirror:
    """A site whose addresses are stored under its canonical `origin` and fetched from `base_url`, such as a gallery on
    this machine. Without an origin, addresses are fetched as they are."""

    def __init__(self, origin: str = "", base_url: str | None = None) -> None:
        self.origin, self.base_url = origin.rstrip("/"), (base_url or origin).rstrip("/")

    def to_served(self, url: str) -> str:
        return _moved(url, self.origin, self.base_url)

    def to_canonical(self, url: str) -> str:
        return _moved(url, self.base_url, self.origin)

    def in_message(self, text: str) -> str:
        """A message in which the site's addresses name the host that was asked."""
        return text.replace(self.origin, self.base_url) if self.origin else text


def _moved(url: str, old: str, new: str) -> str:
    below = old and url.startswith(old) and url[len(old) : len(old) + 1] in ("", "/", "?", "#")
    return new + url[len(old) :] if below else url
