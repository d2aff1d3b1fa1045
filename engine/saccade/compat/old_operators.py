"""Operators of Python 2.7 and NumPy 1: arithmetic, the order of everything, places that are assigned to.

Rewritten code calls these where it had an operator. Sources: the rules of `numpy.result_type` up to NumPy 1.26 (NEP 50
tells what changed), and the language reference of Python 2.7, 5.9 (comparisons).
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

import numpy as np

from saccade.compat.old_text import OldBytes, percent, raw

_NUMPY = (np.ndarray, np.generic)
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


# Arithmetic


def as_numpy_1(left: Any, right: Any) -> tuple[Any, Any]:
    """Both sides of an operator, so that NumPy 2 gives the type that NumPy 1 gave: it went by the value of a scalar."""
    of_left, of_right = _is_array(left), _is_array(right)
    if of_left and of_right:
        return left, right
    if of_left:
        return left, fitted(left, right)
    if of_right:
        return fitted(right, left), right
    return _strong(left), _strong(right)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0


def _strong(value: Any) -> Any:
    """A number of Python as the type that NumPy 1 took it for."""
    kind = type(value)
    if kind is float:
        return np.float64(value)
    if kind is bool:
        return np.bool_(value)
    if isinstance(value, int) and -sys.maxsize - 1 <= value <= sys.maxsize:
        return np.int64(value)
    return value


def fitted(array: Any, scalar: Any) -> Any:
    """A scalar in the type that makes NumPy 2 promote `array` as NumPy 1 did."""
    if not isinstance(scalar, (bool, int, float, complex, np.generic, np.ndarray)):
        return scalar
    if array.dtype.kind not in _CATEGORY:
        return scalar
    value = np.asarray(scalar)
    if value.dtype.kind not in _CATEGORY:
        return scalar
    if _CATEGORY[value.dtype.kind] > _CATEGORY[array.dtype.kind]:
        return value.astype(np.promote_types(array.dtype, value.dtype))[()]
    least = np.min_scalar_type(value[()])
    if least.kind == "u" and array.dtype.kind == "i":
        signed = np.dtype(f"i{least.itemsize}")
        if value <= np.iinfo(signed).max:
            least = signed
    return value.astype(np.promote_types(array.dtype, least))[()]


def _is_int(value: Any) -> bool:
    if isinstance(value, _NUMPY):
        return value.dtype.kind in "iub"
    return isinstance(value, int)


def divide(left: Any, right: Any) -> Any:
    """`/` of Python 2: floors where both sides are integers."""
    if isinstance(left, _NUMPY) or isinstance(right, _NUMPY):
        left, right = as_numpy_1(left, right)
    return left // right if _is_int(left) and _is_int(right) else left / right


def divide_in_place(left: Any, right: Any) -> Any:
    """`/=` of Python 2; an array stays the same array."""
    if _is_array(left):
        right = fitted(left, right)
    if _is_int(left) and _is_int(right):
        left //= right
    else:
        left /= right
    return left


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "FloorDiv": operator.floordiv, "Mod": operator.mod,
    "Pow": operator.pow, "BitAnd": operator.and_, "BitOr": operator.or_, "BitXor": operator.xor,
    "LShift": operator.lshift, "RShift": operator.rshift, "Div": divide, "TrueDiv": operator.truediv,
    "MatMult": operator.matmul,
}  # fmt: skip
_IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.iadd, "Sub": operator.isub, "Mult": operator.imul, "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod, "Pow": operator.ipow, "BitAnd": operator.iand, "BitOr": operator.ior,
    "BitXor": operator.ixor, "LShift": operator.ilshift, "RShift": operator.irshift, "Div": divide_in_place,
    "TrueDiv": operator.itruediv, "MatMult": operator.imatmul,
}  # fmt: skip


def operate(sign: str, left: Any, right: Any) -> Any:
    """`left SIGN right` of Python 2, SIGN by the name of its syntax node."""
    if isinstance(left, (str, OldBytes)):
        if sign == "Mod":
            return percent(left, right)
        if sign == "Add" and type(right) in (int, float, bool, type(None), list, dict, tuple):
            raise TypeError(f"cannot concatenate 'str' and '{type(right).__name__}' objects")
    return operate_on_numbers(sign, left, right)


def operate_on_numbers(sign: str, left: Any, right: Any) -> Any:
    """`left SIGN right` with NumPy 1."""
    if (isinstance(left, _NUMPY) or isinstance(right, _NUMPY)) and not isinstance(left, str):
        left, right = as_numpy_1(left, right)
    return _OPERATORS[sign](left, right)


def operate_in_place(sign: str, left: Any, right: Any) -> Any:
    """`left SIGN= right`; returns what `left` is then."""
    if isinstance(left, str):
        return operate(sign, left, right)
    if isinstance(left, np.generic) or (isinstance(right, np.generic) and not isinstance(left, np.ndarray)):
        return operate_on_numbers(sign, left, right)
    if _is_array(left):
        right = fitted(left, right)
    return _IN_PLACE[sign](left, right)


Place = tuple[Any, Any, Any]
"""Holder, key or name, and what stands there."""


def item_place(holder: Any, key: Any) -> Place:
    """`holder[key]`, before it is changed."""
    return holder, key, holder[key]


def attribute_place(holder: Any, name: str) -> Place:
    """`holder.name`, before it is changed."""
    return holder, name, getattr(holder, name)


def operate_on_item(sign: str, place: Place, value: Any) -> None:
    """`holder[key] SIGN= value`."""
    holder, key, before = place
    set_item(operate_in_place(sign, before, value), holder, key)


def operate_on_attribute(sign: str, place: Place, value: Any) -> None:
    """`holder.name SIGN= value`."""
    holder, name, before = place
    setattr(holder, name, operate_in_place(sign, before, value))


def set_item(value: Any, holder: Any, key: Any) -> None:
    """`holder[key] = value`; numbers that do not fit into an array's type wrap, as in NumPy 1."""
    try:
        holder[key] = value
    except OverflowError:
        if not isinstance(holder, np.ndarray):
            raise
        holder[key] = np.asarray(value).astype(holder.dtype)


def total(items: Iterable[Any], start: Any = 0) -> Any:
    """`sum()`, which starts at NumPy's own zero where the items are NumPy's small integers."""
    values = list(items)
    if values and type(start) is int and isinstance(values[0], np.integer):
        return sum(values, np.int64(start))
    return sum(values, start)


def half_up(value: Any, digits: int = 0) -> float:
    """`round()`: a float; away from zero at the half."""
    number = float(value)
    if not np.isfinite(number) or digits > 22 or (digits >= 0 and abs(number) >= 1 << 53):
        return number
    with localcontext(Context(prec=400)):
        return float(Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


# Order


def compare_any(left: Any, right: Any) -> int:
    """`cmp()`: a negative number, 0 or a positive one, for any two values."""
    for value, other, sign in ((left, right, 1), (right, left, -1)):
        by = getattr(type(value), "__cmp__", None)
        if by is not None:
            answer = by(value, other)
            if answer is not NotImplemented:
                return sign * int(answer)
    if isinstance(left, (list, tuple)) and isinstance(right, type(left)):
        for a, b in zip(left, right, strict=False):
            answer = compare_any(a, b)
            if answer:
                return answer
        return (len(left) > len(right)) - (len(left) < len(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return _compare_dicts(left, right)
    try:
        if left == right:
            return 0
        return -1 if left < right else 1
    except TypeError:
        first, second = _rank(left), _rank(right)
        return (first > second) - (first < second)


def _compare_dicts(left: dict[Any, Any], right: dict[Any, Any]) -> int:
    """The shorter is less; then the one with the least key that differs."""
    if len(left) != len(right):
        return -1 if len(left) < len(right) else 1

    def least(one: dict[Any, Any], other: dict[Any, Any]) -> Any:
        differing = [key for key in one if key not in other or compare_any(one[key], other[key])]
        return min(differing, key=order) if differing else None

    first, second = least(left, right), least(right, left)
    if first is None or second is None:
        return 0
    return compare_any(first, second) or compare_any(left[first], right[second])


def _rank(value: Any) -> tuple[int, str, int]:
    """None before numbers before all other types by their names; instances of one type by identity."""
    if value is None:
        return 0, "", 0
    if isinstance(value, (int, float, np.number, np.bool_)):
        return 1, "", 0
    kind = type(value)
    name = "str" if isinstance(value, (str, bytes)) else kind.__name__ if kind.__module__ == "builtins" else "instance"
    return 2, name, id(value)


order = functools.cmp_to_key(compare_any)
"""Key of Python 2's order."""

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge, "Eq": operator.eq,
    "NotEq": operator.ne, "Is": operator.is_, "IsNot": operator.is_not,
    "In": lambda item, holder: _contains(holder, item), "NotIn": lambda item, holder: not _contains(holder, item),
}  # fmt: skip


def _contains(holder: Any, item: Any) -> bool:
    if isinstance(item, OldBytes) and isinstance(holder, str):
        return raw(item) in raw(holder)
    return bool(item in holder)


def compare(sign: str, left: Any, right: Any) -> Any:
    """`left SIGN right`, where Python 2 ordered anything."""
    try:
        return _SIGNS[sign](left, right)
    except TypeError:
        ordered_by = (
            sign in ("Lt", "LtE", "Gt", "GtE") and not isinstance(left, _NUMPY) and not isinstance(right, _NUMPY)
        )
        if not ordered_by and left is not None and right is not None:
            raise
        if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
            # None was less than each number.
            shape = np.shape(left if right is None else right)
            return np.full(shape, sign.startswith("Lt") == (left is None))
        return _SIGNS[sign](compare_any(left, right), 0)


def compare_chain(signs: tuple[str, ...], *operands: Any) -> Any:
    """`a < b < c`."""
    answer: Any = True
    for i, sign in enumerate(signs):
        answer = compare(sign, operands[i], operands[i + 1])
        if not answer:
            return answer
    return answer


def ordered(
    items: Iterable[Any],
    cmp: Callable[[Any, Any], int] | None = None,
    key: Callable[[Any], Any] | None = None,
    reverse: bool = False,
) -> list[Any]:
    """`sorted()`, with a function that compares, and of values of different types."""
    values = list(items)
    if cmp is not None:
        compare_by = functools.cmp_to_key(lambda a, b: int(cmp(a, b)))
        return sorted(values, key=(lambda v: compare_by(key(v))) if key else compare_by, reverse=bool(reverse))
    try:
        return sorted(values, key=key, reverse=bool(reverse))
    except TypeError:
        return sorted(values, key=(lambda v: order(key(v))) if key else order, reverse=bool(reverse))


def _extreme(plain: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*values: Any, key: Callable[[Any], Any] | None = None) -> Any:
        items = list(values[0]) if len(values) == 1 else list(values)
        if not items:
            raise ValueError(f"{plain.__name__}() arg is an empty sequence")
        try:
            return plain(items, key=key)
        except TypeError:
            return plain(items, key=(lambda v: order(key(v))) if key else order)

    wrapped.__name__ = plain.__name__
    return wrapped


least = _extreme(min)
greatest = _extreme(max)
