"""Spelling of Python 2.7 that Python 3 reads otherwise: literals, targets of `except`, names that are keywords."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

LONG = "__saccade_long__"
_TRUTH = re.compile(r"(?m)(?:^|;)\s*(?:(?:True|False)\s*,\s*)?(True|False)\s*(?:,\s*(?:True|False)\s*)?=(?!=)")
_UNICODE_LITERALS = re.compile(r"(?m)^\s*from\s+__future__\s+import\b.*\bunicode_literals\b")
_LITERAL = re.compile(r"([a-zA-Z]*)(\"\"\"|'''|\"|')(.*)\2\Z", re.DOTALL)
_PAIRS = r"(?<!\\)((?:\\\\)*)"
"""Backslashes that stand for themselves."""
_NEW_ESCAPE = re.compile(_PAIRS + r"\\([uUN])")
_NINE_BITS = re.compile(_PAIRS + r"\\([4-7][0-7]{2})")
_RAW_ESCAPE = re.compile(_PAIRS + r"\\(?:u([0-9a-fA-F]{4})|U(00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}))")
_ESCAPE_OR_WIDE = re.compile(r"\\[\x00-\x7f]|\\?[^\x00-\x7f]")
_KEYWORDS = frozenset(("async", "await", "nonlocal"))
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_TARGET = "__saccade_target__"


class _Token(NamedTuple):
    kind: str
    string: str
    start: tuple[int, int]
    """Line, from 1, and column."""
    end: tuple[int, int]


def respelled(source: str, encoding: str) -> str:
    """A source of Python 2.7, one character a byte, so that its literals mean the same to Python 3.

    encoding : of the file; unicode literals are read by it.
    """
    unicode_literals = _UNICODE_LITERALS.search(source) is not None
    truth_is_set = _TRUTH.search(source) is not None
    lines = source.split("\n")
    tokens = list(_tokens(source))
    targets = _targets(tokens)
    is_unicode = False
    for i, token in reversed(list(enumerate(tokens))):
        kind, string, start, end = token
        new = string
        if kind == "NUMBER" and string[-1] in "lL":
            new = f"{LONG}({string[:-1]})"
        elif kind == "STRING":
            new = _literal(string, encoding, unicode_literals)
            # One literal of several that stand together makes all unicode; Python 3 goes by the first.
            is_unicode = is_unicode or new.startswith("u")
            if is_unicode and not new.startswith("u") and (i == 0 or tokens[i - 1].kind != "STRING"):
                new = "u'' " + new
        elif i in targets:
            new = targets[i]
        elif kind == "NAME" and string in _KEYWORDS:
            new = string + "_"
        elif kind == "NAME" and truth_is_set and string in ("True", "False"):
            new = f"__saccade_{string}__"
        is_unicode = is_unicode and kind == "STRING"
        if new != string:
            first, last = start[0] - 1, end[0] - 1
            lines[first : last + 1] = (lines[first][: start[1]] + new + lines[last][end[1] :]).split("\n")
    return "\n".join(lines)


def _tokens(source: str) -> Iterator[_Token]:
    from fissix.pgen2 import token, tokenize

    kinds = {token.NUMBER: "NUMBER", token.STRING: "STRING", token.NAME: "NAME"}
    try:
        for kind, string, start, end, _ in tokenize.generate_tokens(io.StringIO(source).readline):
            if kind not in (token.COMMENT, token.NL):
                yield _Token(kinds.get(kind, ""), string, start, end)
    except Exception:
        # No tokens of Python: the parser says where.
        return


def _targets(tokens: list[_Token]) -> dict[int, str]:
    """What tokens become, by number, where an error is bound to more than a name.

    2to3 knows only the form with a comma, and no clause with its statements in the same line.
    """
    found: dict[int, str] = {}
    depth, separator, first = 0, 0, len(tokens)
    for i, token in enumerate(tokens):
        depth += (token.string in _OPENING) - (token.string in _CLOSING)
        if token.string == "except":
            depth, separator, first = 0, 0, i
        elif depth == 0 and first < i and token.string in (",", "as"):
            separator = i
        elif depth == 0 and first < i and token.string == ":":
            target = range(separator + 1, i)
            if separator and len(target) > 1:
                found[separator] = ","
                if any(after.string.strip() for after in tokens[i + 1 : i + 2]):
                    found |= dict.fromkeys(target, "") | {separator + 1: _TARGET}
                    found[i] = f": {' '.join(tokens[n].string for n in target)} = {_TARGET};"
            first = len(tokens)
    return found


def _literal(string: str, encoding: str, unicode_literals: bool) -> str:
    match = _LITERAL.match(string)
    if match is None:
        return string
    prefix, quote, body = match[1].lower(), match[2], match[3]
    is_raw = "r" in prefix
    if "u" not in prefix and not (unicode_literals and "b" not in prefix):
        if is_raw:
            return "r" + quote + body + quote
        body = _NEW_ESCAPE.sub(r"\1\\\\\2", body)
        return quote + _NINE_BITS.sub(lambda m: f"{m[1]}\\x{int(m[2], 8) & 0xFF:02x}", body) + quote
    with contextlib.suppress(UnicodeError, LookupError):
        # Otherwise it is read as Latin-1, like a file that is not what it declares.
        body = body.encode("latin-1").decode(encoding)
    if is_raw:
        # Only \u and \U are escapes there.
        value = _RAW_ESCAPE.sub(lambda m: m[1] + chr(int(m[2] or m[3], 16)), body)
        return "u" + quote + "".join(_unraw(char, quote) for char in value) + quote
    return "u" + quote + _ESCAPE_OR_WIDE.sub(lambda m: _escaped(m[0]), body) + quote


def _unraw(char: str, quote: str) -> str:
    """A character of a raw literal in one that is not; lines stay as many."""
    if char == "\n" and len(quote) == 1:
        return "\\n"
    return "\\" + char if char in ("\\", quote[0]) else _escaped(char)


def _escaped(text: str) -> str:
    """A character in ASCII, with the backslash before it, if any; an escape as it is."""
    if text.isascii():
        return text
    number = ord(text[-1])
    code = f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    return "\\" * 2 * (len(text) - 1) + code
