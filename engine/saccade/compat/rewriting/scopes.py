"""Which names a scope has, and where they are set."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def in_scope(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope, without those of scopes inside."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, SCOPES):
            yield from in_scope(child)


def outside_comprehensions(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope, without those of scopes and comprehensions inside."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, (*SCOPES, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            continue
        yield child
        yield from outside_comprehensions(child)


def bound_names(tree: ast.AST) -> frozenset[str]:
    """Names that a source gives a meaning of its own somewhere."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return frozenset(found)


def globals_of(function: ast.AST) -> Iterable[ast.Global]:
    """Its `global` statements."""
    return (node for node in in_scope(function) if isinstance(node, ast.Global))


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Constants that are nothing but documentation."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def insert_first(function: ast.FunctionDef, statement: ast.stmt) -> None:
    """Put a statement before all that a function does; its docstring stays what it is."""
    function.body.insert(ast.get_docstring(function, clean=False) is not None, statement)
