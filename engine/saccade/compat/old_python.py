"""What Python 2.7 had and Python 3 has not, given back at run time: built-ins, modules, text that is bytes, files.

Everything here acts on the process of one script, and nowhere else. What an adaptation changes is told to the `Report`
the first time it does something, so that the list at the end holds what the script really needed.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import io
import operator
import os
import stat
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from saccade.compat import python2
from saccade.compat.fifo_file import FifoFile


class Report:
    """What was done differently, in the order of first use, with counts."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Count one use."""
        with self._lock:
            self._counts[text] = self._counts.get(text, 0) + 1

    def lines(self) -> list[str]:
        """One line for each adaptation."""
        with self._lock:
            return [text + (f" ({count} times)" if count > 1 else "") for text, count in self._counts.items()]


class OldBytes(bytes):
    """Bytes that mix with text, as the one string type of Python 2 did."""

    def __str__(self) -> str:
        return self.decode("utf-8", "replace")

    def __format__(self, form: str) -> str:
        return format(str(self), form)

    def __add__(self, other: Any) -> Any:
        return str(self) + other if isinstance(other, str) else OldBytes(bytes(self) + other)

    def __radd__(self, other: Any) -> Any:
        return other + str(self)

    def __eq__(self, other: object) -> bool:
        return str(self) == other if isinstance(other, str) else bytes(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(str(self))

    def __contains__(self, other: Any) -> bool:
        return other in str(self) if isinstance(other, str) else bytes.__contains__(self, other)

    def __iter__(self) -> Any:
        return iter(str(self))

    def __getitem__(self, key: Any) -> Any:
        # A single index gave a character, not a number.
        return OldBytes(bytes(self)[key if isinstance(key, slice) else slice(key, key + 1 or None)])


def _mixing(name: str) -> Callable[..., Any]:
    plain = getattr(bytes, name)

    def method(self: OldBytes, *arguments: Any) -> Any:
        if not arguments or any(isinstance(a, str) for a in arguments):
            return getattr(str(self), name)(*(str(a) if isinstance(a, bytes) else a for a in arguments))
        return plain(self, *arguments)

    return method


_MIXING = """split rsplit splitlines strip lstrip rstrip find rfind index count startswith endswith replace partition
    rpartition join lower upper title isdigit isalpha"""
for _name in _MIXING.split():
    setattr(OldBytes, _name, _mixing(_name))


# Helpers that rewritten code calls (python2.DIVIDE and so on)


def _is_int(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "iub"
    return isinstance(value, int)


def divide(left: Any, right: Any) -> Any:
    """`/` of Python 2: floors where both sides are integers."""
    return left // right if _is_int(left) and _is_int(right) else left / right


def divide_in_place(left: Any, right: Any) -> Any:
    """`/=` of Python 2; an array stays the same array."""
    if _is_int(left) and _is_int(right):
        left //= right
    else:
        left /= right
    return left


def compare(sign: str, left: Any, right: Any) -> Any:
    """`<` and the like of Python 2, where None was less than anything, and numbers less than other things."""
    try:
        return getattr(operator, sign)(left, right)
    except TypeError:

        def rank(value: Any) -> tuple[int, str]:
            return 0 if value is None else 1 if isinstance(value, (int, float)) else 2, type(value).__name__

        return getattr(operator, sign)(rank(left), rank(right))


def message(error: Any) -> Any:
    """`error.message`, which exceptions have lost."""
    return error.message if hasattr(error, "message") else str(error.args[0]) if len(error.args) == 1 else str(error)


def to_bytes(value: Any) -> Any:
    """`.tostring()`, which arrays have lost."""
    return OldBytes(value.tobytes()) if hasattr(value, "tobytes") else value.tostring()


def encode(value: Any, *arguments: Any) -> Any:
    """`.encode()`; of text, it gives bytes that mix with text."""
    if isinstance(value, str):
        if arguments and str(arguments[0]).lower().replace("-", "_") in ("base64", "hex", "string_escape"):
            import codecs

            encoded: Any = codecs.encode(value.encode(), str(arguments[0]))  # type: ignore[call-overload]
            return OldBytes(encoded)
        return OldBytes(value.encode(*arguments))
    if isinstance(value, bytes):
        return value
    return value.encode(*arguments)


def decode(value: Any, *arguments: Any) -> Any:
    """`.decode()`; of text, it gives the text."""
    return value if isinstance(value, str) else value.decode(*arguments)


def three_contours(result: Any) -> Any:
    """`image, contours, hierarchy`, as OpenCV 3 gave them."""
    return (None, *result) if len(result) == 2 else result


class _TextMeta(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, (str, OldBytes))


class OldText(str, metaclass=_TextMeta):
    """`unicode` and `basestring`."""

    __slots__ = ()

    def __new__(cls, value: Any = "", *arguments: Any) -> Any:  # noqa: D102
        return value if isinstance(value, str) else str(value, *arguments) if arguments else str(value)


def script_builtins(report: Report, version: int, files: ScriptFiles) -> dict[str, Any]:
    """The built-in names of a script."""
    names = dict(vars(builtins))
    names |= {python2.TO_BYTES: to_bytes, python2.CONTOURS: three_contours, "open": files.open}
    if version != 2:
        return names

    def listing(function: Any) -> Any:
        @functools.wraps(function)
        def wrapped(*arguments: Any) -> list[Any]:
            return list(function(*arguments))

        return wrapped

    def old_map(function: Any, *sequences: Any) -> list[Any]:
        if function is None:
            return list(sequences[0]) if len(sequences) == 1 else list(zip(*sequences, strict=False))
        return list(map(function, *sequences))

    def old_sorted(items: Iterable[Any], cmp: Any = None, key: Any = None, reverse: bool = False) -> list[Any]:
        return sorted(items, key=functools.cmp_to_key(cmp) if cmp else key, reverse=reverse)

    def old_round(value: Any, digits: int = 0) -> float:
        # Away from zero at the half, and a float.
        scaled = abs(float(value)) * 10**digits
        return float(np.copysign(np.floor(scaled + 0.5) / 10**digits, value))

    def execfile(name: str, scope: dict[str, Any] | None = None, *_: Any) -> None:
        scope = scope if scope is not None else sys._getframe(1).f_globals
        with open(name, "rb") as file:
            exec(python2.compiled(python2.convert(file.read(), name, version="2"), name), scope)

    names |= {
        python2.DIVIDE: divide, python2.DIVIDE_IN_PLACE: divide_in_place,
        python2.ENCODE: encode, python2.DECODE: decode, python2.COMPARE: compare, python2.MESSAGE: message,
        "map": old_map, "filter": lambda f, items: _old_filter(f, items), "zip": listing(zip), "range": _old_range,
        "xrange": range, "unicode": OldText, "basestring": OldText, "long": int, "unichr": chr, "raw_input": input,
        "reduce": functools.reduce, "file": files.open, "cmp": lambda a, b: (a > b) - (a < b), "sorted": old_sorted,
        "round": old_round, "intern": sys.intern, "buffer": memoryview, "execfile": execfile,
        "apply": lambda f, a=(), k=None: f(*a, **(k or {})),
        "reload": lambda module: module if module is sys else importlib.reload(module),
        "StandardError": Exception, "coerce": lambda a, b: (a, b),
    }  # fmt: skip
    return names


def _old_filter(function: Any, items: Any) -> Any:
    kept = [item for item in items if (function(item) if function else item)]
    return "".join(kept) if isinstance(items, str) else tuple(kept) if isinstance(items, tuple) else kept


def _old_range(*arguments: Any) -> list[int]:
    return list(range(*(int(a) for a in arguments)))


# Files


class ScriptFiles:
    """`open()` of a script: the FIFO that never blocks, text files that take bytes, old text and binary modes.

    fifo : the path of the result stream. version : 2 or 3.
    """

    def __init__(
        self, report: Report, fifo: str, version: int, on_picture: Callable[[bytes], None] | None = None
    ) -> None:
        self._report, self._fifo, self._version, self._on_picture = report, fifo, version, on_picture

    def open(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Open a file as a script of the time expects it."""
        if isinstance(file, (str, os.PathLike)) and any(c in mode for c in "wa"):
            path = os.fspath(file)
            if path == self._fifo or _is_fifo(path):
                self._report.note(f"{path} is written without waiting for a viewer, in binary, whole pictures only")
                return FifoFile(path, self._on_picture)
        mode = mode.replace("U", "")
        if self._version != 2 or "b" in mode or not isinstance(file, (str, os.PathLike)):
            return open(file, mode or "r", *arguments, **options)
        if mode in ("", "r") and _is_binary(file):
            self._report.note(f"{os.fspath(file)} is binary and was opened as text")
            return open(file, "rb")
        if not options and len(arguments) <= 1:
            raw: Any = open(file, (mode or "r").replace("t", "") + "b", *arguments)  # noqa: SIM115 - the script closes it
            return _OldTextFile(raw, encoding="utf-8", errors="replace" if "r" in mode else "surrogateescape")
        return open(file, mode, *arguments, **options)


class _OldTextFile(io.TextIOWrapper):
    """A text file that takes bytes as well."""

    def write(self, text: Any) -> int:
        if isinstance(text, (bytes, bytearray, memoryview)):
            self.flush()
            self.buffer.write(bytes(text))
            return len(text)
        return super().write(text if isinstance(text, str) else str(text))


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def _is_binary(path: Any) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    if b"\0" in head:
        return True
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start < len(head) - 4 and head[:2] in (b"\xff\xd8", b"\x80\x02", b"\x89P")
    return False


# Modules


def install_modules(report: Report, urlretrieve: Callable[..., Any]) -> None:
    """Give back modules and functions of Python 2.7 that scripts import, under their old names."""
    import errno
    import itertools
    import queue
    import string
    import urllib
    import urllib.error
    import urllib.parse
    import urllib.request

    def lenient(function: Any) -> Any:
        """The function, taking bytes for its text."""

        @functools.wraps(function)
        def wrapped(text: Any, *arguments: Any, **options: Any) -> Any:
            return function(str(text) if isinstance(text, OldBytes) else text, *arguments, **options)

        return wrapped

    def unquoting(function: Any) -> Any:
        @functools.wraps(function)
        def wrapped(text: Any, *arguments: Any, **options: Any) -> Any:
            return function(text.decode() if isinstance(text, bytes) else text, *arguments, **options)

        return wrapped

    def urlopen(url: Any, data: Any = None, *arguments: Any, **options: Any) -> Any:
        return urllib.request.urlopen(url, data.encode() if isinstance(data, str) else data, *arguments, **options)

    old: dict[str, Any] = {
        "quote": lenient(urllib.parse.quote), "quote_plus": lenient(urllib.parse.quote_plus),
        "unquote": unquoting(urllib.parse.unquote), "unquote_plus": unquoting(urllib.parse.unquote_plus),
        "urlencode": urllib.parse.urlencode, "urlopen": urlopen, "urlretrieve": urlretrieve,
        "pathname2url": urllib.request.pathname2url, "url2pathname": urllib.request.url2pathname,
    }  # fmt: skip
    for name, value in old.items():
        setattr(urllib, name, value)

    def module(name: str, *sources: Any, **names: Any) -> None:
        made = types.ModuleType(name)
        for source in sources:
            vars(made).update({k: v for k, v in vars(source).items() if not k.startswith("__")})
        vars(made).update(names)
        sys.modules.setdefault(name, made)

    module("urllib2", urllib.request, urllib.error, **{k: old[k] for k in ("quote", "unquote", "urlopen")})
    module("urlparse", urllib.parse)
    module("Queue", queue)
    module("StringIO", StringIO=_OldStringIO)
    module("cStringIO", StringIO=_OldStringIO)
    import pickle

    module("cPickle", pickle, load=lambda f: pickle.load(f, encoding="latin1"),
           loads=lambda b: pickle.loads(b, encoding="latin1"))  # fmt: skip
    module("__builtin__", builtins)
    module("commands", getoutput=subprocess.getoutput, getstatusoutput=subprocess.getstatusoutput)
    for name, new in (
        ("ConfigParser", "configparser"), ("httplib", "http.client"), ("thread", "_thread"), ("Cookie", "http.cookies"),
        ("HTMLParser", "html.parser"), ("SocketServer", "socketserver"), ("BaseHTTPServer", "http.server"),
        ("SimpleHTTPServer", "http.server"), ("cookielib", "http.cookiejar"), ("xmlrpclib", "xmlrpc.client"),
    ):  # fmt: skip
        sys.modules.setdefault(name, _Later(name, new))

    _default(itertools, izip=zip, imap=map, ifilter=filter, izip_longest=itertools.zip_longest,
             ifilterfalse=itertools.filterfalse)  # fmt: skip
    _default(string, letters=string.ascii_letters, lowercase=string.ascii_lowercase, uppercase=string.ascii_uppercase,
             maketrans=str.maketrans, join=lambda words, sep=" ": sep.join(words), split=lambda s, *a: s.split(*a),
             replace=lambda s, *a: s.replace(*a), strip=lambda s, *a: s.strip(*a), lower=lambda s: s.lower(),
             upper=lambda s: s.upper(), atoi=int, atof=float)  # fmt: skip
    _default(os, getcwdu=os.getcwd, errno=errno)
    _default(sys, maxint=sys.maxsize, setdefaultencoding=lambda name: None, exc_clear=lambda: None)
    _default(operator, isCallable=callable, div=divide)
    _default(types, StringType=str, UnicodeType=str, IntType=int, FloatType=float, ListType=list, DictType=dict,
             TupleType=tuple, LongType=int, BooleanType=bool, NoneType=type(None))  # fmt: skip
    _default(threading, _Timer=threading.Timer, _Event=threading.Event)
    _adapt_bytes(report)


def restore_names(urlretrieve: Callable[..., Any]) -> None:
    """Give back what later versions of Python 3 have dropped; for scripts of 2.7 and of 3.7 alike."""
    import base64
    import collections
    import collections.abc
    import time
    import urllib.request

    urllib.request.urlretrieve = urlretrieve
    _default(time, clock=time.perf_counter)
    _default(collections, **{name: getattr(collections.abc, name) for name in collections.abc.__all__})
    _default(base64, encodestring=base64.encodebytes, decodestring=base64.decodebytes)
    _default(threading.Thread, isAlive=threading.Thread.is_alive, isDaemon=lambda t: t.daemon,
             setDaemon=lambda t, on: setattr(t, "daemon", on), getName=lambda t: t.name,
             setName=lambda t, name: setattr(t, "name", name))  # fmt: skip
    _default(threading, currentThread=threading.current_thread, activeCount=threading.active_count)
    _default(threading.Event, isSet=threading.Event.is_set)
    _default(threading.Condition, notifyAll=threading.Condition.notify_all)


def _default(target: Any, **values: Any) -> None:
    for name, value in values.items():
        if not hasattr(target, name):
            setattr(target, name, value)


def _adapt_bytes(report: Report) -> None:
    """Functions that want bytes now and took text then, and the other way round."""
    import base64
    import hashlib
    import json

    def encoding(function: Any, result: Any = None) -> Any:
        @functools.wraps(function)
        def wrapped(data: Any = b"", *arguments: Any, **options: Any) -> Any:
            out = function(data.encode() if isinstance(data, str) else data, *arguments, **options)
            return result(out) if result else out

        return wrapped

    for name in ("b64encode", "urlsafe_b64encode", "standard_b64encode", "b16encode", "b32encode"):
        setattr(base64, name, encoding(getattr(base64, name), OldBytes))
    base64.encodestring = encoding(base64.encodebytes, OldBytes)  # type: ignore[attr-defined]
    base64.decodestring = encoding(base64.decodebytes, OldBytes)  # type: ignore[attr-defined]
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        setattr(hashlib, name, encoding(getattr(hashlib, name)))

    original = json.JSONEncoder.default

    def default(self: Any, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, np.generic):
            report.note("NumPy numbers in JSON were written as plain ones")
            return value.item()
        return original(self, value)

    json.JSONEncoder.default = default  # type: ignore[assignment, method-assign]
    plain_output = subprocess.check_output

    @functools.wraps(plain_output)
    def check_output(*arguments: Any, **options: Any) -> Any:
        out = plain_output(*arguments, **options)
        return OldBytes(out) if type(out) is bytes else out

    subprocess.check_output = check_output


class _Later(types.ModuleType):
    """An old module name whose new module is imported when something of it is used."""

    def __init__(self, name: str, new: str) -> None:
        super().__init__(name)
        self.__dict__["_new"] = new

    def __getattr__(self, name: str) -> Any:
        if name == "SafeConfigParser":
            name = "ConfigParser"
        return getattr(importlib.import_module(self.__dict__["_new"]), name)


class _OldStringIO(io.BytesIO):
    """StringIO of Python 2: bytes and text alike."""

    def __init__(self, data: Any = b"") -> None:
        super().__init__(data.encode() if isinstance(data, str) else data)

    def write(self, data: Any) -> int:
        return super().write(data.encode() if isinstance(data, str) else data)

    def getvalue(self) -> Any:
        return OldBytes(super().getvalue())

    def read(self, size: int | None = -1) -> Any:
        return OldBytes(super().read(size))
