"""Perceptual hashes, and the pairs of near copies by them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, groupby
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
    """Photos: their sha256 (n,), as bytes, sorted; the hash of each (n,); the hashes of all their views (m,), and of
    which photo each view is (m,). Flat arrays: a million photos have seven million views."""

    sha256s: "np.ndarray"
    hashes: "np.ndarray"
    views: "np.ndarray"
    photos: "np.ndarray"


@dataclass(frozen=True)
class NearPairs:
    """Pairs of near copies: the sha256 of their photos, (n,) each, the lesser in `a`, and the Hamming distance (n,)."""

    a: "np.ndarray"
    b: "np.ndarray"
    distance: "np.ndarray"


_ROWS = 20_000  # read at a time


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
        import numpy as np

        parts: list[Hashes] = []
        count = 0
        with self._catalog.open() as con:
            photos = con.execute(
                "SELECT sha256, phash, coalesce(views, []) FROM hashes WHERE model = ? ORDER BY sha256", [model_id]
            )
            while rows := photos.fetchmany(_ROWS):  # not all at once, as Python's objects take ten times the memory
                sha256s, hashes, views = zip(*rows, strict=True)
                owners = np.repeat(np.arange(count, count + len(rows), dtype=np.int32), [len(each) for each in views])
                count += len(rows)
                flat = np.fromiter(chain.from_iterable(views), np.uint64, len(owners))
                parts.append(Hashes(np.array(sha256s, "S64"), np.array(hashes, np.uint64), flat, owners))
        names = ("sha256s", "hashes", "views", "photos")
        return Hashes(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def hashes(self, people: Sequence[str], model_id: str) -> list[Hashes]:
        """The photos of each of these people, hashed by this model."""
        import numpy as np

        with self._catalog.open() as con:
            columns = con.execute(
                """SELECT DISTINCT person, sha256, phash, coalesce(views, []) AS views
                   FROM attributions JOIN hashes USING (sha256)
                   WHERE model = ? AND list_contains(?, person) ORDER BY person, sha256""",
                [model_id, list(people)],
            ).fetchnumpy()
        hashes, begin = [], 0
        for _, rows in groupby(columns["person"]):
            end = begin + sum(1 for _ in rows)
            views = columns["views"][begin:end]
            owners = np.repeat(np.arange(end - begin, dtype=np.int32), [len(of_photo) for of_photo in views])
            sha256s, phashes = (np.asarray(columns[name][begin:end]) for name in ("sha256", "phash"))
            hashes.append(Hashes(sha256s.astype("S64"), phashes, np.concatenate(views), owners))
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
