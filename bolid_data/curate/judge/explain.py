"""Explains the verdict of a photo: its facts, thresholds, margins and counterfactuals."""

from dataclasses import asdict
from typing import Any

import duckdb

from bolid_data.catalog import Catalog, dicts
from bolid_data.catalog.captions import chosen_captions
from bolid_data.catalog.decisions import LOG
from bolid_data.curate.judge.bystanders import explain_people
from bolid_data.curate.judge.counterfactuals import alternatives, nearest_counterfactuals
from bolid_data.curate.judge.facts import compute_facts
from bolid_data.curate.judge.ledger import fill_people_ledger, last_models
from bolid_data.curate.judge.rules import RULES, Rule, limits
from bolid_data.curate.judge.verdicts import last_thresholds
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter

_PHOTO_QUERIES = {
    "sightings": "FROM sightings WHERE sha256 = $photo ORDER BY url, person",
    "decisions": f"SELECT * EXCLUDE (sha256, command) FROM ({LOG}) WHERE sha256 = $photo ORDER BY id",
    "detections": """SELECT model, kind, score, box FROM detections WHERE sha256 = $photo
        ORDER BY kind, score DESC""",
    "site_marks": """SELECT DISTINCT model, host, score FROM site_scores JOIN site_marks USING (model)
        WHERE sha256 = $photo ORDER BY score DESC, model""",
    "near": """SELECT CASE a WHEN $photo THEN b ELSE a END AS sha256, distance FROM near
        WHERE a = $photo OR b = $photo ORDER BY ALL""",
    "captions": f"""SELECT captioned.*, (model, prompt) IN (
            SELECT (model, prompt) FROM {chosen_captions("sha256 = $photo")}) AS used
        FROM (SELECT model, prompt, caption FROM captioned WHERE sha256 = $photo) captioned ORDER BY ALL""",
    "measured_by": """SELECT models.* FROM measured JOIN models ON id = model WHERE measured.sha256 = $photo
        ORDER BY id""",
}


def explain(catalog: Catalog, name: str) -> dict[str, Any]:
    """A photo under the last judgement: its sightings, every fact with its threshold and margin (how far the fact is
    from turning the rule, in the fact's unit; below 0 the photo is out), the verdict, decisions made by hand, as
    `people` who counts and who is a bystander, and as `turns` the counterfactuals: each threshold that alone would turn
    the verdict, with the nearest value that does.

    `name` is any name of the photo: the first digits of its sha256, its path or its file name. Raises UsageError where
    no photo has it, or several do.
    """
    sha256 = catalog.photo_names.find(name)
    with catalog.open(read_only=True) as con:
        thresholds = last_thresholds(con)
        if thresholds is None:
            raise UsageError("nothing is judged yet; run `bolid filter` first")
        (photo,) = dicts(con.execute("FROM photos WHERE sha256 = ?", [sha256]))
        stored = {key: dicts(con.execute(query, {"photo": sha256})) for key, query in _PHOTO_QUERIES.items()}
        # Of all people whose photo it is: whether it is a duplicate depends on their other photos.
        owners = "SELECT DISTINCT person FROM attributions WHERE sha256 = $photo"
        fill_people_ledger(con, last_models(con), owners, {"photo": sha256})
        verdicts = dicts(
            con.execute(
                """SELECT person, kept, reasons FROM verdicts SEMI JOIN chosen_people USING (person)
                WHERE sha256 = ? ORDER BY ALL""",
                [sha256],
            )
        )
        current = _judgements(con, [thresholds], sha256)
        people = explain_people(con, sha256, last_models(con).pose)
        measured = dicts(con.execute("FROM people_ledger WHERE sha256 = $photo ORDER BY person", {"photo": sha256}))
        filters = [
            other
            for facts, row in zip(current, measured, strict=True)
            for other in alternatives(thresholds, facts, row)
        ]
        judged = _judgements(con, filters, sha256) if filters else []
    return {
        "photo": photo,
        "verdicts": verdicts,
        **stored,
        "people": people,
        "rules": [
            {"person": facts["person"], "broken": facts["broken"]} | _compare(rule, facts[rule.fact], thresholds)
            for facts in current
            for rule in RULES
        ],
        "turns": nearest_counterfactuals(thresholds, current, filters, judged),
    }


def _judgements(con: duckdb.DuckDBPyConnection, thresholds: list[Filter], sha256: str) -> list[dict[str, Any]]:
    """The facts and reasons of a photo under each of the thresholds, for each of its people."""
    compute_facts(con, thresholds, "people_ledger")
    return dicts(con.execute("FROM judgements WHERE sha256 = ? ORDER BY judgement, person", [sha256]))


def _compare(rule: Rule, fact: float | None, thresholds: Filter) -> dict[str, Any]:
    limit = limits(thresholds)[f"limit_{rule.threshold}"]
    margin = None if fact is None or limit is None else limit - fact if rule.op == ">" else fact - limit
    out = margin is not None and (margin <= 0 if rule.op == "<=" else margin < 0)
    compared = asdict(rule) | {"value": fact, "limit": limit, "margin": margin, "out": out}
    compared["out_if"] = compared.pop("op")
    return compared
