"""Perceptual hashes, and the pairs of near copies by them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts, upsert

if TYPE_CHECKING:  # imported late: most commands do not need it
    import numpy as np


@dataclass(frozen=True)
class Uncompared:
    """A person whose hashed photos have changed since they were compared; `digest` identifies the current ones."""

    person: str
    photos: int
    digest: int


@dataclass(frozen=True)
class Hashes:
    """A person's photos: their sha256 (n,), sorted, and an object array (n,) of uint64 arrays with the hashes of each:
    first that of the photo, then those of its views."""

    sha256s: "np.ndarray"
    hashes: "np.ndarray"


@dataclass(frozen=True)
class NearPairs:
    """Pairs of near copies: the sha256 of their photos, (n,) each, the lesser in `a`, and the Hamming distance (n,)."""

    a: "np.ndarray"
    b: "np.ndarray"
    distance: "np.ndarray"


class NearCopies(Part):
    def uncompared(self, model_id: str) -> list[Uncompared]:
        """People with photos to compare by this model, sorted. Deletes the pairs of another model, or of a version that
        did not record whose photos it had compared."""
        with self._catalog.open() as con:
            if con.execute("SELECT count(*) = 0 OR bool_or(model <> ?) FROM compared", [model_id]).fetchall()[0][0]:
                con.execute("DELETE FROM compared")
                con.execute("DELETE FROM near")
            # Summed, not XORed: a photo with two sightings must not cancel out. If DuckDB's hash changes one day, all
            # are compared once more.
            rows = con.execute(
                """SELECT person, count(*) AS photos, sum(hash(sha256)) AS digest
                   FROM attributions SEMI JOIN (FROM hashes WHERE model = ?) USING (sha256) GROUP BY person
                   EXCEPT SELECT person, photos, digest FROM compared ORDER BY person""",
                [model_id],
            )
            return [Uncompared(**row) for row in dicts(rows)]

    def uncompared_between(self, model_id: str) -> Uncompared | None:
        """All hashed photos, under the person "", if they have changed since they were compared."""
        with self._catalog.open() as con:
            row = con.execute(
                """SELECT count(*), coalesce(sum(hash(sha256)), 0) FROM hashes WHERE model = ? HAVING (count(*),
                   coalesce(sum(hash(sha256)), 0)) NOT IN (SELECT (photos, digest) FROM compared WHERE person = '')""",
                [model_id],
            ).fetchone()
        return Uncompared("", *row) if row and row[0] else None

    def all_hashes(self, model_id: str) -> Hashes:
        """Every photo hashed by this model."""
        with self._catalog.open() as con:
            columns = con.execute(
                """SELECT sha256, list_concat([phash], coalesce(views, [])) AS hashes FROM hashes WHERE model = ?
                   ORDER BY sha256""",
                [model_id],
            ).fetchnumpy()
        return Hashes(columns["sha256"], columns["hashes"])

    def hashes(self, people: Sequence[str], model_id: str) -> list[Hashes]:
        """The photos of each of these people, hashed by this model."""
        with self._catalog.open() as con:
            columns = con.execute(
                """SELECT DISTINCT person, sha256, list_concat([phash], coalesce(views, [])) AS hashes
                   FROM attributions JOIN hashes USING (sha256)
                   WHERE model = ? AND list_contains(?, person) ORDER BY person, sha256""",
                [model_id, list(people)],
            ).fetchnumpy()
        hashes, begin = [], 0
        for _, rows in groupby(columns["person"]):
            end = begin + sum(1 for _ in rows)
            hashes.append(Hashes(columns["sha256"][begin:end], columns["hashes"][begin:end]))
            begin = end
        return hashes

    def record_near(self, model_id: str, pairs: Sequence[NearPairs], compared: Sequence[Uncompared] = ()) -> int:
        """Commits pairs, with the lesser distance of a known one, and the people whose comparison is complete. Returns
        the number of new pairs."""
        with self._catalog.open() as con:
            before = con.execute("SELECT count(*) FROM near").fetchall()[0][0]
            for chunk in pairs:
                con.register("pairs", vars(chunk))
                con.execute(
                    """INSERT INTO near SELECT a, b, distance FROM pairs
                       ON CONFLICT DO UPDATE SET distance = least(distance, excluded.distance)"""
                )
                con.unregister("pairs")
            upsert(con, "compared", [{"model": model_id} | asdict(person) for person in compared])
            return int(con.execute("SELECT count(*) FROM near").fetchall()[0][0] - before)
