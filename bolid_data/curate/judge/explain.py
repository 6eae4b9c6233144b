"""One photo: every measurement beside its threshold, the margin, and which single threshold would turn its verdict."""

from dataclasses import asdict
from typing import Any

import duckdb

from bolid_data.catalog import Catalog, dicts
from bolid_data.curate.judge.counterfactuals import alternatives, nearest_turns
from bolid_data.curate.judge.facts import find_facts
from bolid_data.curate.judge.ledger import last_models, of_people
from bolid_data.curate.judge.rules import RULES, Rule, limits
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter

_KEPT_OF = {
    "sightings": "FROM sightings WHERE sha256 = $photo ORDER BY url, person",
    "decisions": "SELECT * EXCLUDE sha256 FROM decisions WHERE sha256 = $photo ORDER BY person",
    "detections": """SELECT model, kind, score, box FROM detections WHERE sha256 = $photo
        ORDER BY kind, score DESC""",
    "near": """SELECT CASE a WHEN $photo THEN b ELSE a END AS sha256, distance FROM near
        WHERE a = $photo OR b = $photo ORDER BY ALL""",
    "captions": "SELECT model, caption FROM captions WHERE sha256 = $photo ORDER BY ALL",
    "measured_by": """SELECT models.* FROM measured JOIN models ON id = model WHERE measured.sha256 = $photo
        ORDER BY id""",
}


def explain(catalog: Catalog, sha256: str) -> dict[str, Any]:
    """One photo under the last judgement: where it was seen, every fact beside its threshold and the margin (how far
    the fact is from turning the rule, in the fact's unit; below 0 it puts the photo out), the verdict, decisions made
    by hand, and under `turns` each threshold that alone would turn the verdict, with the nearest value that does.

    `sha256` may be shortened. Raises UsageError when no photo, or more than one, begins with it.
    """
    with catalog.open(read_only=True) as con:
        row = con.execute("SELECT thresholds FROM judgement").fetchone()
        if row is None:
            raise UsageError("nothing is judged yet; run `bolid filter` first")
        thresholds = Filter.model_validate_json(row[0])
        photo = _photo(con, sha256)
        found = {what: dicts(con.execute(query, {"photo": photo["sha256"]})) for what, query in _KEPT_OF.items()}
        of_people(con, last_models(con), photo["sha256"])
        verdicts = dicts(
            con.execute(
                """SELECT person, kept, reasons FROM verdicts SEMI JOIN people_of USING (person)
                WHERE sha256 = ? ORDER BY ALL""",
                [photo["sha256"]],
            )
        )
        now = _judgements(con, [thresholds], photo["sha256"])
        seen = dicts(con.execute("FROM theirs WHERE sha256 = $photo ORDER BY person", {"photo": photo["sha256"]}))
        others = [one for facts, row in zip(now, seen, strict=True) for one in alternatives(thresholds, facts, row)]
        then = _judgements(con, others, photo["sha256"]) if others else []
    return {
        "photo": photo,
        "verdicts": verdicts,
        **found,
        "rules": [
            {"person": facts["person"], "broken": facts["broken"]} | _compare(rule, facts[rule.fact], thresholds)
            for facts in now
            for rule in RULES
        ],
        "turns": nearest_turns(thresholds, now, others, then),
    }


def _photo(con: duckdb.DuckDBPyConnection, sha256: str) -> dict[str, Any]:
    whole = len(sha256) == 64  # then it is looked up in the index
    query = f"SELECT * FROM photos WHERE {'sha256 = $1' if whole else 'starts_with(sha256, $1)'} LIMIT 2"
    photos = dicts(con.execute(query, [sha256.lower()]))
    if len(photos) != 1:
        raise UsageError(f"{sha256}: {'no photo' if not photos else 'more than one photo'} has this sha256")
    return photos[0]


def _judgements(con: duckdb.DuckDBPyConnection, thresholds: list[Filter], sha256: str) -> list[dict[str, Any]]:
    """Facts and reasons of a photo under each of the thresholds, for each of its people."""
    find_facts(con, thresholds, "theirs")
    return dicts(con.execute("FROM judgements WHERE sha256 = ? ORDER BY judgement, person", [sha256]))


def _compare(rule: Rule, fact: float | None, thresholds: Filter) -> dict[str, Any]:
    limit = limits(thresholds)[f"limit_{rule.threshold}"]
    margin = None if fact is None or limit is None else limit - fact if rule.op == ">" else fact - limit
    out = margin is not None and (margin <= 0 if rule.op == "<=" else margin < 0)
    compared = asdict(rule) | {"value": fact, "limit": limit, "margin": margin, "out": out}
    compared["out_if"] = compared.pop("op")
    return compared
