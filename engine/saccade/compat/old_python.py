"""The built-in names of a script: what Python 2.7 had and Python 3 has not, and the helpers of rewritten code.

They are built-in names of the script's own code and of the modules that belong to it, and of nothing else. What an
adaptation changes is told to the `Report` the first time it does something, so that the list at the end holds what the
script really needed.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import io
import os
import stat
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from saccade.compat import old_calls, old_classes, old_operators, old_text, python2
from saccade.compat.fifo_file import FifoFile
from saccade.compat.old_modules import Modules
from saccade.compat.old_text import Long, OldBytes, OldUnicode, Unicode, old, plain, raw, text
from saccade.compat.rewriting import HELPERS
from saccade.compat.tokens import LONG


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


def to_bytes(value: Any) -> Any:
    """`.tostring()`, which arrays have lost."""
    return value.tobytes() if hasattr(value, "tobytes") else value.tostring()


def three_contours(result: Any) -> Any:
    """`image, contours, hierarchy`, as OpenCV 3 gave them."""
    return (None, *result) if len(result) == 2 else result


# Types that scripts ask for


class _BasestringType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, (str, OldBytes))

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, (str, OldBytes))


class Basestring(str, metaclass=_BasestringType):
    """`basestring`."""

    __slots__ = ()


class _FileType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, (io.IOBase, FifoFile))


def is_instance(value: Any, kinds: Any) -> bool:
    """`isinstance()`, with the types of Python 2."""
    if isinstance(kinds, (tuple, list)):
        return any(is_instance(value, kind) for kind in kinds)
    if kinds is str or kinds is bytes:
        return isinstance(value, OldBytes) or (isinstance(value, str) and not old_text.is_unicode(value))
    if kinds is Unicode:
        kinds = OldUnicode
    if kinds is int:
        return isinstance(value, (int, np.int64)) and not isinstance(value, Long)
    if kinds is Long:
        return isinstance(value, Long) or (type(value) is int and abs(value) > sys.maxsize)
    return isinstance(value, kinds)


def type_of(value: Any) -> Any:
    """`type(value)`."""
    kind = type(value)
    if kind is str:
        return str if value.isascii() else OldUnicode
    if kind is int:
        return int if abs(value) <= sys.maxsize else Long
    return str if kind in (OldBytes, bytes) else OldUnicode if kind is Unicode else kind


def script_builtins(report: Report, version: int, files: ScriptFiles, modules: Modules | None = None) -> dict[str, Any]:
    """The built-in names of a script. modules : its imports."""
    modules = modules or Modules(version)
    names = dict(vars(builtins))
    names |= {
        HELPERS["to_bytes"]: to_bytes, HELPERS["contours"]: three_contours, "open": files.open,
        "__import__": modules.load, HELPERS["import_module"]: modules.module, HELPERS["call"]: old_calls.call_numpy,
        HELPERS["operate"]: old_operators.operate_on_numbers,
        HELPERS["operate_in_place"]: old_operators.operate_in_place, HELPERS["set_item"]: old_operators.set_item,
        HELPERS["slice"]: slice,
        HELPERS["operate_on_attribute"]: old_operators.operate_on_attribute,
        HELPERS["operate_on_item"]: old_operators.operate_on_item,
        HELPERS["attribute_place"]: old_operators.attribute_place, HELPERS["item_place"]: old_operators.item_place,
        HELPERS["load"]: functools.partial(_load, version="2" if version == 2 else "3"),
    }  # fmt: skip
    if version != 2:
        return names
    helpers = {
        "attribute": old_calls.attribute, "attribute_place": old_calls.attribute_place, "bytes": plain,
        "call": old_calls.call, "caught": old_classes.caught,
        "chain": old_operators.compare_chain, "class": old_classes.old_class, "compare": old_operators.compare,
        "contours": lambda result: _listed(three_contours(result)), "decode": _method("decode", old_text.decode),
        "encode": _method("encode", old_text.encode), "exec": _execute_in_function,
        "format": _method("format", old_text.braces), "instance": old_classes.instance, "item": old_calls.item,
        "iterate": old_calls.iterate, "join": _method("join", old_text.join), "lookup": _lookup,
        "operate": old_operators.operate, "raised": old_classes.raised, "print": old_text.print_statement,
        "star": lambda name: _star(modules.module(name)), "repr": old_text.repr_of, "str": old_text.str_of,
        "to_bytes": lambda value: old(to_bytes(value)), "type": type_of, "unicode": Unicode,
    }  # fmt: skip
    file_type = _FileType("file", (), {"__new__": lambda cls, *a, **k: files.open(*a, **k)})
    names |= {HELPERS[name]: helper for name, helper in helpers.items()}
    names |= {
        LONG: Long, "__saccade_True__": True, "__saccade_False__": False, "__saccade_old__": True,
        "isinstance": is_instance,
        "map": _map, "filter": _filter, "zip": lambda *s: list(zip(*s, strict=False)), "range": _range,
        "xrange": range, "unicode": OldUnicode, "basestring": Basestring, "long": Long, "unichr": _unichr,
        "chr": lambda number: plain(bytes((number,))), "raw_input": input,
        "input": lambda prompt="": eval(input(prompt), sys._getframe(1).f_globals),
        "reduce": functools.reduce, "file": file_type, "cmp": old_operators.compare_any,
        "sorted": old_operators.ordered, "round": old_operators.half_up, "min": old_operators.least,
        "max": old_operators.greatest, "sum": old_operators.total, "intern": lambda s: s, "buffer": _buffer,
        "execfile": _execfile, "exec": _execute, "eval": _evaluate, "compile": _compile,
        "apply": lambda f, a=(), k=None: old_calls.call(f, *a, **(k or {})),
        "reload": lambda module: module if module.__name__ == "sys" else importlib.reload(module),
        "StandardError": Exception, "coerce": _coerce, "oct": _oct, "hex": _hex, "print": old_text.show,
        "bytes": lambda value="", *_: old_text.str_of(value), "next": _next, "iter": _iter,
        "format": old_text.formatted,
    }  # fmt: skip
    return names


def _listed(result: Any) -> Any:
    return tuple(list(part) if isinstance(part, tuple) else part for part in result)


def _method(name: str, of_strings: Callable[..., Any]) -> Callable[..., Any]:
    def helper(value: Any, /, *arguments: Any, **named: Any) -> Any:
        if isinstance(value, (str, bytes)):
            return of_strings(value, *arguments, **named)
        return old_calls.call(getattr(value, name), *arguments, **named)

    return helper


def _map(function: Any, *sequences: Any) -> list[Any]:
    """`map()`: a list as long as the longest sequence, None where a shorter one has ended."""
    import itertools

    if len(sequences) == 1:
        items = old_calls.iterate(sequences[0])
        if function is None:
            return list(items)
        function = _OLD_FUNCTIONS.get(function, function) if isinstance(function, type) else function
        return [old_calls.call(function, item) for item in items]
    rows = itertools.zip_longest(*sequences)
    return list(rows) if function is None else [old_calls.call(function, *row) for row in rows]


_OLD_FUNCTIONS: dict[Any, Any] = {str: old_text.str_of}


def _filter(function: Any, items: Any) -> Any:
    kept = [item for item in items if (function(item) if function else item)]
    return old_text.join("", kept) if isinstance(items, (str, bytes)) else tuple(kept) if type(items) is tuple else kept


def _range(*arguments: Any) -> list[int]:
    return list(range(*(int(a) for a in arguments)))


def _unichr(number: int) -> str:
    return old_text.unicode_of(chr(number))


def _buffer(value: Any, offset: int = 0, size: int = -1) -> Any:
    data = raw(value) if isinstance(value, (str, bytes)) else bytes(value)
    return plain(data[offset : offset + size if size >= 0 else None])


def _iter(source: Any, *sentinel: Any) -> Any:
    if sentinel:
        return iter(lambda: old_calls.call(source), *sentinel)
    return iter(old_calls.iterate(source))


def _next(iterator: Any, *default: Any) -> Any:
    return old(next(iterator, *default))


def _oct(value: Any) -> Any:
    if hasattr(type(value), "__oct__"):
        return value.__oct__()
    return (oct(value).replace("0o", "0") if value else "0") + ("L" if type_of(value) is Long else "")


def _hex(value: Any) -> Any:
    if hasattr(type(value), "__hex__"):
        return value.__hex__()
    return hex(value) + ("L" if type_of(value) is Long else "")


def _coerce(left: Any, right: Any) -> tuple[Any, Any]:
    kind = type(left + right)
    return kind(left), kind(right)


# Source that is run by a script


def _load(
    path: Any, scope: dict[str, Any], local: Any = None, *, names: dict[str, Any], version: python2.Version = "2"
) -> None:
    with open(path, "rb") as file:
        code = python2.compiled(python2.convert(file.read(), str(text(path)), version=version), str(text(path)))
    scope.setdefault("__builtins__", names)
    exec(code, scope, scope if local is None else local)


def _execfile(path: Any, scope: Any = None, local: Any = None) -> None:
    frame = sys._getframe(1)
    if scope is None:
        scope, local = frame.f_globals, frame.f_locals
    _load(path, scope, local, names=frame.f_builtins)


def _code(source: Any, mode: str) -> Any:
    return source if isinstance(source, types.CodeType) else python2.compiled_text(source, "<string>", mode)


def _execute(source: Any, scope: Any = None, local: Any = None) -> None:
    frame = sys._getframe(1)
    if isinstance(source, tuple):
        source, scope, local = (*source, None, None)[:3]
    if scope is None:
        scope, local = frame.f_globals, frame.f_locals
    # Code that was run with a dictionary of its own is old as well.
    scope["__builtins__"] = frame.f_builtins
    if isinstance(source, io.IOBase):
        source = source.read()
    exec(_code(source, "exec"), scope, scope if local is None else local)


def _execute_in_function(kind: str, source: Any, store: dict[str, Any]) -> None:
    """`exec SOURCE` within a function: what it sets goes to `store`."""
    frame = sys._getframe(1)
    before = dict(frame.f_locals)
    local = before | store
    if kind == "execfile":
        _load(source, frame.f_globals, local, names=frame.f_builtins)
    else:
        exec(_code(source, "exec"), frame.f_globals, local)
    store.update({k: v for k, v in local.items() if k not in before or before[k] is not v})


def _star(module: Any) -> None:
    """`from module import *` in a function: the names become global."""
    scope = sys._getframe(2).f_globals
    names = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
    scope.update({name: getattr(module, name) for name in names})


def _lookup(name: str, store: dict[str, Any]) -> Any:
    """A name in a function with `exec`."""
    frame = sys._getframe(1)
    for scope in (store, frame.f_globals, frame.f_builtins):
        if name in scope:
            return scope[name]
    raise NameError(f"global name {name!r} is not defined")


def _evaluate(source: Any, scope: Any = None, local: Any = None) -> Any:
    frame = sys._getframe(1)
    if scope is None:
        scope, local = frame.f_globals, frame.f_locals
    scope["__builtins__"] = frame.f_builtins
    return eval(_code(source, "eval"), scope, scope if local is None else local)


def _compile(source: Any, name: Any, mode: str, *_: Any, **__: Any) -> Any:
    return python2.compiled_text(source, str(text(name)), mode)


# Files


class ScriptFiles:
    """`open()` of a script: the FIFO that never blocks, files of Python 2 that take text and bytes.

    fifo : the path of the result stream. version : 2 or 3.
    """

    def __init__(
        self, report: Report, fifo: str, version: int, on_picture: Callable[[bytes], None] | None = None
    ) -> None:
        self._report, self._fifo, self._version, self._on_picture = report, fifo, version, on_picture
        self._written: weakref.WeakSet[Any] = weakref.WeakSet()

    def open(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Open a file as a script of the time expects it."""
        made = self._open(file, mode, *arguments, **options)
        if any(c in mode for c in "wa+"):
            self._written.add(made)
        return made

    def flush(self) -> None:
        """Write what files that were never closed still hold, as Python does at its end."""
        for file in list(self._written):
            with contextlib.suppress(OSError, ValueError):
                file.flush()

    def _open(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if isinstance(file, (str, bytes, os.PathLike)) and any(c in mode for c in "wa"):
            path = os.fsdecode(file)
            if path == self._fifo or _is_fifo(path):
                self._report.note(f"{path} is written in binary, whole pictures only; a write waits for no viewer")
                return FifoFile(path, self._on_picture)
        if self._version != 2 or options or not isinstance(file, (str, bytes, os.PathLike)):
            return open(file, mode.replace("U", "") or "r", *arguments, **options)
        if "U" in mode:
            return open(file, encoding="utf-8", errors="surrogateescape")
        return _old_file(file, mode, arguments[0] if arguments else -1)


def _old_file(path: Any, mode: str, buffering: int) -> Any:
    """A file of bytes, whatever its mode, as on Linux then."""
    plain_mode = mode.replace("b", "").replace("t", "") or "r"
    # The buffered file closes it.
    file = io.FileIO(text(path), plain_mode)
    made: Any
    if file.readable() and file.writable():
        made = OldRandom(file)
    else:
        made = OldWriter(file) if file.writable() else OldReader(file)
    made.at_once, made.mode = buffering in (0, 1), mode
    return made


class _Old:
    """What files of Python 2 did otherwise."""

    at_once, mode, softspace = False, "", 0

    def __next__(self) -> Any:
        return old(super().__next__())  # type: ignore[misc]

    next = __next__

    def write(self, data: Any) -> int:
        """Write a byte string, or text in UTF-8."""
        if not isinstance(data, (str, bytes, bytearray, memoryview)) and not hasattr(data, "__buffer__"):
            data = memoryview(data)
        count = int(super().write(raw(data) if isinstance(data, str) else data))  # type: ignore[misc]
        self.softspace = 0  # the next print begins without a space
        if self.at_once:
            self.flush()  # type: ignore[attr-defined]
        return count

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)


class OldReader(_Old, io.BufferedReader):
    """A file to read."""


class OldWriter(_Old, io.BufferedWriter):
    """A file to write."""


class OldRandom(_Old, io.BufferedRandom):
    """A file to read and to write."""


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


# Classes whose methods later versions of Python 3 have dropped


def restore_names() -> None:
    """Give back the old names of methods of threads; they are added, nothing is changed."""
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
