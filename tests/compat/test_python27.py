"""What Python 2.7, NumPy 1.16 and OpenCV 3.4 gave: each expected value was read off those, CPython 2.7.18 and 3.4.8."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest

from saccade.compat import old_libraries, old_modules, old_python, python2

FOLDER = Path(__file__).parent / "python27"
pytestmark = [
    # Sources of the time leave files, sockets and processes to the garbage collector, and call setDaemon().
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def run(source: str | bytes, folder: Path | None = None) -> tuple[dict[str, Any], str]:
    """Names and output of a source of Python 2.7."""
    data = source.encode() if isinstance(source, str) else source
    converted = python2.convert(data, "script.py", version="2")
    report = old_python.Report()
    modules = old_modules.Modules(2)
    old_libraries.adapt(modules, report, 2)
    files = old_python.ScriptFiles(report, "/nowhere", 2)
    names = old_python.script_builtins(report, 2, files, modules)
    scope: dict[str, Any] = {"__builtins__": names, "__name__": "m", "D": f"{folder}/"}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(python2.compiled(converted, "script.py"), scope)
    return scope, out.getvalue()


def printed(source: str, folder: Path | None = None) -> str:
    return run(source, folder)[1]


def cases(name: str) -> list[Any]:
    """Pairs of a source and its output, which stands below it after `=>`; a blank line parts them."""
    found = []
    for block in (FOLDER / f"{name}.txt").read_bytes().decode().split("\n\n"):
        lines = block.strip("\n").split("\n")
        source = [line for line in lines if not line.startswith("=>")]
        output = [line[3:] for line in lines if line.startswith("=>")]
        found.append(pytest.param("\n".join(source) + "\n", "\n".join(output), id=source[-1][:50]))
    return found


OUTPUT = [case for name in ("expressions", "statements", "order", "modules", "wide") for case in cases(name)]


@pytest.mark.parametrize(("source", "out"), OUTPUT)
def test_a_source_prints_what_python_2_printed(source: str, out: str) -> None:
    assert printed("# -*- coding: utf-8 -*-\n" + source).rstrip("\n") == out.rstrip("\n")


def test_files_hold_the_bytes_that_python_2_wrote(tmp_path: Path) -> None:
    out = printed(
        """
import csv, imp
f = open(D + 'a', 'wb'); f.write('text'); f.write('%d\\n' % 3); print >>f, 'more', 0.5; f.close()
print repr(open(D + 'a').read()), open(D + 'a', 'rb').readlines(), [l.strip() for l in file(D + 'a')]
f = open(D + 'a', 'a'); f.write('\\xff\\xd8'); f.close()
print repr(open(D + 'a').read()[-3:]), isinstance(f, file), f.closed, f.mode, f.name == D + 'a'
w = csv.writer(open(D + 'b', 'wb')); w.writerow(['a', 1, 1.0 / 3, None, 'x,y']); del w
print repr(open(D + 'b').read()), list(csv.reader(open(D + 'b', 'rb')))
f = open(D + 'c', 'w+'); f.write('abc'); f.seek(1); print f.read(); f.close()
open(D + 'd.py', 'w').write('z = 9 / 2\\nprint `z`,\\n')
ns = {}
execfile(D + 'd.py', ns)
print ns['z']
print imp.load_source('d', D + 'd.py').z
""",
        tmp_path,
    )
    assert out.splitlines() == [
        r"'text3\nmore 0.5\n' ['text3\n', 'more 0.5\n'] ['text3', 'more 0.5']",
        r"'\n\xff\xd8' True True a True",
        """'a,1,0.3333333333333333,,"x,y"\\r\\n' [['a', '1', '0.3333333333333333', '', 'x,y']]""",
        "bc", "4 4", "4 4",
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize(("source", "out"), cases("numpy"))
def test_numpy_gives_what_1_16_gave(source: str, out: str) -> None:
    head = (
        "import numpy as np, json\ndef t(x):\n    x = np.asarray(x)\n    return x.tolist(), x.dtype.name\n"
        "a = np.array([250, 5], np.uint8)\nv = a[0]\nf = np.array([1, 2], np.float32)\n"
    )
    assert printed(head + source).rstrip("\n") == out


def test_numbers_wrap_where_they_are_stored() -> None:
    scope, _ = run("""
import numpy as np
a = np.array([250, 5], np.uint8)
b = a
a += 10
a -= 300
a[0] = 301
a[1] += 5
a[:1] += 300
z = np.zeros((1, 3), np.uint8)
z[0] = (300, -1, 5)
x = np.array([7, 9])
x /= 2
c = np.uint8(200)
c += 100
""")
    # 4 and 15, less 300: 216 and 227.
    assert scope["a"].tolist() == [89, 232]
    assert scope["a"] is scope["b"]
    assert scope["z"].tolist() == [[44, 255, 5]]
    assert scope["x"].tolist() == [3, 4]
    assert int(scope["c"]) == 300


def test_opencv_gives_what_3_4_gave() -> None:
    scope, out = run("""
import cv2, numpy as np
g = np.zeros((60, 80), np.uint8)
cv2.rectangle(g, (10., 10), (30, 40), 255, -1)
im, c, h = cv2.findContours(g.copy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
print type(c), len(c), c[0].shape, im.shape, cv2.findContours(g, 0, 2)[1][0].ndim
d, e = cv2.findContours(g, 0, 2)
print len(d)
box = np.int0(cv2.boxPoints(cv2.minAreaRect(c[0])))
cv2.drawContours(g, [box], 0, (0, 0, 255), 2, cv2.CV_AA)
b = cv2.imencode('.jpg', g)[1].tostring()
print type(b) is str, repr(b[:2]), b[0] == '\\xff', b.find('\\xff\\xd8'), b[:2].encode('hex')
print len('--frame\\r\\n\\r\\n' + b + '\\r\\n') - len(b), cv2.imencode('.jpg', g)[1].shape[1]
print cv2.imdecode(np.fromstring(b, np.uint8), 1).shape, cv2.cv.CV_BGR2GRAY, type(cv2.split(np.zeros((2, 2, 3))))
p = np.zeros((9, 9, 3), np.uint8)
cv2.rectangle(p[:, ::-1], (0, 0), (2, 2), (1, 2, 3), -1)
""")
    assert out.splitlines() == [
        "<type 'list'> 1 (4, 1, 2) (60, 80) 3", "1", r"True '\xff\xd8' True 0 ffd8", "13 1",
        "(60, 80, 3) 6 <type 'list'>",
    ]  # fmt: skip
    assert scope["p"][0, 8].tolist() == [1, 2, 3]
    assert scope["p"][0, 0].tolist() == [0, 0, 0]


def test_libraries_stay_as_they_are() -> None:
    """What a script changes is seen by nobody else."""
    import base64
    import json
    import string
    import subprocess
    import time

    import cv2
    import numpy as np

    before = {m: dict(vars(m)) for m in (base64, json, string, subprocess, time, np, cv2)}
    default = json.JSONEncoder.default
    run(
        "import base64, json, string, subprocess, time, numpy, cv2, urllib2\n"
        "print base64.b64encode('a'), string.find('a', 'a'), numpy.int0(3)\n"
    )
    for module, names in before.items():
        assert dict(vars(module)) == names, module.__name__
    assert json.JSONEncoder.default is default
    with pytest.raises(TypeError):
        base64.b64encode("text")  # type: ignore[arg-type]


def test_libraries_get_plain_bytes() -> None:
    import botocore.serialize

    scope, _ = run("import base64\nb = '\\xff\\xd8abc'\ndef call(f, v): return f(v)\n")
    seen: list[Any] = []

    def library(value: Any) -> None:
        seen.append(value)

    library.__module__ = botocore.serialize.__name__
    scope["call"](library, {"Image": {"Bytes": scope["b"]}, "Items": [scope["b"]]})
    assert seen == [{"Image": {"Bytes": b"\xff\xd8abc"}, "Items": [b"\xff\xd8abc"]}]
    assert type(seen[0]["Image"]["Bytes"]) is bytes


@pytest.mark.parametrize("name", ["CascadeClassifier", "HOGDescriptor"])
def test_what_opencv_has_no_more_is_named(name: str) -> None:
    with pytest.raises(AttributeError, match=f"cv2.{name}: .*network"):
        run(f"import cv2\ncv2.{name}('x')\n")


def test_pillow_measures_texts_of_several_lines_as_9_did() -> None:
    pytest.importorskip("PIL")
    out = printed("""
from PIL import Image, ImageDraw, ImageFont
draw, font = ImageDraw.Draw(Image.new('L', (9, 9))), ImageFont.load_default()
high = font.getsize('A')[1]
sizes = [draw.textsize('a\\nbc', font), draw.multiline_textsize('a\\nbc', font), font.getsize_multiline('a\\nbc')]
print [size == (font.getsize('bc')[0], 2 * high + 4) for size in sizes]
print font.getsize_multiline('a\\nbc', spacing=9)[1] - 2 * high, font.getsize_multiline('bc') == font.getsize('bc')
""")
    assert out.splitlines() == ["[True, True, True]", "9 True"]


def test_a_list_is_written_whole_by_two_threads_at_once() -> None:
    out = printed("""
import threading
class Item(object):
    busy = False
    def __repr__(self):
        if not Item.busy:
            Item.busy = True
            other = threading.Thread(target=lambda: seen.append(repr(items)))
            other.start()
            other.join()
        return 'item'
seen, items = [], [Item()]
print items, seen[0]
""")
    assert out == "[item] [item]\n"


def test_what_is_written_after_a_print_with_a_comma_ends_its_space(tmp_path: Path) -> None:
    out = printed(
        "f = open(D + 'a', 'w')\nprint >>f, 'a',\nf.write('b\\n')\nprint >>f, 'c'\nf.close()\n"
        "print repr(open(D + 'a').read())\n",
        tmp_path,
    )
    assert out == "'ab\\nc\\n'\n"
