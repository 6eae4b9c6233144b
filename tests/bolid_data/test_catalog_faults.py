"""Faults of a catalog's file, each made for real: what the error says of them."""

import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from bolid_data.catalog import Catalog, connection
from bolid_data.errors import BolidError, DamagedCatalogError

HEADERS = 3 * 4096
BLOCK = 262_144
REPAIR = "`bolid repair` builds it again from the lock, the measurements and the photos"

LEAVE_A_WAL = """
import duckdb, os, sys
con = duckdb.connect(sys.argv[1])
con.execute("SET checkpoint_threshold = '1GB'")
con.execute("CREATE TABLE IF NOT EXISTS people (person VARCHAR, name VARCHAR)")
con.execute("CHECKPOINT")
con.execute("INSERT INTO people BY NAME SELECT 'person ' || i AS person, 'x' AS name FROM range(2000) AS rows(i)")
os._exit(0)
"""
HOLD = """
import duckdb, sys, time
con = duckdb.connect(sys.argv[1])
print("open", flush=True)
time.sleep(60)
"""

Fault = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = Catalog(tmp_path_factory.mktemp("sound") / "catalog.duckdb")
    catalog.create()
    with catalog.open() as con:
        con.execute(
            """INSERT INTO sightings BY NAME
               SELECT 'https://host/' || md5(i::VARCHAR) || i AS url, 'anna' AS person, sha256(i::VARCHAR) AS sha256
               FROM range(4000) AS rows(i)"""
        )
        con.execute(
            """INSERT INTO embeddings
               SELECT sha256(i::VARCHAR), 'm', list_transform(range(64), lambda x: (hash(i, x) / 2**64)::FLOAT)
               FROM range(1000) AS rows(i)"""
        )
    return catalog.path


def damaged(sound: Path, folder: Path, fault: Fault) -> Catalog:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "catalog.duckdb"
    shutil.copy(sound, path)
    fault(path)
    return Catalog(path)


def truncated(size: int) -> Fault:
    return lambda path: os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def flipped(position: int) -> Fault:
    def fault(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[position] ^= 0x55
        path.write_bytes(content)

    return fault


def of_storage_version(version: int) -> Fault:
    """The version in the first header, and the checksum over it."""

    def fault(path: Path) -> None:
        content = bytearray(path.read_bytes())
        struct.pack_into("<Q", content, 12, version)
        checksum = 5381
        for (word,) in struct.iter_unpack("<Q", content[8:4096]):
            checksum ^= word * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        struct.pack_into("<Q", content, 0, checksum)
        path.write_bytes(content)

    return fault


def sqlite_database(path: Path) -> None:
    path.unlink()
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE photos (sha256)")
    con.commit()
    con.close()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def with_wal(path: Path) -> None:
    subprocess.run([sys.executable, "-c", LEAVE_A_WAL, path], check=True)
    assert wal_of(path).stat().st_size > 10_000


def foreign_wal(path: Path) -> None:
    other = path.with_name("other.duckdb")
    with_wal(other)
    shutil.move(wal_of(other), wal_of(path))


def earlier_wal(path: Path) -> None:
    with_wal(path)
    wal = wal_of(path).read_bytes()
    with duckdb.connect(path) as con:
        con.execute("CHECKPOINT")
    wal_of(path).write_bytes(wal)


def damaged_wal(path: Path) -> None:
    with_wal(path)
    flipped(wal_of(path).stat().st_size // 2)(wal_of(path))


DAMAGE: dict[str, tuple[Fault, str]] = {
    "empty": (truncated(0), "is empty"),
    "7 bytes": (truncated(7), "is truncated: it ends after 7 bytes"),
    "half a header": (truncated(5000), "is truncated: it ends after 5000 bytes"),
    "headers only": (truncated(HEADERS), f"is truncated: it ends after {HEADERS} bytes"),
    "one block": (truncated(HEADERS + BLOCK), f"is truncated: it ends after {HEADERS + BLOCK} bytes"),
    "flip in the first header": (flipped(3000), "is damaged: the block at byte 0 does not match its checksum"),
    "flip in the second header": (flipped(4096 + 20), "is damaged: the block at byte 4096 does not match"),
    "flip in the metadata": (flipped(HEADERS + 5000), f"is damaged: the block at byte {HEADERS} does not match"),
    "text": (lambda path: path.write_text("a page, not a database " * 100), "cannot be opened: it is not a DuckDB"),
    "SQLite": (sqlite_database, "cannot be opened: it is an SQLite database"),
}


@pytest.mark.parametrize(("fault", "words"), DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("place", ["data", "my lock/Corrupt database file"])
def test_damage_is_named_at_once_and_with_its_remedy(
    sound: Path, tmp_path: Path, place: str, fault: Fault, words: str
) -> None:
    catalog = damaged(sound, tmp_path / place, fault)
    started = time.monotonic()
    for command in (catalog.summary, catalog.create, catalog.summary):  # an error leaves nothing behind in the process
        with pytest.raises(DamagedCatalogError, match=re.escape(f"{catalog.path}: {words}")) as raised:
            command()
        assert str(raised.value).endswith(REPAIR)
        assert "\n" not in str(raised.value)
    assert time.monotonic() - started < 5
    assert (catalog.damage() or "").startswith(words)


OTHER_FAULTS: dict[str, tuple[Fault, str]] = {
    "later storage": (
        of_storage_version(1000),
        r"catalog\.duckdb: written by another version of DuckDB \(storage version 1000, .*reads \d+ to \d+\); install",
    ),
    "early storage": (of_storage_version(5), r"catalog\.duckdb: written by another version of DuckDB"),
    "folder": (folder, r"catalog\.duckdb: is a folder.*move it away"),
    "WAL of another database": (foreign_wal, r"catalog\.duckdb\.wal: belongs to another database.*move it away"),
    "WAL of an earlier state": (earlier_wal, r"catalog\.duckdb\.wal: belongs to another database.*at another time"),
    "damaged WAL": (damaged_wal, r"catalog\.duckdb\.wal: is damaged \(Corrupt WAL file: .*\); move it away"),
}


@pytest.mark.parametrize(("fault", "words"), OTHER_FAULTS.values(), ids=OTHER_FAULTS)
def test_what_is_not_damage_to_the_catalog_is_no_reason_to_build_it_again(
    sound: Path, tmp_path: Path, fault: Fault, words: str
) -> None:
    catalog = damaged(sound, tmp_path / "lock", fault)
    for command in (catalog.summary, catalog.create, catalog.damage):
        with pytest.raises(BolidError, match=words) as raised:
            command()
        assert not isinstance(raised.value, DamagedCatalogError)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("fault", [foreign_wal, earlier_wal, damaged_wal])
def test_moving_the_log_away_is_the_remedy(sound: Path, tmp_path: Path, fault: Fault) -> None:
    catalog = damaged(sound, tmp_path, fault)
    wal_of(catalog.path).unlink()
    assert catalog.damage() is None


def test_a_killed_commands_log_is_read(sound: Path, tmp_path: Path) -> None:
    catalog = damaged(sound, tmp_path, with_wal)
    assert catalog.damage() is None
    assert len(catalog.summary()) == 2000


@pytest.mark.slow
def test_a_flipped_byte_is_found_in_whichever_block(sound: Path, tmp_path: Path) -> None:
    size = sound.stat().st_size
    assert (size - HEADERS) // BLOCK > 8
    words = []
    for start in range(HEADERS, size, BLOCK):
        damage = damaged(sound, tmp_path / str(start), flipped(start + 5000)).damage()
        assert damage, start
        assert damage.startswith(f"is damaged: the block at byte {start} does not match its checksum")
        words.append(damage)
    assert any(damage.endswith("tables that cannot be read: embeddings") for damage in words)
    assert any(damage.endswith("every row can be read, an index of their keys cannot") for damage in words)


def test_a_file_without_its_last_bytes_is_found(sound: Path, tmp_path: Path) -> None:
    for missing in (1, BLOCK):
        assert (damaged(sound, tmp_path / str(missing), truncated(-missing)).damage() or "").startswith("is truncated")


def test_damage_that_a_query_or_a_commit_meets_is_named_too(sound: Path, tmp_path: Path) -> None:
    named = 0
    for start in range(HEADERS, sound.stat().st_size, BLOCK):
        catalog = damaged(sound, tmp_path / str(start), flipped(start + 5000))
        try:
            with catalog.open() as con:
                con.execute("SELECT bit_xor(hash(sightings)) FROM sightings").fetchall()
                con.execute(
                    """INSERT INTO sightings BY NAME
                       SELECT md5(i::VARCHAR) AS url, 'berta' AS person FROM range(4000) AS rows(i)"""
                )
        except DamagedCatalogError as error:
            assert str(error).endswith(REPAIR)
            named += 1
    assert named > 2


def test_looking_for_damage_changes_nothing(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEYS_PER_TRANSACTION", 1000)
    catalog = damaged(sound, tmp_path, lambda path: None)
    assert catalog.damage() is None
    assert catalog.path.read_bytes() == sound.read_bytes()
    assert list(tmp_path.iterdir()) == [catalog.path]
    catalog.path.unlink()
    assert catalog.damage() == "is missing"


@pytest.mark.parametrize("fault", [lambda path: None, truncated(5000)], ids=["sound", "damaged"])
def test_in_use_is_told_from_a_path_with_lock_in_it(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", 0.3)
    catalog = damaged(sound, tmp_path / "lock", lambda path: None)
    with subprocess.Popen([sys.executable, "-c", HOLD, catalog.path], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        fault(catalog.path)
        for command in (catalog.summary, catalog.damage):
            with pytest.raises(BolidError, match="another program kept it open for 0 s; close it"):
                command()
        process.kill()


def test_a_full_disk_is_not_damage(sound: Path, tmp_path: Path) -> None:
    catalog = damaged(sound, tmp_path, lambda path: None)
    script = """
import resource, signal, sys
from pathlib import Path
from bolid_data.catalog import Catalog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
catalog = Catalog(Path(sys.argv[1]))
try:
    with catalog.open() as con:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        con.execute("INSERT INTO undecodable SELECT md5(i::VARCHAR), 'x' FROM range(50000) AS rows(i)")
except Exception as error:
    print(type(error).__name__, error)
"""
    run = subprocess.run([sys.executable, "-c", script, catalog.path], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("BolidError")
    assert "Could not write file" in run.stdout
    assert catalog.damage() is None
