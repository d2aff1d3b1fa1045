"""What a tuning found, as a table and as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from saccade.tune.agreement import Agreement
from saccade.tune.book import Row

HEADER = ("what", "times as fast", "95 %", "against", "agreement", "scores", "")
WIDTH, CHARACTER = 960, 7.5
"""Of the chart, and of a character of its text at the most on the average, px."""
GOOD, BAD, QUIET, TEXT = "#2f9e62", "#c9483c", "#8a94a0", "#22272e"


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Cells of a table with `HEADER`."""
    return [
        (
            row.name,
            "" if row.speed is None else f"{row.speed.value:.2f}",
            "" if row.speed is None else f"{row.speed.low:.2f}-{row.speed.high:.2f}",
            "" if row.speed is None else row.against,
            "" if row.agreement is None else f"{row.agreement.value:.4f}",
            "" if row.agreement is None else f"{row.agreement.score_difference:.4f}",
            verdict(row),
        )
        for row in rows
    ]


def verdict(row: Row) -> str:
    """What became of a row."""
    if row.kept and not row.reason.startswith("refused"):
        return "the reference" if row.reason == "the reference" else "kept"
    return row.reason or "not the fastest"


def in_a_line(row: Row) -> str:
    """A row for the log."""
    parts = []
    if row.speed is not None:
        parts.append(f"{row.speed.value:.2f} times as fast as {row.against} ({row.speed.low:.2f}-{row.speed.high:.2f})")
    if row.agreement is not None:
        parts.append(agreement_in_words(row.agreement))
    if row.reason:
        parts.append(row.reason)
    return f"{row.name}: {', '.join(parts)}" if parts else row.name


def agreement_in_words(agreement: Agreement) -> str:
    """For the log."""
    return f"agreement {agreement.value:.4f}, scores within {agreement.score_difference:.4f}"


def chart(rows: Sequence[Row], title: str, note: str) -> str:
    """SVG: a bar for each way that was measured, as long as it is fast, with its interval and what became of it.

    title, note : a line above, and one below.
    """
    measured = [row for row in rows if row.speed is not None]
    most = max([1.2, *(row.speed.value for row in measured if row.speed)]) * 1.1
    left, width, step, top = 310, 300, 34, 58
    height = top + step * len(measured) + 64
    unit = width / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{TEXT}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for number, row in enumerate(measured):
        parts += _bar(row, left, unit, top + step * number)
    bottom = top + step * len(measured)
    at = left + unit
    parts += [
        f'<line x1="{at:.1f}" y1="{top - 8}" x2="{at:.1f}" y2="{bottom}" stroke="{TEXT}" stroke-dasharray="3 3"/>',
        f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">1 = as fast as what it is measured against</text>',
        f'<text x="16" y="{bottom + 44}" fill="{QUIET}">{escape(note)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(row: Row, left: int, unit: float, y: int) -> list[str]:
    assert row.speed is not None
    colour = GOOD if row.kept else BAD if row.reason else QUIET
    speed = row.speed
    end, low, high = (left + min(unit * value, 320.0) for value in (speed.value, speed.low, speed.high))
    said = f"{speed.value:.2f}"
    if row.agreement is not None:
        said += f", agreement {row.agreement.value:.3f}"
    said += ", kept" if row.kept else ", refused" if row.reason else ""
    room = int((WIDTH - high - 8) / CHARACTER) - len(f"{said} against ")
    against = (
        ""
        if row.against == "f32"
        else f' <tspan fill="{QUIET}">against {escape(_short(row.against, max(room, 8)))}</tspan>'
    )
    middle = y + 11
    return [
        f'<text x="{left - 10}" y="{middle + 4}" text-anchor="end">{escape(_short(row.name, 48))}'
        f"<title>{escape(row.name)} against {escape(row.against)}: {escape(row.reason or 'agrees')}</title></text>",
        f'<rect x="{left}" y="{y}" width="{max(1.0, end - left):.1f}" height="22" rx="2" fill="{colour}"/>',
        f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {y + 6}V{y + 16}M{high:.1f} {y + 6}V{y + 16}" '
        f'stroke="{TEXT}" fill="none"/>',
        f'<text x="{high + 8:.1f}" y="{middle + 4}">{escape(said)}{against}</text>',
    ]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
