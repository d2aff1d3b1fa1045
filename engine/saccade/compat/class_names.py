"""Which classes a script has names for: from its dictionaries, its lists and the label files that it opens.

A network that answers for one that is lost may know more classes, or others; a script stumbles over a number that it
has no name for. Which table a result is looked up in is told from the text: by the table that is indexed after the call
of `parseResult`, in the same function; else by any that is indexed; else by all dictionaries of numbers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from saccade.errors import SaccadeError

Names = Mapping[int, str]

_LABEL_WORDS = re.compile(r"label|class|synset|name|categor|output_?map|words", re.IGNORECASE)
_LABEL_FILE = re.compile(r"\.(txt|names|labels|json|csv|pbtxt|lst)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of names. listed : it is a list, which may be of anything."""

    names: Names
    listed: bool = False


@dataclass(frozen=True, slots=True)
class _Use:
    """A place where a table is looked up in, or, without a name, where results are parsed.

    offset : what is taken from the number there. likely : the name or the number tells of classes.
    """

    file: str
    function: int
    line: int
    end: int
    name: str = ""
    offset: int = 0
    likely: bool = False


class ClassNames:
    """What is known of the tables of a script and of the modules beside it.

    locate : the file that a path in the script means here.
    """

    def __init__(self, locate: Callable[[str], str] = str) -> None:
        self._locate = locate
        self._tables: dict[str, _Table] = {}
        self._nameless: list[_Table] = []
        self._files: dict[str, _Table] = {}
        self._uses: list[_Use] = []

    def add(self, text: str, file: str) -> None:
        """Take in the source of a module."""
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return
        named = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                table = self._table(node.value)
                for target in node.targets if table is not None else ():
                    self._tables[_name(target)] = table  # type: ignore[assignment]
                    named.add(id(node.value))
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict) and id(node) not in named:
                table = self._table(node)
                self._nameless += [table] if table is not None else []
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._read(node.value, Path(file).parent)
        self._uses += _uses(tree, file)

    def at(self, file: str, line: int) -> Names:
        """The names that results of the call of `parseResult` there are looked up in; empty where that is not known."""
        calls = sorted((use for use in self._uses if not use.name and use.file == file), key=lambda use: use.line)
        call = next((use for use in calls if use.line <= line <= use.end), None)
        if call is not None:
            here = [use for use in self._uses if (use.file, use.function) == (file, call.function)]
            later = [use.line for use in here if not use.name and use.line > call.line]
            end = min(later, default=1 << 30)
            found = self._looked_up([use for use in here if use.name and call.line <= use.line < end])
            if found:
                return found
        found = self._looked_up([use for use in self._uses if use.name])
        if found:
            return found
        tables = [*self._tables.values(), *self._nameless]
        return _union([t for t in tables if not t.listed and len(t.names) > 1] or list(self._files.values()))

    def _looked_up(self, uses: Sequence[_Use]) -> Names:
        """Of the tables that are looked up in: the dictionaries, else the lists, likely ones before others."""
        found = [(use.likely, _shifted(self._tables[use.name], use.offset)) for use in uses if use.name in self._tables]
        dictionaries = [(likely, table) for likely, table in found if not table.listed]
        if not dictionaries:
            unknown = [use for use in uses if use.name not in self._tables and use.likely]
            found += [(True, _shifted(table, use.offset)) for use in unknown for table in self._read_for(use.name)]
        found = dictionaries or found
        return _union([table for likely, table in found if likely] or [table for _, table in found])

    def _read_for(self, name: str) -> list[_Table]:
        """Tables of the label files that a name may hold: those that are called like it, else all."""
        alike = [table for file, table in self._files.items() if name.rstrip("s").lower() in file.lower()]
        return alike or list(self._files.values())

    def _read(self, text: str, folder: Path) -> None:
        if not _LABEL_FILE.search(text) or "\n" in text or not _LABEL_WORDS.search(Path(text).name):
            return
        from saccade.predict.labels import read_labels

        # Folders are often joined to it at run time: that of the script, or the device's.
        for path in (folder / self._locate(text), folder / self._locate(f"/opt/awscam/artifacts/{Path(text).name}")):
            try:
                if path.is_file():
                    self._files[path.name] = _Table(dict(enumerate(read_labels(path))), listed=True)
                    return
            except (SaccadeError, OSError, ValueError):
                continue

    def _table(self, node: ast.expr) -> _Table | None:
        """The table that an expression makes, where it is written out."""
        if isinstance(node, ast.Dict):
            numbers = [_number(key) for key in node.keys]
            texts = [_text(value) for value in node.values]
            if numbers and None not in numbers and None not in texts:
                return _Table({n: t for n, t in zip(numbers, texts, strict=True) if n is not None and t is not None})
            return None
        listed = self._list(node)
        if listed is not None:
            return _Table(dict(enumerate(listed)), listed=True)
        if isinstance(node, ast.Call) and _name(node.func) == "dict" and node.args:
            return self._pairs(node.args[0])
        if isinstance(node, ast.DictComp) and len(node.generators) == 1 and isinstance(node.key, ast.Name):
            target = node.generators[0].target  # of a table from names to numbers the key is its second
            numbered = isinstance(target, ast.Tuple) and _name(target.elts[0]) == node.key.id
            return self._pairs(node.generators[0].iter) if numbered else None
        return None

    def _pairs(self, node: ast.expr) -> _Table | None:
        """Of `enumerate(names, start)`, `zip(range(n), names)` and a list of pairs."""
        if isinstance(node, ast.Call) and _name(node.func) == "list" and node.args:
            node = node.args[0]
        if isinstance(node, ast.Call) and node.args:
            kind, names = _name(node.func), self._list(node.args[0])
            if kind == "enumerate" and names is not None:
                said = [*node.args[1:], *(word.value for word in node.keywords if word.arg == "start")]
                first = _number(said[0]) if said else 0
                return None if first is None else _Table(dict(enumerate(names, first)))
            names = self._list(node.args[-1])
            if kind in ("zip", "izip") and names is not None and len(node.args) == 2:
                numbers = _numbers(node.args[0], len(names))
                return _Table(dict(zip(numbers, names, strict=False))) if numbers else None
        if isinstance(node, (ast.List, ast.Tuple)):
            pairs = [entry.elts for entry in node.elts if isinstance(entry, (ast.Tuple, ast.List))]
            if pairs and len(pairs) == len(node.elts) and all(len(pair) == 2 for pair in pairs):
                return self._table(ast.Dict([pair[0] for pair in pairs], [pair[1] for pair in pairs]))
        return None

    def _list(self, node: ast.expr) -> list[str] | None:
        if isinstance(node, ast.Name) and node.id in self._tables and self._tables[node.id].listed:
            return list(self._tables[node.id].names.values())
        if isinstance(node, (ast.List, ast.Tuple)):
            texts = [_text(entry) for entry in node.elts]
            return [text for text in texts if text is not None] if texts and None not in texts else None
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("split", "splitlines")
        ):
            text = _text(node.func.value)
            by = _text(node.args[0]) if node.args else None
            return None if text is None else text.splitlines() if node.func.attr == "splitlines" else text.split(by)
        return None


def _uses(tree: ast.Module, file: str) -> Iterator[_Use]:
    ahead: list[tuple[ast.AST, int]] = [(tree, 0)]
    while ahead:
        node, function = ahead.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.lineno
        line = getattr(node, "lineno", 0)
        end = getattr(node, "end_lineno", None) or line
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "parseResult":
                yield _Use(file, function, line, end)
            elif node.func.attr == "get" and node.args:
                yield _lookup(file, function, node, node.func.value, node.args[0])
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            fixed = isinstance(node.slice, (ast.Constant, ast.Slice, ast.Tuple))
            if not fixed and _name(node.value):
                yield _lookup(file, function, node, node.value, node.slice)
        ahead += [(child, function) for child in ast.iter_child_nodes(node)]


def _lookup(file: str, function: int, node: ast.expr, table: ast.expr, index: ast.expr) -> _Use:
    name = _name(table)
    likely = bool(_LABEL_WORDS.search(name) or _LABEL_WORDS.search(ast.unparse(index)))
    return _Use(file, function, node.lineno, node.end_lineno or node.lineno, name, _offset(index), likely)


def _offset(index: ast.expr) -> int:
    """1 for `names[label - 1]`: number 1 is the first name's."""
    if isinstance(index, ast.BinOp) and isinstance(index.op, (ast.Sub, ast.Add)):
        by = _number(index.right) or 0
        return by if isinstance(index.op, ast.Sub) else -by
    return 0


def _shifted(table: _Table, offset: int) -> _Table:
    return _Table({number + offset: name for number, name in table.names.items()}, table.listed) if offset else table


def _union(tables: Sequence[_Table]) -> Names:
    return {number: name for table in tables for number, name in table.names.items()}


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _number(node: ast.expr | None) -> int | None:
    """Of a key: numbers are also written as text."""
    if isinstance(node, ast.Constant) and not isinstance(node.value, bool):
        if isinstance(node.value, int):
            return node.value
        if isinstance(node.value, str) and re.fullmatch(r"\d{1,5}", node.value):
            return int(node.value)
    return None


def _numbers(node: ast.expr, most: int) -> Sequence[int]:
    """Of a list that is written out, a range or a count, `most` at most; empty where they are not known."""
    if isinstance(node, (ast.List, ast.Tuple)):
        listed = [_number(entry) for entry in node.elts]
        return [] if None in listed else [number for number in listed if number is not None]
    if not isinstance(node, ast.Call):
        return []
    kind, said = _name(node.func), [_number(argument) for argument in node.args]
    if kind == "list" and node.args:
        return _numbers(node.args[0], most)
    if kind in ("range", "xrange"):
        stop = said[0] if len(said) == 1 else said[1] if len(said) > 1 else None  # None: the length of something
        start, step = said[0] if len(said) > 1 else 0, said[2] if len(said) > 2 else 1
    elif kind == "count":
        stop, start, step = None, said[0] if said else 0, said[1] if len(said) > 1 else 1
    else:
        return []
    if start is None or not step:
        return []
    return range(start, start + most * step if stop is None else stop, step)


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
