"""The converter by itself: what it tells the Python by, what it rewrites, and that no source can upset it."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lengths import length
from saccade.compat import old_python, python2
from saccade.errors import ConfigError

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py.txt"))


def run(source: str, version: python2.Version = "auto") -> dict[str, Any]:
    converted = python2.convert(source.encode(), "script.py", version=version)
    report = old_python.Report()
    files = old_python.ScriptFiles(report, "/nowhere", converted.version)
    scope: dict[str, Any] = {"__builtins__": old_python.script_builtins(report, converted.version, files), "np": np}
    exec(python2.compiled(converted, "script.py"), scope)
    return scope


@pytest.mark.parametrize(
    ("source", "version"),
    [
        ("print 'x'", 2), ("x = d.has_key(1)", 2), ("import Queue", 2), ("import urllib\nurllib.quote('x')", 2),
        ("from urllib import unquote_plus", 2), ("unicode('x')", 2), ("x = 1", 2), ("x = 1 / 2", 2),
        ("x = f'{1}'", 3), ("def f(x: int): pass", 3), ("print('x', end='')", 3), ("import queue", 3),
        ("import urllib.request", 3), ("def f(*, a): pass", 3), ("raise A from b", 3), ("#!/usr/bin/python3\nx = 1", 3),
        ("class A(B):\n    def f(self):\n        super().f()", 3), ("async def f(): pass", 3), ("x: int = 1", 3),
        ("from __future__ import print_function\nprint('x', end='', file=f)\n", 2),
        ("from __future__ import print_function\nprint('x', flush=True)\n", 3),
    ],
)  # fmt: skip
def test_the_version_is_told_from_the_source(source: str, version: int) -> None:
    converted = python2.convert(source.encode(), "x.py")
    assert converted.version == version
    assert converted.why


@pytest.mark.parametrize(("version", "half"), [("2", 3), ("3", 3.5)])
def test_imp_loads_a_source_as_the_script_is_run(
    version: python2.Version, half: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "halves", sys)  # and so it is taken away again
    path = tmp_path / "halves.py"
    path.write_text("x = 7 / 2\n")
    assert run(f"import imp\nm = imp.load_source('halves', {str(path)!r})\n", version)["m"].x == half
    del sys.modules["halves"]
    found = f"import imp\nm = imp.load_module('halves', *imp.find_module('halves', [{str(tmp_path)!r}]))\n"
    assert run(found, version)["m"].x == half


@pytest.mark.parametrize("version", ["2", "3"])
def test_what_later_versions_of_python_3_have_dropped(version: python2.Version) -> None:
    said = (
        "import io, json, xml.etree.cElementTree as ET\nfrom json import loads\n"
        "a = json.loads('[1]', encoding='utf-8') + json.load(io.StringIO(u'[2]'), encoding='utf-8')\n"
        "a += loads('[3]', parse_int=float)\nb = ET.fromstring('<c/>').tag\n"
    )
    scope = run(said, version)
    assert (scope["a"], scope["b"]) == ([1, 2, 3.0], "c")


@pytest.mark.parametrize("line", ["global n; n = 1", "exec 'n = 1'", "pass"])
def test_functions_keep_their_docstrings(line: str) -> None:
    scope = run(f"def f():\n    'What it is for.'\n    {line}\nf()\nd = f.__doc__\n", "2")
    assert scope["d"] == "What it is for."
    assert scope.get("n") == (1 if "global" in line else None)


def test_scripts_of_python_2_may_print_by_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    said = "from __future__ import print_function\nprint('a', 'b', sep='-', end='.')\nx = {'k': 3}.items()[0][1] / 2\n"
    assert run(said)["x"] == 1
    assert capsys.readouterr().out == "a-b."


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("7 / 2", 3), ("-7 / 2", -4), ("7 / 2.0", 3.5), ("7.0 / 2", 3.5), ("True / 2", 0), ("10L / 4", 2),
        ("(np.array([5, 7]) / 2).tolist()", [2, 3]), ("(np.array([5., 7.]) / 2).tolist()", [2.5, 3.5]),
        ("np.int64(7) / np.int32(2)", 3), ("map(None, [1], [2])", [(1, 2)]), ("filter(None, [0, 1, 2])", [1, 2]),
        ("filter(str.isdigit, 'a1b2')", "12"), ("filter(None, (0, 1))", (1,)), ("zip([1], [2])", [(1, 2)]),
        ("range(3)[1:]", [1, 2]), ("round(2.5)", 3.0), ("round(-2.5)", -3.0), ("round(1.25, 1)", 1.3),
        ("sorted([1, 3, 2], lambda a, b: cmp(b, a))", [3, 2, 1]), ("isinstance(u'x', basestring)", True),
        ("isinstance('x', unicode)", False), ("unicode('x', 'utf-8')", "x"), ("'x' + 'y'.encode('utf-8')", "xy"),
        ("'%s' % u'\\xe9'.encode('utf-8')", "é"), ("'x'.decode('utf-8')", "x"),
        ("{'a': 1}.has_key('a')", True), ("{'a': 1}.keys()[0]", "a"), ("0777", 511), ("1 <> 2", True), ("`1`", "1"),
        ("None < 0", True), ("(lambda (a, b): a + b)((1, 2))", 3), ("3 is 3", True), ("'a' is not 'b'", True),
        ("reduce(lambda a, b: a * b, [1, 2, 3])", 6), ("long(3)", 3), ("unichr(233)", "é"), ("apply(max, [1, 2])", 2),
        ("None < np.float32(1)", True), ("np.zeros(3, np.uint8).tostring() + b'x'", "\0\0\0x"),
    ],
)  # fmt: skip
def test_expressions_mean_what_they_meant(expression: str, value: object) -> None:
    result = run(f"x = {expression}\n", "2")["x"]
    assert result == value
    assert isinstance(result, (type(value), np.integer, np.bool_, bytes))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = 7\na /= 2\n", {"a": 3}),
        ("a = 7.0\na /= 2\n", {"a": 3.5}),
        ("from __future__ import division\na = 7 / 2\n", {"a": 3.5}),
        (
            "try:\n    raise ValueError, 'no'\nexcept ValueError, e:\n    pass\na = str(e)\nb = e.message\n",
            {"a": "no", "b": "no"},
        ),
        ("g = 1\ndef f():\n    for i in [1]:\n        x = i\n        global g\n        g = x + 1\nf()\n", {"g": 2}),
        ("def f(n):\n\tif n:\n\t        return 1\n        return 2\na = f(1), f(0)\n", {"a": (1, 2)}),
        ("class A:\n    def __nonzero__(self):\n        return False\na = bool(A())\n", {"a": False}),
        ("exec 'a = 5'\n", {"a": 5}),
        ("a = 3 / 2 * 1.0\r\nb = 1\r\n", {"a": 1.0, "b": 1}),
        ("\ufeffa = 1\n", {"a": 1}),
    ],
)
def test_statements_mean_what_they_meant(source: str, names: dict[str, object]) -> None:
    scope = run(source, "2")
    assert {name: scope[name] for name in names} == names


def test_arrays_are_divided_in_place() -> None:
    scope = run("a = np.array([4., 6.])\nb = a\na /= 2\n", "2")
    assert scope["a"] is scope["b"]
    assert scope["b"].tolist() == [2, 3]


def test_python_3_is_not_changed() -> None:
    scope = run("a = 7 / 2\nb = map(str, [1])\nc = f'{a}'\nd = 'x'.encode()\n")
    assert (scope["a"], scope["c"], type(scope["d"])) == (3.5, "3.5", bytes)
    assert not isinstance(scope["b"], list)


@pytest.mark.parametrize("version", ["2", "3"])
def test_rewritten_assignments_keep_their_order(version: python2.Version) -> None:
    source = """
said = []
def say(word, value):
    said.append(word)
    return value
class A(object):
    def __init__(self):
        self.__n, self.d = 1, {"k": 1}
    def more(self):
        self.__n = self.d["k"] = 10
        return 1
    def run(self):
        self.__n += self.more()
        self.d["k"] = 1
        self.d["k"] += self.more()
        say("holder", self.d)[say("key", "x")] = say("value", 2)
        return self.__n, self.d["k"]
n = A().run()
"""
    scope = run(source, version)
    assert scope["n"] == (10, 2)
    assert scope["said"] == ["value", "holder", "key"]


def test_old_bytes_are_text_too() -> None:
    data = old_python.OldBytes(b"ab c")
    assert data == "ab c"
    assert data + "d" == "ab cd"
    assert "x" + data == "xab c"
    assert data.split(" ") == ["ab", "c"]
    assert data[0] == "a"
    assert data[-1] == "c"
    assert "b" in data
    assert f"{data:>6}" == "  ab c"
    assert {data: 1}["ab c"] == 1
    assert bytes(data) == b"ab c"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name.partition(".")[0])
def test_no_source_upsets_it(script: Path) -> None:
    """Cut, doubled and scrambled sources are converted or refused in one line."""
    chance = random.Random(script.name)
    lines = script.read_bytes().splitlines(keepends=True)
    for _ in range(length(5, 12)):
        mangled = list(lines)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(mangled))
            kind = chance.randrange(5)
            if kind == 0:
                del mangled[at:]
            elif kind == 1:
                mangled.insert(at, chance.choice(lines))
            elif kind == 2:
                mangled[at] = chance.randbytes(20) + b"\n"
            elif kind == 3:
                mangled[at] = mangled[at][: len(mangled[at]) // 2]
            else:
                mangled[at] = b"\t" + mangled[at]
            mangled = mangled or [b"\n"]
        problem = refused(b"".join(mangled))
        assert "\n" not in problem
        assert not problem or "mangled.py" in problem


EXTREMES = [b"(" * 5000, b"x = " + b"-" * 20000 + b"1", b"'" * 3, b"if x:\n" * 200, b"\\", b"\xef\xbb\xbf"]


@pytest.mark.parametrize("source", EXTREMES, ids=["brackets", "minus", "quotes", "ifs", "backslash", "mark"])
def test_extremes_are_converted_or_refused_in_one_line(source: bytes) -> None:
    assert "\n" not in refused(source)


def refused(source: bytes) -> str:
    """Why a source is refused; empty if it is converted."""
    try:
        python2.compiled(python2.convert(source, "mangled.py"), "mangled.py")
    except ConfigError as error:
        return str(error)
    return ""
