"""Names of classes, from the files that come with models."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from saccade.errors import ConfigError
from saccade.formats import yaml_text

_LARGEST = 4 << 20  # bytes: far more than any list of names
_MOST = 1 << 16  # classes
_LONGEST = 200  # characters of a name

_NUMBERED = re.compile(r"(\d{1,5})(?:\s*[:,]\s*|\s+)(\S.*)")
_WORDNET = re.compile(r"n\d{8}\s+(\S.*)")
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
_COMMENT = re.compile(rf"({_QUOTED})|#[^\n]*")
_ITEM = re.compile(rf"\bitem\s*\{{((?:[^{{}}\"']|{_QUOTED})*)\}}")
_ITEM_ID = re.compile(r"\bid\s*:\s*(\d{1,5})\b")
_ITEM_NAME = r"\b{}\s*:\s*(?:\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)')"

_JOINERS = "\u200c\u200d"  # part of how some scripts, and emoji, are written

BACKGROUND = "background"

_NO_CLASS = frozenset({"", BACKGROUND, "bg", "unlabeled", "unlabelled", "dummy", "n/a"})


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """A name per class number; gaps between numbers are named by their number, and a missing 0 is the background.

    The file holds one name a line, also as `0 name`, `0: name` or `n01440764 name`; JSON or YAML: a list of names, or
    an object of names by number or numbers by name, also below `names`; or TensorFlow's label map (`item { id: 1 name:
    "person" }`). Raises ConfigError where it holds no names.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"labels {path}: larger than {_LARGEST >> 20} MB, so hardly a list of names")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"labels {path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"labels {path}: not text; give one name a line, or JSON") from error
    try:
        names = _reader(path, text)(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"labels {path}: {error}; give a list of names, or an object of names by number") from error
    if not names:
        raise ConfigError(f"labels {path}: holds no names")
    return names


def as_names(value: Any) -> tuple[str, ...]:
    """Names from a list, from an object of names by number, or of numbers by name; raises ValueError for others.

    A list may also hold objects with `id` and `name`, as COCO's categories do.
    """
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(entry, dict) and {"id", "name"} <= entry.keys() for entry in value):
            return as_names({entry["id"]: entry["name"] for entry in value})
        return _clean_all(str(name) for name in value[: _MOST + 1])
    if not isinstance(value, Mapping):
        raise ValueError("neither a list nor an object")
    if value and all(_is_number(number) for number in value.values()) and not all(map(_is_number, value)):
        value = {number: name for name, number in value.items()}
    return _by_number({_whole(number): str(name) for number, name in value.items()})


def clean(name: str) -> str:
    """A name without what would act on a terminal or a page: control characters and those that turn text around."""
    kept = (c for c in name if c.isspace() or c in _JOINERS or unicodedata.category(c) not in _UNSEEN)
    return " ".join("".join(kept).split())[:_LONGEST]


_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def is_background(name: str) -> bool:
    """Whether the first name of a list stands for what is no object, as `__background__` or `???`."""
    return name.strip(" _?<>").lower() in _NO_CLASS


def ways_to_count(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The names as they are; without one for the background; and without all that name a number which no class has."""
    ways = [names]
    if names and is_background(names[0]):
        ways.append(names[1:])
        ways.append(tuple(name for i, name in enumerate(names) if not is_background(name) and name != str(i)))
    return [way for i, way in enumerate(ways) if way and way not in ways[:i]] or ways[:1]


def _reader(path: Path, text: str) -> Callable[[str], tuple[str, ...]]:
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return _from_yaml
    if text.lstrip().startswith(("[", "{")):
        return _from_json
    return _from_label_map if suffix == ".pbtxt" or re.match(r"\s*item\s*\{", text) else _from_lines


def _from_json(text: str) -> tuple[str, ...]:
    return as_names(_within(json.loads(text)))


def _from_yaml(text: str) -> tuple[str, ...]:
    return as_names(_within(yaml_text.parse(text)))


def _within(value: Any) -> Any:
    """The names within a description of a data set or model."""
    for key in ("names", "label_list", "id2label", "labels", "classes", "categories"):
        if isinstance(value, dict) and isinstance(value.get(key), (list, dict)):
            return value[key]
    return value


def _from_label_map(text: str) -> tuple[str, ...]:
    found: dict[int, str] = {}
    for item in _ITEM.finditer(_COMMENT.sub(r"\1", text)):
        number = _ITEM_ID.search(item[1])
        name = next(filter(None, (re.search(_ITEM_NAME.format(k), item[1]) for k in ("display_name", "name"))), None)
        if number and name:
            found[int(number[1])] = name[1] if name[1] is not None else name[2]
    if not found:
        raise ValueError("no label map: it has no item with an id and a name")
    return _by_number(found)


def _from_lines(text: str) -> tuple[str, ...]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if len(lines) > _MOST:
        raise ValueError(f"more than {_MOST} lines")
    for pattern, read in ((_WORDNET, _second_of_pairs), (_NUMBERED, _numbered)):
        matches = [pattern.fullmatch(line) for line in lines]
        if lines and all(matches):
            names = read([m.groups() for m in matches if m])
            if names:
                return names
    return _clean_all(lines)


def _second_of_pairs(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return _clean_all(row[-1] for row in rows)


def _numbered(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Names of lines that begin with their number: rising from 0, or from 1 below a background that is not listed.

    Numbers from 1 on without a gap only count the lines. Empty where they do not rise: then they are part of the names.
    """
    numbers = [int(row[0]) for row in rows]
    if numbers[0] > 1 or any(b <= a for a, b in pairwise(numbers)) or numbers == [1]:
        return ()
    if numbers[0] == 1 and numbers[-1] == len(numbers):
        return _second_of_pairs(rows)
    return _by_number({number: row[1] for number, row in zip(numbers, rows, strict=True)})


def _by_number(names: Mapping[int, str]) -> tuple[str, ...]:
    if names and not 0 <= min(names) <= max(names) < _MOST:
        raise ValueError(f"class numbers must be from 0 to {_MOST - 1}")
    return _clean_all(names.get(i, str(i) if i else BACKGROUND) for i in range(max(names, default=-1) + 1))


def _clean_all(names: Iterable[str]) -> tuple[str, ...]:
    cleaned = tuple(clean(name) for name in names)
    if len(cleaned) > _MOST:
        raise ValueError(f"more than {_MOST} names")
    return cleaned


def _is_number(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value) is not None
    )


def _whole(value: Any) -> int:
    if not _is_number(value):
        raise ValueError(f"{clean(str(value)[:40])!r} is no class number: class numbers must be whole, from 0 on")
    return int(value)
