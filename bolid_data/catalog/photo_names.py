"""Finds photos by what a user calls them."""

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from bolid_data.catalog.connection import Part
from bolid_data.errors import UsageError
from bolid_data.weights import file_sha256

_SHOWN = 5

FILE = "CASE WHEN starts_with(url, 'file:') THEN url[6:] ELSE url END"
"""SQL for what a photo is called: its path in the folder that it comes from, or its URL."""

# Of several files of a photo, one that is still there.
PHOTOS = f"""
SELECT person, sha256, arg_min({FILE}, (state <> 'stored', url)) AS file
FROM attributions WHERE sha256 IS NOT NULL GROUP BY person, sha256
"""
"""SQL for every photo of every person, with what it is called."""

_BY_DIGITS = """
SELECT name, sha256, sha256 FROM (SELECT unnest($names) AS name) JOIN photos
ON sha256 >= name AND sha256 < name || 'g' ORDER BY ALL
"""
_BY_BYTES = "SELECT sha256, sha256, sha256 FROM photos WHERE sha256 IN (SELECT unnest($names))"
# Joined on the last part of the path, so that many names take no longer than one.
_BY_ADDRESS = f"""
WITH addresses AS (
    SELECT sha256, url, file, '/' || file AS path, regexp_extract(file, '[^/]*$') AS last FROM (
        SELECT sha256, url, regexp_replace({FILE}, '^(https?://[^?#]*).*$', '\\1') AS file FROM sightings
        WHERE sha256 IS NOT NULL
    )
),
wanted AS (
    SELECT *, regexp_extract(regexp_replace(name, '^(https?://[^?#]*).*$', '\\1'), '[^/]*$') AS last
    FROM (SELECT unnest($names) AS name)
)
SELECT name, sha256, min(file) FROM addresses JOIN wanted USING (last)
WHERE url = name OR ends_with(path, '/' || name) OR ends_with('/' || name, path)
GROUP BY name, sha256 ORDER BY name, min(file)
"""


class PhotoNames(Part):
    def find(self, name: str) -> str:
        """The sha256 of the photo with this name, as `find_all` finds it."""
        return self.find_all([name])[name]

    def find_all(self, names: Sequence[str]) -> dict[str, str]:
        """The sha256s of the photos that these names mean. A name is the first digits of a sha256, a file
        with the photo's bytes, or the end of its address, such as `1.jpg` or `anna/1.jpg`.

        Raises UsageError if no photo has a name, or several do.
        """
        digits = [name for name in names if re.fullmatch("[0-9a-f]{4,64}", name)]
        files = {name: file_sha256(Path(name)) for name in names if Path(name).is_file()}
        paths = {name: name.removeprefix("./") for name in names}
        with self._catalog.open(read_only=True) as con:
            by_digits = _matches(con, _BY_DIGITS, digits)
            by_bytes = _matches(con, _BY_BYTES, list(files.values()))
            by_content = {name: by_digits.get(name) or by_bytes.get(files.get(name, ""), []) for name in names}
            # Slow in a large catalog, and needless for a sha256.
            addresses = [paths[name] for name in names if not by_content[name]]
            by_address = _matches(con, _BY_ADDRESS, addresses)
        photos = {}
        for name in names:
            matches = by_content[name] or by_address.get(paths[name], [])
            if matches and not by_content[name] and name in files:
                raise UsageError(
                    f"{name}: this file is not in the dataset, though a photo of its name is: collect it with `bolid "
                    f"scrape`, or call the photo {matches[0][0][:8]}"
                )
            photos[name] = _only(name, matches)
        return photos


def _matches(con: duckdb.DuckDBPyConnection, query: str, names: list[str]) -> dict[str, list[tuple[str, str]]]:
    """The photos with each of these names: their sha256, and what to show of them."""
    matches: dict[str, list[tuple[str, str]]] = {}
    for name, sha256, shown in con.execute(query, {"names": names}).fetchall() if names else ():
        matches.setdefault(name, []).append((sha256, shown))
    return matches


def _only(name: str, matches: list[tuple[str, str]]) -> str:
    if not matches:
        raise UsageError(
            f"{name}: no photo of this dataset has this sha256, path or name; `bolid list` shows the photos"
        )
    if len(matches) > 1:
        several = ", ".join(
            f"{shown} ({sha256[:8]})" if shown != sha256 else sha256 for sha256, shown in matches[:_SHOWN]
        )
        raise UsageError(
            f"{name}: several photos have this name: {several}{' …' if len(matches) > _SHOWN else ''}; name one by "
            "more of its path or sha256"
        )
    return matches[0][0]
