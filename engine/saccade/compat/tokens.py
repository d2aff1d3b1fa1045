"""Spelling of Python 2.7 that Python 3 reads otherwise: literals, and names that are keywords now."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

LONG = "__saccade_long__"
_EXCEPT = re.compile(r"(?m)^(\s*except\b[^\n#]*?)\s+as\s+(\([^)\n]*\)|\[[^\]\n]*\])\s*:")
_TRUTH = re.compile(r"(?m)(?:^|;)\s*(?:(?:True|False)\s*,\s*)?(True|False)\s*(?:,\s*(?:True|False)\s*)?=(?!=)")
_LITERAL = re.compile(r"([a-zA-Z]*)(\"\"\"|'''|\"|')(.*)\2\Z", re.DOTALL)
_NEW_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\([uUN])")
_KEYWORDS = frozenset(("async", "await", "nonlocal"))


def respelled(source: str, encoding: str) -> str:
    """A source of Python 2.7, one character a byte, so that its literals mean the same to Python 3.

    encoding : of the file; unicode literals are read by it.
    """
    source = _EXCEPT.sub(r"\1, \2:", source)
    unicode_literals = re.search(r"(?m)^\s*from\s+__future__\s+import\b.*\bunicode_literals\b", source) is not None
    truths = set(_TRUTH.findall(source))
    if truths:
        truths = {"True", "False"}
    lines = source.split("\n")
    for kind, string, start, end in reversed(list(_tokens(source))):
        new = string
        if kind == "NUMBER" and string[-1] in "lL":
            new = f"{LONG}({string[:-1]})"
        elif kind == "STRING":
            new = _literal(string, encoding, unicode_literals)
        elif kind == "NAME" and string in _KEYWORDS:
            new = string + "_"
        elif kind == "NAME" and string in truths:
            new = f"__saccade_{string}__"
        if new != string:
            first, last = start[0] - 1, end[0] - 1
            lines[first : last + 1] = (lines[first][: start[1]] + new + lines[last][end[1] :]).split("\n")
    return "\n".join(lines)


def _tokens(source: str) -> Iterator[tuple[str, str, Any, Any]]:
    from fissix.pgen2 import token, tokenize

    names = {token.NUMBER: "NUMBER", token.STRING: "STRING", token.NAME: "NAME"}
    try:
        for kind, string, start, end, _ in tokenize.generate_tokens(io.StringIO(source).readline):
            if kind in names:
                yield names[kind], string, start, end
    except Exception:
        # No tokens of Python: the parser says where.
        return


def _literal(string: str, encoding: str, unicode_literals: bool) -> str:
    match = _LITERAL.match(string)
    if match is None:
        return string
    prefix, quote, body = match[1].lower(), match[2], match[3]
    is_raw = "r" in prefix
    if "u" not in prefix and not (unicode_literals and "b" not in prefix):
        if not is_raw:
            body = _NEW_ESCAPE.sub(r"\1\\\\\2", body)
        return ("r" if is_raw else "") + quote + body + quote
    with contextlib.suppress(UnicodeError, LookupError):
        # Otherwise it is read as Latin-1, like a file that is not what it declares.
        body = body.encode("latin-1").decode(encoding)
    if is_raw:
        # Only \u and \U are escapes there.
        value = re.sub(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})", lambda m: chr(int(m[1] or m[2], 16)), body)
        return "u" + ascii(value)
    return "u" + quote + "".join(c if c.isascii() else _escaped(c) for c in body) + quote


def _escaped(char: str) -> str:
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
