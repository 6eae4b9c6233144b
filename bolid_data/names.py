"""Person slugs: the one form a person's name takes in files, keys and the catalog."""

import re
import unicodedata

_LONGEST = 80


def slug(name: str) -> str:
    """`name` as `[a-z0-9_-]{1,80}`, or "" when nothing of it can stay (a name such as `../`).

    >>> slug("Rita Ora"), slug("../../etc"), slug("José")
    ('rita_ora', 'etc', 'jose')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9-]+", "_", plain).strip("_-")[:_LONGEST].strip("_-")
