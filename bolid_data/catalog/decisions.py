"""Decisions made by hand, which override measured reasons."""

from bolid_data.catalog.connection import Part
from bolid_data.catalog.consent import withdraw
from bolid_data.catalog.rows import upsert, utc_now
from bolid_data.errors import UsageError


class Decisions(Part):
    def decide(self, person: str, sha256: str, keep: bool, who: str, why: str) -> None:
        """Keeps a person's photo from the next judgement on, or rejects it at once. Replaces an earlier decision.

        A photo that is broken or opted out stays out. Raises UsageError for an unknown photo.
        """
        with self._catalog.open() as con:
            _require(con.execute("FROM sightings WHERE person = ? AND sha256 = ?", [person, sha256]).fetchone(), sha256)
            decision = {"keep": keep, "who": who, "why": why, "decided_at": utc_now()}
            upsert(con, "decisions", [{"person": person, "sha256": sha256} | decision])
            withdraw(con)

    def undecide(self, person: str, sha256: str) -> None:
        """Deletes the decision on a photo. Raises UsageError if there is none."""
        with self._catalog.open() as con:
            delete = "DELETE FROM decisions WHERE person = ? AND sha256 = ? RETURNING sha256"
            _require(con.execute(delete, [person, sha256]).fetchone(), sha256)


def _require(row: tuple | None, sha256: str) -> None:
    if row is None:
        raise UsageError(f"{sha256}: no such photo of this person to decide on")
