"""Text as Python 2.7 had it: `string` and `StringIO`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from saccade.compat import old_text
from saccade.compat.old_calls import call
from saccade.compat.old_modules.facade import Names, new_module
from saccade.compat.old_text import plain, raw


def string_names(module: Any) -> Names:
    """The functions that are methods now, and the letters."""

    def method(name: str) -> Callable[..., Any]:
        return lambda value, *arguments: call(getattr(value, name), *arguments)

    names = """find rfind index rindex count replace strip lstrip rstrip lower upper split rsplit zfill ljust rjust
        center swapcase capitalize expandtabs translate"""
    by_method = {name: method(name) for name in names.split()}

    def joined(words: Any, separator: Any = " ") -> Any:
        return old_text.join(separator, words)

    def maketrans(before: Any, after: Any) -> Any:
        return plain(bytes.maketrans(raw(before), raw(after)))

    return by_method | {
        "letters": module.ascii_letters, "lowercase": module.ascii_lowercase, "uppercase": module.ascii_uppercase,
        "join": joined, "joinfields": joined, "splitfields": by_method["split"], "maketrans": maketrans, "atoi": int,
        "atol": int, "atof": float,
    }  # fmt: skip


class StringIO(io.BytesIO):
    """`StringIO` of Python 2: a file of byte strings that takes text as well."""

    def __init__(self, data: Any = "") -> None:
        super().__init__(raw(data) if isinstance(data, str) else data)

    def write(self, data: Any) -> int:
        """Write text or bytes."""
        return int(super().write(raw(data) if isinstance(data, str) else data))

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __next__(self) -> Any:
        return plain(super().__next__())

    @property
    def buf(self) -> Any:
        """What it holds."""
        return plain(self.getvalue())

    @property
    def len(self) -> int:
        """Its length in bytes."""
        return len(self.getvalue())

    @property
    def pos(self) -> int:
        """Where the next read begins."""
        return int(self.tell())


def string_io_module() -> Any:
    """`StringIO` and `cStringIO`."""
    return new_module("StringIO", StringIO=StringIO, InputType=StringIO, OutputType=StringIO)
