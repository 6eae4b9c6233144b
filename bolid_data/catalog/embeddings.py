"""Embeddings of the people on photos, and how alike each photo is to its person's others."""

from collections.abc import Sequence

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import insert


class Embeddings(Part):
    def people_to_liken(self, model_id: str) -> list[str]:
        """People whose embedded photos are not those whose likeness is written down, sorted."""
        with self._catalog.open() as con:
            rows = con.execute(
                """WITH own AS (
                       SELECT DISTINCT person, sha256 FROM sightings
                       SEMI JOIN (FROM embeddings WHERE model = $model) USING (sha256)
                   ),
                   written AS (SELECT person, sha256 FROM likenesses WHERE model = $model)
                   SELECT person FROM (FROM own EXCEPT FROM written)
                   UNION SELECT person FROM (FROM written EXCEPT FROM own) ORDER BY person""",
                {"model": model_id},
            ).fetchall()
        return [person for (person,) in rows]

    def embeddings(self, person: str, model_id: str) -> list[tuple[str, list[float]]]:
        """A person's photos with their vectors, sorted by sha256."""
        with self._catalog.open() as con:
            return con.execute(
                """SELECT sha256, vector FROM embeddings
                   SEMI JOIN (FROM sightings WHERE person = ?) USING (sha256) WHERE model = ? ORDER BY sha256""",
                [person, model_id],
            ).fetchall()

    def record_likenesses(self, person: str, model_id: str, likenesses: Sequence[tuple[str, float]]) -> None:
        """Writes down a person's likenesses (sha256, cosine) in place of those there were."""
        with self._catalog.open() as con:
            con.execute("DELETE FROM likenesses WHERE person = ? AND model = ?", [person, model_id])
            rows = [{"person": person, "sha256": sha, "model": model_id, "likeness": own} for sha, own in likenesses]
            insert(con, "likenesses", rows)
