"""The members of a sample, from their headers in a tar. The tar may come from a stranger: only headers are read, and
nothing is unpacked."""

import tarfile
from typing import BinaryIO

from bolid_data.errors import BolidError

_BLOCK = tarfile.BLOCKSIZE
_MAX_MEMBERS = 64  # members of a sample
_MAX_NAME = 512
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)


def extensions(file: BinaryIO, key: str, start: int, end: int) -> tuple[str, ...]:
    """The extensions of a sample's members, which fill the tar from `start` to `end`, in order.

    Raises BolidError for anything other than regular files called `<key>.<extension>`, each once.
    """
    names: list[str] = []
    long_name: str | None = None
    at = start
    while at < end and len(names) < _MAX_MEMBERS:
        header = _read_header(file, key, at)
        at += _BLOCK + -(-header.size // _BLOCK) * _BLOCK
        if header.type == tarfile.GNUTYPE_LONGNAME and long_name is None and 0 <= header.size <= _MAX_NAME:
            long_name = file.read(header.size).split(b"\0")[0].decode(errors="replace")
            continue
        stem, _, extension = (long_name or header.name).partition(".")
        if header.type not in _REGULAR or header.size < 0 or stem != key or not extension or extension in names:
            raise BolidError(f"sample '{key}' has members that are not regular files of its name")
        names.append(extension)
        long_name = None
    if at != end or long_name is not None:
        raise BolidError(f"sample '{key}' does not end with its last member")
    return tuple(names)


def at_end(file: BinaryIO, end: int) -> bool:
    """Whether the tar ends at `end`, with blocks of zeros or nothing after it."""
    file.seek(end)
    return not any(file.read(_BLOCK))


def _read_header(file: BinaryIO, key: str, at: int) -> tarfile.TarInfo:
    file.seek(at)
    try:
        return tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as error:
        raise BolidError(f"sample '{key}' has an invalid tar header ({error})") from error
