"""The two kinds of text of Python 2.7, and how numbers and containers were written in it.

Three types stand for them. A byte string that is pure ASCII is a plain `str`; any other byte string is `OldBytes`; text
that Python 2 called `unicode` is a `str` that is not ASCII, or `Unicode` where it is. So every value has one form only
(`plain` finds it), libraries get bytes where a script has binary data and text where it has text, and both mix.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import sys
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

_LARGEST_INT = sys.maxsize
_CODECS = frozenset(
    ("base64", "base_64", "hex", "bz2", "zip", "zlib", "quopri", "quoted_printable", "quotedprintable", "uu")
)


def plain(data: bytes) -> Any:
    """A byte string in its one form: `str` where it is ASCII, else `OldBytes`."""
    return data.decode("ascii") if data.isascii() else OldBytes(data)


def raw(value: Any) -> Any:
    """The bytes of a byte string or, in UTF-8, of text; other values as they are."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, tuple):
        return tuple(raw(v) for v in value)
    return bytes(value) if isinstance(value, OldBytes) else value


def text(value: Any) -> Any:
    """Text for functions that take no bytes; other values as they are."""
    return bytes(value).decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def old(value: Any) -> Any:
    """A result of a library as Python 2 had it: bytes in their one form, also in short tuples and in lists."""
    kind = type(value)
    if kind is bytes:
        return plain(value)
    if kind is tuple and len(value) <= 8 and any(type(v) is bytes for v in value):
        return tuple(plain(v) if type(v) is bytes else v for v in value)
    if kind is list and value and type(value[0]) is bytes:
        return [plain(v) if type(v) is bytes else v for v in value]
    return value


class OldBytes(bytes):
    """A byte string that is not ASCII; mixes with text as the one string type of Python 2 did."""

    def __str__(self) -> str:
        return self.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return bytes.__repr__(self)[1:]

    def __format__(self, form: str) -> str:
        return format(str(self), form)

    def __add__(self, other: Any) -> Any:
        return _joined(self, other)

    def __radd__(self, other: Any) -> Any:
        return _joined(other, self)

    def __mul__(self, count: Any) -> Any:
        return plain(bytes(self) * count)

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> Any:
        return percent(self, values)

    def __eq__(self, other: object) -> bool:
        return bytes(self) == (raw(other) if isinstance(other, str) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return bool(bytes(self) < raw(other))

    def __le__(self, other: Any) -> bool:
        return bool(bytes(self) <= raw(other))

    def __gt__(self, other: Any) -> bool:
        return bool(bytes(self) > raw(other))

    def __ge__(self, other: Any) -> bool:
        return bool(bytes(self) >= raw(other))

    def __hash__(self) -> int:
        try:
            return hash(self.decode("utf-8"))
        except UnicodeDecodeError:
            return hash(bytes(self))

    def __contains__(self, other: Any) -> bool:
        return raw(other) in bytes(self)

    def __iter__(self) -> Any:
        return (plain(bytes((number,))) for number in bytes(self))

    def __getitem__(self, key: Any) -> Any:
        # A single index gave a character, not a number.
        if isinstance(key, slice):
            return plain(bytes(self)[key])
        return plain(bytes((bytes(self)[key],)))

    def join(self, parts: Any) -> Any:
        """Parts of either kind with this between them."""
        return join(self, parts)

    def format(self, *values: Any, **named: Any) -> Any:
        """Format with braces."""
        return braces(self, *values, **named)

    def translate(self, table: Any, delete: Any = b"", /) -> Any:
        """Map the bytes by a table of 256, without those in `delete`."""
        return plain(bytes(self).translate(raw(table), raw(delete)))


def _mixing(name: str) -> Callable[..., Any]:
    of_bytes = getattr(bytes, name)

    def method(self: OldBytes, *arguments: Any) -> Any:
        return old(of_bytes(self, *(raw(a) for a in arguments)))

    return method


_MIXING = """split rsplit splitlines strip lstrip rstrip find rfind index rindex count startswith endswith replace
    partition rpartition lower upper title swapcase capitalize center ljust rjust zfill expandtabs"""
for _name in _MIXING.split():
    setattr(OldBytes, _name, _mixing(_name))


class Unicode(str):
    """ASCII text that was `unicode`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "u" + ascii(str(self))

    def __radd__(self, other: Any) -> Any:
        return unicode_of(text(other) + str(self))

    def __mod__(self, values: Any) -> Any:
        return percent(self, values)

    def __iter__(self) -> Any:
        return map(Unicode, str(self))


def _staying(name: str) -> Callable[..., Any]:
    of_text = getattr(str, name)

    def method(self: Unicode, *arguments: Any) -> Any:
        out = of_text(str(self), *(text(a) for a in arguments))
        return type(out)(map(unicode_of, out)) if isinstance(out, (list, tuple)) else unicode_of(out)

    return method


_STAYING = """__add__ __mul__ __rmul__ __getitem__ strip lstrip rstrip lower upper title swapcase capitalize replace
    split rsplit splitlines partition rpartition center ljust rjust zfill expandtabs"""
for _name in _STAYING.split():
    setattr(Unicode, _name, _staying(_name))


class Long(int):
    """A number that was written with an L."""

    def __new__(cls, value: Any = 0, *base: Any) -> Long:  # noqa: D102
        return super().__new__(cls, value.__long__() if hasattr(type(value), "__long__") else text(value), *base)

    def __repr__(self) -> str:
        return f"{int(self)}L"

    def __str__(self) -> str:
        return str(int(self))


def _long(name: str) -> Callable[..., Any]:
    of_int = getattr(int, name)

    def method(self: Long, *others: Any) -> Any:
        made = of_int(self, *others)
        if type(made) is tuple:
            return tuple(map(Long, made))
        return Long(made) if type(made) is int else made

    return method


_ARITHMETIC = """add radd sub rsub mul rmul floordiv rfloordiv mod rmod divmod rdivmod pow rpow and rand or ror xor rxor
    lshift rlshift rshift rrshift neg pos abs invert"""
for _name in _ARITHMETIC.split():
    setattr(Long, f"__{_name}__", _long(f"__{_name}__"))


def is_unicode(value: Any) -> bool:
    """True for what Python 2 called `unicode`."""
    return isinstance(value, Unicode) or (isinstance(value, str) and not value.isascii())


def _joined(*parts: Any) -> Any:
    """Byte strings and text one after the other; text wherever text that is not ASCII is among them."""
    for part in parts:
        if not isinstance(part, (str, bytes, bytearray)):
            raise TypeError(f"cannot concatenate 'str' and '{type(part).__name__}' objects")
    if any(is_unicode(part) for part in parts):
        return unicode_of("".join(text(part) for part in parts))
    return plain(b"".join(raw(part) for part in parts))


def join(separator: Any, parts: Any) -> Any:
    """`separator.join(parts)` of either kind."""
    between: list[Any] = []
    for part in parts:
        between += [separator, part] if between else [part]
    made = _joined(*between) if between else ""
    return unicode_of(text(made)) if is_unicode(separator) else made


class _UnicodeType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return is_unicode(value)


class OldUnicode(str, metaclass=_UnicodeType):
    """`unicode` as scripts know it: what is_unicode() says is an instance."""

    __slots__ = ()

    def __new__(cls, value: Any = "", encoding: str = "utf-8", errors: str = "strict") -> Any:  # noqa: D102
        if cls is not OldUnicode:
            return super().__new__(cls, value)
        if isinstance(value, (bytes, str)):
            return unicode_of(str(value) if is_unicode(value) else raw(value).decode(encoding, errors))
        made = type(value).__unicode__(value) if hasattr(type(value), "__unicode__") else str_of(value)
        return unicode_of(text(made))


# Encodings


def encode(value: Any, encoding: Any = None, errors: str = "strict") -> Any:
    """`.encode()`: text to a byte string; codecs of byte strings are hex, base64 and the like."""
    name = _codec(encoding)
    if name == "rot_13":
        return codecs.encode(text(value), name)
    if name in _CODECS:
        return plain(codecs.encode(raw(value), name))
    if name == "string_escape":
        # With both kinds of quotation marks in it, repr() takes the single ones and escapes those inside.
        return repr(raw(value) + b'"')[2:-2]
    if encoding is None:
        # Text that is not ASCII failed, unless a script had set the default encoding.
        encoding = "utf-8" if errors == "strict" else "ascii"
    if isinstance(value, bytes):
        # Python 2 decoded it from ASCII first, and failed; scripts that set the default encoding meant this.
        value = value.decode("ascii" if (name, errors) == ("ascii", "strict") else "utf-8")
    return plain(str(value).encode(encoding, errors))


def decode(value: Any, encoding: Any = "utf-8", errors: str = "strict") -> Any:
    """`.decode()`: a byte string to text; codecs of byte strings are hex, base64 and the like."""
    name = _codec(encoding)
    if name == "rot_13":
        return unicode_of(codecs.decode(text(value), name))
    if name in _CODECS:
        decoded: Any = codecs.decode(raw(value), name)
        return plain(decoded)
    if name == "string_escape":
        return plain(codecs.escape_decode(raw(value))[0])
    if is_unicode(value) and not value.isascii():
        return value
    return unicode_of(raw(value).decode(encoding, errors))


def _codec(encoding: Any) -> str:
    name = str(encoding).lower().replace("-", "_").removesuffix("_codec")
    return "rot_13" if name == "rot13" else name


def unicode_of(value: str) -> str:
    """Text in its one form."""
    return Unicode(value) if value.isascii() else str(value)


# Writing values


def str_of(value: Any = "") -> Any:
    """`str(value)`."""
    kind: Any = type(value)
    if kind is str or kind is OldBytes:
        return value if kind is OldBytes or value.isascii() else plain(raw(value))
    if kind is Unicode:
        return str.__str__(value)
    if kind is float:
        return _twelve(value)
    if kind is bytes or kind is bytearray:
        return plain(bytes(value))
    if kind in _WRITERS or kind is range:
        return repr_of(value)
    if isinstance(value, type) and (value.__module__ == "builtins" or value in _TYPES):
        return repr_of(value)
    try:
        made = str(value)
    except TypeError:
        # Python 3 takes no byte strings from __str__.
        made = kind.__str__(value)
        if not isinstance(made, (bytes, str)):
            raise
    return made if made.isascii() else plain(raw(made))


def repr_of(value: Any) -> Any:
    """`repr(value)`."""
    kind: Any = type(value)
    if kind in _WRITERS:
        writing = threading.get_ident(), id(value)
        if writing in _open:
            return _RECURSIVE.get(kind, "...")
        _open.add(writing)
        try:
            return _WRITERS[kind](value)
        finally:
            _open.discard(writing)
    if isinstance(value, str):
        return repr(value) if kind is not str or value.isascii() else "u" + ascii(value)
    if kind is int:
        return repr(value) if -_LARGEST_INT - 1 <= value <= _LARGEST_INT else f"{value}L"
    if kind is bytes:
        return repr(value)[1:]
    if isinstance(value, type) and (value.__module__ == "builtins" or value in _TYPES):
        kind_of = "exceptions." if issubclass(value, BaseException) else ""
        return f"<type '{kind_of}{_TYPES.get(value, value.__name__)}'>"
    if isinstance(value, BaseException) and kind.__repr__ is BaseException.__repr__:
        return kind.__name__ + repr_of(value.args)
    if kind is range:
        bounds = [value.start, value.start + len(value) * value.step, value.step]
        return f"xrange({', '.join(map(str, bounds[not value.start : 2] if value.step == 1 else bounds))})"
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        return str(value)
    if isinstance(value, np.generic) and value.dtype.kind in "SU":
        return repr_of(old(value.item()))
    return repr(value)


_TYPES: dict[Any, str] = {Long: "long", Unicode: "unicode", OldUnicode: "unicode", OldBytes: "str", range: "xrange"}
_open: set[tuple[int, int]] = set()
"""Containers that are being written, each by the thread that does so."""
_RECURSIVE = {list: "[...]", tuple: "(...)", dict: "{...}", set: "set(...)", frozenset: "frozenset(...)"}
_WRITERS: dict[type, Callable[[Any], str]] = {
    list: lambda v: "[" + ", ".join(repr_of(x) for x in v) + "]",
    tuple: lambda v: "(" + ", ".join(repr_of(x) for x in v) + (",)" if len(v) == 1 else ")"),
    dict: lambda v: "{" + ", ".join(f"{repr_of(k)}: {repr_of(x)}" for k, x in v.items()) + "}",
    set: lambda v: "set([" + ", ".join(repr_of(x) for x in v) + "])",
    frozenset: lambda v: "frozenset([" + ", ".join(repr_of(x) for x in v) + "])",
    OrderedDict: lambda v: "OrderedDict(" + (repr_of(list(v.items())) if v else "") + ")",
    defaultdict: lambda v: f"defaultdict({repr_of(v.default_factory)}, {repr_of(dict(v))})",
}


def _twelve(value: float) -> str:
    """A float with twelve digits."""
    return f"{value:.12}"


_CONVERSION = re.compile(
    r"%(?P<key>\([^)]*\))?(?P<flags>[#0\- +]*)(?P<width>\*|\d+)?(?P<digits>\.(?:\*|\d*))?[hlL]?"
    r"(?P<kind>[diouxXeEfFgGcrs%])"
)


def percent(form: Any, values: Any) -> Any:
    """`form % values`."""
    is_bytes = isinstance(form, OldBytes)
    pattern = bytes(form).decode("latin-1") if is_bytes else str(form)
    arguments = list(values) if isinstance(values, tuple) else [values]
    taken, at, pieces = 0, 0, []

    def take() -> Any:
        nonlocal taken
        if taken >= len(arguments):
            raise TypeError("not enough arguments for format string")
        taken += 1
        return arguments[taken - 1]

    def literal(part: str) -> Any:
        return plain(part.encode("latin-1")) if is_bytes else part

    for match in _CONVERSION.finditer(pattern):
        between = pattern[at : match.start()]
        if "%" in between:
            raise ValueError(f"unsupported format character in {form!r}")
        pieces.append(literal(between))
        at = match.end()
        kind = match["kind"]
        if kind == "%":
            pieces.append("%")
            continue
        width = str(take()) if match["width"] == "*" else match["width"] or ""
        digits = f".{take()}" if match["digits"] == ".*" else match["digits"] or ""
        if match["key"]:
            taken = len(arguments)
            value = values[literal(match["key"][1:-1])]
        else:
            value = take()
        pieces.append(_converted(match["flags"] + width, digits, kind, value, is_unicode(form)))
    if "%" in pattern[at:]:
        raise ValueError("incomplete format")
    pieces.append(literal(pattern[at:]))
    is_mapping = hasattr(type(values), "__getitem__") and not isinstance(values, (tuple, str, bytes))
    if taken < len(arguments) and not is_mapping:
        raise TypeError("not all arguments converted during string formatting")
    made = _joined(*pieces)
    return unicode_of(made) if isinstance(form, Unicode) else made


def _converted(width: str, digits: str, kind: str, value: Any, in_unicode: bool) -> Any:
    if kind in "sr" or (kind == "c" and isinstance(value, (OldBytes, int))):
        shown = _written(kind, value, in_unicode)
        if not width and not digits:
            return shown
        form = "%" + width + digits + "s"
        if isinstance(shown, OldBytes):
            return plain(form.encode() % bytes(shown))
        return unicode_of(form % shown) if is_unicode(shown) else form % shown
    if kind in "oxX" and isinstance(value, float):
        value = int(value)
    made: Any = ("%" + width + digits + ("d" if kind in "iu" else kind)) % value
    return made.replace("0o", "0") if kind == "o" else made


def _written(kind: str, value: Any, in_unicode: bool) -> Any:
    if kind == "r":
        return repr_of(value)
    if kind == "c" and isinstance(value, int):
        return chr(value) if in_unicode else plain(bytes((value,)))
    if in_unicode and hasattr(type(value), "__unicode__"):
        return OldUnicode(value)
    return value if is_unicode(value) else str_of(value)


_WITHOUT_TYPE = re.compile(r"(?:.?[<>=^])?[-+ ]?#?0?\d*,?")
"""What stands behind the colon within braces, without precision and type."""


class _Shown:
    """A value within braces: written as then, looked into as it is.

    in_bytes : for a byte string, with a character for each byte until all is put together.
    """

    def __init__(self, value: Any, in_bytes: bool) -> None:
        self._value, self._in_bytes = value, in_bytes

    def _text(self, written: Any) -> str:
        return raw(written).decode("latin-1") if self._in_bytes else str(text(written))

    def __format__(self, form: str) -> str:
        value = self._value
        if isinstance(value, (float, np.floating)):
            return format(float(value), form + ".12" if _WITHOUT_TYPE.fullmatch(form) else form)
        return format(self._text(str_of(value)), form)

    def __str__(self) -> str:
        return self._text(str_of(self._value))

    def __repr__(self) -> str:
        return self._text(repr_of(self._value))

    def __getitem__(self, key: Any) -> Any:
        return _shown(self._value[key], self._in_bytes)

    def __getattr__(self, name: str) -> Any:
        return _shown(getattr(self._value, name), self._in_bytes)


def _shown(value: Any, in_bytes: bool) -> Any:
    kind: Any = type(value)
    has_own_form = kind.__format__ is not object.__format__ and kind not in (str, OldBytes)
    return value if has_own_form and not isinstance(value, (float, np.floating)) else _Shown(value, in_bytes)


def braces(form: Any, *values: Any, **named: Any) -> Any:
    """`form.format(...)`."""
    in_bytes = not is_unicode(form)
    pattern = raw(form).decode("latin-1") if in_bytes else str(form)
    made = pattern.format(
        *(_shown(v, in_bytes) for v in values), **{key: _shown(v, in_bytes) for key, v in named.items()}
    )
    return plain(made.encode("latin-1")) if in_bytes else unicode_of(made)


def formatted(value: Any, form: Any = "") -> Any:
    """`format(value, form)`."""
    in_bytes = not (is_unicode(form) or is_unicode(value))
    made = format(_shown(value, in_bytes), text(form))
    return plain(made.encode("latin-1")) if in_bytes else unicode_of(made)


# Printing


def show(*values: Any, sep: Any = " ", end: Any = "\n", file: Any = None, flush: bool = False) -> None:
    """`print()` of `print_function`."""
    out = sys.stdout if file is None else file
    write(
        out, _joined(join(" " if sep is None else sep, [_printed(v) for v in values]), end if end is not None else "\n")
    )
    if flush:
        out.flush()


def print_statement(*values: Any, end: Any = "\n", file: Any = None, sep: Any = " ") -> None:
    """The statement: a space between two things, also of two prints, unless the first ends a line itself."""
    out: Any = sys.stdout if file is None else file
    space = getattr(out, "softspace", False)
    parts: list[Any] = []
    for value in values:
        part = _printed(value)
        parts += [" ", part] if space else [part]
        last = text(part)[-1:]
        space = not isinstance(value, (str, bytes)) or not last or last == " " or not last.isspace()
    goes_on = end == " "
    write(out, _joined(*parts) if goes_on else _joined(*parts, end))
    with contextlib.suppress(AttributeError, TypeError):
        out.softspace = int(goes_on and space)


def _printed(value: Any) -> Any:
    return value if is_unicode(value) else str_of(value)


def write(out: Any, data: Any) -> None:
    """Write either kind to a stream of either kind."""
    try:
        out.write(text(data))
    except TypeError:
        out.write(raw(data))
    except UnicodeEncodeError:
        out.write(text(data).encode("utf-8", "replace").decode())
