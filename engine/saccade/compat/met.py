"""The errors that a script met, those included that it caught: the first says what went wrong, the last what followed.

The clauses of the script's own `except` tell of what they catch; nothing else of the process is touched.
"""

from __future__ import annotations

import ast
import sys
import threading
import traceback
from collections.abc import Callable

from saccade.errors import SaccadeError

MET = "__saccade_met__"
"""Name of the built-in that each `except` clause of a script calls first."""


class MetErrors:
    """Remembers, in words, what the script caught.

    owns : whether a file belongs to the script. count : errors caught so far. last : the last of them.
    """

    def __init__(self, owns: Callable[[str], bool]) -> None:
        self._owns = owns
        self._lock = threading.Lock()
        self.count = 0
        self.last = ""

    def caught(self) -> None:
        """Called by each `except` clause of the script."""
        error = sys.exc_info()[1]
        if not isinstance(error, Exception):
            return
        text = self.describe(error)
        with self._lock:
            self.count += 1
            self.last = text

    def describe(self, error: BaseException) -> str:
        """One line: the first error, and the one that followed from the script's handling of it."""
        errors = self._chain(error)
        text = self._one(errors[0])
        if len(errors) > 1:
            text += f"; while that was handled: {self._one(errors[-1])}"
        return text

    def _chain(self, error: BaseException) -> list[BaseException]:
        """The errors that the script itself met, first to last; how libraries came to theirs is their affair."""
        found = [error]
        seen = {id(error)}
        while not isinstance(error, SaccadeError):
            before = error.__cause__ or error.__context__
            if before is None or id(before) in seen:
                break
            seen.add(id(before))
            error = before
            if isinstance(error, Exception) and self._line(error)[0]:
                found.append(error)
        return found[::-1]

    def _line(self, error: BaseException) -> tuple[str, int]:
        """File and line of the script where an error passed last; an empty name where it never did."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if self._owns(frame.filename)]
        return (frames[-1].filename, frames[-1].lineno or 0) if frames else ("", 0)

    def _one(self, error: BaseException) -> str:
        first = (str(error).splitlines() or [""])[0]
        if isinstance(error, SaccadeError):
            return first
        if isinstance(error, ModuleNotFoundError) and ";" not in first:
            first += "; install it into this Python, or lay it beside the script"
        file, line = self._line(error)
        where = f"{file}, line {line}: " if file else ""
        return f"{where}{type(error).__name__}: {first}"


def tell_of_errors(tree: ast.Module) -> ast.Module:
    """Let every `except` clause call `MET` first."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            call = ast.Expr(ast.Call(ast.Name(MET, ast.Load()), [], []))
            node.body.insert(0, ast.copy_location(call, node.body[0]))
    return ast.fix_missing_locations(tree)
