"""A TOML file as a table of plain values, and the other way."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST = 4 << 20
"""Bytes of a file beyond which it is no configuration."""


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The file's table; raises ConfigError that names the file."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({reason}); give a TOML file with options as keys") from None
    if len(data) > _MOST:
        raise ConfigError(f"{path}: larger than {_MOST >> 20} MB; that is no configuration")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from None


def as_toml(table: Mapping[str, Any]) -> str:
    """The lines of a file that says the same; values are texts, numbers, flags and lists of them."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)  # TOML writes inf and nan as Python does
    # JSON leaves DEL as it is, which TOML does not allow.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
