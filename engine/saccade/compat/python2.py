"""Python 2.7 sources made runnable: spelling by tokens, syntax by 2to3's fixers, semantics in the syntax tree.

2to3 has left the standard library with Python 3.13; `fissix` is its maintained copy. Only fixers for syntax are used:
what values, calls and modules did then is done at run time (`old_calls` and its neighbours), so that a source that
Python 3 can parse is treated the same way as one that it cannot.
"""

from __future__ import annotations

import ast
import functools
import io
import logging
import re
import tokenize
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Literal

from saccade.compat import rewriting, tokens
from saccade.errors import ConfigError

Version = Literal["auto", "2", "3"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FIXERS = sorted(_words("except exec metaclass ne numliterals paren print raise repr sys_exc throw tuple_params"))
_OLD_NAMES = _words(
    "apply basestring buffer cmp coerce execfile intern long raw_input reduce reload unichr unicode xrange"
)
_OLD_METHODS = _words("has_key iteritems iterkeys itervalues viewitems viewkeys viewvalues")
_OLD_MODULES = _words(
    """BaseHTTPServer ConfigParser Cookie HTMLParser Queue SimpleHTTPServer SocketServer StringIO __builtin__ cPickle
    cStringIO commands cookielib email.MIMEBase email.MIMEImage email.MIMEMultipart email.MIMEText exceptions httplib
    md5 popen2 sets sha thread urllib2 urlparse xmlrpclib"""
)
_OLD_URLLIB = _words("quote quote_plus unquote unquote_plus urlencode urlopen urlretrieve URLopener")
_NEW_MODULES = _words("queue configparser http urllib.request urllib.parse urllib.error pathlib asyncio dataclasses")


@dataclass(slots=True)
class Converted:
    """A script that Python 3 can run.

    tree : the rewritten syntax tree. text : the source after 2to3, for tracebacks. version : 2 or 3, as it was
    treated. why : what told. changes : what was rewritten, by kind, with the lines.
    """

    tree: ast.Module
    text: str
    version: int
    why: str
    changes: dict[str, list[int]] = field(default_factory=dict)


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
        source = _two_to_three(data, name, parses=parsed is not None, changes=changes, error=error)
        parsed, error = _parse(source)
        text = _shown(source)
    if parsed is None:
        raise ConfigError(f"{name}, line {_line(error)}: neither Python 2.7 nor 3 ({_message(error)})")
    tree = rewriting.rewritten(parsed, found, constants, changes)
    try:
        compile(tree, name, "exec")
    except (SyntaxError, ValueError, RecursionError) as problem:
        line = getattr(problem, "lineno", "?")
        raise ConfigError(f"{name}, line {line}: cannot be compiled ({_message(problem)})") from None
    return Converted(tree, text, found, why, changes)


_NEEDS_FIXERS = re.compile(r"\b(print|exec|class|lambda|throw|sys)\b")


@functools.lru_cache(256)
def compiled_text(source: Any, name: str, mode: str) -> CodeType:
    """Code of a text that a script gives to `exec`, `eval` or `compile`; raises SyntaxError."""
    data = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else bytes(source)
    if mode == "eval":
        data = data.strip()
    changes: dict[str, list[int]] = {}
    text = tokens.respelled(data.decode("latin-1"), "utf-8")
    if _NEEDS_FIXERS.search(text) or _parse(text)[0] is None:
        # An expression mostly needs none of them, and they take their time.
        try:
            text = _two_to_three(data, name, parses=True, changes=changes, error=None)
        except ConfigError as error:
            raise SyntaxError(str(error)) from None
    tree = rewriting.rewritten(ast.parse(text, name), 2, str, changes)
    if mode == "eval":
        if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
            raise SyntaxError("invalid syntax", (name, 1, 1, str(source)))
        return compile(ast.Expression(tree.body[0].value), name, "eval")
    return compile(ast.Interactive(tree.body) if mode == "single" else tree, name, mode)


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
    prints = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__"
        and any(alias.name == "print_function" for alias in node.names)
        for node in tree.body
    )  # fmt: skip
    for node in ast.walk(tree):
        sign = _sign_of_3(node, prints=prints)
        if sign:
            return 3, f"{sign}, line {getattr(node, 'lineno', '?')}"
    for node in ast.walk(tree):
        sign = _sign_of_2(node)
        if sign:
            return 2, f"{sign}, line {getattr(node, 'lineno', '?')}"
    return 2, "nothing in it needs Python 3, and DeepLens functions ran on 2.7"


def _sign_of_3(node: ast.AST, *, prints: bool) -> str:
    """What Python 2.7 has not, in words. prints : the source asks for `print` as a function, as 2.7 may have it."""
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
        if node.func.id == "print":
            new = [word.arg for word in node.keywords if not prints or word.arg == "flush"]
            return f"print(..., {new[0]}=)" if new else ""
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


def _two_to_three(
    data: bytes, name: str, *, parses: bool, changes: dict[str, list[int]], error: Exception | None
) -> str:
    """The source with the syntax of Python 3, one character for each of its bytes in what were byte strings."""
    from fissix.refactor import RefactoringTool

    logging.getLogger("fissix").setLevel(logging.ERROR)
    logging.getLogger("RefactoringTool").setLevel(logging.ERROR)
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    indented = re.sub(r"(?m)^[ \t]*\t[ \t]*", lambda match: match[0].expandtabs(8), text)
    if indented != text:
        # Python 2 took a tab for eight columns; Python 3 takes no mixture.
        changes["tabs in the indentation"] = _differing(text, indented)
        text = indented
    source = tokens.respelled(text if text.endswith("\n") else text + "\n", _encoding(data))
    calls = re.search(r"(?m)^\s*from\s+__future__\s+import\b.*\bprint_function\b", source) is not None
    problem: Exception | None = None
    for print_function in (calls, True) if parses and not calls else (calls,):
        fixers = [f"fissix.fixes.fix_{fixer}" for fixer in _FIXERS if fixer != "print" or not print_function]
        try:
            converted = str(RefactoringTool(fixers, {"print_function": print_function}).refactor_string(source, name))
        except Exception as failure:
            # Besides its ParseError, the parser lets KeyError and others through where the text is no Python at all.
            problem = problem or failure
            continue
        if converted != text:
            changes["Python 2 syntax"] = _differing(text, converted)
        return converted
    context = getattr(problem, "context", None)
    line = context[1][0] if context else _line(error)
    raise ConfigError(f"{name}, line {line}: neither Python 2.7 nor 3 ({_message(error or problem)})")


def _encoding(data: bytes) -> str:
    try:
        return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except (SyntaxError, LookupError):
        return "latin-1"


def _shown(source: str) -> str:
    """A converted source for tracebacks."""
    try:
        return source.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return source


def _differing(before: str, after: str) -> list[int]:
    import difflib

    lines: list[int] = []
    matcher = difflib.SequenceMatcher(None, before.split("\n"), after.split("\n"), autojunk=False)
    for tag, start, end, _, _ in matcher.get_opcodes():
        if tag != "equal":
            lines += range(start + 1, max(end, start + 1) + 1)
    return lines


def compiled(converted: Converted, name: str) -> Any:
    """The code object, with its source where tracebacks look for it."""
    import linecache

    lines = converted.text.splitlines(keepends=True)
    linecache.cache[name] = (len(converted.text), None, lines, name)
    return compile(converted.tree, name, "exec")
