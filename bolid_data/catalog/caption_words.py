"""The texts of captions: those in use, those written by hand, and the words in them."""

from collections.abc import Sequence
from typing import Any

from bolid_data.catalog.captions import CHOSEN_CAPTIONS, HAND, chosen_captions
from bolid_data.catalog.connection import Part

_KEPT = f"(SELECT sha256, caption FROM {CHOSEN_CAPTIONS} WHERE sha256 IN (SELECT sha256 FROM verdicts WHERE kept))"

_WORD = r"[\p{L}\p{N}][\p{L}\p{N}'’-]*"


class CaptionWords(Part):
    def containing(self, text: str) -> dict[str, str]:
        """The captions in use of kept photos that contain a text, in whatever case, by sha256."""
        with self._catalog.open(read_only=True) as con:
            query = f"SELECT sha256, caption FROM {_KEPT} WHERE contains(lower(caption), lower($1)) ORDER BY sha256"
            return dict(con.execute(query, [text]).fetchall())

    def in_use(self, sha256s: Sequence[str]) -> dict[str, str | None]:
        """The caption in use of each of these photos, or None."""
        with self._catalog.open(read_only=True) as con:
            query = f"SELECT sha256, caption FROM {chosen_captions('sha256 IN (SELECT unnest($1))')}"
            captions = dict(con.execute(query, [list(sha256s)]).fetchall())
        return {sha256: captions.get(sha256) for sha256 in sha256s}

    def by_hand(self, sha256s: Sequence[str], name: str) -> dict[str, str]:
        """The captions of a name that were written by hand for these photos, by sha256."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                f"""SELECT sha256, caption FROM captioned
                    WHERE model = '{HAND}' AND prompt = $1 AND sha256 IN (SELECT unnest($2))""",
                [name, list(sha256s)],
            )
            return dict(rows.fetchall())

    def words(self, limit: int) -> list[dict[str, Any]]:
        """The words of the captions in use of kept photos, in lower case, each with the number of captions that have
        it; the most frequent first."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                f"""SELECT word, count(*) AS captions FROM (
                        SELECT unnest(list_distinct(regexp_extract_all(lower(caption), $2))) AS word FROM {_KEPT})
                    GROUP BY word ORDER BY captions DESC, word LIMIT $1""",
                [limit, _WORD],
            ).fetchall()
        return [{"word": word, "captions": captions} for word, captions in rows]
