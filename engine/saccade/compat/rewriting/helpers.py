"""Calls of the helpers: built-in names of rewritten code, which do at run time what Python 2.7 did."""

from __future__ import annotations

import ast
from typing import Any

Changes = dict[str, list[int]]
"""What was rewritten, by kind, with the lines."""

_NAMES = """attribute attribute_place bytes call caught chain class compare contours decode encode exec format
    instance item item_place iterate join load lookup operate operate_in_place operate_on_attribute operate_on_item
    print raised repr set_item slice star str to_bytes type unicode import_module"""
HELPERS = {name: f"__saccade_{name}__" for name in _NAMES.split()}
"""Names of the helpers as rewritten code calls them."""


def helper_call(name: str, where: Any, *arguments: ast.expr) -> ast.Call:
    """A call of a helper, at the place of `where`."""
    return ast.copy_location(ast.Call(ast.Name(HELPERS[name], ast.Load()), list(arguments), []), where)


def is_inert(node: ast.expr) -> bool:
    """True for what may be worked out at any time: it runs nothing and fails nowhere."""
    return isinstance(node, (ast.Constant, ast.Name)) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
    )


def key_of(node: ast.expr) -> ast.expr:
    """An index as an expression of its own."""
    if isinstance(node, ast.Slice):
        parts = [part or ast.Constant(None) for part in (node.lower, node.upper, node.step)]
        return helper_call("slice", node, *parts)
    if isinstance(node, ast.Tuple):
        return ast.copy_location(ast.Tuple([key_of(part) for part in node.elts], ast.Load()), node)
    return node
