"""What scripts of Python 2.7 need."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from typing import Any

from saccade.compat.old_calls import OLD_ATTRIBUTES
from saccade.compat.rewriting.common import CommonRewriter, finds_contours
from saccade.compat.rewriting.comprehensions import ClassLists
from saccade.compat.rewriting.functions import DropGlobals, Executing, is_bare_exec
from saccade.compat.rewriting.helpers import HELPERS, Changes, helper_call, is_inert, key_of
from saccade.compat.rewriting.scopes import bound_names, docstrings, globals_of, in_scope, insert_first

_PLAIN = """abs all any bool callable chr cmp compile dir enumerate eval exec execfile float getattr globals hasattr
    hash id int isinstance issubclass iter len locals long max min open ord range setattr sorted sum super vars xrange
    zip"""
_PLAIN_CALLS = frozenset(_PLAIN.split())
"""Built-ins whose result is as it was, or that look at who calls them."""
_ORDERING = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class OldRewriter(CommonRewriter):
    """What scripts of Python 2.7 need."""

    def __init__(self, tree: ast.Module, constants: Callable[[str], str], changes: Changes, future: set[str]) -> None:
        super().__init__(constants, changes)
        self._division = "TrueDiv" if "division" in future else "Div"
        self._printing = "print_function" not in future
        self._bound = bound_names(tree)
        self._errors: set[str] = set()
        self._functions = 0
        self._comprehensions = 0
        self._docs = {id(node) for node in docstrings(tree)}

    # Values

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, str) or id(node) in self._docs:
            return node
        made = super().visit_Constant(node)
        assert isinstance(made, ast.Constant)
        value = made.value
        assert isinstance(value, str)
        if node.kind == "u":
            return helper_call("unicode", node, ast.Constant(value)) if value.isascii() else made
        if not value.isascii():
            try:
                return helper_call("bytes", node, ast.Constant(value.encode("latin-1")))
            except UnicodeEncodeError:
                return made  # a path of this machine
        return made

    # Operators

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        made = super().visit_Compare(node)
        assert isinstance(made, ast.Compare)
        signs = [type(operator).__name__ for operator in made.ops]
        operands = [made.left, *made.comparators]
        if not any(type(operator) in _ORDERING for operator in made.ops) and signs not in (["In"], ["NotIn"]):
            return made
        if len(signs) == 1:
            return helper_call("compare", node, ast.Constant(signs[0]), *operands)
        if all(is_inert(operand) for operand in operands[2:]):
            return helper_call("chain", node, ast.Tuple([ast.Constant(sign) for sign in signs], ast.Load()), *operands)
        return ast.copy_location((_chain_in_lambdas if self._comprehensions else _chain)(signs, operands), node)

    def _visit_comprehension_expression(self, node: ast.AST) -> ast.AST:
        self._comprehensions += 1
        self.generic_visit(node)
        self._comprehensions -= 1
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension_expression

    # Names, calls

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and node.attr in OLD_ATTRIBUTES:
            return helper_call("attribute", node, node.value, ast.Constant(node.attr))
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        value = node.value
        if isinstance(node.ctx, ast.Load) and isinstance(value, ast.Name) and value.id in self._errors:
            return helper_call("item", node, value, key_of(node.slice))
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        made = super().visit_Call(node)
        if made is not node:
            return made
        function = node.func
        if isinstance(function, ast.Name):
            name = function.id
            if name == "print" and name not in self._bound:
                return self._print(node)
            if name in ("str", "repr", "type") and name not in self._bound and len(node.args) < 2 and not node.keywords:
                return helper_call(name, node, *node.args)
            if name in _PLAIN_CALLS or name.startswith("__saccade_"):
                return node
        if isinstance(function, ast.Attribute) and function.attr in ("encode", "decode", "format", "join"):
            helper = helper_call(function.attr, node, function.value, *node.args)
            helper.keywords = node.keywords
            return helper
        helper = helper_call("call", node, function, *node.args)
        helper.keywords = node.keywords
        return helper

    def _print(self, node: ast.Call) -> ast.AST:
        if self._printing:
            node.func = ast.copy_location(ast.Name(HELPERS["print"], ast.Load()), node)
        return node

    # Statements

    def visit_Expr(self, node: ast.Expr) -> Any:
        call = node.value
        is_print = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
        if not is_print or not self._printing or "print" in self._bound:
            return self.generic_visit(node)
        assert isinstance(call, ast.Call)
        return [self.generic_visit(each) for each in _prints(node, call)]

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        target = node.targets[0]
        if isinstance(target, (ast.Tuple, ast.List)) and len(target.elts) == 2 and finds_contours(node.value):
            # Written for OpenCV 2 or 4.
            last_two = ast.Slice(ast.UnaryOp(ast.USub(), ast.Constant(2)))
            node.value = ast.copy_location(ast.Subscript(node.value, last_two, ast.Load()), node.value)
        made = super().visit_Assign(node)
        if (
            isinstance(made, ast.Assign)
            and isinstance(target, (ast.Tuple, ast.List))
            and isinstance(made.value, ast.Name)
            and made.value.id in self._errors
        ):
            made.value = helper_call("iterate", node, made.value)
        return made

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = helper_call("iterate", node.iter, node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.iter = helper_call("iterate", node.iter, node.iter)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self.generic_visit(node)
        if node.exc is not None:
            node.exc = helper_call("raised", node.exc, node.exc)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            self._errors.add(node.name)
        self.generic_visit(node)
        if node.type is not None:
            node.type = helper_call("caught", node.type, node.type)
        if node.name:
            # In Python 2 the name outlives the clause.
            value = helper_call("instance", node, ast.Name("__saccade_error__", ast.Load()))
            keep = ast.Assign([ast.Name(node.name, ast.Store())], value)
            node.name = "__saccade_error__"
            node.body.insert(0, ast.copy_location(keep, node.body[0]))
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        ClassLists(node).run()
        super().visit_ClassDef(node)
        node.decorator_list.insert(0, ast.copy_location(ast.Name(HELPERS["class"], ast.Load()), node))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        executes = [call for call in in_scope(node) if is_bare_exec(call)]
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1
        names = sorted({name for statement in globals_of(node) for name in statement.names})
        if executes:
            self._note("names that exec sets in a function", executes[0])
            Executing(node).run()
        if names:
            # Python 2 took `global` after the first use of a name; Python 3 wants it before.
            first = ast.copy_location(ast.Global(names), node.body[0])
            insert_first(node, first)
            DropGlobals(node, first).visit(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if not self._functions or node.names[0].name != "*" or node.level:
            return node
        # Python 3 takes `import *` outside of functions only.
        self._note("import * in a function", node)
        return ast.copy_location(ast.Expr(helper_call("star", node, ast.Constant(node.module))), node)

    def visit_Import(self, node: ast.Import) -> Any:
        made: list[ast.stmt] = []
        for alias in node.names:
            if alias.asname and "." in alias.name:
                value = helper_call("import_module", node, ast.Constant(alias.name))
                made.append(ast.copy_location(ast.Assign([ast.Name(alias.asname, ast.Store())], value), node))
            else:
                made.append(ast.copy_location(ast.Import([alias]), node))
        return made


def _chain(signs: list[str], operands: list[ast.expr]) -> ast.expr:
    """`a < b < c`, where `c` is worked out only if `a < b`."""
    links: list[ast.expr] = []
    left = operands[0]
    for i, (sign, right) in enumerate(zip(signs, operands[1:], strict=True)):
        between = f"__saccade_between_{i}__"
        given = right if i == len(signs) - 1 else ast.NamedExpr(ast.Name(between, ast.Store()), right)
        links.append(helper_call("compare", right, ast.Constant(sign), left, given))
        left = ast.Name(between, ast.Load())
    return ast.BoolOp(ast.And(), links)


def _chain_in_lambdas(signs: list[str], operands: list[ast.expr]) -> ast.expr:
    """The same in a comprehension, where names cannot be set everywhere."""
    left, right, *others = operands
    if not others:
        return helper_call("compare", right, ast.Constant(signs[0]), left, right)
    names = ["__saccade_left__", "__saccade_right__"]
    one, two = (ast.Name(name, ast.Load()) for name in names)
    both = [
        helper_call("compare", right, ast.Constant(signs[0]), one, two),
        _chain_in_lambdas(signs[1:], [two, *others]),
    ]
    taken = ast.arguments(
        posonlyargs=[], args=[ast.arg(name) for name in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    return ast.Call(ast.Lambda(taken, ast.BoolOp(ast.And(), both)), [left, right], [])


def _prints(node: ast.Expr, call: ast.Call) -> list[ast.stmt]:
    """A print statement as it was carried out: the stream first, then each value was worked out and printed."""
    values, named = call.args, {keyword.arg: keyword.value for keyword in call.keywords}
    if all(is_inert(value) for value in (values[1:] if "file" not in named else values)) or any(
        isinstance(value, ast.Starred) for value in values
    ):
        return [node]
    made: list[ast.stmt] = []
    stream = named.get("file")
    if stream is not None and not is_inert(stream):
        made.append(ast.Assign([ast.Name("__saccade_stream__", ast.Store())], stream))
        named["file"] = ast.Name("__saccade_stream__", ast.Load())
    for value in values:
        own = named if value is values[-1] else {**named, "end": ast.Constant(" ")}
        keywords = [ast.keyword(name, copy.deepcopy(given)) for name, given in own.items()]
        made.append(ast.Expr(ast.copy_location(ast.Call(call.func, [value], keywords), call)))
    return [ast.copy_location(each, node) for each in made]
