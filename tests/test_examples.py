"""The programs of examples/ do what they say, and docs/python.md shows what they print."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from small_networks import spots, spots_network
from videos import jpeg, mjpeg_avi

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = ("archive", "picture", "camera", "own_app", "own_output", "kernels", "yolo")

Program = Callable[[list[str]], None]


def program(name: str) -> Program:
    """`main` of an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main: Program = module.main
    return main


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A YOLO that finds bright and red spots."""
    return str(spots_network(tmp_path_factory.mktemp("net") / "spots.xml"))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    cv2.imwrite(str(tmp_path / "spots.png"), spots())
    return str(tmp_path / "spots.png")


@pytest.fixture
def film(tmp_path: Path) -> str:
    """Nothing, then three spots, then nothing again."""
    black = np.zeros_like(spots())
    frames = [jpeg(p) for p in (black, black, spots(), spots(), spots(), black)]
    return str(mjpeg_avi(tmp_path / "film.avi", frames))


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines that were printed; each of them stands on the page, too."""
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        assert line in PAGE, f"docs/python.md does not show {line!r}"
    return lines


def test_the_picture_example_prints_and_draws_objects(
    network: str, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("picture")([network, photo, str(tmp_path / "annotated.png")])
    lines = printed(capsys)
    assert len(lines) == 3
    assert "red 1.00 at 256, 0 - 320, 64" in lines
    annotated = cv2.imread(str(tmp_path / "annotated.png"))
    assert annotated is not None
    assert (annotated != spots()).any()


def test_the_camera_example_tells_of_changes(network: str, film: str, capsys: pytest.CaptureFixture[str]) -> None:
    program("camera")([network, "--source", film])
    assert printed(capsys) == ["frame 0: nothing", "frame 2: 2 bright, 1 red", "frame 5: nothing"]


def test_the_own_app_example_counts_the_left_half(
    network: str, film: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("own_app")([network, "--source", film, "--events", str(tmp_path / "events.jsonl")])
    assert printed(capsys) == ["6 frames, 0 dropped"]
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["left"] for event in events] == [0, 0, 1, 1, 1, 0]
    assert {event["app"] for event in events} == {"left-half"}


def test_the_own_output_example_writes_a_table(
    network: str, film: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("own_output")([network, str(tmp_path / "objects.csv"), "--source", film])
    assert printed(capsys) == ["6 frames"]
    with open(tmp_path / "objects.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows].count("red") == 3
    assert len(rows) == 9


def test_the_kernels_example_finds_objects(network: str, photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    program("kernels")([network, photo])
    assert sorted(printed(capsys)) == [
        "class 0 1.00 at 384, 128 - 448, 192", "class 0 1.00 at 64, 64 - 128, 128", "class 1 1.00 at 256, 0 - 320, 64",
    ]  # fmt: skip


def test_the_yolo_example_finds_more_in_tiles(network: str, photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    program("yolo")([network, photo, "--classes", "red"])
    lines = printed(capsys)
    assert lines[0] == "spots: 256x256 px, names bright, red"
    assert len(lines) == 2
    program("yolo")([network, photo, "--tiles", "auto"])
    assert len(capsys.readouterr().out.splitlines()) > 2


def test_the_archive_example_lists_what_is_in_files(
    network: str, photo: str, film: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    program("archive")([network, str(tmp_path)])
    lines = printed(capsys)
    assert {"spots.png: 2 bright", "spots.png: 1 red", "notes.txt: 1 error"} <= set(lines)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short_and_on_the_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert f"examples/{name}.py" in PAGE
    assert len(text.splitlines()) <= 60
    with pytest.raises(SystemExit) as done:
        program(name)(["--help"])
    assert done.value.code == 0
    assert f"examples/{name}.py" in capsys.readouterr().out


def test_every_example_is_tested() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


def test_the_family_that_the_docs_show_is_the_real_one() -> None:
    page = (ROOT / "docs" / "adding-a-model.md").read_text(encoding="utf-8")
    module = (ROOT / "engine/saccade/predict/parsers/face_mesh.py").read_text(encoding="utf-8")
    assert f"```python\n{module}```" in page
