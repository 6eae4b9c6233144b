"""The version of the pixels that were measured: measurements of other pixels are discarded and made again."""

from collections.abc import Mapping

import duckdb

from bolid_data.catalog.captions import BY_PEOPLE
from bolid_data.catalog.connection import Part

# Plain sRGB is the same in every version; the background only matters for transparent photos.
_PIXELS = """
CASE WHEN coalesce(traits, '') = '' THEN '' ELSE $version || ' ' || traits ||
    CASE WHEN contains(traits, 'alpha') THEN ' on ' || $background ELSE '' END END
"""

_PER_MODEL = (
    "detections", "watermarks", "site_scores", "hashes", "qualities", "embeddings", "likenesses", "body_measures",
    "measured",
)  # fmt: skip
"""Tables of measurements, by sha256 and model."""


class Pixels(Part):
    def photos_without_traits(self) -> list[str]:
        """Photos that were stored before traits were recorded."""
        with self._catalog.open() as con:
            rows = con.execute("SELECT sha256 FROM photos WHERE traits IS NULL ORDER BY sha256").fetchall()
        return [sha256 for (sha256,) in rows]

    def record_traits(self, traits: Mapping[str, str]) -> None:
        with self._catalog.open() as con:
            if traits:
                con.execute(
                    """UPDATE photos SET traits = row.traits FROM (SELECT unnest($rows) AS row)
                       WHERE sha256 = row.sha256""",
                    {"rows": [{"sha256": sha256, "traits": words} for sha256, words in traits.items()]},
                )

    def discard_other_pixels(self, version: int, background: str) -> int:
        """Deletes measurements and models' captions of pixels of another version or background. Returns the number of
        photos."""
        with self._catalog.open() as con:
            con.execute(
                f"""CREATE TEMP TABLE other AS SELECT sha256, model FROM measured JOIN photos USING (sha256)
                    WHERE coalesce(pixels, '') <> {_PIXELS}""",
                {"version": str(version), "background": background},
            )
            for table in _PER_MODEL:
                con.execute(f"DELETE FROM {table} WHERE (sha256, model) IN (FROM other)")
            for table in ("captioned", "uncaptioned"):  # people's captions stay: they saw the photo, not the pixels
                con.execute(
                    f"DELETE FROM {table} WHERE sha256 IN (SELECT sha256 FROM other) AND model NOT IN {BY_PEOPLE}"
                )
            con.execute("DELETE FROM near WHERE a IN (SELECT sha256 FROM other) OR b IN (SELECT sha256 FROM other)")
            con.execute(
                """DELETE FROM compared WHERE (SELECT count(*) FROM other) > 0 AND (person = '' OR person IN
                   (SELECT person FROM attributions WHERE sha256 IN (SELECT sha256 FROM other)))"""
            )
            row = con.execute("SELECT count(DISTINCT sha256) FROM other").fetchone()
            con.execute("DROP TABLE other")
        assert row
        return row[0]


def mark_pixels(con: duckdb.DuckDBPyConnection, sha256s: list[str] | None, version: int, background: str) -> None:
    """Records of which pixels photos were measured; for all photos if `sha256s` is None."""
    con.execute(
        f"""UPDATE measured SET pixels = ({_PIXELS}) FROM photos
            WHERE measured.sha256 = photos.sha256
            AND ($sha256s IS NULL OR photos.sha256 IN (SELECT unnest($sha256s)))""",
        {"version": str(version), "background": background, "sha256s": sha256s},
    )
