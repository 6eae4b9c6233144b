"""The text of captions, and `.txt` files that hold one each, as LoRA trainers read and write them."""

import os
import re
import stat
from pathlib import Path

from bolid_data.fields import MAX_WORDS
from bolid_data.printable import printable

EXTENSION = ".txt"
_MAX_BYTES = 4 * MAX_WORDS


class CaptionFileError(ValueError):
    """Why a file is not a caption, as a clause without a subject."""


def read_caption(file: Path, root: Path) -> str:
    """The caption in a file below `root`, as one line; "" for an empty file.

    Raises CaptionFileError for a file that is not short UTF-8 text, and for a link out of `root`: the folder may come
    from a stranger, and captions are handed on.
    """
    try:
        if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(root)):
            raise CaptionFileError(f"is a link that leads out of {root}")
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CaptionFileError("is not a regular file")
        if status.st_size > _MAX_BYTES:
            raise CaptionFileError(f"is longer than {MAX_WORDS} characters")
        return to_caption(file.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise CaptionFileError("is not UTF-8 text") from None
    except OSError as error:
        raise CaptionFileError(f"cannot be read ({error.strerror})") from None


def to_caption(text: str) -> str:
    """`text` as one line. Raises CaptionFileError for text that is too long or has control characters."""
    line = " ".join(text.split())
    if len(line) > MAX_WORDS:
        raise CaptionFileError(f"is longer than {MAX_WORDS} characters")
    if printable(line) != line:
        raise CaptionFileError("has control characters")
    return line


def with_trigger(caption: str, trigger: str) -> str:
    """A caption that begins with the trigger word, or has it already.

    >>> with_trigger("a photo of a person", "ohwx"), with_trigger("photo of ohwx person", "ohwx")
    ('ohwx, a photo of a person', 'photo of ohwx person')
    """
    if not trigger or re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption):
        return caption
    return f"{trigger}, {caption}" if caption else trigger
