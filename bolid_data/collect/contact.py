"""The address that sites are told, so that their owners know whom to contact."""

import re

from bolid_data.errors import UsageError

_MAIL = re.compile(r"(mailto:)?[^@\s:/]+@[^@\s:/]+\.[^@\s:/.]{2,}")
_URL = re.compile(r"https?://[^\s/]+\.[^\s/]+(/\S*)?")
_PLACEHOLDER = re.compile(r"(mailto:)?you@example\.\w+", re.IGNORECASE)


def problem_with(contact: str | None, host: str = "a site") -> str | None:
    """What is wrong with a contact address; None if the owner of `host` can use it."""
    if not contact:
        return f"is missing; the owner of {host} must know whom to contact (mailto:NAME@HOST, or a URL)"
    if _PLACEHOLDER.fullmatch(contact):
        return f"is still the example's, {contact}; the owner of {host} must know whom to contact: name your address"
    if not _MAIL.fullmatch(contact) and not _URL.fullmatch(contact):
        return f"= '{contact[:80]}' is neither a mail address nor a URL; write mailto:NAME@HOST or https://HOST/PAGE"
    return None


def require_contact(contact: str | None, where: str, host: str) -> None:
    """Raises UsageError for a contact that the owner of `host` cannot use; `where` names the key or the option."""
    if problem := problem_with(contact, host):
        raise UsageError(f"{where} {problem}")
