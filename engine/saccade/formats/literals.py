"""Values that files give as text: numbers, switches, and Python or JSON literals, whose reading evaluates nothing."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterable
from typing import Any

_LONGEST = 1 << 20  # characters
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def literal(value: Any) -> Any:
    """The value of a Python or JSON literal; the text itself where it is none. What is no text stays as it is."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(value.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return value


def numbers(value: Any) -> tuple[float, ...]:
    """All finite numbers of a text such as `1 2 3`, `[1, 2]`, `data[255.0]`, or of a list; empty where there is none.

    A name before a bracket is none of them.
    """
    if isinstance(value, str):
        bracket = re.search(r"[\[(]([^\])]*)[\])]", value[:4096])
        return _finite(float(text) for text in _NUMBER.findall(bracket[1] if bracket else value[:4096]))
    if isinstance(value, (list, tuple)):
        texts = (text for part in value[:4096] if isinstance(part, str) for text in _NUMBER.findall(part[:40]))
        plain = (part for part in value[:4096] if _is_plain(part))
        return _finite(plain) or _finite(float(text) for text in texts)
    return _finite([value]) if _is_plain(value) else ()


def _is_plain(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e30 < value < 1e30


def _finite(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(number for value in values if math.isfinite(number := float(value)))


def number(value: Any) -> float | None:
    """One number, or None."""
    found = numbers(value)
    return found[0] if len(found) == 1 else None


def truth(value: Any) -> bool | None:
    """A switch: true, yes, 1 and their opposites in any case; None for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
        str(value).strip().lower()
    )
