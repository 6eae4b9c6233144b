"""The photos of a dataset as a person looks through them: chosen and ordered by one query, and refreshed after
decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bolid_data.catalog import Catalog, dicts
from bolid_data.catalog.captions import CHOSEN_CAPTIONS
from bolid_data.catalog.photo_names import PHOTOS
from bolid_data.curate.judge.facts import compute_facts
from bolid_data.curate.judge.ledger import fill_people_ledger, last_models
from bolid_data.curate.judge.rules import closeness_sql, margins_sql
from bolid_data.curate.judge.verdicts import last_thresholds

MEMORY = "256MB"
"""DuckDB's memory limit while it lists photos; beyond it, DuckDB spills to disk."""

_BATCH = 5000

Order = Literal["person", "margin", "date"]


@dataclass(frozen=True)
class Choice:
    """The photos to look at, and their order; by default all, by person and file."""

    people: Sequence[str] = ()  # slugs
    reasons: Sequence[str] = ()  # one of them is enough
    kept: bool | None = None
    decided: bool | None = None  # by hand
    words: str = ""  # in the caption, in whatever case
    among: Sequence[str] | None = None  # sha256s
    order: Order = "person"  # margin: those closest to the other verdict first; date: the latest first


class Photo(NamedTuple):
    """One person's photo in the list; the names of the fields are those of the page's JSON."""

    person: str
    sha256: str
    file: str
    width: int
    height: int
    kept: bool | None  # None: not judged yet
    reasons: list[str]
    keep: bool | None  # decided by hand
    assigned: bool
    caption: str | None
    margin: float | None  # of the one reason that was chosen; without one, relative to the threshold


_BROWSE = f"""
WITH listed AS ({PHOTOS}),
captions_in_use AS (SELECT sha256, caption FROM {CHOSEN_CAPTIONS})
SELECT person, sha256, file, width, height, kept, coalesce(verdicts.reasons, []) AS reasons, keep,
    sha256 IN (SELECT sha256 FROM assignments) AS assigned, caption, {{margin}} AS margin
FROM listed JOIN photos USING (sha256) LEFT JOIN verdicts USING (person, sha256)
LEFT JOIN (SELECT person, sha256, keep FROM decisions) USING (person, sha256)
LEFT JOIN captions_in_use USING (sha256) {{joins}}
WHERE (len($people) = 0 OR list_contains($people, person))
AND (len($reasons) = 0 OR list_has_any(verdicts.reasons, $reasons))
AND ($kept IS NULL OR coalesce(kept, false) = $kept)
AND ($decided IS NULL OR (keep IS NOT NULL OR assigned) = $decided)
AND ($words = '' OR contains(lower(caption), lower($words)))
AND ($among IS NULL OR sha256 IN (SELECT unnest($among)))
ORDER BY {{order}} person, file, sha256
"""
_DATED = "LEFT JOIN (SELECT sha256, max(fetched_at) AS fetched_at FROM sightings GROUP BY sha256) USING (sha256)"


def browse(catalog: Catalog, choice: Choice) -> list[Photo]:
    """The photos that are chosen, a row for each person and photo."""
    with catalog.open(read_only=True) as con:
        con.execute(f"SET memory_limit = '{MEMORY}'")
        margin, joins, order = "NULL::DOUBLE", "", ""
        if choice.order == "margin" and (thresholds := last_thresholds(con)):
            people = "SELECT DISTINCT person FROM attributions WHERE len($people) = 0 OR list_contains($people, person)"
            fill_people_ledger(con, last_models(con), people, {"people": list(choice.people)})
            compute_facts(con, [thresholds], "people_ledger")
            by_reason = margins_sql().get(choice.reasons[0]) if len(choice.reasons) == 1 else None
            query = f"SELECT person, sha256, {by_reason or closeness_sql()} AS closeness FROM judgements"
            margin, joins = "closeness", f"LEFT JOIN ({query}) USING (person, sha256)"
            order = "abs(closeness) NULLS LAST,"
        elif choice.order == "date":
            joins, order = _DATED, "fetched_at DESC NULLS LAST,"
        query = _BROWSE.format(margin=margin, joins=joins, order=order)
        values = {
            "people": list(choice.people), "reasons": list(choice.reasons), "kept": choice.kept,
            "decided": choice.decided, "words": choice.words,
            "among": None if choice.among is None else list(choice.among),
        }  # fmt: skip
        result = con.execute(query, values)
        photos: list[Photo] = []
        held: dict[Any, Any] = {}  # people, reasons and captions recur: each is held once
        while rows := result.fetchmany(_BATCH):
            for person, sha256, file, width, height, kept, reasons, keep, assigned, caption, margin in rows:
                person, caption = held.setdefault(person, person), held.setdefault(caption, caption)
                reasons = held.setdefault(tuple(reasons), reasons)
                photos.append(
                    Photo(person, sha256, file, width, height, kept, reasons, keep, assigned, caption, margin)
                )
        return photos


def current_state(catalog: Catalog, people: Sequence[str] | None) -> dict[tuple[str, str], dict[str, Any]]:
    """What a decision may change of the photos of these people, or of all: kept, reasons, keep, assigned; by person and
    sha256."""
    with catalog.open(read_only=True) as con:
        rows = con.execute(
            """SELECT person, sha256, kept, coalesce(reasons, []) AS reasons, keep,
                sha256 IN (SELECT sha256 FROM assignments) AS assigned
            FROM (SELECT DISTINCT person, sha256 FROM attributions WHERE sha256 IS NOT NULL)
            LEFT JOIN verdicts USING (person, sha256)
            LEFT JOIN (SELECT person, sha256, keep FROM decisions) USING (person, sha256)
            WHERE $1 IS NULL OR list_contains($1, person)""",
            [None if people is None else list(people)],
        ).fetchall()
    names = ("kept", "reasons", "keep", "assigned")
    return {(person, sha256): dict(zip(names, values, strict=True)) for person, sha256, *values in rows}


def count_by_person(catalog: Catalog) -> list[dict[str, Any]]:
    """Everybody with `photos`, of them `kept` and `out`, and `decided` by hand; sorted by slug."""
    with catalog.open(read_only=True) as con:
        return dicts(con.execute(_PEOPLE))


_PEOPLE = """
WITH counted AS (
    SELECT person, count(*) AS photos, count(*) FILTER (kept) AS kept, count(*) FILTER (NOT kept) AS out,
        count(*) FILTER (keep IS NOT NULL) AS decided
    FROM (SELECT DISTINCT person, sha256 FROM attributions WHERE sha256 IS NOT NULL)
    LEFT JOIN verdicts USING (person, sha256)
    LEFT JOIN (SELECT person, sha256, keep FROM decisions) USING (person, sha256) GROUP BY person
)
SELECT person, name, coalesce(photos, 0) AS photos, coalesce(kept, 0) AS kept, coalesce(out, 0) AS out,
    coalesce(decided, 0) AS decided
FROM people FULL JOIN counted USING (person) ORDER BY person
"""


def outlines(catalog: Catalog, sha256: str) -> list[dict[str, Any]]:
    """What the last judgement's models detected on a photo: kind, score, box and, of a person, keypoints; in pixels of
    the upright photo, the most certain first."""
    with catalog.open(read_only=True) as con:
        return dicts(con.execute(_OUTLINES, [sha256]))


# As a list: for DuckDB 2.0, the array of a photo without a detected person has another length.
_OUTLINES = """
SELECT kind, score, box::FLOAT[] AS box, keypoints::FLOAT[][] AS keypoints
FROM detections JOIN judgement ON model IN (pose, face) WHERE sha256 = ? ORDER BY kind DESC, score DESC
"""
