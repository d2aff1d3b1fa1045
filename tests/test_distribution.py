"""The distribution is `saccade-engine`: the plain name on the package index is somebody else's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREES = (".ci", "bench", "docs", "engine", "examples", "ext", "lambdas", "tests")
MADE = {"__pycache__", "saccade.egg-info"}  # an installation from before the name may have left the latter
BINARY = {".gz", ".jpg", ".mp4", ".npy", ".npz", ".png", ".so", ".zip"}

NAME = "saccade"
PLAIN = r"(?<![\w./:@-])saccade(?![\w./-])"  # the name alone: no path, address, longer name or module
COMMAND = r"\b(?:pip[3x]?|uv|poetry)\b[^\n;|&`]*?\b(?:install|add|download|wheel|run)\b"
WRONG = [
    re.compile(rf"{COMMAND}[^\n;|&`]*?[ '\"]{PLAIN}"),  # a command
    re.compile(rf"install(?: -[-\w=]+)* ['\"`]?{PLAIN}"),  # reinstall saccade
    re.compile(rf"{PLAIN} ?(?:\[[a-z]|[=~!<>]=)"),  # saccade[extra], saccade==1.0
    re.compile(r"(?<![\w.-])saccade-(?:\*|\d[\w.]*-)\S*(?:whl|tar\.gz)"),  # a file of that distribution
    re.compile(r"""metadata[\w.]*\(\s*['"]saccade['"]"""),
    re.compile(r"""(?:version|distribution|requires|files)\(\s*['"]saccade['"]\s*\)"""),
]
REQUIREMENT = re.compile(rf"^\s*{PLAIN}", re.MULTILINE)


def wrong_installs(text: str, *, requirements: bool = False) -> list[str]:
    """The places of a text that would install, or look up, the distribution of the plain name."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found = [match.group() for pattern in WRONG for match in pattern.finditer(joined)]
    return found + (REQUIREMENT.findall(joined) if requirements else [])


def wrong_commands(source: str) -> Iterator[str]:
    """Commands that a program runs: lists of words, one of them "install", another the plain name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.List | ast.Tuple):
            words = [part.value for part in node.elts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            if {"install", "download", "add"} & set(words) and any(re.match(rf"{PLAIN}", word) for word in words):
                yield ast.unparse(node)


def files() -> Iterator[Path]:
    for tree in TREES:
        yield from (path for path in (ROOT / tree).rglob("*") if not MADE.intersection(path.parts))
    yield from ROOT.iterdir()


def test_nothing_installs_the_plain_name() -> None:
    wrong = {}
    for path in files():
        if not path.is_file() or path.suffix in BINARY or path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if "saccade" not in text:
            continue
        found = wrong_installs(text, requirements="requirements" in path.name or "constraints" in path.name)
        if path.suffix == ".py" and "install" in text and "tests/compat" not in path.as_posix():  # Python 2 there
            found += wrong_commands(text)
        if found:
            wrong[str(path.relative_to(ROOT))] = found
    assert not wrong


def test_what_counts_as_the_plain_name() -> None:
    wrong = [
        f"pip install {NAME}",
        f"python -m pip install --upgrade \\\n   '{NAME}[cloud]'",
        f"install it with: pip install '{NAME}[greengrass]==0.1.0'",
        "Install a compiler and reinstall saccade to get them",
        "ls dist/saccade-*.whl",
        "saccade-0.1.0-cp311-cp311-linux_x86_64.whl",
        'importlib.metadata.version("saccade")',
        "numpy\nsaccade>=0.1\n",
    ]
    right = [
        "pip install 'saccade-engine[cloud]==0.1' && saccade run faces",
        "pip install --find-links artifacts/saccade saccade-engine; saccade doctor",
        "pip install /opt/saccade dist/saccade_engine-0.1.0-py3-none-any.whl",
        "saccade.results, saccade/pipeline.py, com.example/saccade",
    ]
    assert [text for text in wrong if not wrong_installs(text)] == []
    assert [text for text in right if wrong_installs(text)] == []


def test_requirement_files_and_commands_in_programs() -> None:
    assert wrong_installs("boto3\nsaccade\n", requirements=True)
    assert not wrong_installs("boto3\nsaccade-engine\n", requirements=True)
    assert list(wrong_commands('run([sys.executable, "-m", "pip", "install", "saccade[cloud]"])'))
    assert not list(wrong_commands('run([sys.executable, "-m", "pip", "install", "saccade-engine"])'))
    assert not list(wrong_commands('run([sys.executable, "-m", "saccade", "doctor"])'))
