"""Parser of protobuf text (`.prototxt`), without the schema: fields by name, each a list of values.

It takes what Caffe's own parser takes: comments, both kinds of quotes, strings in pieces, `{}` and `<>`, a missing
colon before a message, several values on a line, `[1, 2]` lists, commas and semicolons between fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from saccade.errors import ModelError
from saccade.formats.importing import Attributes, N, naming, read_bytes

MAX_BYTES = 16 << 20
MAX_DEPTH = 32
MAX_FIELDS = 1 << 18
"""Of a whole file: the deepest networks have some ten thousand."""

_TOKEN = re.compile(
    r"""(?P<space>(?:\s+|\#[^\n]*)+)
    |(?P<name>[A-Za-z_][\w.]*)
    |(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)[fF]?|[-+]\s*[A-Za-z]+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<mark>[{}<>\[\]:,;])""",
    re.VERBOSE,
)
_CLOSING = {"{": "}", "<": ">"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class PrototxtMessage(Attributes):
    """Fields of one message. Scalars are kept as words; the getters turn them into what the reader expects."""

    __slots__ = ("_fields", "line")

    def __init__(self, line: int = 1) -> None:
        super().__init__({})
        self._fields: dict[str, list[str | PrototxtMessage]] = {}
        self.line = line

    def __contains__(self, key: str) -> bool:
        return key in self._fields

    def add(self, key: str, value: str | PrototxtMessage) -> None:
        """Append a value to the field."""
        self._fields.setdefault(key, []).append(value)

    def messages(self, key: str) -> list[PrototxtMessage]:
        """All messages of the field."""
        values = self._fields.get(key, [])
        found = [value for value in values if isinstance(value, PrototxtMessage)]
        if len(found) != len(values):
            raise self.error(key, "a message in braces")
        return found

    def message(self, key: str) -> PrototxtMessage:
        """The field's last message, as protobuf has it; an empty one where it is absent."""
        found = self.messages(key)
        return found[-1] if found else PrototxtMessage(self.line)

    def texts(self, key: str) -> list[str]:
        """All words of the field."""
        values = self._fields.get(key, [])
        found = [value for value in values if isinstance(value, str)]
        if len(found) != len(values):
            raise self.error(key, "a value, not a message")
        return found

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """An enum: one of the names, or its number; `default` (or the first name) where the field is absent."""
        word = self.text(key, default or allowed[0])
        if word.isdecimal() and len(word) < 10 and int(word) < len(allowed):
            return allowed[int(word)]
        return super().choice(key, allowed, default or allowed[0])

    def _one(self, key: str, values: tuple[N, ...]) -> N:
        return super()._one(key, values[-1:])  # as protobuf has it

    def error(self, key: str, expected: str) -> ModelError:
        """What to raise where a field is not as expected."""
        values = [value if isinstance(value, str) else "{...}" for value in self._fields.get(key, [])]
        return ModelError(f"line {self.line}: {key} is {' '.join(values)[:80]!r}; expected {expected}")


def read_prototxt(path: Path) -> PrototxtMessage:
    """The file's outermost message.

    Raises
    ------
    ModelError
        The file is missing, too large, or no protobuf text.
    """
    with naming(path):
        return parse_prototxt(read_bytes(path, MAX_BYTES, "a network's text").decode("utf-8", "replace"))


def parse_prototxt(text: str) -> PrototxtMessage:
    """As `read_prototxt`, from the text itself."""
    parser = _Parser(text.removeprefix("\ufeff"))
    message = PrototxtMessage()
    parser.fields(message, "", 0)
    return message


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, word and line of each token, and at last one of the kind `end`."""
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ModelError(f"line {line}: {text[position : position + 12]!r} is no protobuf text")
        if match.lastgroup != "space":
            yield str(match.lastgroup), match.group(), line
        line += match.group().count("\n")
        position = match.end()
    yield "end", "", line


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        self._left = MAX_FIELDS

    def fields(self, message: PrototxtMessage, closing: str, depth: int) -> None:
        """Read `name: value` pairs into `message` up to the closing brace, or the text's end."""
        if depth > MAX_DEPTH:
            raise ModelError(f"line {message.line}: messages lie more than {MAX_DEPTH} deep; no network is written so")
        while True:
            kind, word, line = self._take()
            if kind == "mark" and word in ",;":
                continue
            if word == closing and kind in ("mark", "end"):
                return
            if kind != "name":
                expected = f"a field's name or {closing!r}" if closing else "a field's name"
                raise ModelError(f"line {line}: {word[:80] or 'the end of the file'!r} where {expected} should be")
            colon = self._accept(":")
            if colon and self._accept("["):
                while not self._accept("]"):
                    message.add(word, self._value(word, True, depth))
                    self._accept(",")
            else:
                message.add(word, self._value(word, colon, depth))

    def _value(self, name: str, colon: bool, depth: int) -> str | PrototxtMessage:
        kind, word, line = self._take()
        self._left -= 1
        if self._left < 0:
            raise ModelError(f"line {line}: more than {MAX_FIELDS} fields; no network has so many")
        if kind == "mark" and word in _CLOSING:
            inner = PrototxtMessage(line)
            self.fields(inner, _CLOSING[word], depth + 1)
            return inner
        if not colon or kind in ("mark", "end"):
            raise ModelError(
                f"line {line}: {word[:80] or 'the end of the file'!r} where the value of {name[:80]} should be"
            )
        if kind != "string":
            return word
        text = _unquoted(word)
        while self._next[0] == "string":
            text += _unquoted(self._take()[1])
        return text

    def _take(self) -> tuple[str, str, int]:
        token = self._next
        self._next = next(self._tokens, token)
        return token

    def _accept(self, mark: str) -> bool:
        accepted = self._next[:2] == ("mark", mark)
        if accepted:
            self._take()
        return accepted


def _unquoted(word: str) -> str:
    return _ESCAPE.sub(r"\1", word[1:-1])
