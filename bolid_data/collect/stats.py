"""What a run of a source did: the numbers of its display, its summary and its budget."""

import time
from dataclasses import dataclass, field
from typing import Any

from bolid_data.manifest import WebSource


@dataclass
class Tally:
    people: int = 0
    skipped_people: int = 0  # too few photos listed
    expected: int = 0  # photos that need a visit, as far as lists are read
    visited: int = 0  # of those
    new: int = 0  # photos stored
    known: int = 0  # photos had already, not asked for again
    unchanged: int = 0  # pages and photos of which the server said so
    changed: int = 0  # photos that had become others when asked for again
    gone: int = 0  # photos had, which the site no longer lists or gives
    opted_out: int = 0  # photos had, which the owner has taken out since
    bytes: int = 0  # of the photos stored
    requests: int = 0
    received: int = 0  # bytes of all bodies
    reasons: dict[str, int] = field(default_factory=dict)  # why an address gave no photo -> addresses
    drift: list[str] = field(default_factory=list)  # pages that no longer read as they should
    bad_rows: int = 0  # of a list
    warnings: list[str] = field(default_factory=list)  # pages that do not list what they say
    errors: list[str] = field(default_factory=list)  # other pages of links that could not be read
    stopped: str | None = None  # the budget that ended the run
    began: float = field(default_factory=time.monotonic)

    def count(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def spent(self, source: WebSource) -> bool:
        """Whether the run's budget is used up; says which in `stopped`."""
        if source.max_bytes is not None and self.received >= source.max_bytes:
            self.stopped = "max_bytes"
        elif source.max_minutes is not None and self.seconds >= 60 * source.max_minutes:
            self.stopped = "max_minutes"
        return self.stopped is not None

    def summary(self) -> dict[str, Any]:
        numbers = {name: value for name, value in vars(self).items() if name not in ("began", "expected", "visited")}
        return numbers | {"seconds": round(self.seconds, 2)}
