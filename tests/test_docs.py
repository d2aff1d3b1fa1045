"""The pages say what is: links lead somewhere, commands exist, and those that can run here do."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import saccade
from saccade.cli import make_parser
from small_networks import spots_network
from videos import jpeg, mjpeg_avi

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as GitHub and the site write them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue  # other sites: the network of a test reaches none
        name, _, anchor = target.partition("#")
        to = (page.parent / name).resolve() if name else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            broken.append(target)
    assert not broken


def test_every_page_is_in_the_sites_navigation_and_on_its_first_page() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    first = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in navigation
        assert page.name == "index.md" or f"({page.name})" in first


def test_every_family_of_networks_is_listed_and_no_other() -> None:
    """As parsers name them: in claims, and where one module has several."""
    made = re.compile(r'(?:\bfamily = |(?:Claim|Reading|Known|Mesh|BlazeDetector)\(\s*|V2 = \(\()"([a-z0-9-]+)"')
    parsers = (ROOT / "engine/saccade/predict/parsers").glob("*.py")
    found = {name for module in parsers for name in made.findall(module.read_text(encoding="utf-8"))}
    assert len(found) > 40
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)}
    assert found <= listed
    code = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "engine/saccade/predict").rglob("*.py"))
    assert {name for name in listed if f'"{name}"' not in code} == set()


def test_the_reference_has_all_that_is_public_and_nothing_else() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: saccade\.(\w+)$", page, re.MULTILINE)) == sorted(
        name for name in saccade.__all__ if name != "__version__"
    )


def test_examples_and_the_python_page_use_what_is_public_and_nothing_else() -> None:
    used = set()
    for file in (*(ROOT / "examples").glob("*.py"), ROOT / "docs" / "python.md", ROOT / "README.md"):
        text = file.read_text(encoding="utf-8")
        for imported in re.findall(r"^from saccade import (.+)$", text, re.MULTILINE):
            used |= {(file.name, name.strip()) for name in imported.split(",")}
        used |= {(file.name, name) for name in re.findall(r"^from saccade\.(\w+)[\w.]* import", text, re.MULTILINE)}
        used |= {(file.name, name) for name in re.findall(r"(?<![\w./-])saccade\.(\w+)", text)}
    assert len(used) > 15
    assert not {(file, name) for file, name in used if name not in saccade.__all__}


def test_what_is_public_is_documented() -> None:
    bare = []
    for name in saccade.__all__:
        thing = getattr(saccade, name)
        if callable(thing):
            bare += [name] if not inspect.getdoc(thing) else []
            bare += [
                f"{name}.{member}"
                for member, value in vars(thing).items()
                if not member.startswith("_") and (callable(value) or isinstance(value, property))
                if not inspect.getdoc(value)
            ]
    assert not bare


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each `saccade …` of the pages, in blocks and in running text: where it stands, and its words."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [body for kind, body in FENCE.findall(text) if kind == "sh"]
        lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
        lines += re.findall(r"`(saccade [^`]+)`", FENCE.sub("", text).replace("\n", " "))
        for line in lines:
            for part in re.split(r"\s+(?:&&|\|)\s+|;\s", line):
                words = shlex.split(part.partition(" #")[0], comments=True)
                while words and (words[0] == "sudo" or "=" in words[0]):
                    del words[0]
                if words and re.fullmatch(r"(?:\S*/)?saccade", words[0]) and len(words) > 1:
                    yield page.name, words[1:]


def innermost(words: list[str]) -> tuple[Any, str]:
    """The parser of the subcommand that the words name, and the word that should name one and does not."""
    parser: Any = make_parser(words)
    for word in words:
        choices = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if choices is None or word == "--":
            break
        if word.startswith("-") and getattr(parser, "otherwise", ""):
            return choices[parser.otherwise], ""
        if word in choices:
            parser = choices[word]
        elif not word.startswith("-") and re.fullmatch(r"[a-z-]+", word):
            return parser, word
    return parser, ""


def unknown(words: list[str]) -> str:
    """What of a command line does not exist, or nothing. Arguments may be left out, as in running text."""
    parser, wrong = innermost(words)
    names = {"--help", "--version", "-v", "-q", "--verbose", "--quiet", *parser._option_string_actions}
    words = words[: words.index("--")] if "--" in words else words  # what follows is a script's
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    return " ".join([wrong, *sorted(given - names)]).strip()


def test_commands_of_the_pages_exist() -> None:
    found = list(commands())
    assert len(found) > 100
    wrong = [(page, " ".join(words), lacking) for page, words in found if (lacking := unknown(words))]
    assert not wrong


MARK = "<!-- not run by a test: "


def shell_blocks() -> Iterator[tuple[str, str]]:
    """Each block of commands that no mark excepts: its page, and its lines."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            before = text[: block.start()].rstrip().rpartition("\n")[2].strip()
            if block[1] == "sh" and not before.startswith(MARK) and not block[2].startswith("$ python examples/"):
                yield page.name, block[2]  # what the examples print is compared in test_examples.py


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the files that the pages speak of."""
    spots_network(tmp_path / "my.xml")
    picture = np.zeros((256, 512, 3), np.uint8)
    picture[64:128, 64:128] = 255
    for name in ("picture.jpg", "picture-folder/one.jpg", "picture-folder/two.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "recordings").mkdir()
    mjpeg_avi(tmp_path / "recordings" / "film.avi", [jpeg(picture)] * 6)
    return tmp_path


def test_commands_of_the_pages_run(desk: Path) -> None:
    blocks = list(shell_blocks())
    assert {page for page, _ in blocks} >= {"adding-a-model.md", "archive.md"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "engine"), "XDG_CACHE_HOME": str(desk / "cache")}
    shell = f'set -eu; saccade() {{ "{sys.executable}" -m saccade "$@"; }}\n'
    for page, block in blocks:
        foreign = [line for line in block.splitlines() if line and not line.startswith(("saccade ", "#"))]
        assert not foreign, f"{page}: only saccade itself is run by a test; mark the block: {foreign}"
        text = re.sub(r"\b(my|yolo)\.onnx", "my.xml", block)
        run = subprocess.run(["sh", "-c", shell + text], cwd=desk, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{page}:\n{text}\n{run.stderr}"
