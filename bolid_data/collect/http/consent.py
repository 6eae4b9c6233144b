"""What a site's owner allows: robots.txt, and opt-outs in headers, in a page's meta elements, and by TDMRep.

Every function that finds an opt-out returns it as text ("x-robots-tag: noai"), to be stored with the sighting.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from dateutil import parser as dates
from protego import Protego
from selectolax.lexbor import LexborHTMLParser

AGENT = "bolid"
_AI = {"noai", "noimageai"}
_OPT_OUT = _AI | {"noindex", "noimageindex", "none"}
_LIST_OPT_OUT = _AI | {"noimageindex", "nofollow", "none"}
_WITH_VALUE = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
_HEAD = 100_000  # characters of a page that are searched for meta elements
_TDM = "tdm-reservation"


class Robots:
    """A host's robots.txt (RFC 9309)."""

    def __init__(self, status: int | None, text: str) -> None:
        # RFC 9309 2.3.1: without the file (4xx), all is allowed; an unreachable file (5xx, no response) forbids all.
        unavailable = status is None or status >= 500 or status == 429
        exists = status is not None and status < 400
        self._rules = Protego.parse("User-agent: *\nDisallow: /" if unavailable else text if exists else "")
        self._open = not unavailable and "disallow" not in text.lower()  # then no address needs matching

    def allows(self, url: str) -> bool:
        return self._open or self._rules.can_fetch(url, AGENT)

    @property
    def crawl_delay(self) -> float:
        """The host's Crawl-delay in seconds, 0 without one."""
        return float(self._rules.crawl_delay(AGENT) or 0)


class TdmRules:
    """A host's `/.well-known/tdmrep.json` (W3C TDM Reservation Protocol): paths whose use for mining is reserved.

    Its `location` patterns are those of robots.txt, and the longest one that matches applies, as there.
    """

    def __init__(self, text: str = "[]") -> None:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = []
        rules = [rule for rule in content if isinstance(rule, dict)] if isinstance(content, list) else []
        lines = [f"{'Disallow' if _reserved(r.get(_TDM)) else 'Allow'}: /{_pattern(r).lstrip('/')}" for r in rules]
        self._rules = Protego.parse("\n".join(["User-agent: *", *lines])) if lines else None

    def opt_out(self, url: str) -> str | None:
        return None if self._rules is None or self._rules.can_fetch(url, AGENT) else "tdmrep.json"


def header_opt_out(x_robots_tags: Iterable[str], now: datetime | None = None) -> str | None:
    """The directive by which a photo's `X-Robots-Tag` headers opt it out, or None.

    A header may address one agent only (`otherbot: noai`), and its dates contain commas; after the date of
    `unavailable_after`, the photo counts as opted out.
    """
    directives = _directives(x_robots_tags, now or datetime.now(UTC)) & (_OPT_OUT | {"unavailable_after"})
    return f"x-robots-tag: {min(directives)}" if directives else None


def list_header_opt_out(x_robots_tags: Iterable[str]) -> str | None:
    """The same for a page of links: `noindex` alone does not forbid following them, `nofollow` does."""
    directives = _directives(x_robots_tags, datetime.now(UTC)) & _LIST_OPT_OUT
    return f"x-robots-tag: {min(directives)}" if directives else None


def tdm_opt_out(header: str | None, rules: TdmRules, url: str) -> str | None:
    """The opt-out by TDMRep: the response's header takes precedence over the host's rules for its path."""
    if header is None:
        return rules.opt_out(url)
    return f"{_TDM}: 1" if _reserved(header.strip()) else None


def meta_opt_out(html: str, links: bool) -> str | None:
    """The opt-out in a page's meta elements: of the photo on it or, with `links`, of what it links to."""
    opt_outs = _LIST_OPT_OUT if links else _OPT_OUT | {"unavailable_after"}
    for node in LexborHTMLParser(html[:_HEAD]).css("meta[name][content]"):
        name, content = (str(node.attributes[key] or "").strip() for key in ("name", "content"))
        name = name.lower()
        if name == _TDM and _reserved(content):
            return f"meta {_TDM}: 1"
        if name in ("robots", AGENT):
            words = set(re.split(r"[\s,]+", content.lower())) | _directives([content], datetime.now(UTC))
            if directives := words & opt_outs:
                return f"meta {name}: {min(directives)}"
    return None


def _directives(headers: Iterable[str], now: datetime) -> set[str]:
    """Directives that apply to this agent; `unavailable_after` is among them once its date has passed."""
    directives: set[str] = set()
    for header in headers:
        agent = None
        parts = [part.strip() for part in header.split(",")]
        for part, following in zip(parts, [*parts[1:], ""], strict=True):
            key, value = _split(part)
            if value is not None and key not in _WITH_VALUE:
                agent = key
                key, value = _split(value)
            # A date may contain a comma: "Wed, 25 Jun 2025 15:00:00 GMT".
            not_yet = key == "unavailable_after" and not (_past(value, now) or _past(f"{value}, {following}", now))
            if agent in (None, "*", AGENT) and not not_yet:
                directives.add(key)
    return directives


def _split(part: str) -> tuple[str, str | None]:
    """A directive's name in lower case, and the text after its colon."""
    named = re.match(r"([a-z*][a-z0-9_*.-]*)\s*:\s*(.*)", part, re.IGNORECASE)
    return (named[1].lower(), named[2].strip()) if named else (part.lower(), None)


def _past(text: str | None, now: datetime) -> bool:
    if not text or not re.search(r"\d", text):
        return False  # a bare weekday would be parsed as a date in the future
    try:
        date = dates.parse(text, tzinfos=lambda name, offset: offset or 0)  # an unknown zone is off by hours only
    except (ValueError, OverflowError):
        return False
    return (date if date.tzinfo else date.replace(tzinfo=UTC)) < now


def _pattern(rule: dict[str, object]) -> str:
    """A rule's pattern for robots.txt: only its first line, as a line break would smuggle in another rule."""
    lines = str(rule.get("location", "")).encode(errors="replace").decode().splitlines()
    return lines[0].strip() if lines else ""


def _reserved(value: object) -> bool:
    return value in (1, "1", True)
