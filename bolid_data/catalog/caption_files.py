"""Which photo a caption file belongs to, and which file a photo's caption goes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bolid_data.catalog.captions import BY_PEOPLE, CHOSEN_CAPTIONS, HAND, SIDECAR
from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts

_STEM = r"regexp_replace(url, '\.[^./]*$', '')"

_NAMED = f"""(
    SELECT sha256, prompt AS name, caption FROM captioned
    WHERE caption IS NOT NULL AND (model IN {BY_PEOPLE} OR prompt <> '')  -- models have names for some of theirs
    QUALIFY row_number() OVER (PARTITION BY sha256, prompt
        ORDER BY list_position(['{HAND}', '{SIDECAR}'], model) NULLS LAST, model) = 1
)"""

_FILES = f"""
WITH placed AS (
    SELECT person, sha256, min({_STEM}) AS stem FROM attributions
    WHERE starts_with(url, 'file:') AND sha256 IS NOT NULL AND list_contains($people, person) GROUP BY ALL
),
places AS (FROM placed QUALIFY count(*) OVER (PARTITION BY stem) = 1),
texts AS (
    SELECT sha256, caption FROM {CHOSEN_CAPTIONS} WHERE $name IS NULL
    UNION ALL SELECT sha256, caption FROM {_NAMED} WHERE name = $name
)
SELECT person, sha256, stem, caption FROM verdicts JOIN texts USING (sha256) LEFT JOIN places USING (person, sha256)
WHERE kept AND list_contains($people, person) ORDER BY ALL
"""

_MATCHES = f"""
WITH read AS (SELECT row.* FROM (SELECT unnest($rows) AS row)),
photos AS (
    SELECT DISTINCT sha256, left(sha256, 16) AS digits, {_STEM} AS stem FROM sightings WHERE sha256 IS NOT NULL
),
matches AS (
    FROM (
        SELECT read.*, sha256 FROM read JOIN photos USING (stem)
        UNION SELECT read.*, sha256 FROM read JOIN photos USING (digits)
    )
    QUALIFY rank = min(rank) OVER (PARTITION BY file)
)
SELECT DISTINCT file, sha256, name, matches.caption, coalesce(named.caption, chosen.caption) AS earlier
FROM matches LEFT JOIN {_NAMED} named USING (sha256, name)
LEFT JOIN {CHOSEN_CAPTIONS} chosen ON chosen.sha256 = matches.sha256 AND matches.name = $use
ORDER BY ALL
"""


@dataclass(frozen=True)
class CaptionFile:
    """A photo's caption for a file; `stem` is the photo's address in its folder without the extension, None where it
    shares that with another photo or comes from the web."""

    person: str
    sha256: str
    stem: str | None
    caption: str


class CaptionFiles(Part):
    def of(self, people: Sequence[str], name: str | None = None) -> list[CaptionFile]:
        """The captions of people's kept photos: those in use, or those with a name."""
        with self._catalog.open() as con:
            rows = dicts(con.execute(_FILES, {"people": list(people), "name": name}))
        return [CaptionFile(**row) for row in rows]

    def match(self, files: Sequence[dict[str, Any]], use: str) -> list[dict[str, Any]]:
        """The photos that caption files belong to, each with its caption so far as `earlier`.

        Of each file, `files` have `file`, its `caption`, and one row per way to read its file name: the photo's `stem`
        or the first 16 `digits` of its sha256, and the caption's `name`; of those with a photo, the lowest `rank`
        counts. `use` is the name of the captions in use.
        """
        with self._catalog.open() as con:
            return dicts(con.execute(_MATCHES, {"rows": list(files), "use": use}))
