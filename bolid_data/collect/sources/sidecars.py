"""Sidecar files: captions in `.txt` files beside the photos of a folder."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from bolid_data.caption_text import EXTENSION, CaptionFileError, read_caption

MAX_NAMES = 20
"""Captions of one photo, at most: shards and locks have a limit, too."""
_NAME = re.compile("[a-z0-9_]{1,40}")


@dataclass(frozen=True)
class Sidecar:
    """A caption file: `anna/1.txt`, or `anna/1.tags.txt` for the caption named `tags`."""

    file: str
    name: str
    photos: list[str]  # files with the same name but for the extension


def match_sidecar(file: str, photos: Mapping[str, list[str]]) -> Sidecar | None:
    """The caption that a file is, beside `photos` by their names without the extension; None if it is none."""
    name = PurePath(file).name
    if not name.lower().endswith(EXTENSION):
        return None
    stem = name[: -len(EXTENSION)]
    if stem in photos:
        return Sidecar(file, "", photos[stem])
    stem, _, caption_name = stem.rpartition(".")
    return Sidecar(file, caption_name, photos[stem]) if stem in photos and _NAME.fullmatch(caption_name) else None


def read_sidecars(sidecars: Sequence[Sidecar], root: Path, warnings: list[str]) -> Iterator[tuple[Sidecar, str | None]]:
    """Yields the caption of each file that is not empty, None where it cannot be read, which is added to `warnings`."""
    names: Counter[str] = Counter()
    for sidecar in sidecars:
        try:
            names.update(sidecar.photos)
            if names[sidecar.photos[0]] > MAX_NAMES:
                raise CaptionFileError(f"is one of more than {MAX_NAMES} captions of its photo")
            if caption := read_caption(Path(sidecar.file), root):
                yield sidecar, caption
        except CaptionFileError as error:
            warnings.append(f"{Path(sidecar.file).relative_to(root)}: {error}; it is not used as a caption")
            yield sidecar, None
