"""The progress of each person's photos."""

from typing import Any

from bolid_data.catalog.captions import USABLE_CAPTIONS
from bolid_data.catalog.connection import Connection
from bolid_data.catalog.rows import dicts


def summarise(catalog: Connection) -> list[dict[str, Any]]:
    """Per person: photos listed, stored, failed, judged, kept and captioned, the reasons of the others, and the numbers
    of kept photos by view ("full front")."""
    with catalog.open(read_only=True) as con:
        people: dict[str, dict[str, Any]] = {row["person"]: row for row in dicts(con.execute(_COUNTS))}
        for name, query in _COUNTS_BY_WORD.items():
            for row in people.values():
                row[name] = {}
            # Rows of three columns: a MAP for each person takes five times as long to become a dict.
            for person, word, number in con.execute(f"{query} ORDER BY ALL").fetchall():
                if person in people:
                    people[person][name][word] = number
    return list(people.values())


_COUNTS = f"""
WITH sighted AS (
    SELECT person, count(DISTINCT sha256) FILTER (state <> 'failed') AS stored,
        count(*) FILTER (state = 'refused') AS refused, count(*) FILTER (state = 'opted_out') AS opted_out,
        count(*) FILTER (state = 'failed') AS failed
    FROM attributions GROUP BY person
),
judged_photos AS (
    SELECT person, count(*) AS judged, count(*) FILTER (kept) AS kept,
        count(*) FILTER (kept AND sha256 IN (SELECT sha256 {USABLE_CAPTIONS})) AS captioned
    FROM verdicts GROUP BY person
)
SELECT person, name, state, listed_photos AS listed, coalesce(stored, 0) AS stored, coalesce(refused, 0) AS refused,
    coalesce(opted_out, 0) AS opted_out, coalesce(failed, 0) AS failed, coalesce(judged, 0) AS judged,
    coalesce(kept, 0) AS kept, coalesce(captioned, 0) AS captioned
FROM people LEFT JOIN sighted USING (person) LEFT JOIN judged_photos USING (person)
ORDER BY person
"""

_COUNTS_BY_WORD = {
    "reasons": """SELECT person, reason, count(*) FROM (SELECT person, unnest(reasons) AS reason FROM verdicts)
        GROUP BY ALL""",
    "unfetched": "SELECT person, reason, count(*) FROM sightings WHERE sha256 IS NULL OR state = 'failed' GROUP BY ALL",
    "views": """SELECT person, framing || ' ' || facing AS view, count(*) FROM judged
        WHERE kept AND framing IS NOT NULL AND facing IS NOT NULL GROUP BY ALL""",
}
