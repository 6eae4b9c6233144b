"""Cards of repositories: Markdown below a YAML header. Texts come from strangers, so none of them may end a table, add
a heading or an image, or become HTML."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bolid_data.printable import one_line

_SYNTAX = re.compile(r"[!#$&*<>@\[\\\]^_`{|}~]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What starts markup within a line, or makes an address a link."""


def escaped(text: object) -> str:
    r"""A text as it is shown within a line: nothing in it is Markdown, HTML or a link. Not for the beginning of a line,
    where a number or a dash starts a list.

    >>> print(escaped("<b>a|b</b> 0.5"))
    \<b\>a\|b\</b\> 0.5
    """
    return _SYNTAX.sub(r"\\\g<0>", one_line(text))


def code(text: object) -> str:
    """A text in code style, also in a table."""
    line = one_line(text).replace("|", "\\|")
    ticks = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    return f"{ticks} {line} {ticks}" if "`" in line or not line else f"`{line}`"


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table, whose cells are Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]


def card(header: Mapping[str, Any], lines: Iterable[str]) -> bytes:
    """A README.md: the header, which the hub reads, and the text."""
    from huggingface_hub.utils import yaml_dump

    kept = {key: value for key, value in header.items() if value not in (None, [], {})}
    text = "\n".join(lines)
    return f"---\n{yaml_dump(kept, sort_keys=False)}---\n\n{text}\n".encode()


def size(count: int) -> str:
    """A number of bytes for people, such as 12.3 MB."""
    value, units = float(count), iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and (larger := next(units, None)):
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
