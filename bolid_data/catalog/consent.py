"""What may no longer be used: photos that an owner opted out, deleted, or that were rejected by hand; and the removals
that outlive the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts, upsert, utc_now
from bolid_data.removals import Removal, SaltedRemoval

# One owner's no is a no, whoever else listed the photo. A photo is gone where its person's folder has it nowhere.
_WITHDRAWN = """
SELECT s.person, s.sha256, 'opted_out' AS reason
FROM sightings s SEMI JOIN (SELECT sha256 FROM sightings WHERE state = 'opted_out') o ON s.sha256 = o.sha256
WHERE s.sha256 IS NOT NULL
UNION
SELECT person, sha256, 'gone' FROM sightings WHERE sha256 IS NOT NULL GROUP BY person, sha256
HAVING bool_and(state = 'gone')
UNION
SELECT person, sha256, 'rejected' FROM decisions WHERE NOT keep
"""

_OPT_OUT = """
UPDATE sightings SET state = 'opted_out', reason = 'opted_out', consent = said.consent
FROM (SELECT url, min(consent) AS consent FROM sightings WHERE state = 'opted_out' AND url IN (SELECT unnest($urls))
      GROUP BY url) said
WHERE (sightings.url = said.url OR sightings.page_url = said.url) AND sightings.state = 'stored'
"""


@dataclass(frozen=True)
class WithdrawnPhoto:
    person: str
    sha256: str
    reason: str  # opted_out | gone | rejected


class Consent(Part):
    def withdrawn(self) -> list[WithdrawnPhoto]:
        """Every photo that is withdrawn, for each person that it is said to be of and for each reason."""
        with self._catalog.open(read_only=True) as con:
            return [WithdrawnPhoto(**row) for row in dicts(con.execute(f"{_WITHDRAWN} ORDER BY ALL"))]

    def opted_out(self, urls: Sequence[str] | None = None) -> tuple[set[str], set[str]]:
        """sha256s of the photos that are opted out, and addresses that are: all, or of these addresses alone."""
        with self._catalog.open() as con:
            rows = con.execute(
                """SELECT sha256, url FROM sightings WHERE state = 'opted_out'
                   AND ($urls IS NULL OR url IN (SELECT unnest($urls)) OR page_url IN (SELECT unnest($urls)))""",
                {"urls": None if urls is None else list(urls)},
            ).fetchall()
        return {sha256 for sha256, _ in rows if sha256}, {url for _, url in rows}

    def opt_out_person(self, person: str, consent: str) -> list[str]:
        """Opts out all photos collected of a person, whose page now says so. Returns their addresses."""
        with self._catalog.open() as con:
            rows = con.execute(
                """UPDATE sightings SET state = 'opted_out', reason = 'opted_out', consent = $consent
                   WHERE person = $person AND state = 'stored' RETURNING url""",
                {"person": person, "consent": consent},
            ).fetchall()
            urls = [url for (url,) in rows]
            opt_out_with(con, urls)
            withdraw(con)
        return urls

    def mark_gone(self, person: str, urls: Sequence[str]) -> int:
        """Marks photos that a person's folder no longer has at these addresses. Returns how many are new."""
        with self._catalog.open() as con:
            rows = con.execute(
                """UPDATE sightings SET state = 'gone', reason = 'gone', gone_at = $now
                   WHERE person = $person AND (state = 'stored' OR reason = 'lost')
                   AND url IN (SELECT unnest($urls)) RETURNING url""",
                {"person": person, "urls": list(urls), "now": utc_now()},
            ).fetchall()
            withdraw(con)
        return len(rows)

    def stored_in_folders(self) -> dict[str, set[str]]:
        """By person the addresses of photos taken from a folder of this machine."""
        with self._catalog.open() as con:
            rows = con.execute(
                """SELECT person, list(url) FROM sightings
                   WHERE (state = 'stored' OR reason = 'lost') AND starts_with(url, 'file:')
                   GROUP BY person"""
            ).fetchall()
        return {person: set(urls) for person, urls in rows}

    def removals(self) -> list[Removal | SaltedRemoval]:
        """The removals that the catalog keeps; none of a catalog that there is not."""
        if not self._catalog.path.exists():
            return []
        with self._catalog.open(read_only=True) as con:
            tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            found = dicts(con.execute("FROM removals ORDER BY id")) if "removals" in tables else []
            salted = dicts(con.execute("FROM tombstones ORDER BY ALL")) if "tombstones" in tables else []
        return [Removal(**row) for row in found] + [SaltedRemoval(**row) for row in salted]

    def add_removals(self, removals: Sequence[Removal | SaltedRemoval]) -> None:
        with self._catalog.open() as con:
            insert_removals(con, removals)


def insert_removals(
    con: duckdb.DuckDBPyConnection, removals: Sequence[Removal | SaltedRemoval], schema: str = "main"
) -> None:
    upsert(con, f"{schema}.removals", [vars(row) for row in removals if isinstance(row, Removal)])
    upsert(con, f"{schema}.tombstones", [vars(row) for row in removals if isinstance(row, SaltedRemoval)])


def opt_out_with(con: duckdb.DuckDBPyConnection, urls: Sequence[str]) -> None:
    """Opts out whatever is stored from addresses, or found on pages, that are opted out under one person."""
    if urls:
        con.execute(_OPT_OUT, {"urls": list(urls)})


def withdraw(con: duckdb.DuckDBPyConnection) -> None:
    """Takes what is withdrawn out of the verdicts at once, without judging anew."""
    con.execute(
        f"""UPDATE judged SET kept = false, reasons = list_concat(
                list_filter(w.reasons, lambda reason: NOT list_contains(judged.reasons, reason)), judged.reasons)
            FROM (SELECT person, sha256, list(reason ORDER BY reason) AS reasons FROM ({_WITHDRAWN}) GROUP BY ALL) w
            WHERE judged.person = w.person AND judged.sha256 = w.sha256
            AND NOT list_has_all(judged.reasons, w.reasons)"""
    )
