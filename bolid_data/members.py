"""The members of a sample, by the headers that they have in a tar. It may come from a stranger: only headers are read,
and nothing is unpacked."""

import tarfile
from typing import BinaryIO

from bolid_data.errors import BolidError

_BLOCK = tarfile.BLOCKSIZE
_MOST = 64  # members of a sample
_LONGEST_NAME = 512
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)


def extensions(file: BinaryIO, key: str, start: int, end: int) -> tuple[str, ...]:
    """The extensions of a sample's members, in their order; they fill the tar from `start` to `end`.

    Raises BolidError where anything else stands there than regular files called `<key>.<extension>`, each once.
    """
    found: list[str] = []
    long_name: str | None = None
    at = start
    while at < end and len(found) < _MOST:
        header = _read_header(file, key, at)
        at += _BLOCK + -(-header.size // _BLOCK) * _BLOCK
        if header.type == tarfile.GNUTYPE_LONGNAME and long_name is None and 0 <= header.size <= _LONGEST_NAME:
            long_name = file.read(header.size).split(b"\0")[0].decode(errors="replace")
            continue
        stem, _, extension = (long_name or header.name).partition(".")
        if header.type not in _REGULAR or header.size < 0 or stem != key or not extension or extension in found:
            raise BolidError(f"sample '{key}' has members that are not regular files of its name")
        found.append(extension)
        long_name = None
    if at != end or long_name is not None:
        raise BolidError(f"sample '{key}' does not end where its last member ends")
    return tuple(found)


def at_end(file: BinaryIO, end: int) -> bool:
    """Does the tar end there? What closes one are blocks of zeros, or nothing."""
    file.seek(end)
    return not any(file.read(_BLOCK))


def _read_header(file: BinaryIO, key: str, at: int) -> tarfile.TarInfo:
    file.seek(at)
    try:
        return tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as error:
        raise BolidError(f"sample '{key}' has a header that is not a tar's ({error})") from error
