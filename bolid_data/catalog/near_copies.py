"""Perceptual hashes, and which of one person's photos are near by them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts, upsert

if TYPE_CHECKING:  # most commands need none of it
    import numpy as np


@dataclass(frozen=True)
class Uncompared:
    """A person whose hashed photos are not those last compared; `digest` stands for those they are now."""

    person: str
    photos: int
    digest: int


@dataclass(frozen=True)
class Hashes:
    """A person's photos: their sha256 (n,) in order, and the hashes of each, an object array (n,) of uint64 arrays:
    first the photo's own, then those of its views."""

    sha256s: "np.ndarray"
    hashes: "np.ndarray"


@dataclass(frozen=True)
class Near:
    """Pairs: the sha256 of their photos (n,) each, the lesser in `a`, and how many bits their hashes are apart (n,)."""

    a: "np.ndarray"
    b: "np.ndarray"
    distance: "np.ndarray"


class NearCopies(Part):
    def uncompared(self, model_id: str) -> list[Uncompared]:
        """People with photos to compare by this model, sorted. Drops the pairs that another model found, or a version
        that did not write down whose photos it had compared."""
        with self._catalog.open() as con:
            if con.execute("SELECT count(*) = 0 OR bool_or(model <> ?) FROM compared", [model_id]).fetchall()[0][0]:
                con.execute("DELETE FROM compared")
                con.execute("DELETE FROM near")
            # Summed, not XORed: a photo seen twice must not cancel out. Should DuckDB hash otherwise one day, all are
            # compared once more.
            found = con.execute(
                """SELECT person, count(*) AS photos, sum(hash(sha256)) AS digest
                   FROM sightings SEMI JOIN (FROM hashes WHERE model = ?) USING (sha256) GROUP BY person
                   EXCEPT SELECT person, photos, digest FROM compared ORDER BY person""",
                [model_id],
            )
            return [Uncompared(**row) for row in dicts(found)]

    def uncompared_between(self, model_id: str) -> Uncompared | None:
        """All hashed photos as those of nobody (""), where others were last compared."""
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
            found = con.execute(
                """SELECT sha256, list_concat([phash], coalesce(views, [])) AS hashes FROM hashes WHERE model = ?
                   ORDER BY sha256""",
                [model_id],
            ).fetchnumpy()
        return Hashes(found["sha256"], found["hashes"])

    def hashes(self, people: Sequence[str], model_id: str) -> list[Hashes]:
        """The photos of each of these people, hashed by this model."""
        with self._catalog.open() as con:
            found = con.execute(
                """SELECT DISTINCT person, sha256, list_concat([phash], coalesce(views, [])) AS hashes
                   FROM sightings JOIN hashes USING (sha256)
                   WHERE model = ? AND list_contains(?, person) ORDER BY person, sha256""",
                [model_id, list(people)],
            ).fetchnumpy()
        hashes, begin = [], 0
        for _, rows in groupby(found["person"]):
            end = begin + sum(1 for _ in rows)
            hashes.append(Hashes(found["sha256"][begin:end], found["hashes"][begin:end]))
            begin = end
        return hashes

    def record_near(self, model_id: str, pairs: Sequence[Near], compared: Sequence[Uncompared] = ()) -> int:
        """Commits pairs, of one that is known the lesser distance, and of which people no more will come. Returns how
        many were not known."""
        with self._catalog.open() as con:
            before = con.execute("SELECT count(*) FROM near").fetchall()[0][0]
            for found in pairs:
                con.register("found", vars(found))
                con.execute(
                    """INSERT INTO near SELECT a, b, distance FROM found
                       ON CONFLICT DO UPDATE SET distance = least(distance, excluded.distance)"""
                )
                con.unregister("found")
            upsert(con, "compared", [{"model": model_id} | asdict(person) for person in compared])
            return int(con.execute("SELECT count(*) FROM near").fetchall()[0][0] - before)
