"""Text of strangers, as it may be shown: names out of files, models, labels, cameras, brokers and buckets.

The one function for the edges, where text leaves for a terminal, a log or metrics. JSON and pages escape by themselves.
"""

from __future__ import annotations

import logging
import unicodedata

from saccade.address import hidden

_ACTS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
"""Needed to write some languages, and of no effect elsewhere."""


def plain(text: str, *, lines: bool = False) -> str:
    """`text` with escapes for whatever acts on a terminal, forges lines of a log or turns text around.

    lines : line ends are the writer's own, and stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if (c == "\n" and lines) or not _acts(c) else c.encode("unicode_escape").decode() for c in text)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTS and character not in _JOINERS


class PlainFormatter(logging.Formatter):
    """A message is one line, whatever names are in it, and tells no password; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without the traceback."""
        return plain(hidden(super().formatMessage(record)))

    def formatException(self, ei: object) -> str:
        """The traceback, which quotes the error's text."""
        return plain(hidden(super().formatException(ei)), lines=True)  # type: ignore[arg-type]
