"""What a site's owner allows: robots.txt, and opt-outs in the headers of a page or photo."""

import re
from collections.abc import Iterable

from protego import Protego

AGENT = "bolid"
_OPT_OUT = {"noai", "noimageai", "noindex", "noimageindex", "none"}
_WITH_VALUE = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}


class Robots:
    """A host's robots.txt (RFC 9309)."""

    def __init__(self, status: int | None, text: str) -> None:
        # RFC 9309 2.3.1: without the file (4xx) all is allowed; a file that cannot be had (5xx, no answer) forbids all.
        unavailable = status is None or status >= 500
        found = status is not None and status < 400
        self._rules = Protego.parse(text if found else "User-agent: *\nDisallow: /" if unavailable else "")

    def allows(self, url: str) -> bool:
        return self._rules.can_fetch(url, AGENT)

    @property
    def crawl_delay(self) -> float:
        """Seconds between requests the host asks for, 0 where it says nothing."""
        return float(self._rules.crawl_delay(AGENT) or 0)


def opted_out(x_robots_tags: Iterable[str]) -> str | None:
    """The directive by which `X-Robots-Tag` headers opt out of such use, or None.

    A header may be for one agent only (`otherbot: noai`), and dates in it hold commas.
    """
    for header in x_robots_tags:
        agent = None
        for part in header.lower().split(","):
            directive = part.strip()
            if named := re.match(r"([a-z0-9_.-]+)\s*:\s*(.*)", directive):
                if named[1] in _WITH_VALUE:
                    continue
                agent, directive = named[1], named[2].strip()
            if directive in _OPT_OUT and agent in (None, "*", AGENT):
                return directive
    return None
