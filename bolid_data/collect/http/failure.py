"""Errors of a fetch."""

from bolid_data.errors import BolidError


class FetchError(BolidError):
    """Nothing could be fetched from an address. `reason` is a word; `final` means that retrying is pointless or
    unwanted; `consent` is the opt-out, where that is the reason."""

    def __init__(
        self,
        url: str,
        reason: str,
        status: int | None = None,
        final: bool = False,
        consent: str | None = None,
        at: str | None = None,
    ) -> None:
        """`at` is the address that failed, if not `url`, such as a host's robots.txt."""
        problem = reason.replace("_", " ") + (f" at {at}" if at else "") + (f" ({consent})" if consent else "")
        super().__init__(f"{url}: {problem}")
        self.url, self.reason, self.status, self.final, self.consent = url, reason, status, final, consent


class TransientError(FetchError):
    """A failure that may pass by itself."""


class BusyError(FetchError):
    """The host requested back-off; its throttle waits as long as needed."""
