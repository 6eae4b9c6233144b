"""Photos in zip archives of a person's folder: each counts as a file below a folder of the archive's name."""

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bolid_data.images import BrokenPhotoError

_MAX_PHOTOS = 20_000
"""Of an archive; one that claims more is not read."""
_MAX_BYTES = 100_000_000
"""Of a photo, unpacked."""
_ENCRYPTED = 0x1  # bit of a member's flags


@dataclass(frozen=True)
class Archived:
    """A photo in an archive."""

    archive: Path
    name: str  # in the archive
    bytes: int  # unpacked, as the archive claims
    crc: int


def list_archived(archive: str, is_photo: Callable[[str], bool]) -> dict[str, Archived]:
    """The photos in an archive by their paths, as if it were a folder; none if it is encrypted, or cannot be read as a
    zip archive. `is_photo` tells by a file's name whether it may be one."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
    except Exception:  # a stranger's archive raises anything
        return {}
    if len(members) > _MAX_PHOTOS or any(member.flag_bits & _ENCRYPTED for member in members):
        return {}
    photos = {}
    for member in members:
        path = PurePosixPath(member.filename)
        # An archive may be a stranger's: its names must not lead out of it. macOS adds a folder of hidden copies.
        if path.is_absolute() or any(part.startswith((".", "__MACOSX")) for part in path.parts) or "\0" in str(path):
            continue
        if is_photo(path.name):
            photos[f"{archive}/{path}"] = Archived(Path(archive), member.filename, member.file_size, member.CRC)
    return photos


@contextmanager
def unpacked(photo: Archived) -> Iterator[Path]:
    """The photo as a temporary file. Raises BrokenPhotoError if it cannot be unpacked or is too large."""
    try:
        with zipfile.ZipFile(photo.archive) as archive, archive.open(photo.name) as member:
            # One byte more than is allowed: the size that an archive claims is not to be trusted.
            data = member.read(_MAX_BYTES + 1)
    except Exception as error:  # a stranger's archive raises anything
        raise BrokenPhotoError(f"cannot be unpacked: {error}") from None
    if len(data) > _MAX_BYTES:
        raise BrokenPhotoError(f"unpacks to more than {_MAX_BYTES} bytes")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "photo")
        file.write_bytes(data)
        yield file
