"""Names of classes, from the files that come with models."""

from __future__ import annotations

import json
import os
from pathlib import Path

from saccade.errors import ConfigError

_LARGEST = 4 << 20  # bytes: far more than any list of names
_MOST = 1 << 16  # classes


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """A name per class number.

    The file holds one name a line, or JSON: a list of names, or an object `{"0": name}` or `{name: 0}`.
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
    if text.lstrip().startswith(("[", "{")):
        try:
            names = _from_json(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"labels {path}: {error}; give a list of names, or an object of names by number"
            ) from error
    else:
        names = tuple(line.strip() for line in text.rstrip().splitlines())
    if not names:
        raise ConfigError(f"labels {path}: holds no names")
    return names


def _from_json(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(name) for name in value)
    if not isinstance(value, dict):
        raise ValueError("neither a list nor an object")
    if all(isinstance(number, int) for number in value.values()):
        value = {number: name for name, number in value.items()}
    by_number = {int(number): str(name) for number, name in value.items()}
    if by_number and not 0 <= min(by_number) <= max(by_number) < _MOST:
        raise ValueError(f"class numbers must be from 0 to {_MOST - 1}")
    return tuple(by_number.get(i, str(i)) for i in range(max(by_number, default=-1) + 1))
