"""Translates DuckDB's errors for users of a catalog, by its messages and the file's first bytes."""

import os
import re
from pathlib import Path

import duckdb

from bolid_data.catalog.rows import first_line
from bolid_data.errors import BolidError, DamagedCatalogError

_HEADER = 12
"""Bytes at the beginning of a DuckDB file: a checksum of 8 bytes, and the magic number."""
_MAGIC = b"DUCK"
_SQLITE = b"SQLite forma"

_OTHER_MODE = "with a different configuration than existing connections"

_ANOTHER_VERSION = re.compile(
    r"storage version number (\d+), but we can only read storage versions between (\d+) and (\d+)"
)
_CHECKSUM = re.compile(r"computed checksum \d+ does not match stored checksum \d+ in block at location (\d+)")
_CORRUPT = re.compile(
    r"\bCorrupt(ed)? (?!Parquet|temporary)|Database file appears to be corrupted|Failed to deserialize"
)
_FOREIGN_WAL = re.compile(r"WAL does not match database file|This WAL was created for")
_REPLAYING_WAL = re.compile(r'Failure while replaying [^"]*"[^"]*": (.*)')


def is_in_use(path: Path, error: Exception) -> bool:
    """Whether another process holds DuckDB's lock on the file, or another thread has it open to write."""
    held = isinstance(error, duckdb.IOException) and "Conflicting lock is held" in _without_path(path, error)
    return held or (isinstance(error, duckdb.ConnectionException) and _OTHER_MODE in _without_path(path, error))


def opening_error(path: Path, error: duckdb.Error) -> BolidError:
    """The error to raise where DuckDB could not open a catalog."""
    if path.is_dir():
        return BolidError(f"{path}: is a folder, but the catalog is a file; move it away")
    if path.is_file() and (damage := _damaged_header(path)):
        return DamagedCatalogError(path, damage)
    return _explained(path, error) or BolidError(f"{path}: cannot be opened ({first_line(error)})")


def reading_error(path: Path, error: duckdb.Error) -> BolidError | None:
    """The error to raise where a query on an open catalog failed; None for one that is not about the file."""
    if explained := _explained(path, error):
        return explained
    if isinstance(error, duckdb.IOException | duckdb.TransactionException | duckdb.FatalException):
        return BolidError(f"{path}: {first_line(error)}; no earlier commit is lost")
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):  # a missing column or table
        return BolidError(
            f"{path}: written by another version ({first_line(error)}); `bolid filter` brings it up to date"
        )
    return None


def _explained(path: Path, error: duckdb.Error) -> BolidError | None:
    text = _without_path(path, error)
    if version := _ANOTHER_VERSION.search(text):
        number, first, last = version.groups()
        return BolidError(
            f"{path}: written by another version of DuckDB (storage version {number}, and DuckDB {duckdb.__version__} "
            f"reads {first} to {last}); install the version of DuckDB that wrote it"
        )
    if wal := _wal_error(path, text):
        return wal
    if damage := _damage(path, text, error):
        return DamagedCatalogError(path, damage)
    return None


def _wal_error(path: Path, text: str) -> BolidError | None:
    wal = path.with_name(f"{path.name}.wal")
    if _FOREIGN_WAL.search(text):
        return BolidError(f"{wal}: belongs to another database, or to {path.name} at another time; move it away")
    if replaying := _REPLAYING_WAL.search(text):
        return BolidError(
            f"{wal}: is damaged ({replaying[1]}); move it away: what was committed last is lost with it, and the rest "
            f"is in {path.name}"
        )
    return None


def _damage(path: Path, text: str, error: duckdb.Error) -> str | None:
    if 'Could not read enough bytes from file ""' in text:
        return f"is truncated: it ends after {path.stat().st_size} bytes"
    if block := _CHECKSUM.search(text):
        return f"is damaged: the block at byte {block[1]} does not match its checksum"
    if _CORRUPT.search(text) or isinstance(error, duckdb.SerializationException):
        return f"is damaged ({first_line(error)})"
    if isinstance(error, duckdb.InternalException | duckdb.FatalException) and "Could not " not in text:
        return f"may be damaged: DuckDB failed ({first_line(error)})"  # "Could not write file": a full disk, for one
    return None


def _damaged_header(path: Path) -> str | None:
    """The damage that a file's first bytes show.

    Call it only if DuckDB could not open the file: closing a file releases DuckDB's lock on it in this process.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:  # DuckDB's error says the same
        return None
    if not header:
        return "is empty"
    if len(header) < _HEADER:
        return f"is truncated: it ends after {len(header)} bytes"
    if header == _SQLITE:
        return "cannot be opened: it is an SQLite database"
    if not header.endswith(_MAGIC):
        return "cannot be opened: it is not a DuckDB database"
    return None


def _without_path(path: Path, error: Exception) -> str:
    """DuckDB's message without the file's path, which may contain any words."""
    return str(error).replace(os.path.realpath(path), "")
