"""YAML of strangers: small, shallow, without aliases, and every scalar as the text that it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from saccade.errors import ModelError

_LARGEST = 1 << 20  # bytes
_DEEPEST = 32

# The C readers of libyaml are far quicker; wheels of PyYAML have them.
_Base: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read(path: Path) -> Any:
    """Mappings, lists and texts of a file; raises ModelError where it is no YAML, or larger or deeper than metadata.

    A scalar stays text, so that a class called `no` or `1e3` keeps its name, and no date or number is ever made up.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ModelError(f"{path} is larger than {_LARGEST >> 20} MB, so hardly a description of a network")
        return parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as YAML ({error})") from error


def parse(text: str) -> Any:
    """The document of a text; raises ValueError."""
    try:
        _check(text)
        return yaml.load(text, Loader=_Base)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error


def _check(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases")  # a few of them can stand for gigabytes
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise ValueError(f"it is deeper than {_DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
