"""The command line's parsers: a mistake is one line, with what may have been meant; options come from declarations."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from saccade.address import hidden, without_credentials
from saccade.config import Option, did_you_mean, options_of
from saccade.text import plain

_TITLES = {
    "source": "where pictures come from",
    "network": "the network and what it means",
    "run": "how it runs",
    "results": "where results go",
    "service": "the service",
}


class Help(argparse.RawDescriptionHelpFormatter):
    """Shows examples as they are written, and defaults where there are any."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if text and action.default not in (None, "", (), False, argparse.SUPPRESS) and "default" not in text:
            text += " (default: %(default)s)"
        return text


class CommandParser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, with status 2.

    otherwise : the subcommand that is meant where an option stands in its place.
    """

    otherwise = ""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(formatter_class=Help, allow_abbrev=False, **keywords)
        self._words: list[str] = []
        # The innermost parser that was reached knows the options that might have been meant.
        self.set_defaults(parser=self)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The options; ends the process where there are others."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            options.parser.refuse(rest)
        return options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it, with the subcommand that is meant where none is named."""
        words = self._words = list(sys.argv[1:] if args is None else args)
        if self.otherwise and words and words[0].startswith("-") and words[0] not in ("-h", "--help"):
            words.insert(0, self.otherwise)
        return super().parse_known_args(words, namespace)

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Say which of the words is no option, and what may have been meant."""
        for word in words:
            name = word.partition("=")[0]
            if name.startswith("-") and name != "-":
                self.error(f"unknown option {name}{did_you_mean(name, self._option_string_actions)}")
        self.error(f"unexpected {words[0]!r}")

    def error(self, message: str) -> NoReturn:
        """One line, and status 2."""
        message = hidden(message.removesuffix(".").removesuffix("?"), self._words)
        sys.stderr.write(f"{self.prog}: {plain(message)}; `{self.prog} --help` says more\n")
        raise SystemExit(2)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = action.choices
        if choices is not None and value not in choices:
            names = [str(choice) for choice in choices]
            near = did_you_mean(str(value), names, f"; choose {', '.join(names)}")
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{near}")


def given_words(arguments: Sequence[str] | None = None) -> list[str]:
    """What a message may repeat: words of the command line, by default the process's, and of saccade's environment."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return words + [value for name, value in os.environ.items() if name.startswith("SACCADE_")]


class _Given(argparse.Action):
    """Notes an option's text. The last of several wins, as is the custom, but not of what contradicts each other."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        text = values if self.nargs in (None, "?") else str(self.const)
        notes: dict[str, tuple[str, str]] = namespace.__dict__.setdefault("given", {})
        before = notes.get(self.dest)
        if before is not None and before[0] != option_string:
            raise argparse.ArgumentError(None, f"{before[0]} and {option_string} contradict each other")
        if before is not None and before[1] != text and self.dest == "source":
            raise argparse.ArgumentError(
                None, f"{option_string} is given twice, as {_shown(before[1])} and as {_shown(text)}; give it once"
            )
        notes[self.dest] = (str(option_string), text)
        setattr(namespace, self.dest, text)


def _shown(text: Any) -> str:
    return repr(without_credentials(str(text)))


def add_options(parser: argparse.ArgumentParser, kind: type[Any], names: Iterable[str] | None = None) -> None:
    """Options that `kind` declares, by default all, in groups; their values stay text, for `given`."""
    chosen = set(names) if names is not None else None
    groups: dict[str, Any] = {}
    for option in options_of(kind).values():
        if chosen is not None and option.name not in chosen:
            continue
        if option.section not in groups:
            groups[option.section] = parser.add_argument_group(_TITLES[option.section])
        _add(groups[option.section], option)


def _add(group: Any, option: Option) -> None:
    if option.is_flag:
        group.add_argument(
            option.flag, dest=option.name, action=_Given, nargs=0, const="true", default=None, help=option.help
        )
        if option.opposite:
            group.add_argument(
                f"--{option.opposite}", dest=option.name, action=_Given, nargs=0, const="false", default=None,
                help=option.opposite_help,
            )  # fmt: skip
        return
    keywords: dict[str, Any] = {"default": None, "metavar": option.metavar, "action": _Given}
    if option.choices:
        keywords |= {"choices": option.choices, "metavar": None}
    if option.bare:
        keywords |= {"nargs": "?", "const": option.bare}
    if option.joined:
        keywords["action"] = "append"
    default = "" if option.default in (None, "", ()) or "default" in option.help else f" (default: {option.default})"
    group.add_argument(option.flag, dest=option.name, help=option.help.replace("%", "%%") + default, **keywords)


def given(options: argparse.Namespace, kind: type[Any]) -> Mapping[str, str]:
    """Text of the options that stand on the command line, by name, as `resolve` takes it."""
    found = {}
    for name, option in options_of(kind).items():
        text = getattr(options, name, None)
        if text is not None:
            found[name] = (option.joined or ",").join(text) if isinstance(text, list) else text
    return found
