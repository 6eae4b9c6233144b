"""Identity embeddings of photos, and the similarity of each photo to its person's others."""

from collections.abc import Sequence

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import insert


class Embeddings(Part):
    def people_to_compare(self, model_id: str) -> list[str]:
        """People whose embedded photos have changed since their similarities were recorded, sorted."""
        with self._catalog.open() as con:
            rows = con.execute(
                """WITH embedded AS (
                       SELECT DISTINCT person, sha256 FROM attributions
                       SEMI JOIN (FROM embeddings WHERE model = $model) USING (sha256)
                   ),
                   recorded AS (SELECT person, sha256 FROM likenesses WHERE model = $model)
                   SELECT person FROM (FROM embedded EXCEPT FROM recorded)
                   UNION SELECT person FROM (FROM recorded EXCEPT FROM embedded) ORDER BY person""",
                {"model": model_id},
            ).fetchall()
        return [person for (person,) in rows]

    def people(self, model_id: str) -> list[str]:
        """People with embedded photos, sorted."""
        with self._catalog.open() as con:
            rows = con.execute(
                """SELECT DISTINCT person FROM attributions
                   SEMI JOIN (FROM embeddings WHERE model = ?) USING (sha256) ORDER BY person""",
                [model_id],
            ).fetchall()
        return [person for (person,) in rows]

    def embeddings(self, person: str, model_id: str) -> list[tuple[str, list[float]]]:
        """A person's photos with their vectors, sorted by sha256."""
        with self._catalog.open() as con:
            return con.execute(
                """SELECT sha256, vector FROM embeddings
                   SEMI JOIN (FROM attributions WHERE person = ?) USING (sha256) WHERE model = ? ORDER BY sha256""",
                [person, model_id],
            ).fetchall()

    def record_similarities(self, person: str, model_id: str, similarities: Sequence[tuple[str, float]]) -> None:
        """Replaces a person's identity similarities (sha256, cosine)."""
        with self._catalog.open() as con:
            con.execute("DELETE FROM likenesses WHERE person = ? AND model = ?", [person, model_id])
            rows = [
                {"person": person, "sha256": sha256, "model": model_id, "likeness": cosine}
                for sha256, cosine in similarities
            ]
            insert(con, "likenesses", rows)
