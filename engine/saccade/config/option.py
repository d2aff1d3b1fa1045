"""How an option is declared, once, as a field of a frozen dataclass: its type, default, limits and help.

The command line's option, the variable `SACCADE_NAME`, the key of a TOML file and the row of docs/configuration.md all
come from that declaration.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from saccade.address import without_credentials
from saccade.config.suggest import did_you_mean
from saccade.errors import ConfigError

Check = Callable[[Any], str]
"""Says what a value should have been; "" where it is right."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    hint : type of the value; `None` in it means "choose for me". section : what it is about, as in help pages.
    bare : the value of the option given without one. joined : what stands between several of them. opposite : the
    option that says no, with its help. secret : the value may hold a password. needed : nothing at all is no value.
    reader : makes the value of what a file says, where that is more than a text, number or list.
    """

    name: str
    hint: Any
    default: Any
    help: str
    section: str
    metavar: str | None = None
    bare: str | None = None
    joined: str | None = None
    opposite: str = ""
    opposite_help: str = ""
    check: Check | None = None
    secret: bool = False
    needed: bool = False
    reader: Callable[[Any], Any] | None = None

    @property
    def flag(self) -> str:
        """As on the command line."""
        return "--" + self.key

    @property
    def key(self) -> str:
        """As in a TOML file."""
        return self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """As in the environment."""
        return f"SACCADE_{self.name.upper()}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an option that has only these; the empty one, for "choose for me", is left out."""
        return tuple(value for value in get_args(self.hint) if value) if get_origin(self.hint) is Literal else ()

    @property
    def is_flag(self) -> bool:
        """Whether it is said without a value."""
        return bool in self._kinds

    @property
    def _kinds(self) -> tuple[Any, ...]:
        return get_args(self.hint) if get_origin(self.hint) in (Union, UnionType) else (self.hint,)

    def parse(self, text: str) -> Any:
        """The value that the text of an option or variable stands for; raises ConfigError."""
        if tuple[str, ...] in self._kinds:
            parts = text.split(self.joined or ",")
            return self.checked(tuple(part.strip() for part in parts if part.strip()))
        for kind, read, expected in _READERS:
            if kind in self._kinds:
                try:
                    value = read(text)
                except (ValueError, OverflowError):
                    raise ConfigError(f"{self.name}: got {_short(text)}; expected {expected}") from None
                return self.checked(value)
        return self.checked(text)

    def take(self, value: Any) -> Any:
        """The same of a value in a TOML file."""
        if self.reader is not None:
            return self.reader(value)
        if isinstance(value, list) and (self.joined or self.default == ()):
            if tuple[str, ...] in self._kinds:
                # A list says where a name ends, also one with a comma.
                return self.checked(tuple(map(str, value)))
            parts = [",".join(map(str, part)) if isinstance(part, list) else str(part) for part in value]
            return self.parse((self.joined or ",").join(parts))
        if not isinstance(value, str | int | float) or (isinstance(value, bool) and not self.is_flag):
            raise ConfigError(f"{self.name}: got {_short(value)}; expected {self.expected}")
        return self.parse(str(value))

    def checked(self, value: Any) -> Any:
        """`value`, where it is within the option's limits; raises ConfigError."""
        expected, near = "", ""
        if self.choices and value not in get_args(self.hint):
            expected = f"one of {', '.join(self.choices)}"
            near = did_you_mean(str(value), self.choices)
        elif self.check is not None and value is not None:
            expected = self.check(value)
        if expected:
            got = _short(value) if isinstance(value, str) else self.shown(value) or "nothing"
            raise ConfigError(f"{self.name}: got {got}; expected {expected}{near}")
        return value

    @property
    def expected(self) -> str:
        """The kind of value in words."""
        for kind, _, words in _READERS:
            if kind in self._kinds:
                return words
        if tuple[str, ...] in self._kinds:
            return "names"
        return f"one of {', '.join(self.choices)}" if self.choices else "text"

    def shown(self, value: Any) -> str:
        """The value as text for people, without passwords."""
        if value is None or value == ():
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            between = self.joined or ","
            parts = (",".join(f"{n:g}" for n in v) if isinstance(v, tuple) else self._hidden(_number(v)) for v in value)
            return between.join(parts)
        return self._hidden(_number(value))

    def _hidden(self, text: str) -> str:
        """A part of a value without its password."""
        hidden = without_credentials(text) if self.secret else text
        return hidden if hidden == text else f"{hidden} (password not shown)"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def option(
    default: Any, help: str, *, section: str, metavar: str | None = None, bare: str | None = None,
    joined: str | None = None, opposite: str = "", opposite_help: str = "", check: Check | None = None,
    secret: bool = False, needed: bool = False, reader: Callable[[Any], Any] | None = None,
) -> Any:  # fmt: skip
    """A field that is an option; see `Option`."""
    about = {
        "help": help, "section": section, "metavar": metavar, "bare": bare, "joined": joined, "opposite": opposite,
        "opposite_help": opposite_help, "check": check, "secret": secret, "needed": needed,
        "reader": reader,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=about)


def like(kind: type[Any], name: str, **changes: Any) -> Any:
    """A field that is an option as another class declares it, with some of it changed (`default=`, `help=`)."""
    field = next(field for field in dataclasses.fields(kind) if field.name == name)
    return dataclasses.field(default=changes.pop("default", field.default), metadata=dict(field.metadata) | changes)


def options_of(kind: Any) -> Mapping[str, Option]:
    """The options that a class declares, by name, in its order."""
    return _options_of(kind)


@lru_cache(None)
def _options_of(kind: Any) -> Mapping[str, Option]:
    hints = get_type_hints(kind)
    return {
        field.name: Option(field.name, hints[field.name], field.default, **field.metadata)
        for field in dataclasses.fields(kind)
        if "section" in field.metadata
    }


def check_values(config: Any) -> None:
    """Raise ConfigError where a field of a configuration is outside its option's limits."""
    for name, declared in options_of(type(config)).items():
        declared.checked(getattr(config, name))


# Readers of text


def _flag(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError
    return lowered in ("1", "true", "yes", "on")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(",")) if text.strip() else ()


def _boxes(text: str) -> tuple[tuple[float, float, float, float], ...]:
    boxes = []
    for part in text.split(";") if text.strip() else ():
        x, y, width, height = (float(number) for number in part.split(","))
        if not all(math.isfinite(number) for number in (x, y, width, height)):
            raise ValueError
        boxes.append((x, y, width, height))
    return tuple(boxes)


Boxes = tuple[tuple[float, float, float, float], ...]
"""x, y, width, height of several regions, as parts of the frame or in px."""

_READERS: tuple[tuple[Any, Callable[[str], Any], str], ...] = (
    (bool, _flag, "true or false"),
    (int, int, "a whole number"),
    (float, float, "a number"),
    (tuple[float, ...], _numbers, "numbers"),
    (Boxes, _boxes, "x, y, width and height of each region, as 0,0.5,1,0.5"),
)


# Limits


def between(low: float, high: float, what: str, why: str = "") -> Check:
    """From `low` to `high`."""
    return lambda value: "" if low <= value <= high else f"{what} from {low:g} to {high:g}{why}"


def at_least(least: int, most: float = math.inf, why: str = "") -> Check:
    """A whole number of at least `least`, and at most `most` for the reason `why`."""

    def check(value: int) -> str:
        if value < least:
            return f"a whole number of at least {least}"
        return f"at most {most:g}{why}" if value > most else ""

    return check


def positive(what: str) -> Check:
    """More than zero, and finite or not."""
    return lambda value: "" if value > 0 else f"a positive number of {what}"


def not_negative(value: float) -> str:
    """Zero or more."""
    return "" if value >= 0 else "zero or more"
