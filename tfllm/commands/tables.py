"""Tables for people: drawn by rich on a terminal, plain aligned text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None, stream=None
) -> None:
    """Prints rows under column names.

    Args:
        columns: names of the columns.
        rows: values, a sequence a row; `None` is shown as `-`.
        title: a line above.
        stream: where to print; default: standard output.
    """
    stream = stream or sys.stdout
    texts = [["-" if value is None else str(value) for value in row] for row in rows]
    if stream.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title)
        for column in columns:
            table.add_column(column)
        for row in texts:
            table.add_row(*map(Text, row))
        Console(file=stream).print(table)
        return
    if title:
        print(title, file=stream)
    widths = [max(map(len, column)) for column in zip(columns, *texts)]
    for row in [list(columns), *texts]:
        print("  ".join(f"{value:{width}}" for value, width in zip(row, widths)).rstrip(), file=stream)
