"""OpenVINO's core, of which a process has one, and its errors in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import openvino as ov

from saccade.errors import ModelError, UnsupportedError


@cache
def core() -> ov.Core:
    """The process's OpenVINO core; plugins are loaded once."""
    return ov.Core()


def reason(error: BaseException) -> str:
    """The telling line of an OpenVINO error, without source positions."""
    failed = re.search(r"^-- (\S+) with a message:\n(.+)", str(error), re.MULTILINE)
    if failed:
        return f"{failed[1]}: {failed[2].strip()}".rstrip(".")
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not re.match(r"(Exception from |Check '.*' failed at )", line)]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")


def refusal(path: Path, error: BaseException, what: str, advice: str, word: Callable[[str], str] = str) -> ModelError:
    """What to raise where a front end of OpenVINO refuses a file; operations that it does not have are all named.

    what : the file's format. advice : what to do about such operations. word : how to call one.
    """
    listed = re.search(r"No conversion rule found for operations: (.+)", str(error))
    if listed is None:
        return ModelError(f"{path}: OpenVINO cannot read {what}: {reason(error)}")
    named = ", ".join(word(name.strip()) for name in listed[1].split(","))
    return UnsupportedError(f"{path}: uses operations that OpenVINO does not have: {named}; {advice}")
