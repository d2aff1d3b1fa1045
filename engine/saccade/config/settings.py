"""From what a person said, in a file, in the environment and on the command line, to one configuration.

Later ones win, and each value knows where it came from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from saccade.config.option import Option, options_of
from saccade.config.suggest import did_you_mean
from saccade.config.together import contradictions
from saccade.config.toml import read_toml
from saccade.config.variables import check_variables
from saccade.errors import ConfigError

C = TypeVar("C")

DEFAULT = "default"
"""Where a value came from that nobody gave."""


@dataclass(frozen=True, slots=True)
class Resolved(Generic[C]):
    """A configuration, and where each of its values came from, by the option's name."""

    config: C
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GivenValue:
    """One value and how it was said. origin : as in messages, `--pictures` or `camera.toml: pictures`."""

    value: Any
    origin: str


GivenValues = Mapping[str, GivenValue]


def resolve(
    kind: type[C],
    *,
    file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    choose: Mapping[str, Any] | None = None,
) -> Resolved[C]:
    """The configuration of `kind` that file, environment and command line make, the last being the strongest.

    environ : by default nothing; `SACCADE_CONFIG` in it names the file where `file` does not. given : text of the
    command line's options, by name. choose : what the caller has in place of a default.
    Raises ConfigError that says which value is wrong, where it stands and what was expected.
    """
    environ = {} if environ is None else environ
    check_variables(environ)
    layers: list[GivenValues] = []
    path = file or environ.get("SACCADE_CONFIG")
    if path:
        layers.append(from_table(kind, read_toml(path), str(path)))
    layers += [from_environment(kind, environ), from_command_line(kind, given or {})]
    return merged(kind, layers, choose)


def merged(kind: type[C], layers: Iterable[GivenValues], choose: Mapping[str, Any] | None = None) -> Resolved[C]:
    """One configuration of several layers, the strongest last; refuses what contradicts itself."""
    said: dict[str, GivenValue] = {}
    for layer in layers:
        said |= layer
    values = {name: each.value for name, each in said.items()}
    for name, value in (choose or {}).items():
        default = options_of(kind)[name].default
        if values.get(name, default) == default:
            values[name] = value
    config = kind(**values)
    origins = {name: said[name].origin if name in said else DEFAULT for name in options_of(kind)}

    def how(name: str) -> str:
        return origins[name] if name in said else name

    for why in contradictions(config, how):
        raise ConfigError(why)
    return Resolved(config, origins)


def from_environment(kind: type[Any], environ: Mapping[str, str]) -> dict[str, GivenValue]:
    """What `SACCADE_NAME` variables say. An empty one stands for the default, also over a file."""
    layer = {}
    for name, option in options_of(kind).items():
        text = environ.get(option.variable)
        if text is None:
            continue
        try:
            value = option.parse(text) if text.strip() or option.needed else option.default
        except ConfigError as error:
            raise ConfigError(f"environment variable {option.variable}: {error}") from None
        layer[name] = GivenValue(value, option.variable)
    return layer


def from_command_line(kind: type[Any], given: Mapping[str, str]) -> dict[str, GivenValue]:
    """What the options say, by name, each as text."""
    layer = {}
    for name, text in given.items():
        option = options_of(kind)[name]
        try:
            value = option.parse(text)
            layer[name] = GivenValue(value, f"--{option.opposite}" if option.opposite and not value else option.flag)
        except ConfigError as error:
            raise ConfigError(f"--{option.key}{str(error).removeprefix(option.name)}") from None
    return layer


def from_table(kind: type[Any], table: Mapping[str, Any], where: str) -> GivenValues:
    """What a table of a TOML file says. where : the file, and the table in it."""
    layer = {}
    options = options_of(kind)
    for key, value in table.items():
        option = options.get(key.replace("-", "_"))
        if option is None:
            raise ConfigError(f"{where}: unknown option {key!r}{unknown(key, options.values())}")
        try:
            layer[option.name] = GivenValue(option.take(value), f"{where}: {key}")
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    return layer


def unknown(key: str, options: Iterable[Option], also: Iterable[str] = ()) -> str:
    """How to go on from a key that no option has."""
    known = list(options)
    for option in known:
        if option.opposite and key.replace("_", "-") == option.opposite:
            return f"; write {option.key} = false"
    keys = [*(option.key for option in known), *also]
    return did_you_mean(key, keys, "; `saccade config show --all` lists those there are")
