"""What belongs to the language itself: `itertools`, `operator`, `types`, `sets`, `future_builtins`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from saccade.compat import old_operators, old_text
from saccade.compat.old_modules.facade import Names, new_module
from saccade.compat.old_text import OldUnicode


def itertools_names(module: Any) -> Names:
    """The lazy twins of `zip`, `map` and `filter`."""
    return {"izip": zip, "imap": _imap, "ifilter": filter, "izip_longest": module.zip_longest,
            "ifilterfalse": module.filterfalse}  # fmt: skip


def _imap(function: Any, *sequences: Any) -> Any:
    return map(function, *sequences) if function is not None else zip(*sequences, strict=False)


def operator_names(module: Any) -> Names:
    """Division that floors, and what tells kinds of values apart."""

    def has(*names: str) -> Callable[[Any], bool]:
        return lambda value: all(hasattr(value, name) for name in names)

    return {
        "div": old_operators.divide, "idiv": old_operators.divide_in_place, "isCallable": callable,
        "isSequenceType": has("__getitem__", "__len__"), "isMappingType": has("__getitem__", "keys"),
        "isNumberType": has("__add__", "__mul__", "__abs__"), "sequenceIncludes": module.contains,
        "repeat": module.mul, "delslice": lambda a, i, j: module.delitem(a, slice(i, j)),
    }  # fmt: skip


def types_names(module: Any) -> Names:
    """The types by their old names."""

    class ClassType(type):
        """Old classes; there are none here."""

    return {
        "StringType": str, "UnicodeType": OldUnicode, "StringTypes": (str, OldUnicode), "IntType": int,
        "FloatType": float, "ListType": list, "DictType": dict, "DictionaryType": dict, "TupleType": tuple,
        "LongType": old_text.Long, "BooleanType": bool, "NoneType": type(None), "ComplexType": complex,
        "ClassType": ClassType, "InstanceType": object, "TypeType": type, "ObjectType": object, "SliceType": slice,
        "UnboundMethodType": module.FunctionType, "XRangeType": range, "FileType": type(sys.__stdout__),
        "EllipsisType": type(...), "NotImplementedType": type(NotImplemented), "BufferType": memoryview,
    }  # fmt: skip


class BaseSet:
    """What the kinds of `sets` have in common."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({old_text.repr_of(list(self))})"  # type: ignore[call-overload]


class Set(BaseSet, set[Any]):
    """`sets.Set`."""


class ImmutableSet(BaseSet, frozenset[Any]):
    """`sets.ImmutableSet`."""


def sets_module() -> Any:
    """`sets`."""
    return new_module("sets", Set=Set, ImmutableSet=ImmutableSet, BaseSet=BaseSet)


def future_builtins_module() -> Any:
    """`future_builtins`."""
    return new_module("future_builtins", map=map, filter=filter, zip=zip, hex=hex, oct=oct, ascii=ascii)
