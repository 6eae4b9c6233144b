"""The marks of hosts: from which photos they are estimated, and what was found."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts, insert, upsert
from bolid_data.catalog.schema import SIZE_GROUP
from bolid_data.records import Model

NAME = "site-mark"
"""The name of every mark's model; the rest of its id is the mark's hash."""

SMALLEST = 400
"""Longest side in pixels of a photo that a mark is estimated from, at least; print on a thumbnail is not legible."""


@dataclass(frozen=True)
class Sample:
    """The photos (sha256, person) from which the marks of a host and size group are estimated. `digest` changes with
    the photos."""

    host: str
    size_group: int
    photos: list[tuple[str, str]]
    digest: str


@dataclass(frozen=True)
class StoredMark:
    """A mark as a model, with its template's bytes and its picture (PNG)."""

    model: Model
    host: str
    size_group: int
    template: bytes
    picture: bytes


class SiteMarks(Part):
    def samples(self, version: str, size: int, min_photos: int, min_people: int) -> list[Sample]:
        """The samples that marks were not estimated from yet. `version` is that of the estimation; groups of fewer
        photos or people have none. Forgets the marks of groups that no longer exist.

        A sample has at most `size` photos: those with the lowest hashes, of all people in turn, so that it depends
        neither on the order of a crawl nor on one person with many photos.
        """
        with self._catalog.open() as con:
            con.execute(
                f"""CREATE TEMP TABLE sampled AS
                WITH hosted AS (
                    SELECT host, {SIZE_GROUP} AS size_group, sha256, min(person) AS person
                    FROM site_sightings JOIN photos USING (sha256)
                    WHERE greatest(width, height) >= $smallest AND sha256 NOT IN (SELECT sha256 FROM undecodable)
                    GROUP BY ALL
                ),
                ordered AS (
                    SELECT *, row_number() OVER (PARTITION BY host, size_group, person ORDER BY sha256) AS turn
                    FROM hosted
                ),
                chosen AS (
                    FROM ordered
                    QUALIFY row_number() OVER (PARTITION BY host, size_group ORDER BY turn, sha256) <= $size
                )
                SELECT host, size_group, list({{'sha256': sha256, 'person': person}} ORDER BY sha256) AS photos,
                    sha256($version || string_agg(sha256 || person, '' ORDER BY sha256)) AS digest
                FROM chosen GROUP BY ALL
                HAVING count(*) >= $min_photos AND count(DISTINCT person) >= $min_people""",
                {
                    "smallest": SMALLEST, "size": size, "version": version, "min_photos": min_photos,
                    "min_people": min_people,
                },
            )  # fmt: skip
            for table in ("site_marks", "site_groups"):
                con.execute(
                    f"DELETE FROM {table} WHERE (host, size_group) NOT IN (SELECT (host, size_group) FROM sampled)"
                )
            rows = dicts(
                con.execute(
                    """FROM sampled WHERE (host, size_group, digest) NOT IN
                           (SELECT (host, size_group, digest) FROM site_groups)
                       ORDER BY host, size_group"""
                )
            )
        return [
            Sample(row["host"], row["size_group"], [tuple(photo.values()) for photo in row["photos"]], row["digest"])
            for row in rows
        ]

    def record(self, sample: Sample, marks: Sequence[StoredMark]) -> None:
        """Replaces the marks of a host and size group."""
        group = {"host": sample.host, "size_group": sample.size_group}
        with self._catalog.open() as con:
            con.execute("DELETE FROM site_marks WHERE host = $host AND size_group = $size_group", group)
            upsert(con, "site_groups", [group | {"photos": len(sample.photos), "digest": sample.digest}])
            upsert(con, "models", [asdict(mark.model) for mark in marks])
            insert(
                con,
                "site_marks",
                [
                    group | {"model": mark.model.id, "template": mark.template, "picture": mark.picture}
                    for mark in marks
                ],
            )

    def marks(self) -> list[StoredMark]:
        """The marks of all hosts, by host and size group."""
        with self._catalog.open() as con:
            rows = dicts(
                con.execute(
                    """SELECT models.*, host, size_group, template, picture FROM site_marks JOIN models ON id = model
                       WHERE template IS NOT NULL ORDER BY host, size_group, id"""
                )
            )
        columns = ("host", "size_group", "template", "picture")
        return [
            StoredMark(Model(**{name: value for name, value in row.items() if name not in columns}), *(
                row[name] for name in columns
            ))
            for row in rows
        ]  # fmt: skip

    def targets(self) -> dict[str, set[str]]:
        """For each mark, the sha256s of the photos on which to look for it."""
        with self._catalog.open() as con:
            rows = con.execute("SELECT model, list(sha256) FROM site_targets GROUP BY model").fetchall()
        return {model: set(sha256s) for model, sha256s in rows}

    def groups_with_marks(self) -> list[dict[str, Any]]:
        """The host and size groups whose marks were looked for: host, size_group, photos (of the sample), marks (ids of
        their models)."""
        with self._catalog.open(read_only=True) as con:
            return locked_groups(con)

    def shown_by(self, least: float) -> dict[str, tuple[int, int]]:
        """By mark, the number of photos on which it was looked for, and of those with a score above `least`."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                """SELECT model, count(*), count(*) FILTER (score > $least) FROM site_scores
                   WHERE model IN (SELECT model FROM site_marks) GROUP BY model""",
                {"least": least},
            ).fetchall()
        return {model: (photos, shown) for model, photos, shown in rows}


def locked_groups(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The host and size groups whose marks were looked for, with their marks, for a lock."""
    return dicts(
        con.execute(
            """SELECT host, size_group, photos,
                   (SELECT coalesce(list(model ORDER BY model), []) FROM site_marks m
                    WHERE m.host = g.host AND m.size_group = g.size_group) AS marks
               FROM site_groups g ORDER BY host, size_group"""
        )
    )


def import_groups(con: duckdb.DuckDBPyConnection, groups: Sequence[dict[str, Any]]) -> None:
    """Replaces what the catalog has of hosts' marks by what a lock has: their ids. Without templates and digests, the
    next `bolid filter` estimates them again."""
    con.execute("DELETE FROM site_groups")
    con.execute("DELETE FROM site_marks")
    insert(
        con,
        "site_groups",
        [
            {"host": row["host"], "size_group": row["size_group"], "photos": row["photos"], "digest": ""}
            for row in groups
        ],
    )
    insert(
        con,
        "site_marks",
        [{"host": row["host"], "size_group": row["size_group"], "model": m} for row in groups for m in row["marks"]],
    )


def mark_config(config: str) -> dict[str, Any]:
    """A mark's configuration from that of its model."""
    return dict(json.loads(config)["mark"])
