"""Measurements, and queries on them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bolid_data.catalog.captions import CHOSEN_CAPTIONS
from bolid_data.catalog.connection import Part
from bolid_data.catalog.main_person import AREA, CERTAIN, MAIN_PERSON
from bolid_data.catalog.pixels import mark_pixels
from bolid_data.catalog.rows import insert, upsert
from bolid_data.records import Measurements


class Measures(Part):
    def unmeasured(self, model_id: str, skip_small: tuple[int, int] | None) -> list[str]:
        """Available, decodable photos that this model has not measured; `skip_small` leaves out those below (width,
        height) pixels, unless they are kept by hand. Sorted, so that a resumed run is the same."""
        width, height = skip_small or (0, 0)
        with self._catalog.open() as con:
            rows = con.execute(
                """SELECT sha256 FROM photos
                   WHERE (width >= ? AND height >= ? OR sha256 IN (SELECT sha256 FROM decisions WHERE keep))
                   AND sha256 NOT IN (SELECT sha256 FROM measured WHERE model = ?)
                   AND sha256 NOT IN (SELECT sha256 FROM undecodable)
                   AND sha256 NOT IN (SELECT sha256 FROM sightings WHERE state = 'opted_out' AND sha256 IS NOT NULL)
                   ORDER BY sha256""",
                [width, height, model_id],
            ).fetchall()
        return [sha256 for (sha256,) in rows]

    def record_measurements(
        self,
        batches: Sequence[Measurements],
        undecodable: dict[str, str],
        pixels: tuple[int, str] = (1, "white"),
    ) -> None:
        """Commits complete batches of measurements; a model measures a photo once. `pixels` is PIXELS_VERSION and the
        background."""
        with self._catalog.open() as con:
            upsert(con, "undecodable", [{"sha256": sha, "error": error} for sha, error in undecodable.items()])
            for batch in batches:
                upsert(con, "models", [asdict(batch.model)])
                upsert(con, "measured", [{"sha256": sha, "model": batch.model.id} for sha in batch.sha256s])
                for table, rows in batch.rows.items():
                    insert(con, table, [{"model": batch.model.id} | row for row in rows])
            mark_pixels(con, sorted({sha256 for batch in batches for sha256 in batch.sha256s}), *pixels)

    def large_photos(self, min_pixels: int) -> dict[str, int]:
        """The number of pixels of each photo that has more than `min_pixels`."""
        with self._catalog.open() as con:
            rows = con.execute(
                "SELECT sha256, width::BIGINT * height FROM photos WHERE width::BIGINT * height > ?", [min_pixels]
            ).fetchall()
        return dict(rows)

    def keypoints(self, sha256s: Sequence[str]) -> dict[str, list[list[float]]]:
        """The 17 keypoints (x, y, confidence) of each photo's main person, in upright pixels, by the pose model of the
        last judgement."""
        with self._catalog.open() as con:
            rows = con.execute(
                f"""SELECT sha256, keypoints FROM detections JOIN judgement ON model = pose
                   WHERE kind = 'person' AND list_contains(?, sha256)
                   QUALIFY row_number() OVER (PARTITION BY sha256 ORDER BY {MAIN_PERSON} DESC, box) = 1""",
                [list(sha256s)],
            ).fetchall()
        return {sha256: [list(point) for point in points] for sha256, points in rows}

    def person_boxes(self, pose: str, sha256s: Sequence[str], min_score: float = CERTAIN) -> dict[str, list[float]]:
        """The box (x0, y0, x1, y1 in upright pixels) of each photo's largest person with at least `min_score`, by the
        pose model with the id `pose`; photos without one are left out."""
        return {sha256: list(box) for sha256, box in self._largest_person("box", pose, sha256s, min_score)}

    def person_keypoints(self, pose: str, sha256s: Sequence[str]) -> dict[str, list[list[float]]]:
        """The 17 keypoints (x, y, confidence) of the same people."""
        rows = self._largest_person("keypoints", pose, sha256s, CERTAIN)
        return {sha256: [list(point) for point in points] for sha256, points in rows}

    def _largest_person(
        self, column: str, pose: str, sha256s: Sequence[str], min_score: float
    ) -> list[tuple[str, Any]]:
        with self._catalog.open() as con:
            return con.execute(
                f"""SELECT sha256, {column} FROM detections
                   WHERE model = ? AND kind = 'person' AND score >= ? AND sha256 IN (SELECT unnest(?))
                   QUALIFY row_number() OVER (
                       PARTITION BY sha256 ORDER BY {AREA} DESC, score DESC, box
                   ) = 1""",
                [pose, min_score, list(sha256s)],
            ).fetchall()

    def people_to_shard(self) -> list[tuple[str, int, int]]:
        """People with photos to shard, sorted, with the numbers of all these photos and of those still to be captioned.
        A kept photo that could not be captioned is not sharded."""
        with self._catalog.open() as con:
            return con.execute(
                f"""WITH captions AS (SELECT sha256, caption FROM {CHOSEN_CAPTIONS}),
                   failed AS (SELECT sha256 FROM uncaptioned JOIN captioner USING (model, prompt))
                   SELECT person, count(*), count(*) FILTER (caption IS NULL)
                   FROM verdicts LEFT JOIN captions USING (sha256)
                   WHERE kept AND (caption IS NOT NULL OR sha256 NOT IN (FROM failed))
                   GROUP BY person ORDER BY person"""
            ).fetchall()
