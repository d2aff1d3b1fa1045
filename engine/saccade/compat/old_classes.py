"""Classes of Python 2.7: special methods that have lost their names, instances of old classes that are raised."""

from __future__ import annotations

import sys
import threading
from typing import Any

from saccade.compat.old_operators import operate

_RENAMED = {
    "__div__": "__truediv__", "__rdiv__": "__rtruediv__", "__idiv__": "__itruediv__", "__nonzero__": "__bool__",
    "next": "__next__", "__long__": "__int__",
}  # fmt: skip
_THREAD_NAMES = (
    "_stop", "_started", "_target", "_args", "_kwargs", "_name", "_ident", "_handle", "_delete", "_is_stopped",
    "_tstate_lock",
)  # fmt: skip
"""Attributes of today's Thread, which scripts use as their own: Python 2 had hidden names for its."""


def old_class(cls: Any) -> Any:
    """Decorates each class of a script."""
    own = vars(cls)
    for name, new in _RENAMED.items():
        if name in own and new not in own:
            setattr(cls, new, own[name])
    if "__cmp__" in own:
        for name, test in _TESTS.items():
            if name not in own:
                setattr(cls, name, _by_cmp(test))
    if "__coerce__" in own:
        for name, sign in _COERCED.items():
            for form, turned in ((f"__{name}__", False), (f"__r{name}__", True)):
                if form not in own:
                    setattr(cls, form, _by_coercion(sign, turned))
    if own.get("__hash__", 0) is None:
        # Python 2 kept the hash of a class that says what is equal.
        cls.__hash__ = object.__hash__
    for name, by in (("__getslice__", "__getitem__"), ("__setslice__", "__setitem__"), ("__delslice__", "__delitem__")):
        if name in own:
            setattr(cls, by, _slicing(own[name], getattr(cls, by, None)))
    if issubclass(cls, threading.Thread):
        for name in _THREAD_NAMES:
            if name not in own:
                setattr(cls, name, _ThreadName(name))
    return cls


_TESTS = {
    "__lt__": lambda answer: answer < 0, "__le__": lambda answer: answer <= 0, "__gt__": lambda answer: answer > 0,
    "__ge__": lambda answer: answer >= 0, "__eq__": lambda answer: answer == 0, "__ne__": lambda answer: answer != 0,
}  # fmt: skip


_COERCED = {"add": "Add", "sub": "Sub", "mul": "Mult", "truediv": "Div", "floordiv": "FloorDiv", "mod": "Mod",
            "pow": "Pow"}  # fmt: skip


def _by_coercion(sign: str, turned: bool) -> Any:
    def method(self: Any, other: Any) -> Any:
        pair = self.__coerce__(other)
        if pair is None or pair is NotImplemented:
            return NotImplemented
        left, right = pair[::-1] if turned else pair
        return NotImplemented if isinstance(left, type(self)) and not turned else operate(sign, left, right)

    return method


def _by_cmp(test: Any) -> Any:
    def method(self: Any, other: Any) -> Any:
        answer = self.__cmp__(other)
        return answer if answer is NotImplemented else test(answer)

    return method


def _slicing(of_slice: Any, of_item: Any) -> Any:
    """A method for items that gives plain slices to the method that Python 2 had for them."""

    def method(self: Any, key: Any, *value: Any) -> Any:
        if isinstance(key, slice) and key.step is None:
            start, stop = key.start or 0, sys.maxsize if key.stop is None else key.stop
            if start < 0 or stop < 0:
                size = len(self)
                start, stop = start + size * (start < 0), stop + size * (stop < 0)
            return of_slice(self, start, stop, *value)
        if of_item is None:
            raise AttributeError(f"{type(self).__name__} instance has no attribute '__getitem__'")
        return of_item(self, key, *value)

    return method


class _ThreadName:
    """An attribute that `threading` and a script have under one name: each sees its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _key(self) -> str:
        from_library = sys._getframe(2).f_code.co_filename == threading.__file__
        return self._name if from_library else "_script" + self._name

    def __get__(self, thread: Any, cls: Any = None) -> Any:
        if thread is None:
            return getattr(threading.Thread, self._name)
        key = self._key()
        if key in thread.__dict__:
            return thread.__dict__[key]
        if key == self._name or self._name in thread.__dict__:
            if self._name in thread.__dict__:
                return thread.__dict__[self._name]
            return getattr(threading.Thread, self._name).__get__(thread)
        raise AttributeError(f"{type(thread).__name__!r} object has no attribute {self._name!r}")

    def __set__(self, thread: Any, value: Any) -> None:
        thread.__dict__[self._key()] = value

    def __delete__(self, thread: Any) -> None:
        thread.__dict__.pop(self._key(), None)


# Instances that are raised


class OldRaised(BaseException):
    """Carries an instance of a class that is no exception; `except Exception` did not catch those."""

    def __init__(self, instance: Any) -> None:
        super().__init__(instance)
        self.instance = instance


_carriers: dict[Any, type[OldRaised]] = {}


def _carrier(cls: Any) -> type[OldRaised]:
    """The exception that carries instances of a class; it derives as the class does."""
    if cls not in _carriers:
        bases = tuple(_carrier(base) for base in cls.__bases__ if base is not object) or (OldRaised,)
        _carriers[cls] = type(cls.__name__, bases, {})
    return _carriers[cls]


def raised(value: Any) -> Any:
    """What `raise value` raises."""
    if isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException)):
        return value
    if isinstance(value, type) and value.__module__ != "builtins":
        value = value()
    if type(value).__module__ == "builtins":
        kind = "str" if isinstance(value, (str, bytes)) else type(value).__name__
        raise TypeError(f"exceptions must be old-style classes or derived from BaseException, not {kind}")
    return _carrier(type(value))(value)


def caught(value: Any) -> Any:
    """What `except value` catches."""
    if isinstance(value, (tuple, list)):
        return tuple(caught(v) for v in value)
    if isinstance(value, type) and not issubclass(value, BaseException):
        return _carrier(value)
    return value if isinstance(value, type) else ()


def instance(error: BaseException) -> Any:
    """What the name in an `except` clause is bound to."""
    return error.instance if isinstance(error, OldRaised) else error
