"""What a crawl writes to the log of `--log` and `-v`."""

import logging

from bolid_data.progress import LOG
from bolid_data.public_address import public_address


def log(url: str, what: str, *values: object) -> None:
    """Logs what happened at an address, which is written without its secrets; `values` are those of `what`, in the
    manner of `logging`."""
    if LOG.isEnabledFor(logging.INFO):
        LOG.info(f"%s {what}", public_address(url)[0], *values)
