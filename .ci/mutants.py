"""What the tests would not notice: changes one token of a source file at a time and runs tests against each change.

    python .ci/mutants.py engine/saccade/storage/spool.py --tests tests/storage --count 40
    python .ci/mutants.py ext/decode.inc.h --tests "tests/kernels/test_decode.py -k 'not openvino'"

Works on a copy under build/mutants. A mutant lives if all tests pass: a test is missing, the token does nothing, or the
change is none (an equivalent mutant). That is for a reader to decide, so each is shown. Python and C are told apart by
the file's name; of C sources only the variants are compiled again, with the objects that `setup.py build_ext` left.

Every run is a fork of this process, which has imported what is slow to import and nothing of saccade.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutants"
OTHERS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "+", "/": "*",
    "//": "*", "%": "+", "<<": ">>", ">>": "<<", "&": "|", "|": "&", "&&": "||", "||": "&&", "+=": "-=", "-=": "+=",
    "|=": "&=", "&=": "|=", "and": "or", "or": "and", "not": "", "True": "False", "False": "True", "min": "max",
    "max": "min", "larger": "smaller", "smaller": "larger", "is": "is not", "continue": "break", "if": "if not",
}  # fmt: skip
C_TOKEN = re.compile(
    r"(?<= )(?:[<>=!]=|<<|>>|&&|\|\||[|&+-]=|[<>+*/%&|-])(?= )|\b\d+\b|\b(?:larger|smaller|if \(|continue)"
)
C_STATEMENT = re.compile(
    r"^ +(?!return|const|static|goto|break|continue|\w+_t |int |float |\}|enum)[^;{}/]*[=(][^;{}]*;$"
)
BEFOREHAND = ("pytest", "numpy", "cv2", "httpx", "numba", "openvino")  # no plugins of pytest, which it imports itself


@dataclass(frozen=True)
class Mutant:
    """One change: `old` at `start` becomes `new`. line : its number, from 1."""

    line: int
    start: int
    old: str
    new: str


def python_mutants(text: str) -> Iterator[Mutant]:
    """Changes of operators, numbers and statements; nothing in annotations, imports and strings."""
    lines = [0]
    for row in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(row))
    left_alone = []
    for node in ast.walk(ast.parse(text)):
        parts = [getattr(node, name, None) for name in ("annotation", "returns")]
        for part in [*parts, *([node] if isinstance(node, (ast.Import, ast.ImportFrom)) else [])]:
            if part is not None:
                left_alone.append(((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)))
        if isinstance(node, (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise)) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, (ast.Constant, ast.Yield))
        ):
            start = lines[node.lineno - 1] + node.col_offset
            yield Mutant(node.lineno, start, text[start : lines[node.end_lineno - 1] + node.end_col_offset], "pass")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if any(low <= token.start < high for low, high in left_alone):
            continue
        number = token.type == tokenize.NUMBER and token.string.isdigit()
        new = str(int(token.string) + 1) if number else OTHERS.get(token.string)
        if new is not None and token.type in (tokenize.OP, tokenize.NAME, tokenize.NUMBER):
            yield Mutant(token.start[0], lines[token.start[0] - 1] + token.start[1], token.string, new)


def c_mutants(text: str) -> Iterator[Mutant]:
    """The same for C as it is set here: blanks round binary operators, one statement a line."""
    bare = re.sub(r"/\*.*?\*/|\"[^\"]*\"|^#.*?$", lambda found: re.sub(r"\S", "\0", found[0]), text, flags=re.S | re.M)
    start = 0
    for number, line in enumerate(bare.splitlines(keepends=True), 1):
        if C_STATEMENT.match(line.rstrip()):
            code = text[start : start + len(line)].strip()
            yield Mutant(number, start + line.index(code[0]), code, ";")
        for found in C_TOKEN.finditer(line):
            old = found[0]
            new = str(int(old) + 1) if old.isdigit() else "if (!" if old == "if (" else OTHERS[old]
            yield Mutant(number, start + found.start(), old, new)
        start += len(line)


def compiles(path: Path, text: str) -> bool:
    """Puts the text in place, ready to be imported; False where it is not valid."""
    path.write_text(text)
    if path.suffix == ".py":
        try:
            compile(text, str(path), "exec")
        except (SyntaxError, ValueError):
            return False
        return True
    name = f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    library = WORK / "engine/saccade/kernels" / name
    ext, objects = WORK / "ext", WORK / "objects"
    library.unlink(missing_ok=True)  # never written over: a run that still has it mapped would crash
    build = ["cc", "-O1", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-march=x86-64-v2", "-w"]
    for source in ("portable", "avx2", "plan"):
        target = ["-c", str(ext / f"{source}.c"), "-o", str(objects / f"{source}.o")]
        if subprocess.run([*build, *target], capture_output=True).returncode:
            return False
    files = [str(path) for path in objects.glob("*.o")]
    return not subprocess.run(["cc", "-shared", *files, "-lm", "-o", str(library)], capture_output=True).returncode


def run_tests(arguments: list[str], cpu: float, wall: float) -> tuple[bool, float]:
    """Did all tests pass, and how many seconds of CPU time did that take? Beyond the limits they did not."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 2))
        quiet = os.open(WORK / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        os.chdir(WORK)
        sys.path[:0] = [str(WORK / "engine"), str(WORK)]
        import pytest

        code = pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", *arguments])
        sys.stdout.flush()
        os.write(write, bytes([code != 0]))
        os._exit(0)
    os.close(write)
    end = time.monotonic() + wall
    while not (ended := os.wait4(child, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.02)
    if not ended[0]:
        os.killpg(child, signal.SIGKILL)
        ended = os.wait4(child, 0)
    verdict = os.read(read, 1)
    os.close(read)
    return verdict == b"\0", ended[2].ru_utime + ended[2].ru_stime


def main() -> int:
    """Runs the tests on a sample of the file's mutants, and shows those that live."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="+")
    parser.add_argument("--tests", type=shlex.split, required=True, help="what pytest is given")
    parser.add_argument("--count", type=int, default=40, help="mutants of all files together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wall", type=float, default=120, help="seconds after which a mutant is one that hangs")
    options = parser.parse_args()
    global WORK
    WORK = WORK / options.file[0].name
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name in ("engine", "tests", "ext", "bench", "docs", "lambdas", "examples"):
        shutil.copytree(ROOT / name, WORK / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "Makefile"):
        shutil.copy(ROOT / name, WORK)
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=f"{WORK}/engine")
    paths = [WORK / path.resolve().relative_to(ROOT) for path in options.file]
    if any(path.suffix != ".py" for path in paths):
        (objects,) = (ROOT / "build").glob("temp.*/ext")
        shutil.copytree(objects, WORK / "objects")
        if not all(compiles(path, path.read_text()) for path in paths):
            raise SystemExit("the sources do not compile as they are")
    for module in BEFOREHAND:
        __import__(module)
    passed, cpu = run_tests(options.tests, 600, 600)
    if not passed:
        raise SystemExit(f"the tests fail without any change; see {WORK / 'log'}")
    texts = {path: path.read_text() for path in paths}
    found = [
        (path, mutant)
        for path, text in texts.items()
        for mutant in (python_mutants if path.suffix == ".py" else c_mutants)(text)
    ]
    dice, killed, lived = random.Random(options.seed), 0, 0
    print(f"{len(found)} mutants; tests take {cpu:.1f} s of CPU time", flush=True)
    for path, mutant in dice.sample(found, len(found)):
        if killed + lived >= options.count:
            break
        text = texts[path]
        if not compiles(path, text[: mutant.start] + mutant.new + text[mutant.start + len(mutant.old) :]):
            path.write_text(text)
            continue
        passed, _ = run_tests(options.tests, 3 * cpu + 5, options.wall)
        path.write_text(text)
        killed, lived = killed + (not passed), lived + passed
        if passed:
            line = text.splitlines()[mutant.line - 1].strip()
            print(f"{path.name}:{mutant.line}: {mutant.old!r} -> {mutant.new!r} in: {line}", flush=True)
    print(f"{killed + lived} mutants run, {killed} killed, {lived} live", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
