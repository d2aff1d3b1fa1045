"""Names of a function that `exec` sets, or that it declares `global` late."""

from __future__ import annotations

import ast

from saccade.compat.rewriting.helpers import helper_call
from saccade.compat.rewriting.scopes import globals_of, in_scope, insert_first


def is_bare_exec(node: ast.AST) -> bool:
    """True for `exec CODE` and `execfile(FILE)`, whose names are those of where they stand."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("exec", "execfile")
        and len(node.args) == 1
        and not node.keywords
    )


class Executing(ast.NodeTransformer):
    """A function with `exec CODE`: CODE sees and sets the function's names."""

    _STORE = "__saccade_names__"

    def __init__(self, function: ast.FunctionDef) -> None:
        self._function = function
        arguments = function.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        names = {argument.arg for argument in given}
        names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
        declared = {name for statement in globals_of(function) for name in statement.names}
        for node in in_scope(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.alias):
                names.add((node.asname or node.name).partition(".")[0])
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
        self._names = sorted(names - declared)

    def run(self) -> None:
        """Rewrite the function."""
        function = self._function
        function.body = [self._statement(node) for node in function.body]
        store = ast.Assign([ast.Name(self._STORE, ast.Store())], ast.Dict([], []))
        insert_first(function, ast.copy_location(store, function.body[0]))

    def _statement(self, node: ast.stmt) -> ast.stmt:
        made = self.visit(node)
        assert isinstance(made, ast.stmt)
        return made

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    visit_ClassDef = visit_Lambda = visit_FunctionDef  # type: ignore[assignment]

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not isinstance(node.ctx, ast.Load) or node.id in self._names or node.id.startswith("__saccade"):
            return node
        if node.id in ("exec", "execfile", "locals", "globals"):
            return node
        return helper_call("lookup", node, ast.Constant(node.id), ast.Name(self._STORE, ast.Load()))

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if not is_bare_exec(node.value):
            return self.generic_visit(node)
        assert isinstance(node.value, ast.Call)
        code = self.visit(node.value.args[0])
        assert isinstance(node.value.func, ast.Name)
        store = ast.Name(self._STORE, ast.Load())
        run = helper_call("exec", node, ast.Constant(node.value.func.id), code, store)
        lines: list[ast.stmt] = [ast.Expr(run)]
        for name in self._names:
            held = ast.Compare(ast.Constant(name), [ast.In()], [store])
            value = ast.Subscript(store, ast.Constant(name), ast.Load())
            lines.append(ast.If(held, [ast.Assign([ast.Name(name, ast.Store())], value)], []))
        return ast.copy_location(ast.If(ast.Constant(True), lines, []), node)


class DropGlobals(ast.NodeTransformer):
    """Removes the `global` statements of a function but one, not those of functions inside."""

    def __init__(self, function: ast.FunctionDef, first: ast.Global) -> None:
        self._function, self._first = function, first

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self.generic_visit(node) if node is self._function else node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return node if node is self._first else ast.copy_location(ast.Pass(), node)
