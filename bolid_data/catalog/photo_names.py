"""Finds a photo by what a user calls it."""

import re
from pathlib import Path

from bolid_data.catalog.connection import Part
from bolid_data.errors import UsageError
from bolid_data.weights import file_sha256

_SHOWN = 5

_BY_ADDRESS = """
WITH addresses AS (SELECT sha256, url, '/' || regexp_replace(url, '^file:', '') AS path FROM sightings
                   WHERE sha256 IS NOT NULL)
SELECT sha256, min(url) FROM addresses
WHERE url = $name OR ends_with(path, '/' || $name) OR ends_with('/' || $name, path)
GROUP BY sha256 ORDER BY min(url)
"""


class PhotoNames(Part):
    def find(self, name: str) -> str:
        """The sha256 of the photo that `name` means: the first digits of its sha256, a file with its bytes, or the end
        of its address, such as `1.jpg` or `anna/1.jpg`.

        Raises UsageError if no photo has this name, or several do.
        """
        with self._catalog.open(read_only=True) as con:
            matches = con.execute(
                "SELECT sha256, sha256 FROM photos WHERE starts_with(sha256, $1) ORDER BY ALL LIMIT $2",
                [name, _SHOWN + 1],
            ).fetchall() if re.fullmatch("[0-9a-f]{4,64}", name) else []  # fmt: skip
            file = Path(name)
            if not matches and file.is_file():
                matches = con.execute(
                    "SELECT sha256, sha256 FROM photos WHERE sha256 = $1", [file_sha256(file)]
                ).fetchall()
            if not matches:
                matches = con.execute(_BY_ADDRESS, {"name": name.removeprefix("./")}).fetchall()
        if not matches:
            raise UsageError(
                f"{name}: no photo of this dataset has this sha256, path or name; `bolid list` shows the photos"
            )
        if len(matches) > 1:
            several = ", ".join(
                f"{url} ({sha256[:8]})" if url != sha256 else sha256 for sha256, url in matches[:_SHOWN]
            )
            raise UsageError(
                f"{name}: several photos have this name: {several}{' …' if len(matches) > _SHOWN else ''}; name one by "
                "more of its path or sha256"
            )
        return matches[0][0]
