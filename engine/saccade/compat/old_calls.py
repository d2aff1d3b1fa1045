"""Calls and attributes as code of Python 2.7 used them.

Every call of an old script goes through `call`. What libraries return is made old (`old_text.old`), a library that
refuses text where it wants bytes, or the other way round, is called once more with the other, and numbers that no
longer fit wrap. All of it goes by the caller: libraries call each other as they always did.
"""

from __future__ import annotations

import collections
import collections.abc
import re
import struct
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from saccade.compat import old_text
from saccade.compat.old_operators import Place, as_numpy_1, fitted, ordered
from saccade.compat.old_text import OldBytes, old, plain, raw, text

_HOLDERS: tuple[dict[Any, Any], ...] = ({}, collections.OrderedDict())
_VIEWS = frozenset(type(view) for holder in _HOLDERS for view in (holder.keys(), holder.values(), holder.items()))
_RESULTS = frozenset((bytes, tuple, list)) | _VIEWS
_STRINGS = (str, bytes)
_WANTS_BYTES = re.compile(
    r"bytes|buffer|without an encoding|not 'str'|must be encoded|not str\b|unicode strings are not supported|unicode",
    re.IGNORECASE,
)
_WANTS_TEXT = re.compile(
    r"not '?(?:\w+\.)?(?:OldBytes|bytes)|mix str|parse|string pattern on a bytes|str expected|expected str|must be str"
    r"|must be a str|should be a str|requires a string|has no attribute 'encode'",
)


def call(function: Any, /, *arguments: Any, **named: Any) -> Any:
    """`function(...)` as called by an old script."""
    if type(function) is np.ufunc and len(arguments) == 2:
        arguments = as_numpy_1(*arguments)
    module = getattr(function, "__module__", None)
    if module is not None and _installed(module):
        arguments, named = _unwrapped(arguments), _unwrapped(named)
    elif module == "logging" and named.get("stacklevel") is None:
        arguments = _logged(function, arguments, named)
    try:
        result = function(*arguments, **named)
    except (TypeError, struct.error, OverflowError, ValueError, AttributeError) as error:
        again = _other_way(function, arguments, named, error)
        if again is None:
            raise
        result = again[0]
    kind = type(result)
    if kind is np.ndarray and getattr(function, "__name__", "") == "getUnconnectedOutLayers":
        return result.reshape(-1, 1)  # a column, in OpenCV 3
    if kind in _RESULTS:
        return list(result) if kind in _VIEWS else old(result)
    return result


def call_numpy(function: Any, /, *arguments: Any, **named: Any) -> Any:
    """`function(...)` of NumPy as called by a script of Python 3 and NumPy 1."""
    if type(function) is np.ufunc and len(arguments) == 2:
        arguments = as_numpy_1(*arguments)
    try:
        return function(*arguments, **named)
    except (OverflowError, ValueError) as error:
        again = _of_numpy_1(function, arguments, named, str(error))
        if again is None:
            raise
        return again[0]


_known: dict[str, bool] = {}


def _installed(module: str) -> bool:
    """True for a library that is installed: it gets plain bytes."""
    name = module.partition(".")[0]
    known = _known.get(name)
    if known is None:
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        known = _known[name] = "site-packages" in file or "dist-packages" in file
    return known


def _unwrapped(value: Any) -> Any:
    """The same with plain bytes for byte strings."""
    kind = type(value)
    if kind is OldBytes:
        return bytes(value)
    if kind is dict and value and any(type(v) in (OldBytes, dict, list, tuple) for v in value.values()):
        return {k: _unwrapped(v) for k, v in value.items()}
    if kind in (list, tuple) and any(type(v) in (OldBytes, dict, list, tuple) for v in value[:16]):
        return kind(_unwrapped(v) for v in value)
    return value


def _logged(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Arguments of a logger, its line made as then, and the line of the script named."""
    name = getattr(function, "__name__", "")
    at = 1 if name == "log" else 0
    if name in ("debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log"):
        named["stacklevel"] = 2
        if len(arguments) > at + 1 and isinstance(arguments[at], _STRINGS):
            rest = arguments[at + 1 :]
            values = rest[0] if len(rest) == 1 and isinstance(rest[0], dict) else rest
            try:
                line = text(old_text.percent(arguments[at], values))
            except (TypeError, ValueError, KeyError):
                return arguments  # logging says what is wrong
            return (*arguments[:at], line)
        if len(arguments) > at and not isinstance(arguments[at], str):
            return (*arguments[:at], text(old_text.str_of(arguments[at])), *arguments[at + 1 :])
    return arguments


def _other_way(function: Any, arguments: tuple[Any, ...], named: dict[str, Any], error: Exception) -> tuple[Any] | None:
    """(The result,) of a call that was refused, made the other way; None where there is no other."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is not None and frame.tb_frame.f_builtins.get("__saccade_old__"):
        return None  # the script's own code raised it
    message = str(error)
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", "")
    if isinstance(owner, list) and name == "sort":
        owner[:] = ordered(owner, *arguments, **named)
        return (None,)
    if isinstance(owner, str) and name in dir(OldBytes):
        return _of_bytes(owner, name, arguments, named)
    if isinstance(error, (OverflowError, ValueError)):
        return _of_numpy_1(function, arguments, named, message)
    given = (*arguments, *named.values())
    ways: list[Callable[[Any], Any]] = []
    if _WANTS_BYTES.search(message) and any(isinstance(v, str) for v in given):
        ways.append(raw)
    if _WANTS_TEXT.search(message) and any(_holds_bytes(v) for v in given):
        ways.append(_texts)
    for way in ways:
        # Functions like hashlib.new("md5", data) keep text for their first argument.
        for kept in range(len(arguments)) if way is raw else (0,):
            try:
                changed = (*arguments[:kept], *(way(v) for v in arguments[kept:]))
                result = function(*changed, **{k: way(v) for k, v in named.items()})
            except (TypeError, struct.error, ValueError):
                continue
            return (result,)
    return None


def _holds_bytes(value: Any) -> bool:
    return isinstance(value, OldBytes) or (
        isinstance(value, (list, tuple)) and any(_holds_bytes(v) for v in value[:64])
    )


def _texts(value: Any) -> Any:
    return type(value)(_texts(v) for v in value) if isinstance(value, (list, tuple)) else text(value)


def _of_bytes(owner: str, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any] | None:
    """A method of text, with byte strings among its arguments or as Python 2 had it."""
    if name == "join":
        return (old_text.join(owner, arguments[0]),)
    if name == "translate":
        table, delete = (*arguments, "")[:2]
        data = raw(owner)
        return (plain(data.translate(raw(table) if table is not None else None, raw(delete))),)
    if any(isinstance(a, OldBytes) for a in arguments):
        return (old(getattr(OldBytes(raw(owner)), name)(*arguments, **named)),)
    return None


_MAKERS = frozenset(("array", "asarray", "full", "full_like", "ones", "arange", "asanyarray", "fromiter"))


def _of_numpy_1(function: Any, arguments: tuple[Any, ...], named: dict[str, Any], message: str) -> tuple[Any] | None:
    """A call of NumPy with numbers out of bounds, which wrapped, or with rows of different lengths."""
    if isinstance(function, np.ufunc) and "out of bounds" in message:
        arrays = [a for a in arguments if isinstance(a, np.ndarray) and a.ndim]
        if arrays:
            return (function(*(a if isinstance(a, np.ndarray) else fitted(arrays[0], a) for a in arguments), **named),)
        return (function(*(np.asarray(a) for a in arguments), **named),)
    if isinstance(function, type) and issubclass(function, np.number) and arguments:
        return (np.asarray(arguments[0]).astype(function)[()],)
    name = getattr(function, "__name__", "")
    if name not in _MAKERS or not str(getattr(function, "__module__", "")).startswith("numpy"):
        owner = getattr(function, "__self__", None)
        if isinstance(owner, np.ndarray) and name == "fill":
            owner[...] = np.asarray(arguments[0]).astype(owner.dtype)
            return (None,)
        return None
    if "inhomogeneous" in message:
        return (function(*arguments[:1], **{**named, "dtype": object}),)
    if "out of bounds" not in message:
        return None
    at = 2 if name in ("full", "full_like") else 1
    dtype = named.get("dtype", arguments[at] if len(arguments) > at else getattr(arguments[0], "dtype", None))
    rest = {k: v for k, v in named.items() if k != "dtype"}
    wide = {"dtype": np.int64} if name == "full_like" else {}
    return (function(*arguments[:at], **rest, **wide).astype(dtype),)


# Attributes


def attribute(value: Any, name: str) -> Any:
    """`value.name`, also where Python 3 has lost the name."""
    if name == "tostring" and isinstance(value, np.ndarray):
        name = "tobytes"  # NumPy below 2.3 still has the old name, and warns of it
    try:
        return getattr(value, name)
    except AttributeError:
        made = _ATTRIBUTES.get(name)
        if made is None:
            raise
        try:
            return made(value)
        except (AttributeError, TypeError):
            pass
        raise


def attribute_place(value: Any, name: str) -> Place:
    """`value.name`, before it is changed."""
    return value, name, attribute(value, name)


def _for(kinds: Any, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def attribute_of(value: Any) -> Any:
        if not isinstance(value, kinds):
            raise TypeError
        return make(value)

    return attribute_of


_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)


def message_of(error: BaseException) -> Any:
    """`error.message`, which exceptions have lost."""
    return error.args[0] if len(error.args) == 1 else ""


_ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "has_key": _for(object, lambda d: d.__contains__),
    "iteritems": _for(object, lambda d: lambda i=d.items: iter(i())),
    "iterkeys": _for(object, lambda d: lambda k=d.keys: iter(k())),
    "itervalues": _for(object, lambda d: lambda v=d.values: iter(v())),
    "viewitems": _for(dict, lambda d: lambda: collections.abc.ItemsView(d)),
    "viewkeys": _for(dict, lambda d: lambda: collections.abc.KeysView(d)),
    "viewvalues": _for(dict, lambda d: lambda: collections.abc.ValuesView(d)),
    "next": _for(object, lambda i: i.__next__),
    "message": _for(BaseException, message_of),
    "im_func": _for(_FUNCTIONS, lambda f: getattr(f, "__func__", f)),
    "im_self": _for(_FUNCTIONS, lambda f: getattr(f, "__self__", None)),
    "im_class": _for(_FUNCTIONS, lambda f: type(f.__self__)),
    "func_name": _for(_FUNCTIONS, lambda f: f.__name__),
    "func_code": _for(_FUNCTIONS, lambda f: f.__code__),
    "func_defaults": _for(_FUNCTIONS, lambda f: f.__defaults__),
    "func_globals": _for(_FUNCTIONS, lambda f: f.__globals__),
    "func_doc": _for(_FUNCTIONS, lambda f: f.__doc__),
    "itemset": _for(np.ndarray, lambda a: lambda *v: a.__setitem__(v[0] if len(v) == 2 else 0, v[-1])),
    "tostring": _for(object, lambda a: a.tobytes),
    "fromstring": _for(object, lambda a: a.frombytes),
    "getchildren": _for(object, lambda e: lambda: list(e)),
    "getiterator": _for(object, lambda e: e.iter),
    "getheader": _for(object, lambda h: h.get),
    "getheaders": _for(object, lambda h: lambda name: h.get_all(name) or []),
    "gettype": _for(object, lambda h: h.get_content_type),
    "xreadlines": _for(object, lambda f: lambda: iter(f)),
    "isAlive": _for(object, lambda t: t.is_alive),
    "readfp": _for(object, lambda c: lambda f, name="<???>": c.read_file(map(text, f), name)),
    "softspace": _for(object, lambda f: 0),
    "getfirst": _for(dict, lambda d: d.get),
    "sort": _for(object, lambda k: lambda **named: ordered(k, **named)),
    "ptp": _for(np.ndarray, lambda a: lambda *v, **n: np.ptp(a, *v, **n)),
    "newbyteorder": _for(np.ndarray, lambda a: lambda order="S": a.view(a.dtype.newbyteorder(order))),
    "get_host": _for(object, lambda r: lambda: r.host),
    "get_data": _for(object, lambda r: lambda: r.data),
    "add_data": _for(object, lambda r: lambda data: setattr(r, "data", raw(data))),
}
OLD_ATTRIBUTES = frozenset(_ATTRIBUTES)


def item(value: Any, key: Any) -> Any:
    """`value[key]` where `value` was bound by an `except` clause."""
    if isinstance(value, BaseException) and not hasattr(value, "__getitem__"):
        return value.args[key]
    return value[key]


def iterate(value: Any) -> Any:
    """What a loop goes over: byte streams in lines of their one form, exceptions in their arguments."""
    import io

    if isinstance(value, (io.BufferedIOBase, io.RawIOBase)):
        return (old(line) for line in value)
    return value.args if isinstance(value, BaseException) else value
