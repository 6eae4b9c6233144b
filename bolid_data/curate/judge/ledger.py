"""The ledger: one row per person and photo with all its measurements and no threshold applied, so that judging a
million photos again reads one table. It is rebuilt when the tables that it is built from have changed."""

from dataclasses import asdict, fields
from typing import Any

import duckdb

from bolid_data.catalog.main_person import AREA, MAIN_PERSON
from bolid_data.curate.judge.framing import CUT, FACING, FRAMING, LEAN
from bolid_data.errors import UsageError
from bolid_data.records import ModelIds

BATCH = 150_000
"""Photos whose rows are built at a time: the joins of more do not fit the judge's memory, and cannot all be spilled."""


def last_models(con: duckdb.DuckDBPyConnection) -> ModelIds:
    """The models of the last judgement. Raises UsageError when there was none."""
    names = [field.name for field in fields(ModelIds)]
    row = con.execute(f"SELECT {', '.join(names)} FROM judgement").fetchone()
    if row is None:
        raise UsageError("nothing is measured yet; run `bolid filter` without --rejudge first")
    return ModelIds(**dict(zip(names, row, strict=True)))


def build_ledger(con: duckdb.DuckDBPyConnection, models: ModelIds) -> None:
    """Builds the table `ledger` from the current photos and these models' measurements, unless it is up to date."""
    state = _state(con, models)
    con.execute("CREATE TABLE IF NOT EXISTS ledger_state (state VARCHAR)")
    if con.execute("FROM ledger_state").fetchall() == [(state,)]:
        return
    # Each batch is a table of its own: of rows that are inserted into a table which was empty when the same transaction
    # created it, DuckDB 2.0.0 overlooks some.
    parts: list[str] = []
    for first, last in con.execute(_BATCHES, {"batch": BATCH}).fetchall() or [("", "")]:
        query = "SELECT sha256 FROM photos WHERE sha256 BETWEEN $1 AND $2"
        con.execute(f"CREATE TEMP TABLE chosen AS {query}", [first, last])
        parts.append(f"ledger_part_{len(parts)}")
        _fill(con, models, parts[-1])
    rows = " UNION ALL ".join(f"FROM temp.{part}" for part in parts)
    # A person's rows are adjacent: explaining a photo reads only those.
    con.execute(f"CREATE OR REPLACE TABLE ledger AS FROM ({rows}) ORDER BY person, sha256")
    for part in parts:
        con.execute(f"DROP TABLE temp.{part}")
    con.execute("DELETE FROM ledger_state")
    con.execute("INSERT INTO ledger_state VALUES (?)", [state])


def is_current(con: duckdb.DuckDBPyConnection, models: ModelIds) -> bool:
    """Whether there is a ledger, and the tables that it was built from have not changed since."""
    if not con.execute("FROM duckdb_tables() WHERE table_name = 'ledger_state' AND NOT temporary").fetchone():
        return False
    return con.execute("FROM ledger_state").fetchall() == [(_state(con, models),)]


def _state(con: duckdb.DuckDBPyConnection, models: ModelIds) -> str:
    return _VERSION + str(con.execute(_STATE).fetchone()) + str(asdict(models))


def fill_people_ledger(
    con: duckdb.DuckDBPyConnection, models: ModelIds, people: str, values: dict[str, Any] | None = None
) -> None:
    """Fills the temporary tables `chosen_people` by the query `people`, and `people_ledger` with their rows of the
    ledger.

    A dataset that was rebuilt from its lock has no ledger until it is judged; for it, these rows are built now.
    """
    con.execute(f"CREATE TEMP TABLE chosen_people AS {people}", values)
    ledger = "ledger"
    if not con.execute("FROM duckdb_tables() WHERE table_name = 'ledger' AND NOT temporary").fetchone():
        photos = con.execute("SELECT DISTINCT sha256 FROM attributions SEMI JOIN chosen_people USING (person)")
        build_partial_ledger(con, models, [photo for (photo,) in photos.fetchall() if photo])
        ledger = "partial_ledger"
    con.execute(f"CREATE TEMP TABLE people_ledger AS SELECT * FROM {ledger} SEMI JOIN chosen_people USING (person)")


def build_partial_ledger(con: duckdb.DuckDBPyConnection, models: ModelIds, sha256s: list[str]) -> None:
    """Builds the ledger of these photos only, as the temporary table `partial_ledger`."""
    con.execute("CREATE OR REPLACE TEMP TABLE chosen AS SELECT unnest($photos) AS sha256", {"photos": sha256s})
    _fill(con, models, "partial_ledger")


def _fill(con: duckdb.DuckDBPyConnection, models: ModelIds, table: str) -> None:
    """Creates a temporary table with the rows of the photos in the temporary table `chosen`, and drops that."""
    for part, query in _PARTS.items():
        _run(con, f"CREATE OR REPLACE TEMP TABLE {part} AS {query}", models)
    _run(con, f"CREATE OR REPLACE TEMP TABLE {table} AS {_LEDGER}", models)
    for part in (*_PARTS, "chosen"):
        con.execute(f"DROP TABLE temp.{part}")


def _run(con: duckdb.DuckDBPyConnection, statement: str, models: ModelIds) -> None:
    parameters: dict[str, Any] = {name: model for name, model in asdict(models).items() if f"${name}" in statement}
    con.execute(statement, parameters)


_VERSION = "3 "  # to be raised when the ledger's columns change

# Sums of hashes, which change with any row that is added, removed or changed, whatever the order of the rows.
_STATE = """
SELECT (SELECT sum(hash(person, sha256, state)) FROM attributions WHERE sha256 IS NOT NULL),
    (SELECT sum(hash(sha256, model)) FROM measured), (SELECT sum(hash(sha256)) FROM undecodable),
    (SELECT sum(hash(person, sha256, likeness)) FROM likenesses), (SELECT sum(hash(a, b, distance)) FROM near),
    (SELECT sum(hash(host, size_group, digest)) FROM site_groups),
    (SELECT sum(hash(host, size_group, model)) FROM site_marks)
"""

# The first and the last photo of each batch. Measurements are mostly stored in this order, so a batch reads few others.
_BATCHES = """
SELECT min(sha256), max(sha256) FROM (
    SELECT sha256, (row_number() OVER (ORDER BY sha256) - 1) // $batch AS batch FROM photos
) GROUP BY batch ORDER BY batch
"""

_PARTS = {
    # `gone`: gone from all of its addresses; a person for whom it is gone does not count towards `names`.
    "listed": """SELECT person, sha256, gone, count(*) FILTER (gone = 0) OVER (PARTITION BY sha256) AS names FROM (
        SELECT person, sha256, bool_and(state = 'gone')::INTEGER AS gone
        FROM attributions SEMI JOIN chosen USING (sha256) GROUP BY ALL)""",
    # An opt-out at one address holds for the photo, whoever else lists it.
    "opted_out": """SELECT sha256, count(*) AS opt_outs FROM sightings SEMI JOIN chosen USING (sha256)
        WHERE state = 'opted_out' GROUP BY sha256""",
    # `place`: in the list of the photo's bodies.
    "person_detections": f"""SELECT detections.rowid AS id, sha256, score, box, {AREA} AS area,
            row_number() OVER (PARTITION BY sha256 ORDER BY score DESC, {AREA} DESC, detections.rowid) AS place,
            {CUT} AS cut, round(sharpness::DOUBLE, 4) AS sharpness
        FROM detections JOIN photos USING (sha256) SEMI JOIN chosen USING (sha256)
        WHERE kind = 'person' AND model = $pose""",
    "bodies": f"""SELECT sha256,
            list({{'score': score, 'area': area, 'cut': cut, 'sharpness': sharpness}} ORDER BY place) AS bodies,
            arg_max(id, {MAIN_PERSON}) AS main
        FROM person_detections GROUP BY sha256""",
    "framings": f"""SELECT sha256, list_transform(keypoints, lambda point: point[3]) AS confidences,
        {FRAMING} AS framing, {FACING} AS facing, {LEAN} AS lean
        FROM detections SEMI JOIN bodies ON detections.rowid = bodies.main""",
    # `owners`: the places of the bodies whose boxes contain the centre of the face.
    "face_lists": f"""SELECT sha256,
            list({{'score': score, 'area': area, 'owners': owners}} ORDER BY score DESC) AS faces
        FROM (
            SELECT face.sha256, face.score, face.area,
                list(place ORDER BY place) FILTER (place IS NOT NULL) AS owners
            FROM (
                SELECT rowid AS id, sha256, score, {AREA} AS area,
                    (box[1] + box[3]) / 2 AS x, (box[2] + box[4]) / 2 AS y
                FROM detections SEMI JOIN chosen USING (sha256) WHERE kind = 'face' AND model = $face
            ) face LEFT JOIN person_detections person ON person.sha256 = face.sha256
                AND x BETWEEN box[1] AND box[3] AND y BETWEEN box[2] AND box[4]
            GROUP BY face.id, face.sha256, face.score, face.area
        ) GROUP BY sha256""",
    # The distance to the nearest photo of another person.
    "between_people": """SELECT listed.person, listed.sha256, min(distance) AS between
        FROM listed JOIN (SELECT a AS sha256, b AS other, distance FROM near UNION ALL SELECT b, a, distance FROM near)
            USING (sha256)
        JOIN (SELECT DISTINCT sha256 AS other, person AS owner FROM attributions WHERE state <> 'gone') USING (other)
        WHERE owner <> listed.person GROUP BY ALL""",
    # Of the marks that the photo's hosts print: whether all were looked for, and the score of the one that shows most.
    "site_mark_scores": """SELECT sha256, max(score) AS site_mark, count(*) = count(score) AS marks_measured
        FROM site_targets SEMI JOIN chosen USING (sha256) LEFT JOIN site_scores USING (sha256, model)
        GROUP BY sha256""",
    # Hosts whose photos were compared, and share no mark.
    "unmarked": """SELECT DISTINCT sha256, true AS unmarked FROM site_sightings SEMI JOIN chosen USING (sha256)
        SEMI JOIN site_groups USING (host) ANTI JOIN site_mark_scores USING (sha256)""",
    "completeness": """SELECT sha256, bool_or(model = $pose) AS posed, bool_or(model = $face) AS faced,
        count(*) = 4 AS complete FROM measured SEMI JOIN chosen USING (sha256)
        WHERE model IN ($pose, $face, $watermark, $hash) GROUP BY sha256""",
}

_LEDGER = """
SELECT person, sha256, width, height, bytes, undecodable.error AS broken, names, gone, between,
    coalesce(opt_outs, 0) AS opt_outs, coalesce(complete AND coalesce(marks_measured, true), false) AS complete,
    CASE WHEN posed THEN coalesce(bodies, []) END AS bodies, confidences, framing, facing, lean,
    CASE WHEN faced THEN coalesce(faces, []) END AS faces,
    -- Rounded as doubles: a FLOAT of 0.7 is slightly less than the threshold 0.7.
    -- A host with a mark is judged by the mark; without one, by the learned model, of which more is asked where the
    -- host's photos were compared and share nothing.
    round(site_mark::DOUBLE, 4) AS site_mark,
    CASE WHEN marks_measured IS NULL AND unmarked IS NULL THEN round(probability::DOUBLE, 4) END AS watermark,
    CASE WHEN marks_measured IS NULL AND unmarked THEN round(probability::DOUBLE, 4) END AS watermark_unmarked,
    round(sharpness::DOUBLE, 4) AS sharpness,
    round(brightness::DOUBLE, 4) AS brightness, round(colourfulness::DOUBLE, 4) AS colourfulness,
    round(likeness::DOUBLE, 4) AS likeness
FROM listed JOIN photos USING (sha256) LEFT JOIN opted_out USING (sha256) LEFT JOIN undecodable USING (sha256)
LEFT JOIN completeness USING (sha256) LEFT JOIN bodies USING (sha256) LEFT JOIN framings USING (sha256)
LEFT JOIN face_lists USING (sha256)
LEFT JOIN (SELECT sha256, probability FROM watermarks WHERE model = $watermark) USING (sha256)
LEFT JOIN (SELECT * EXCLUDE model FROM qualities WHERE model = $quality) USING (sha256)
LEFT JOIN (SELECT * EXCLUDE model FROM likenesses WHERE model = $identity) USING (person, sha256)
LEFT JOIN between_people USING (person, sha256)
LEFT JOIN site_mark_scores USING (sha256) LEFT JOIN unmarked USING (sha256)
"""
