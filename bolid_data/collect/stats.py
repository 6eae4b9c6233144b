"""Statistics of a crawl: for its display, its summary and its budget."""

import time
from dataclasses import dataclass, field
from typing import Any

from bolid_data.manifest import WebSource

_FOR_DISPLAY = ("started", "expected", "visited", "all_listed")


@dataclass
class CrawlStats:
    people: int = 0
    skipped_people: int = 0  # too few photos listed
    expected: int = 0  # photos to visit, as far as the lists have been read
    all_listed: bool = False  # whether all lists have been read, so that `expected` is the crawl's total
    visited: int = 0  # of those
    new: int = 0  # photos stored
    known: int = 0  # photos in the store before, not requested again
    unchanged: int = 0  # pages and photos that are unchanged according to the server
    changed: int = 0  # photos whose validators have changed
    gone: int = 0  # photos in the store that the site no longer lists or serves
    opted_out: int = 0  # photos in the store that the owner has since opted out
    bytes: int = 0  # of the photos stored
    requests: int = 0
    received: int = 0  # bytes of all bodies
    reasons: dict[str, int] = field(default_factory=dict)  # number of addresses without a photo, by reason
    drift: list[str] = field(default_factory=list)  # pages whose design has changed
    bad_rows: int = 0  # of a list
    warnings: list[str] = field(default_factory=list)  # pages that list fewer photos than they state
    errors: list[str] = field(default_factory=list)  # other pages that could not be read
    stopped: str | None = None  # the budget that ended the run
    started: float = field(default_factory=time.monotonic)

    def count_reason(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def is_budget_spent(self, source: WebSource) -> bool:
        """Whether the run's budget is used up; `stopped` is then set to its key."""
        if source.max_bytes is not None and self.received >= source.max_bytes:
            self.stopped = "max_bytes"
        elif source.max_minutes is not None and self.seconds >= 60 * source.max_minutes:
            self.stopped = "max_minutes"
        return self.stopped is not None

    def summary(self) -> dict[str, Any]:
        numbers = {name: value for name, value in vars(self).items() if name not in _FOR_DISPLAY}
        return numbers | {"seconds": round(self.seconds, 2)}
