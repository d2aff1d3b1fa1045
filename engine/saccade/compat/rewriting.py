"""What Python 2.7 meant, written in the syntax tree so that Python 3 does it.

Operators, calls and attributes become calls of the helpers in `HELPERS`, which are built-in names of a script's code
only (`old_python.script_builtins`).
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from saccade.compat.old_calls import OLD_ATTRIBUTES

Changes = dict[str, list[int]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HELPERS = {
    name: f"__saccade_{name}__"
    for name in _words(
        """attribute attribute_place bytes call caught chain class compare contours decode encode exec format
    instance item item_place iterate join load lookup operate operate_in_place operate_on_attribute operate_on_item
    print raised repr set_item star str to_bytes type unicode import_module"""
    )
}
"""Names of the helpers as rewritten code calls them."""

_PLAIN_CALLS = _words(
    """abs all any bool callable chr cmp compile dir enumerate eval exec execfile float getattr globals hasattr hash id
    int isinstance issubclass iter len locals long max min open ord range setattr sorted sum super vars xrange zip"""
)
"""Built-ins whose result is as it was, or that look at who calls them."""


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
        rewriter = _Common(constants, changes)
    else:
        _Leaking(changes).scope(tree)
        rewriter = _Old(tree, constants, changes, future)
    made: ast.Module = rewriter.visit(tree)
    return ast.fix_missing_locations(made)


def _call(name: str, where: Any, *arguments: ast.expr) -> ast.Call:
    return ast.copy_location(ast.Call(ast.Name(HELPERS[name], ast.Load()), list(arguments), []), where)


def _is_inert(node: ast.expr) -> bool:
    """True for what may be worked out at any time: it runs nothing and fails nowhere."""
    return isinstance(node, (ast.Constant, ast.Name)) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
    )


def _chain(signs: list[str], operands: list[ast.expr]) -> ast.expr:
    """`a < b < c`, where `c` is worked out only if `a < b`."""
    links: list[ast.expr] = []
    left = operands[0]
    for i, (sign, right) in enumerate(zip(signs, operands[1:], strict=True)):
        between = f"__saccade_between_{i}__"
        given = right if i == len(signs) - 1 else ast.NamedExpr(ast.Name(between, ast.Store()), right)
        links.append(_call("compare", right, ast.Constant(sign), left, given))
        left = ast.Name(between, ast.Load())
    return ast.BoolOp(ast.And(), links)


def _chain_in_lambdas(signs: list[str], operands: list[ast.expr]) -> ast.expr:
    """The same in a comprehension, where names cannot be set everywhere."""
    left, right, *others = operands
    if not others:
        return _call("compare", right, ast.Constant(signs[0]), left, right)
    names = ["__saccade_left__", "__saccade_right__"]
    one, two = (ast.Name(name, ast.Load()) for name in names)
    both = [_call("compare", right, ast.Constant(signs[0]), one, two), _chain_in_lambdas(signs[1:], [two, *others])]
    taken = ast.arguments(
        posonlyargs=[], args=[ast.arg(name) for name in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    return ast.Call(ast.Lambda(taken, ast.BoolOp(ast.And(), both)), [left, right], [])


def _is_value(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float, str))
        and not isinstance(node.value, bool)
    )


class _Common(ast.NodeTransformer):
    """What scripts of either Python need."""

    _division = "TrueDiv"

    def __init__(self, constants: Callable[[str], str], changes: Changes) -> None:
        self._constants, self._changes = constants, changes
        self._classes: list[str] = []

    def _note(self, kind: str, node: ast.AST) -> None:
        self._changes.setdefault(kind, []).append(getattr(node, "lineno", 0))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            value = self._constants(node.value)
            if value != node.value:
                self._note("paths of the device", node)
                return ast.copy_location(ast.Constant(value), node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        sign = self._sign(node)
        if isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant) and sign not in ("Div", "Mod"):
            return node
        return _call("operate", node, ast.Constant(sign), node.left, node.right)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        target, sign = node.target, ast.Constant(self._sign(node))
        if isinstance(target, ast.Name):
            value = _call("operate_in_place", node, sign, ast.Name(target.id, ast.Load()), node.value)
            return ast.copy_location(ast.Assign([target], value), node)
        # What stands there is looked at before the other side is worked out.
        if isinstance(target, ast.Attribute):
            place = _call("attribute_place", node, target.value, ast.Constant(self._mangled(target.attr)))
            made = _call("operate_on_attribute", node, sign, place, node.value)
        else:
            place = _call("item_place", node, target.value, _key(target.slice))
            made = _call("operate_on_item", node, sign, place, node.value)
        return ast.copy_location(ast.Expr(made), node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._classes.append(node.name.lstrip("_"))
        self.generic_visit(node)
        self._classes.pop()
        return node

    def _mangled(self, name: str) -> str:
        """An attribute's name as the compiler has it: private ones of a class begin with the name of that."""
        is_private = name.startswith("__") and not name.endswith("__")
        return f"_{self._classes[-1]}{name}" if is_private and self._classes and self._classes[-1] else name

    def _sign(self, node: ast.BinOp | ast.AugAssign) -> str:
        """Name of an operator; Div is the division that floors integers."""
        if not isinstance(node.op, ast.Div):
            return type(node.op).__name__
        if self._division == "Div":
            self._note("division of integers", node)
        return self._division

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        swap: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Is: ast.Eq, ast.IsNot: ast.NotEq}
        operands = [node.left, *node.comparators]
        for i, operator in enumerate(node.ops):
            # Identity with a number or text happened to work for small ones only.
            if type(operator) in swap and any(_is_value(side) for side in operands[i : i + 2]):
                node.ops[i] = swap[type(operator)]()
                self._note("`is` between values", node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        # Python 3.7 was there with OpenCV 3 as well.
        contours = _finds_contours(node.value)
        self.generic_visit(node)
        target = node.targets[0]
        if contours and isinstance(target, (ast.Tuple, ast.List)) and len(target.elts) == 3:
            self._note("three results of findContours", node)
            node.value = _call("contours", node, node.value)
        if len(node.targets) == 1 and isinstance(target, ast.Subscript):
            # In the order in which Python works out the three.
            put = _call("set_item", node, node.value, target.value, _key(target.slice))
            return ast.copy_location(ast.Expr(put), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute):
            return node
        if node.func.attr == "tostring" and not (node.args or node.keywords):
            return _call("to_bytes", node, node.func.value)
        root = node.func.value
        if isinstance(root, ast.Name) and root.id in ("np", "numpy") and type(self) is _Common:
            helper = _call("call", node, node.func, *node.args)
            helper.keywords = node.keywords
            return helper
        return node


def _finds_contours(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "findContours"


_ORDERING = {ast.Lt: "Lt", ast.LtE: "LtE", ast.Gt: "Gt", ast.GtE: "GtE"}


class _Old(_Common):
    """What scripts of Python 2.7 need."""

    def __init__(self, tree: ast.Module, constants: Callable[[str], str], changes: Changes, future: set[str]) -> None:
        super().__init__(constants, changes)
        self._division = "TrueDiv" if "division" in future else "Div"
        self._printing = "print_function" not in future
        self._bound = _bound(tree)
        self._errors: set[str] = set()
        self._functions = 0
        self._comprehensions = 0
        self._docs = {id(node) for node in _docstrings(tree)}

    # Values

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, str) or id(node) in self._docs:
            return node
        made = super().visit_Constant(node)
        assert isinstance(made, ast.Constant)
        value = made.value
        assert isinstance(value, str)
        if node.kind == "u":
            return _call("unicode", node, ast.Constant(value)) if value.isascii() else made
        if not value.isascii():
            try:
                return _call("bytes", node, ast.Constant(value.encode("latin-1")))
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
            return _call("compare", node, ast.Constant(signs[0]), *operands)
        if all(_is_inert(operand) for operand in operands[2:]):
            return _call("chain", node, ast.Tuple([ast.Constant(sign) for sign in signs], ast.Load()), *operands)
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
            return _call("attribute", node, node.value, ast.Constant(node.attr))
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        value = node.value
        if isinstance(node.ctx, ast.Load) and isinstance(value, ast.Name) and value.id in self._errors:
            return _call("item", node, value, _key(node.slice))
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
                return _call(name, node, *node.args)
            if name in _PLAIN_CALLS or name.startswith("__saccade_"):
                return node
        if isinstance(function, ast.Attribute) and function.attr in ("encode", "decode", "format", "join"):
            helper = _call(function.attr, node, function.value, *node.args)
            helper.keywords = node.keywords
            return helper
        helper = _call("call", node, function, *node.args)
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
        if isinstance(target, (ast.Tuple, ast.List)) and len(target.elts) == 2 and _finds_contours(node.value):
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
            made.value = _call("iterate", node, made.value)
        return made

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = _call("iterate", node.iter, node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.iter = _call("iterate", node.iter, node.iter)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self.generic_visit(node)
        if node.exc is not None:
            node.exc = _call("raised", node.exc, node.exc)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            self._errors.add(node.name)
        self.generic_visit(node)
        if node.type is not None:
            node.type = _call("caught", node.type, node.type)
        if node.name:
            # In Python 2 the name outlives the clause.
            value = _call("instance", node, ast.Name("__saccade_error__", ast.Load()))
            keep = ast.Assign([ast.Name(node.name, ast.Store())], value)
            node.name = "__saccade_error__"
            node.body.insert(0, ast.copy_location(keep, node.body[0]))
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        _ListsOfClass(node).run()
        super().visit_ClassDef(node)
        node.decorator_list.insert(0, ast.copy_location(ast.Name(HELPERS["class"], ast.Load()), node))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        executes = [call for call in _in_scope(node) if _is_bare_exec(call)]
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1
        names = sorted({name for statement in _globals(node) for name in statement.names})
        if executes:
            self._note("names that exec sets in a function", executes[0])
            _Executing(node).run()
        if names:
            # Python 2 took `global` after the first use of a name; Python 3 wants it before.
            first = ast.copy_location(ast.Global(names), node.body[0])
            _insert_first(node, first)
            _DropGlobals(node, first).visit(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if not self._functions or node.names[0].name != "*" or node.level:
            return node
        # Python 3 takes `import *` outside of functions only.
        self._note("import * in a function", node)
        return ast.copy_location(ast.Expr(_call("star", node, ast.Constant(node.module))), node)

    def visit_Import(self, node: ast.Import) -> Any:
        made: list[ast.stmt] = []
        for alias in node.names:
            if alias.asname and "." in alias.name:
                value = _call("import_module", node, ast.Constant(alias.name))
                made.append(ast.copy_location(ast.Assign([ast.Name(alias.asname, ast.Store())], value), node))
            else:
                made.append(ast.copy_location(ast.Import([alias]), node))
        return made


def _prints(node: ast.Expr, call: ast.Call) -> list[ast.stmt]:
    """A print statement as it was carried out: the stream first, then each value was worked out and printed."""
    values, named = call.args, {keyword.arg: keyword.value for keyword in call.keywords}
    if all(_is_inert(value) for value in (values[1:] if "file" not in named else values)) or any(
        isinstance(value, ast.Starred) for value in values
    ):
        return [node]
    made: list[ast.stmt] = []
    stream = named.get("file")
    if stream is not None and not _is_inert(stream):
        made.append(ast.Assign([ast.Name("__saccade_stream__", ast.Store())], stream))
        named["file"] = ast.Name("__saccade_stream__", ast.Load())
    for value in values:
        own = named if value is values[-1] else {**named, "end": ast.Constant(" ")}
        keywords = [ast.keyword(name, copy.deepcopy(given)) for name, given in own.items()]
        made.append(ast.Expr(ast.copy_location(ast.Call(call.func, [value], keywords), call)))
    return [ast.copy_location(each, node) for each in made]


def _key(node: ast.expr) -> ast.expr:
    """An index as an expression of its own."""
    if isinstance(node, ast.Slice):
        parts = [part or ast.Constant(None) for part in (node.lower, node.upper, node.step)]
        return ast.copy_location(ast.Call(ast.Name("slice", ast.Load()), parts, []), node)
    if isinstance(node, ast.Tuple):
        return ast.copy_location(ast.Tuple([_key(part) for part in node.elts], ast.Load()), node)
    return node


def _bound(tree: ast.AST) -> frozenset[str]:
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


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def _insert_first(function: ast.FunctionDef, statement: ast.stmt) -> None:
    """Put a statement before all that a function does; its docstring stays what it is."""
    function.body.insert(ast.get_docstring(function, clean=False) is not None, statement)


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def _in_scope(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope, without those of scopes inside."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _in_scope(child)


class _DropGlobals(ast.NodeTransformer):
    """Removes the `global` statements of a function but one, not those of functions inside."""

    def __init__(self, function: ast.FunctionDef, first: ast.Global) -> None:
        self._function, self._first = function, first

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self.generic_visit(node) if node is self._function else node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return node if node is self._first else ast.copy_location(ast.Pass(), node)


def _globals(function: ast.AST) -> Iterable[ast.Global]:
    return (node for node in _in_scope(function) if isinstance(node, ast.Global))


# Names that exec sets in a function


def _is_bare_exec(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and (node.func.id == "execfile" or node.func.id == "exec")
        and len(node.args) == 1
        and not node.keywords
    )


class _Executing(ast.NodeTransformer):
    """A function with `exec CODE`: CODE sees and sets the function's names."""

    _STORE = "__saccade_names__"

    def __init__(self, function: ast.FunctionDef) -> None:
        self._function = function
        arguments = function.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        names = {argument.arg for argument in given}
        names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
        declared = {name for statement in _globals(function) for name in statement.names}
        for node in _in_scope(function):
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
        _insert_first(function, ast.copy_location(store, function.body[0]))

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
        return _call("lookup", node, ast.Constant(node.id), ast.Name(self._STORE, ast.Load()))

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if not _is_bare_exec(node.value):
            return self.generic_visit(node)
        assert isinstance(node.value, ast.Call)
        code = self.visit(node.value.args[0])
        assert isinstance(node.value.func, ast.Name)
        store = ast.Name(self._STORE, ast.Load())
        run = _call("exec", node, ast.Constant(node.value.func.id), code, store)
        lines: list[ast.stmt] = [ast.Expr(run)]
        for name in self._names:
            held = ast.Compare(ast.Constant(name), [ast.In()], [store])
            value = ast.Subscript(store, ast.Constant(name), ast.Load())
            lines.append(ast.If(held, [ast.Assign([ast.Name(name, ast.Store())], value)], []))
        return ast.copy_location(ast.If(ast.Constant(True), lines, []), node)


# Variables of list comprehensions


class _Leaking(ast.NodeTransformer):
    """Lets the variables of list comprehensions outlive them, where something reads them."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._read: set[str] = set()
        self._in_iterable = 0

    def scope(self, tree: ast.AST) -> None:
        """Rewrite a module or function, then the functions inside."""
        self._read = {
            node.id
            for node in _outside_comprehensions(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        inner = [node for node in _in_scope(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        self.generic_visit(tree)
        for node in inner:
            if isinstance(node, ast.ClassDef):
                for method in (n for n in _in_scope(node) if isinstance(n, ast.FunctionDef)):
                    _Leaking(self._changes).scope(method)
            else:
                _Leaking(self._changes).scope(node)

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


class _ListsOfClass(ast.NodeTransformer):
    """Hands list comprehensions of a class body the names of the class that they read: they were no scope of theirs."""

    def __init__(self, node: ast.ClassDef) -> None:
        self._class = node
        self._own = {
            name.id for name in _in_scope(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        } | {each.name for each in _in_scope(node) if isinstance(each, (ast.FunctionDef, ast.ClassDef))}

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


def _outside_comprehensions(scope: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, (*_SCOPES, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            continue
        yield child
        yield from _outside_comprehensions(child)
