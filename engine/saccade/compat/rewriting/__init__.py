"""What Python 2.7 meant, written in the syntax tree so that Python 3 does it.

Operators, calls and attributes become calls of the helpers in `HELPERS`, which are built-in names of a script's code
only (`old_python.script_builtins`). `common` is for scripts of either Python, `old` for those of 2.7; `comprehensions`
and `functions` see to names that another scope had then, and `scopes` finds them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from saccade.compat.rewriting.common import CommonRewriter
from saccade.compat.rewriting.comprehensions import LeakingLists
from saccade.compat.rewriting.helpers import HELPERS, Changes
from saccade.compat.rewriting.old import OldRewriter

__all__ = ["HELPERS", "rewritten"]


def rewritten(tree: ast.Module, version: int, constants: Callable[[str], str], changes: Changes) -> ast.Module:
    """The tree of a script. version : 2 or 3. changes : filled with what was changed, by kind, with the lines."""
    future = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    }
    tree.body = [
        node
        for node in tree.body
        if version == 3 or not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    ]
    rewriter: ast.NodeTransformer
    if version == 3:
        rewriter = CommonRewriter(constants, changes)
    else:
        LeakingLists(changes).scope(tree)
        rewriter = OldRewriter(tree, constants, changes, future)
    made: ast.Module = rewriter.visit(tree)
    return ast.fix_missing_locations(made)
