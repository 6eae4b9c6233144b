"""Makes text safe to print on a terminal.

Names, captions, keys and addresses come from strangers, and an escape sequence in one of them could move the cursor,
hide lines or set the clipboard. Everything that is printed or logged passes through one of these functions.
"""

import codecs
import io
import json
import re
import sys
from typing import Any, TextIO

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they reorder what follows
_SEPARATORS = "\u2028\u2029"
_UNPRINTABLE = re.compile(f"[{_CONTROLS}{_BIDI}{_SEPARATORS}\ud800-\udfff]")
_BREAKS = re.compile(r"[ \t\n]*\n[ \t\n]*")


def printable(text: object) -> str:
    r"""`text` with control characters, bidirectional marks and lone surrogates escaped (`\x1b`, `\u202e`).

    >>> printable("a caption\x1b[2J")
    'a caption\\x1b[2J'
    """
    return _UNPRINTABLE.sub(_escape, str(text))


def printable_lines(text: object) -> str:
    """The same, but line breaks and tabs are kept."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in str(text).split("\n"))


def one_line(text: object) -> str:
    """The same, with line breaks replaced by spaces."""
    return printable(_BREAKS.sub(" ", str(text)).strip())


def printable_json(value: Any) -> str:
    """One line of JSON, in which characters that a terminal interprets are escaped as `\\uXXXX`."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def say(text: object = "") -> None:
    """Prints text to stdout."""
    print(printable_lines(text), file=sys.stdout)


def escape_unencodable(*streams: TextIO) -> None:
    r"""Makes streams write characters that their encoding lacks as `\uXXXX`, as JSON does, instead of raising."""
    codecs.register_error("bolid.escape", _escaped)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bolid.escape")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code_units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(*[iter(code_units)] * 2, strict=True)), error.end


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
