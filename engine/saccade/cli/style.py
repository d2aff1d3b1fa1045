"""How the commands print: tables that line up, colours only on a terminal, progress that goes away."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from saccade.text import plain

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """`text` in a colour where the stream is a terminal that wants any."""
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def columns() -> int | None:
    """Columns of the terminal that is printed to; None where it is no terminal."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except OSError:
        return None


def table(rows: Sequence[Sequence[object]], header: Sequence[str] | None = None, *, width: int | None = None) -> str:
    """Left-aligned columns, numbers to the right, two spaces apart.

    width : most columns of a line, by default those of the terminal; the widest cells are cut to fit.
    """
    width = columns() if width is None else width
    cells = [[plain(str(cell).replace("\n", " ")) for cell in row] for row in rows]
    every = [list(header), *cells] if header else cells
    if not every:
        return ""
    widths = [max(len(row[i]) for row in every) for i in range(len(every[0]))]
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    numeric = [all(_is_number(row[i]) for row in cells) and bool(cells) for i in range(len(widths))]
    lines = []
    for index, row in enumerate(every):
        parts = [
            _cut(c, w).rjust(w) if n else _cut(c, w).ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)
        ]
        line = "  ".join(parts).rstrip()
        lines.append(paint(line, "bold") if header and index == 0 else line)
    return "\n".join(lines)


_LEAST = 12
"""Columns to which a table's cells are cut at most."""


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%x"))
    except ValueError:
        return False
    return True
