"""Why an address gave nothing."""

from bolid_data.errors import BolidError


class FetchError(BolidError):
    """An address gave nothing. `reason` is a word; `final` says that asking again is pointless or unwanted;
    `consent` is the opt-out, where that is the reason."""

    def __init__(
        self,
        url: str,
        reason: str,
        status: int | None = None,
        final: bool = False,
        consent: str | None = None,
        at: str | None = None,
    ) -> None:
        """`at` is where the trouble is, if not at `url`, such as a host's robots.txt."""
        trouble = reason.replace("_", " ") + (f" at {at}" if at else "") + (f" ({consent})" if consent else "")
        super().__init__(f"{url}: {trouble}")
        self.url, self.reason, self.status, self.final, self.consent = url, reason, status, final, consent


class TransientError(FetchError):
    """A failure that may pass by itself."""


class BusyError(FetchError):
    """The host asked for a pause; its pace knows for how long."""
