import subprocess
import sys
import time
from pathlib import Path

import pytest

from bolid_data.catalog import Catalog, connection, lock_content, pixels
from bolid_data.errors import BolidError, UsageError
from bolid_data.records import ListedPerson, Sighting

HOLD = """
import duckdb, sys, time
con = duckdb.connect(sys.argv[1])
print("open", flush=True)
time.sleep(float(sys.argv[2]))
"""


def make(folder: Path) -> Catalog:
    catalog = Catalog(folder / "catalog.duckdb")
    catalog.create()
    return catalog


def hold(catalog: Catalog, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, catalog.path, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    return process


def test_an_opener_waits_for_its_turn(tmp_path: Path) -> None:
    catalog = make(tmp_path)
    with hold(catalog, 1.0) as process:
        started = time.monotonic()
        catalog.sightings.record([ListedPerson("anna", "Anna", "u")])
        assert time.monotonic() - started > 0.5
        process.wait()
    assert catalog.summary()[0]["person"] == "anna"


def test_an_opener_gives_up_with_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = make(tmp_path)
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", 0.3)
    with hold(catalog, 30) as process:
        with pytest.raises(BolidError, match="another program"):
            catalog.summary()
        process.kill()


def test_no_catalog_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bolid scrape"):
        Catalog(tmp_path / "catalog.duckdb").summary()


def test_a_file_that_is_no_catalog_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "catalog.duckdb").write_text("not a database, but long enough to look at" * 200)
    with pytest.raises(BolidError, match="cannot be opened"):
        Catalog(tmp_path / "catalog.duckdb").summary()


def test_a_block_that_fails_commits_nothing(tmp_path: Path) -> None:
    catalog = make(tmp_path)
    with pytest.raises(RuntimeError), catalog.open() as con:
        con.execute("INSERT INTO undecodable VALUES ('a', 'b')")
        raise RuntimeError
    with catalog.open(read_only=True) as con:
        assert con.execute("FROM undecodable").fetchall() == []


def test_only_what_failed_is_visited_again(tmp_path: Path) -> None:
    catalog = make(tmp_path)
    states = {"p1": "stored", "p2": "refused", "p3": "failed"}
    catalog.sightings.record(sightings=[Sighting(f"u{page}", "anna", page, state) for page, state in states.items()])
    assert catalog.sightings.settled_pages("anna") == {"p1", "p2"}
    assert catalog.sightings.settled_pages("berta") == set()


def test_every_table_of_measurements_can_be_discarded_and_goes_with_a_lock(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    catalog.create()
    with catalog.open(read_only=True) as con:
        rows = con.execute(
            """SELECT table_name FROM duckdb_columns() WHERE column_name IN ('sha256', 'model')
               AND table_name IN (SELECT table_name FROM duckdb_tables()) GROUP BY ALL HAVING count(*) = 2"""
        ).fetchall()
    tables = {table for (table,) in rows}
    assert tables - {"captioned", "uncaptioned"} == set(pixels._PER_MODEL)
    assert tables - {"uncaptioned"} <= lock_content._FROM_LOCKED.keys()
