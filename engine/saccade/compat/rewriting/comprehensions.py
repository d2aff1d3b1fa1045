"""Variables of list comprehensions, which were no scope of their own."""

from __future__ import annotations

import ast
import copy

from saccade.compat.rewriting.helpers import Changes
from saccade.compat.rewriting.scopes import in_scope, outside_comprehensions


class LeakingLists(ast.NodeTransformer):
    """Lets the variables of list comprehensions outlive them, where something reads them."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._read: set[str] = set()
        self._in_iterable = 0

    def scope(self, tree: ast.AST) -> None:
        """Rewrite a module or function, then the functions inside."""
        self._read = {
            node.id
            for node in outside_comprehensions(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        inner = [node for node in in_scope(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        self.generic_visit(tree)
        for node in inner:
            if isinstance(node, ast.ClassDef):
                for method in (n for n in in_scope(node) if isinstance(n, ast.FunctionDef)):
                    LeakingLists(self._changes).scope(method)
            else:
                LeakingLists(self._changes).scope(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    visit_ClassDef = visit_Lambda = visit_FunctionDef  # type: ignore[assignment]

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self._in_iterable += 1
        node.iter = self.visit(node.iter)
        self._in_iterable -= 1
        node.ifs = [self.visit(test) for test in node.ifs]
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self.generic_visit(node)
        names = [
            n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name) and n.id in self._read
        ]
        if not names or self._in_iterable:
            return node
        self._changes.setdefault("variables that outlive a list", []).append(node.lineno)
        for generator in node.generators:
            own = [n for n in ast.walk(generator.target) if isinstance(n, ast.Name) and n.id in names]
            kept = [ast.NamedExpr(ast.Name(n.id, ast.Store()), ast.Name(f"__saccade_{n.id}", ast.Load())) for n in own]
            generator.target = copy.deepcopy(generator.target)
            for n in ast.walk(generator.target):
                if isinstance(n, ast.Name) and n.id in names:
                    n.id = f"__saccade_{n.id}"
            if kept:
                generator.ifs.insert(0, ast.copy_location(ast.List(list(kept), ast.Load()), node))
        return node


class ClassLists(ast.NodeTransformer):
    """Hands list comprehensions of a class body the names of the class that they read: they were no scope of theirs."""

    def __init__(self, node: ast.ClassDef) -> None:
        self._class = node
        self._own = {
            name.id for name in in_scope(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        } | {each.name for each in in_scope(node) if isinstance(each, (ast.FunctionDef, ast.ClassDef))}

    def run(self) -> None:
        """Rewrite the class body."""
        self._class.body = [self.visit(statement) for statement in self._class.body]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.args.defaults = [self.visit(default) for default in node.args.defaults]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    visit_Lambda = visit_GeneratorExp = visit_ClassDef  # type: ignore[assignment]

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
        bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        read = sorted({name.id for name in names if name.id in self._own} - bound)
        if not read:
            return node
        taken = ast.arguments(
            posonlyargs=[], args=[ast.arg(name) for name in read], kwonlyargs=[], kw_defaults=[], defaults=[]
        )
        given: list[ast.expr] = [ast.Name(name, ast.Load()) for name in read]
        return ast.copy_location(ast.Call(ast.Lambda(taken, node), given, []), node)
