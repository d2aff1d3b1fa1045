"""How the commands print: tables that line up, colours only on a terminal, progress that goes away."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """`text` in a colour where the stream is a terminal that wants any."""
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def table(rows: Sequence[Sequence[object]], header: Sequence[str] | None = None) -> str:
    """Left-aligned columns, numbers to the right, two spaces apart."""
    cells = [[str(cell) for cell in row] for row in rows]
    every = [list(header), *cells] if header else cells
    if not every:
        return ""
    widths = [max(len(row[i]) for row in every) for i in range(len(every[0]))]
    numeric = [all(_is_number(row[i]) for row in cells) and bool(cells) for i in range(len(widths))]
    lines = []
    for index, row in enumerate(every):
        parts = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)]
        line = "  ".join(parts).rstrip()
        lines.append(paint(line, "bold") if header and index == 0 else line)
    return "\n".join(lines)


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%x"))
    except ValueError:
        return False
    return True
