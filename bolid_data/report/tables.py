"""Tables on stdout."""

import os
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bolid_data.printable import one_line

_WIDE = 1000
"""Characters of a line where stdout is not a terminal, to whose width nothing needs to be cut."""


def print_table(table: Table) -> None:
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDE
    Console(width=width).print(table)


def cells(*values: object) -> list[Text]:
    """Cells of a table, as plain text: `[…]` in a name is not markup."""
    return [Text(one_line(value)) for value in values]
