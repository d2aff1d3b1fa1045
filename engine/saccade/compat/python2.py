"""Python 2.7 sources made runnable: syntax by 2to3's fixers, semantics by a few rewrites of the syntax tree.

2to3 has left the standard library with Python 3.13; `fissix` is its maintained copy. Only fixers for syntax and methods
are used: names and modules that are gone are given back at run time (`saccade.compat.adaptations`), so that a source
that Python 3 can parse is treated the same way as one that it cannot.
"""

from __future__ import annotations

import ast
import io
import logging
import re
import tokenize
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from saccade.errors import ConfigError

Version = Literal["auto", "2", "3"]

DIVIDE, DIVIDE_IN_PLACE, TO_BYTES, ENCODE, DECODE, CONTOURS, COMPARE, MESSAGE = (
    "__saccade_divide__", "__saccade_divide_in_place__", "__saccade_tobytes__", "__saccade_encode__",
    "__saccade_decode__", "__saccade_contours__", "__saccade_compare__", "__saccade_message__",
)  # fmt: skip
"""Names of the run-time helpers that rewritten code calls; `adaptations` provides them."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FIXERS = sorted(
    _words(
        """apply dict except exec funcattrs has_key isinstance metaclass methodattrs ne next nonzero numliterals paren
        print raise repr sys_exc throw tuple_params xreadlines"""
    )
)
_OLD_NAMES = _words(
    "apply basestring buffer cmp coerce execfile intern long raw_input reduce reload unichr unicode xrange"
)
_OLD_METHODS = _words("has_key iteritems iterkeys itervalues viewitems viewkeys viewvalues")
_OLD_MODULES = _words(
    """BaseHTTPServer ConfigParser Cookie HTMLParser Queue SimpleHTTPServer SocketServer StringIO __builtin__ cPickle
    cStringIO commands cookielib httplib md5 sha thread urllib2 urlparse xmlrpclib"""
)
_OLD_URLLIB = _words("quote quote_plus unquote unquote_plus urlencode urlopen urlretrieve URLopener")
_NEW_MODULES = _words("queue configparser http urllib.request urllib.parse urllib.error pathlib asyncio dataclasses")


_THREAD_NAMES = _words("_stop _started _target _args _kwargs _name _ident _handle _delete _tstate_lock _is_stopped")
"""Attributes of today's Thread, which scripts use as their own: Python 2 had hidden names for its."""


@dataclass(slots=True)
class Converted:
    """A script that Python 3 can run.

    tree : the rewritten syntax tree. text : the source after 2to3, for tracebacks. version : 2 or 3, as it was
    treated. why : what told. changes : what was rewritten, by kind, with the lines. labels : class numbers that the
    script has names for, from its dictionaries of int to text.
    """

    tree: ast.Module
    text: str
    version: int
    why: str
    changes: dict[str, list[int]] = field(default_factory=dict)
    labels: frozenset[int] = frozenset()


def read_source(data: bytes, name: str) -> str:
    """Decode a source file as Python does; a file that is not what it declares is read as Latin-1."""
    if b"\0" in data:
        raise ConfigError(f"{name}: holds null bytes; expected a Python source file")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        text = data.decode("latin-1")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def convert(data: bytes, name: str, *, version: Version = "auto", constants: Callable[[str], str] = str) -> Converted:
    """Make a script runnable.

    data : the file's bytes. name : for messages. version : which Python it was written for; auto looks.
    constants : maps each text constant, as for paths that lie elsewhere here.

    Raises ConfigError with the line where the source is neither Python 2.7 nor 3.
    """
    text = read_source(data, name)
    parsed, error = _parse(text)
    if version == "3":
        if parsed is None:
            raise ConfigError(f"{name}, line {_line(error)}: not valid Python 3 ({_message(error)})")
        found, why = 3, "as told"
    elif version == "2":
        found, why = 2, "as told"
    elif parsed is None:
        found, why = 2, f"line {_line(error)} is no Python 3"
    else:
        found, why = _version(parsed, text)
    changes: dict[str, list[int]] = {}
    if found == 2:
        text = _two_to_three(text, name, parses=parsed is not None, changes=changes, error=error)
        parsed, error = _parse(text)
    if parsed is None:
        raise ConfigError(f"{name}, line {_line(error)}: neither Python 2.7 nor 3 ({_message(error)})")
    future = {
        alias.name
        for node in parsed.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    }
    rewriter = _Rewriter(found, "division" not in future, constants, changes)
    tree = ast.fix_missing_locations(rewriter.visit(parsed))
    try:
        compile(tree, name, "exec")
    except (SyntaxError, ValueError) as problem:
        line = getattr(problem, "lineno", "?")
        raise ConfigError(f"{name}, line {line}: cannot be compiled ({_message(problem)})") from None
    return Converted(tree, text, found, why, changes, _labels(parsed))


def _labels(tree: ast.Module) -> frozenset[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and len(node.keys) > 1:
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant) and type(key.value) is int]
            names = [value for value in node.values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
            if len(keys) == len(names) == len(node.keys):
                found.update(key for key in keys if isinstance(key, int))
    return frozenset(found)


def _parse(text: str) -> tuple[ast.Module | None, Exception | None]:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text), None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return None, error


def _line(error: Exception | None) -> int | str:
    return getattr(error, "lineno", None) or "?"


def _message(error: Exception | None) -> str:
    return str(getattr(error, "msg", error)).replace("\n", " ")[:200]


def _version(tree: ast.Module, text: str) -> tuple[int, str]:
    """Which Python a source was written for that Python 3 can parse."""
    if re.match(r"#!.*python3", text):
        return 3, "its first line says so"
    for node in ast.walk(tree):
        sign = _sign_of_3(node)
        if sign:
            return 3, f"{sign}, line {getattr(node, 'lineno', '?')}"
    for node in ast.walk(tree):
        sign = _sign_of_2(node)
        if sign:
            return 2, f"{sign}, line {getattr(node, 'lineno', '?')}"
    return 2, "nothing in it needs Python 3, and DeepLens functions ran on 2.7"


def _sign_of_3(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "f-string"
    if isinstance(node, (ast.AnnAssign, ast.AsyncFunctionDef, ast.Nonlocal, ast.YieldFrom, ast.NamedExpr, ast.Starred)):
        if isinstance(node, ast.Starred) and not isinstance(node.ctx, ast.Store):
            return ""
        return type(node).__name__
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        arguments = node.args
        if arguments.kwonlyargs or any(a.annotation for a in arguments.args) or getattr(node, "returns", None):
            return "annotated or keyword-only argument"
    if isinstance(node, ast.Raise) and node.cause is not None:
        return "raise ... from"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return "@ operator"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "super" and not node.args:
            return "super()"
        if node.func.id == "print" and node.keywords:
            return "print(..., " + str(node.keywords[0].arg) + "=)"
    names = _imported(node)
    for name in names:
        if name in _NEW_MODULES:
            return f"import {name}"
    return ""


def _sign_of_2(node: ast.AST) -> str:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in _OLD_NAMES:
        return node.id
    if isinstance(node, ast.Attribute):
        if node.attr in _OLD_METHODS:
            return f".{node.attr}()"
        if isinstance(node.value, ast.Name) and node.value.id == "urllib" and node.attr in _OLD_URLLIB:
            return f"urllib.{node.attr}"
    for name in _imported(node):
        if name in _OLD_MODULES or name.partition(".")[2] in _OLD_URLLIB:
            return f"import {name}"
    return ""


def _imported(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _two_to_three(text: str, name: str, *, parses: bool, changes: dict[str, list[int]], error: Exception | None) -> str:
    from fissix.refactor import RefactoringTool

    logging.getLogger("fissix").setLevel(logging.ERROR)
    logging.getLogger("RefactoringTool").setLevel(logging.ERROR)
    indented = re.sub(r"(?m)^[ \t]*\t[ \t]*", lambda match: match[0].expandtabs(8), text)
    if indented != text:
        # Python 2 took a tab for eight columns; Python 3 takes no mixture.
        changes["tabs in the indentation"] = _differing(text, indented)
        text = indented
        parses = _parse(text)[0] is not None
    fixers = [f"fissix.fixes.fix_{fixer}" for fixer in _FIXERS if fixer != "print" or not parses]
    source = re.sub(r"\b[uU]([rR]['\"])", r"\1", text if text.endswith("\n") else text + "\n")
    try:
        # Where Python 3 can parse the source, its prints are calls, whatever is not imported from __future__.
        tool = RefactoringTool(fixers, {"print_function": parses})
        converted = str(tool.refactor_string(source, name))
    except Exception as problem:
        # Besides its ParseError, the parser lets KeyError and others through where the text is no Python at all.
        context = getattr(problem, "context", None)
        line = context[1][0] if context else _line(error)
        raise ConfigError(f"{name}, line {line}: neither Python 2.7 nor 3 ({_message(error or problem)})") from None
    if converted != source:
        changes["Python 2 syntax"] = _differing(source, converted)
    return converted


def _differing(before: str, after: str) -> list[int]:
    import difflib

    lines: list[int] = []
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    for tag, start, end, _, _ in matcher.get_opcodes():
        if tag != "equal":
            lines += range(start + 1, max(end, start + 1) + 1)
    return lines


_ORDERING: dict[type[ast.cmpop], str] = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}


class _Rewriter(ast.NodeTransformer):
    """What Python 2 meant, written so that Python 3 does it."""

    def __init__(
        self, version: int, floor_division: bool, constants: Callable[[str], str], changes: dict[str, list[int]]
    ) -> None:
        self._old, self._floor = version == 2, version == 2 and floor_division
        self._constants, self._changes = constants, changes
        self._errors: set[str] = set()

    def _note(self, kind: str, node: ast.AST) -> None:
        self._changes.setdefault(kind, []).append(getattr(node, "lineno", 0))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            value = self._constants(node.value)
            if value != node.value:
                self._note("paths of the device", node)
                return ast.copy_location(ast.Constant(value), node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == "message" and isinstance(node.value, ast.Name) and node.value.id in self._errors:
            return _call(MESSAGE, node, node.value)
        if self._old and node.attr in _THREAD_NAMES and isinstance(node.value, ast.Name) and node.value.id == "self":
            self._note("attributes that Thread has now", node)
            node.attr = "_script" + node.attr
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if self._floor and isinstance(node.op, ast.Div) and not (_is_float(node.left) or _is_float(node.right)):
            self._note("division of integers", node)
            return _call(DIVIDE, node, node.left, node.right)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if self._floor and isinstance(node.op, ast.Div) and isinstance(node.target, ast.Name):
            self._note("division of integers", node)
            value = _call(DIVIDE_IN_PLACE, node, ast.Name(node.target.id, ast.Load()), node.value)
            return ast.copy_location(ast.Assign([node.target], value), node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        swap: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Is: ast.Eq, ast.IsNot: ast.NotEq}
        operands = [node.left, *node.comparators]
        for i, operator in enumerate(node.ops):
            # Identity with a number or text happened to work for small ones only.
            if type(operator) in swap and any(_is_value(side) for side in operands[i : i + 2]):
                node.ops[i] = swap[type(operator)]()
                self._note("`is` between values", node)
        sign = _ORDERING.get(type(node.ops[0]))
        if self._old and sign and len(node.ops) == 1:
            # Python 2 ordered anything, None before all.
            return _call(COMPARE, node, ast.Constant(sign), *operands)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute) or node.keywords:
            return node
        if node.func.attr == "tostring" and not node.args:
            return _call(TO_BYTES, node, node.func.value)
        if self._old and node.func.attr in ("encode", "decode") and len(node.args) <= 2:
            helper = ENCODE if node.func.attr == "encode" else DECODE
            return _call(helper, node, node.func.value, *node.args)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        target, value = node.targets[0], node.value
        if (
            isinstance(target, (ast.Tuple, ast.List))
            and len(target.elts) == 3
            and isinstance(value, ast.Call)
            and isinstance(value.func, ast.Attribute)
            and value.func.attr == "findContours"
        ):
            self._note("three results of findContours", node)
            node.value = _call(CONTOURS, node, value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        names = sorted({name for statement in _globals(node) for name in statement.names})
        if names and self._old:
            # Python 2 took `global` after the first use of a name; Python 3 wants it before.
            node.body.insert(0, ast.copy_location(ast.Global(names), node.body[0]))
            _DropGlobals(node).visit(node)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if self._old and node.name:
            self._errors.add(node.name)
        self.generic_visit(node)
        if self._old and node.name:
            # In Python 2 the name outlives the clause.
            keep = ast.Assign([ast.Name(node.name, ast.Store())], ast.Name("__saccade_error__", ast.Load()))
            node.name = "__saccade_error__"
            node.body.insert(0, ast.copy_location(keep, node.body[0]))
        return node


class _DropGlobals(ast.NodeTransformer):
    """Removes `global` statements below the first statement of a function, not those of functions inside."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self._function, self._first = function, function.body[0]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self.generic_visit(node) if node is self._function else node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return node if node is self._first else ast.copy_location(ast.Pass(), node)


def _globals(function: ast.AST) -> Iterable[ast.Global]:
    for child in ast.iter_child_nodes(function):
        if isinstance(child, ast.Global):
            yield child
        elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _globals(child)


def _call(name: str, where: ast.expr | ast.stmt, *arguments: ast.expr) -> ast.Call:
    return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), list(arguments), []), where)


def _is_float(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _is_value(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float, str))
        and not isinstance(node.value, bool)
    )


def compiled(converted: Converted, name: str) -> Any:
    """The code object, with its source where tracebacks look for it."""
    import linecache

    lines = converted.text.splitlines(keepends=True)
    linecache.cache[name] = (len(converted.text), None, lines, name)
    return compile(converted.tree, name, "exec")
