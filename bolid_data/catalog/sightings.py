"""Collected rows: people, photos, sightings, the pages of a crawl, closed hosts."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import duckdb

from bolid_data.catalog.connection import Part
from bolid_data.catalog.consent import opt_out_with, withdraw
from bolid_data.catalog.rows import dicts, upsert, utc_now
from bolid_data.records import Frontier, ListedPerson, ReadPage, Sighting, StoredPhoto, Validators

_SETTLED = "state NOT IN ('failed', 'skipped', 'gone')"
"""A photo page need not be fetched again: its photo is stored, or never will be."""


class Sightings(Part):
    def record(
        self,
        people: Sequence[ListedPerson] = (),
        photos: Sequence[StoredPhoto] = (),
        sightings: Sequence[Sighting] = (),
        pages: Sequence[ReadPage] = (),
        listed: Sequence[tuple[str, list[str]]] = (),
    ) -> int:
        """Commits collected rows. A row replaces one with the same key; of several, the last one counts.

        `listed` are people, each with all photo pages that the site lists of them. Returns the number of stored photos
        that are gone: no longer listed, or the file in a folder now holds something else.
        """
        last = {(sighting.url, sighting.person): sighting for sighting in sightings}
        with self._catalog.open() as con:
            if last:
                # A page without a photo was recorded under its own address; now its photo is known.
                con.execute(
                    """DELETE FROM sightings s USING (SELECT unnest($rows) AS row) WHERE s.url = row.page_url
                       AND s.person = row.person AND row.url <> row.page_url AND s.sha256 IS NULL""",
                    {"rows": [{"url": s.url, "page_url": s.page_url, "person": s.person} for s in last.values()]},
                )
            replaced = _record_replaced(con, list(last.values()))
            upsert(con, "people", [vars(row) for row in {row.person: row for row in people}.values()])
            upsert(con, "photos", [vars(row) for row in {row.sha256: row for row in photos}.values()])
            _clear_lost(con, [row.sha256 for row in photos])
            upsert(con, "sightings", [vars(row) for row in last.values()])
            upsert(con, "pages", [vars(row) for row in {row.url: row for row in pages}.values()])
            if opted_out := [sighting.url for sighting in last.values() if sighting.state == "opted_out"]:
                opt_out_with(con, opted_out)
            if opted_out or replaced:
                withdraw(con)
            return replaced + sum(_date_gone(con, person, pages_listed) for person, pages_listed in listed)

    def names(self) -> dict[str, str]:
        """Names by slug."""
        with self._catalog.open() as con:
            return dict(con.execute("SELECT person, name FROM people WHERE name IS NOT NULL").fetchall())

    def addresses(self) -> dict[str, str]:
        """The addresses of people, by slug."""
        with self._catalog.open() as con:
            return dict(con.execute("SELECT person, url FROM people WHERE url IS NOT NULL").fetchall())

    def settled_pages(self, person: str) -> set[str]:
        """Photo pages of a person that need not be fetched again: their photo is stored, or never will be."""
        with self._catalog.open() as con:
            rows = con.execute("SELECT page_url FROM sightings WHERE person = ? AND " + _SETTLED, [person]).fetchall()
        return {page for (page,) in rows}

    def settled_files(self, person: str) -> dict[str, str | None]:
        """The files of a person's folder that need not be read again unless they change, each with its validator."""
        with self._catalog.open() as con:
            return dict(
                con.execute("SELECT url, etag FROM sightings WHERE person = ? AND " + _SETTLED, [person]).fetchall()
            )

    def begin_crawl(self) -> int:
        """The id of the crawl to resume, or of a new one; a crawl is resumed within a day."""
        with self._catalog.open() as con:
            con.execute(
                """INSERT INTO crawls SELECT coalesce(max(id), 0) + 1, $now, NULL FROM crawls
                   HAVING count(*) FILTER (finished_at IS NULL AND started_at > $now - INTERVAL 1 DAY
                                           AND id = (SELECT max(id) FROM crawls)) = 0""",
                {"now": utc_now()},
            )
            row = con.execute("SELECT max(id) FROM crawls").fetchone()
        assert row
        return row[0]

    def finish_crawl(self, crawl: int) -> None:
        with self._catalog.open() as con:
            con.execute("UPDATE crawls SET finished_at = ? WHERE id = ?", [utc_now(), crawl])

    def frontier(self, people: Sequence[str]) -> Frontier:
        """The frontier for these people ("": the pages that list people)."""
        with self._catalog.open() as con:
            pages = dicts(con.execute("SELECT * FROM pages WHERE list_contains(?, person)", [list(people)]))
            settled = con.execute(
                "SELECT person, page_url FROM sightings WHERE list_contains(?, person) AND " + _SETTLED, [list(people)]
            ).fetchall()
        return Frontier({row["url"]: ReadPage(**row) for row in pages}, set(settled))

    def at_addresses(self, urls: Sequence[str]) -> list[Sighting]:
        """The sightings at these addresses, of any person."""
        with self._catalog.open() as con:
            return _sightings(con, "url IN (SELECT unnest($urls))", {"urls": list(urls)})

    def stored_validators(self, keys: Sequence[str]) -> dict[str, set[Validators]]:
        """The validators of the stored photos at the addresses with these sha256s, by the address's sha256."""
        with self._catalog.open() as con:
            rows = con.execute(
                """SELECT sha256(url), etag, last_modified FROM sightings
                   WHERE state = 'stored' AND sha256(url) IN (SELECT unnest($keys))""",
                {"keys": list(keys)},
            ).fetchall()
        validators: dict[str, set[Validators]] = {}
        for key, etag, last_modified in rows:
            validators.setdefault(key, set()).add(Validators(etag, last_modified))
        return validators

    def average_bytes(self) -> float | None:
        """The mean size of the photos."""
        with self._catalog.open() as con:
            row = con.execute("SELECT avg(bytes) FROM photos").fetchone()
        return row[0] if row else None

    def stored_sightings(self, after: tuple[str, str], limit: int) -> list[Sighting]:
        """Sightings of stored photos after (url, person), in that order."""
        where = "state = 'stored' AND (url, person) > ($url, $person) ORDER BY url, person LIMIT $limit"
        with self._catalog.open() as con:
            return _sightings(con, where, {"url": after[0], "person": after[1], "limit": limit})

    def photos_by_sha256(self, sha256s: Sequence[str]) -> dict[str, StoredPhoto]:
        """The stored photos among these, without those whose bytes were lost."""
        with self._catalog.open() as con:
            rows = dicts(
                con.execute(
                    "SELECT * FROM photos WHERE sha256 IN (SELECT unnest($1)) AND sha256 NOT IN (FROM lost)",
                    [list(sha256s)],
                )
            )
        return {row["sha256"]: StoredPhoto(**row) for row in rows}

    def stored_photos(self, after: str, limit: int) -> list[tuple[str, int]]:
        """sha256 and size of the photos that must be in the store, after a sha256, in order."""
        with self._catalog.open() as con:
            return con.execute(
                """SELECT sha256, bytes FROM photos WHERE sha256 > ?
                   AND sha256 IN (SELECT sha256 FROM sightings WHERE state IN ('stored', 'gone'))
                   AND sha256 NOT IN (FROM lost)
                   AND sha256 NOT IN (SELECT sha256 FROM sightings WHERE state = 'opted_out' AND sha256 IS NOT NULL)
                   ORDER BY sha256 LIMIT ?""",
                [after, limit],
            ).fetchall()

    def record_lost(self, problems: Mapping[str, str]) -> None:
        """Records photos, with the problem by sha256, as broken until they are fetched again."""
        with self._catalog.open() as con:
            sha256s = list(problems)
            upsert(con, "lost", [{"sha256": sha256} for sha256 in sha256s])
            upsert(con, "undecodable", [{"sha256": sha256, "error": error} for sha256, error in problems.items()])
            con.execute(
                """UPDATE sightings SET state = 'failed', reason = 'lost'
                   WHERE state = 'stored' AND sha256 IN (SELECT unnest($1))""",
                [sha256s],
            )
            con.execute(
                """UPDATE judged SET kept = false, reasons = list_prepend('broken', reasons)
                   WHERE sha256 IN (SELECT unnest($1)) AND NOT list_contains(reasons, 'broken')""",
                [sha256s],
            )

    def update(self, sightings: Sequence[Sighting], gone: Sequence[Sighting] = ()) -> None:
        """Replaces sightings, and dates those that are gone from the web. Opted-out photos are out at once."""
        with self._catalog.open() as con:
            upsert(con, "sightings", [vars(row) for row in sightings])
            opt_out_with(con, [row.url for row in sightings if row.state == "opted_out"])
            withdraw(con)
            con.execute(
                "UPDATE sightings SET gone_at = coalesce(gone_at, $now) WHERE url IN (SELECT unnest($urls))",
                {"urls": [row.url for row in gone], "now": utc_now()},
            )

    def closed_hosts(self) -> dict[str, datetime]:
        """Hosts that requested back-off, and until when (UTC)."""
        with self._catalog.open() as con:
            rows = con.execute("SELECT host, closed_until FROM hosts WHERE closed_until > ?", [utc_now()]).fetchall()
        return {host: until.replace(tzinfo=UTC) for host, until in rows}

    def close_hosts(self, closed: dict[str, datetime]) -> None:
        if not closed:
            return
        with self._catalog.open() as con:
            rows = [{"host": host, "closed_until": until.replace(tzinfo=None)} for host, until in closed.items()]
            upsert(con, "hosts", rows)


def _sightings(con: duckdb.DuckDBPyConnection, where: str, values: dict[str, Any]) -> list[Sighting]:
    names = ", ".join(field.name for field in fields(Sighting))
    return [Sighting(**row) for row in dicts(con.execute(f"SELECT {names} FROM sightings WHERE {where}", values))]


def _record_replaced(con: duckdb.DuckDBPyConnection, sightings: Sequence[Sighting]) -> int:
    """Before sightings are recorded: keeps those of files in folders that held another photo. Returns their number."""
    rows = [
        {"url": row.url, "person": row.person, "now": row.sha256} for row in sightings if row.url.startswith("file:")
    ]
    if not rows:
        return 0
    con.execute(
        """DELETE FROM replaced WHERE (url, person, sha256) IN
           (SELECT (row.url, row.person, row.now) FROM (SELECT unnest($rows) AS row))""",
        {"rows": rows},
    )
    before = con.execute(
        """INSERT OR IGNORE INTO replaced SELECT url, s.person, sha256, $at FROM sightings s
           JOIN (SELECT unnest($rows) AS row) ON url = row.url AND s.person = row.person
           WHERE sha256 IS DISTINCT FROM row.now AND sha256 IS NOT NULL AND state IN ('stored', 'gone', 'failed')
           RETURNING sha256""",
        {"rows": rows, "at": utc_now()},
    ).fetchall()
    return len(before)


def _clear_lost(con: duckdb.DuckDBPyConnection, sha256s: list[str]) -> None:
    """Marks photos whose bytes are back as no longer lost."""
    if con.execute("SELECT count(*) FROM lost").fetchall() == [(0,)]:
        return
    rows = con.execute("DELETE FROM lost WHERE sha256 IN (SELECT unnest($1)) RETURNING sha256", [sha256s]).fetchall()
    con.execute("DELETE FROM undecodable WHERE sha256 IN (SELECT unnest($1))", [[sha256 for (sha256,) in rows]])


def _date_gone(con: duckdb.DuckDBPyConnection, person: str, listed: list[str]) -> int:
    """Dates the stored photos that the site no longer lists, and clears the date of those that it lists again."""
    con.execute(
        """UPDATE sightings SET gone_at = CASE WHEN list_contains($listed, page_url) THEN NULL ELSE $now END
           WHERE person = $person AND sha256 IS NOT NULL
           AND list_contains($listed, page_url) = (gone_at IS NOT NULL)""",
        {"person": person, "listed": listed, "now": utc_now()},
    )
    row = con.execute("SELECT count(gone_at) FROM sightings WHERE person = ?", [person]).fetchone()
    return row[0] if row else 0
