"""The progress of each person's photos."""

from typing import Any

from bolid_data.catalog.captions import CHOSEN_CAPTIONS
from bolid_data.catalog.connection import Connection
from bolid_data.catalog.rows import dicts


def summarise(catalog: Connection) -> list[dict[str, Any]]:
    """Per person: photos listed, stored, failed, judged, kept and captioned, the reasons of the others, and the numbers
    of kept photos by view ("full front")."""
    with catalog.open(read_only=True) as con:
        return dicts(con.execute(_SUMMARY))


_SUMMARY = f"""
WITH sighted AS (
    SELECT person, count(DISTINCT sha256) FILTER (state <> 'failed') AS stored,
        count(*) FILTER (state = 'refused') AS refused, count(*) FILTER (state = 'opted_out') AS opted_out,
        count(*) FILTER (state = 'failed') AS failed
    FROM attributions GROUP BY person
),
unfetched AS (
    SELECT person, map(list(reason ORDER BY reason), list(addresses ORDER BY reason)) AS unfetched FROM (
        SELECT person, reason, count(*) AS addresses FROM sightings
        WHERE sha256 IS NULL OR state = 'failed' GROUP BY ALL
    ) GROUP BY person
),
captioned_photos AS (SELECT sha256 FROM {CHOSEN_CAPTIONS}),
judged_photos AS (
    SELECT person, count(*) AS judged, count(*) FILTER (kept) AS kept,
        count(*) FILTER (kept AND sha256 IN (FROM captioned_photos)) AS captioned
    FROM verdicts GROUP BY person
),
reasons AS (
    SELECT person, map(list(reason ORDER BY reason), list(photos ORDER BY reason)) AS reasons FROM (
        SELECT person, reason, count(*) AS photos FROM (SELECT person, unnest(reasons) AS reason FROM verdicts)
        GROUP BY ALL
    ) GROUP BY person
),
views AS (
    SELECT person, map(list(view ORDER BY view), list(photos ORDER BY view)) AS views FROM (
        SELECT person, framing || ' ' || facing AS view, count(*) AS photos FROM judged
        WHERE kept AND framing IS NOT NULL AND facing IS NOT NULL GROUP BY ALL
    ) GROUP BY person
)
SELECT person, name, state, listed_photos AS listed, coalesce(stored, 0) AS stored, coalesce(refused, 0) AS refused,
    coalesce(opted_out, 0) AS opted_out, coalesce(failed, 0) AS failed, coalesce(judged, 0) AS judged,
    coalesce(kept, 0) AS kept, coalesce(captioned, 0) AS captioned, coalesce(reasons, MAP {{}}) AS reasons,
    coalesce(unfetched, MAP {{}}) AS unfetched, coalesce(views, MAP {{}}) AS views
FROM people LEFT JOIN sighted USING (person) LEFT JOIN unfetched USING (person)
LEFT JOIN judged_photos USING (person) LEFT JOIN reasons USING (person)
LEFT JOIN views USING (person)
ORDER BY person
"""
