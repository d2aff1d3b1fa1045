"""Griffe extension of the API reference: lines `name : meaning` of a docstring become a list."""

from __future__ import annotations

import re
from typing import Any

import griffe

NAMES = re.compile(r"(?<![^\s.;])(\*{0,2}[a-z_]\w*(?:, \*{0,2}[a-z_]\w*)*) : ")


def as_list(text: str) -> str:
    """The text with each paragraph that begins with `name : ` as a list of names and what they mean."""
    blocks = re.split(r"\n\s*\n", text)
    return "\n\n".join(_listed(block) if NAMES.match(block) else block for block in blocks)


def _listed(block: str) -> str:
    _, *parts = NAMES.split(re.sub(r"\s+", " ", block.strip()))
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return "\n".join(f"- `{names}`: {meaning.strip()}" for names, meaning in pairs)


class Lists(griffe.Extension):
    """Turns docstrings into Markdown as they are loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_list(obj.docstring.value)
