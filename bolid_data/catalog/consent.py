"""Withdrawn photos, which may no longer be used: opted out, deleted by their owner, rejected by hand, or no longer used
as one person's because they were assigned to another; and the removals that outlive the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts, upsert, utc_now
from bolid_data.removals import Removal, SaltedRemoval

# One opt-out is enough, whoever else listed the photo. A photo is gone if it is nowhere in its person's folder. It is
# reassigned where it was another person's, by a sighting or an earlier assignment. Photos that nothing was withdrawn of
# are left out before anything is grouped: they are nearly all.
_WITHDRAWN = """
WITH owned AS (
    SELECT person, sha256 FROM attributions WHERE sha256 IS NOT NULL
),
owned_before AS (
    SELECT person, sha256 FROM sightings WHERE sha256 IS NOT NULL
    UNION ALL SELECT person, sha256 FROM decision_log WHERE what = 'assign'
),
assigned AS (SELECT sha256 FROM decision_log WHERE what = 'assign')
SELECT person, sha256, 'opted_out' AS reason FROM (FROM owned UNION ALL FROM owned_before)
SEMI JOIN (SELECT sha256 FROM sightings WHERE state = 'opted_out') USING (sha256)
UNION
SELECT person, sha256, 'gone' FROM attributions SEMI JOIN (
    SELECT sha256 FROM sightings WHERE state = 'gone' UNION ALL SELECT sha256 FROM replaced
) USING (sha256) GROUP BY person, sha256 HAVING bool_and(state = 'gone')
UNION
SELECT person, sha256, 'rejected' FROM decisions SEMI JOIN owned USING (person, sha256) WHERE NOT keep
UNION
SELECT person, sha256, 'reassigned' FROM owned_before SEMI JOIN assigned USING (sha256)
ANTI JOIN (FROM owned SEMI JOIN assigned USING (sha256)) USING (person, sha256)
"""

_OPT_OUT = """
UPDATE sightings SET state = 'opted_out', reason = 'opted_out', consent = opt_outs.consent
FROM (SELECT url, min(consent) AS consent FROM sightings WHERE state = 'opted_out' AND url IN (SELECT unnest($urls))
      GROUP BY url) opt_outs
WHERE (sightings.url = opt_outs.url OR sightings.page_url = opt_outs.url) AND sightings.state = 'stored'
"""


@dataclass(frozen=True)
class WithdrawnPhoto:
    person: str
    sha256: str
    reason: str  # opted_out | gone | rejected | reassigned


class Consent(Part):
    def withdrawn(self) -> list[WithdrawnPhoto]:
        """Every withdrawn photo, once per person and reason."""
        with self._catalog.open(read_only=True) as con:
            return [WithdrawnPhoto(**row) for row in dicts(con.execute(f"{_WITHDRAWN} ORDER BY ALL"))]

    def opted_out(self, urls: Sequence[str] | None = None) -> tuple[set[str], set[str]]:
        """The sha256s and addresses that are opted out: all, or only those at these addresses."""
        with self._catalog.open() as con:
            rows = con.execute(
                """SELECT sha256, url FROM sightings WHERE state = 'opted_out'
                   AND ($urls IS NULL OR url IN (SELECT unnest($urls)) OR page_url IN (SELECT unnest($urls)))""",
                {"urls": None if urls is None else list(urls)},
            ).fetchall()
        return {sha256 for sha256, _ in rows if sha256}, {url for _, url in rows}

    def opt_out_person(self, person: str, consent: str) -> list[str]:
        """Opts out all collected photos of a person, whose page now opts out. Returns their addresses."""
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
        """Marks photos at these addresses as gone from a person's folder. Returns how many were not yet."""
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
        """The addresses of photos from local folders, by person."""
        with self._catalog.open() as con:
            rows = con.execute(
                """SELECT person, list(url) FROM sightings
                   WHERE (state = 'stored' OR reason = 'lost') AND starts_with(url, 'file:')
                   GROUP BY person"""
            ).fetchall()
        return {person: set(urls) for person, urls in rows}

    def removals(self) -> list[Removal | SaltedRemoval]:
        """The removals in the catalog; none if there is no catalog."""
        if not self._catalog.path.exists():
            return []
        with self._catalog.open(read_only=True) as con:
            tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            keyed = dicts(con.execute("FROM removals ORDER BY id")) if "removals" in tables else []
            salted = dicts(con.execute("FROM tombstones ORDER BY ALL")) if "tombstones" in tables else []
        return [Removal(**row) for row in keyed] + [SaltedRemoval(**row) for row in salted]

    def add_removals(self, removals: Sequence[Removal | SaltedRemoval]) -> None:
        with self._catalog.open() as con:
            insert_removals(con, removals)


def insert_removals(
    con: duckdb.DuckDBPyConnection, removals: Sequence[Removal | SaltedRemoval], schema: str = "main"
) -> None:
    upsert(con, f"{schema}.removals", [vars(row) for row in removals if isinstance(row, Removal)])
    upsert(con, f"{schema}.tombstones", [vars(row) for row in removals if isinstance(row, SaltedRemoval)])


def opt_out_with(con: duckdb.DuckDBPyConnection, urls: Sequence[str]) -> None:
    """Opts out all photos stored from addresses or pages that are opted out for any person."""
    if urls:
        con.execute(_OPT_OUT, {"urls": list(urls)})


def withdraw(con: duckdb.DuckDBPyConnection) -> None:
    """Updates the verdicts of withdrawn photos at once, without judging again."""
    con.execute(
        f"""UPDATE judged SET kept = false, reasons = list_concat(
                list_filter(w.reasons, lambda reason: NOT list_contains(judged.reasons, reason)), judged.reasons)
            FROM (SELECT person, sha256, list(reason ORDER BY reason) AS reasons FROM ({_WITHDRAWN}) GROUP BY ALL) w
            WHERE judged.person = w.person AND judged.sha256 = w.sha256
            AND NOT list_has_all(judged.reasons, w.reasons)"""
    )
