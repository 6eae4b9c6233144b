"""Decisions made by hand: to keep or to reject a person's photo, and to assign a photo to another person.

They are entries of a log to which rows are only added; undoing one adds an entry, too. What is in force is a view of
the log (`schema.in_force`). Decisions are about bytes, so they hold wherever and however often a photo is found.
"""

from collections.abc import Collection, Sequence
from typing import Any

import duckdb

from bolid_data.catalog.connection import Part
from bolid_data.catalog.consent import withdraw
from bolid_data.catalog.photo_names import PHOTOS
from bolid_data.catalog.rows import dicts, insert, upsert, utc_now
from bolid_data.catalog.schema import in_force
from bolid_data.errors import UsageError

KEEP, REJECT, ASSIGN, UNDO = "keep", "reject", "assign", "undo"


class Decisions(Part):
    def decide(self, what: str, photos: Sequence[tuple[str, str]], who: str, why: str = "") -> None:
        """Adds one command's entries: `what` is decided on each (person, sha256). To `assign`, the person is the one
        whose photo it is from now on.

        Rejected and assigned photos leave the verdicts of their person at once; everything else follows with the next
        judgement. A photo that is broken, gone or opted out stays out. Raises UsageError for an unknown photo.
        """
        with self._catalog.open() as con:
            owners = _owners(con, [sha256 for _, sha256 in photos])
            for person, sha256 in photos:
                if sha256 not in owners or (what != ASSIGN and person not in owners[sha256]):
                    raise UsageError(f"{sha256}: no such photo of this person to decide on")
            rows = [{"what": what, "person": person, "sha256": sha256, "why": why} for person, sha256 in photos]
            _append(con, rows, who)

    def undo_last(self, who: str) -> list[dict[str, Any]]:
        """Undoes what is in force of the last command that was not undone. Returns its entries; none if there is
        none."""
        with self._catalog.open() as con:
            return _undo(con, "command = (SELECT max(command) FROM undoable)", {}, who)

    def undo(self, sha256s: Sequence[str], who: str) -> list[dict[str, Any]]:
        """Undoes all decisions on these photos. Returns the entries."""
        with self._catalog.open() as con:
            return _undo(con, "sha256 IN (SELECT unnest($sha256s))", {"sha256s": list(sha256s)}, who)

    def owners(self, sha256s: Sequence[str]) -> dict[str, list[str]]:
        """The people whose photo each of these is, by sha256; of a photo that is listed for nobody, nothing."""
        with self._catalog.open(read_only=True) as con:
            return _owners(con, sha256s)

    def states(self, sha256s: Sequence[str]) -> list[dict[str, Any]]:
        """Photos as they are judged: person, sha256, file, kept (None: not judged yet) and reasons."""
        with self._catalog.open(read_only=True) as con:
            return dicts(
                con.execute(
                    f"""SELECT person, sha256, file, kept, coalesce(reasons, []) AS reasons FROM ({PHOTOS})
                        LEFT JOIN verdicts USING (person, sha256)
                        WHERE sha256 IN (SELECT unnest($1)) ORDER BY person, file, sha256""",
                    [list(sha256s)],
                )
            )

    def log(self) -> list[dict[str, Any]]:
        """All entries in their order: id, command (the first id of those made together), what, sha256, person, who,
        why, decided_at, and whether it is `undone`."""
        with self._catalog.open(read_only=True) as con:
            return dicts(con.execute(f"{LOG} ORDER BY id"))

    def assigned_to_others(self, person: str, sha256s: Collection[str]) -> set[str]:
        """Those of these photos that are assigned to somebody other than a person."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                "SELECT sha256 FROM assignments WHERE person <> $1 AND sha256 IN (SELECT unnest($2))",
                [person, list(sha256s)],
            ).fetchall()
        return {sha256 for (sha256,) in rows}

    def record_lock(self, lock: str) -> None:
        """Records that the lock whose file has this sha256 includes all decisions so far."""
        with self._catalog.open() as con:
            upsert(con, "locks", [{"lock": lock, "decision": _last(con)}])

    def rename_lock(self, lock: str, new: str) -> None:
        """Records that a lock includes the decisions of another, which it replaces."""
        with self._catalog.open() as con:
            con.execute("INSERT OR REPLACE INTO locks SELECT $2, decision FROM locks WHERE lock = $1", [lock, new])

    def changed_since(self, lock: str) -> int:
        """The number of decisions that are in force and not in a lock, or in it and no longer in force."""
        with self._catalog.open(read_only=True) as con:
            last = str(_decision_of(con, lock))
            now, then = (f"(SELECT what, person, sha256 FROM ({in_force(*last)}))" for last in ((), (last,)))
            query = f"SELECT count(*) FROM (({now} EXCEPT {then}) UNION ALL ({then} EXCEPT {now}))"
            return int(con.execute(query).fetchall()[0][0])

    def reassigned_since(self, lock: str) -> set[str]:
        """sha256s of the photos that are another person's than in this lock or, if it was not written here, than
        they were listed."""
        with self._catalog.open(read_only=True) as con:
            now, then = (
                f"(SELECT sha256, person FROM ({in_force(last)}) WHERE what = '{ASSIGN}')"
                for last in (str(_MAX), str(_decision_of(con, lock)))
            )
            rows = con.execute(
                f"""SELECT sha256 FROM {now} now FULL JOIN {then} before USING (sha256)
                    WHERE now.person IS DISTINCT FROM before.person"""
            ).fetchall()
        return {sha256 for (sha256,) in rows}


_MAX = 2**31 - 1

LOG = """
SELECT id, command, what, sha256, person, who, why, decided_at,
    id IN (SELECT undoes FROM decision_log WHERE undoes IS NOT NULL) AS undone
FROM decision_log
"""


def _owners(con: duckdb.DuckDBPyConnection, sha256s: Sequence[str]) -> dict[str, list[str]]:
    rows = con.execute(
        """SELECT sha256, list_sort(list(DISTINCT person)) FROM attributions WHERE sha256 IN (SELECT unnest($1))
           GROUP BY sha256 ORDER BY sha256""",
        [list(sha256s)],
    )
    return dict(rows.fetchall())


def _append(con: duckdb.DuckDBPyConnection, entries: Sequence[dict[str, Any]], who: str) -> None:
    first, now = _last(con) + 1, utc_now()
    insert(
        con,
        "decision_log",
        [
            {"undoes": None} | entry | {"id": first + i, "command": first, "who": who, "decided_at": now}
            for i, entry in enumerate(entries)
        ],
    )
    con.execute("DELETE FROM judged WHERE (person, sha256) NOT IN (SELECT (person, sha256) FROM attributions)")
    withdraw(con)


def _undo(con: duckdb.DuckDBPyConnection, where: str, values: dict[str, Any], who: str) -> list[dict[str, Any]]:
    undoable = f"WITH undoable AS (FROM ({LOG}) WHERE NOT undone AND what <> '{UNDO}')"
    query = f"{undoable} SELECT id, what, person, sha256, why FROM undoable WHERE {where} ORDER BY id"
    entries = dicts(con.execute(query, values))
    _append(
        con,
        [
            {"what": UNDO, "person": entry["person"], "sha256": entry["sha256"], "undoes": entry["id"], "why": ""}
            for entry in entries
        ],
        who,
    )
    return entries


def _last(con: duckdb.DuckDBPyConnection) -> int:
    """The last id that was ever given: that of a forgotten person's entry is not given again."""
    query = "SELECT greatest((SELECT max(id) FROM decision_log), (SELECT max(decision) FROM locks), 0)"
    return int(con.execute(query).fetchall()[0][0])


def _decision_of(con: duckdb.DuckDBPyConnection, lock: str) -> int:
    """The last decision that a lock includes; 0 for a lock that was not written here."""
    row = con.execute("SELECT decision FROM locks WHERE lock = ?", [lock]).fetchone()
    return row[0] if row else 0
