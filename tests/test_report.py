"""The benchmark report: bars are as long as they say, a first run has a trend, and noise is called noise."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bench import __main__ as report
from bench import charts
from bench.figures import Figure, as_line, as_table, command_line, figure, finish
from bench.legacy_ir import difference
from bench.memory import PEAK
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Chart

SUITES = {
    "pipeline": [
        Figure("frames a second", 4.4, 4.0, 4.8, 4.0, True, ""),
        Figure("CPU time", 0.5, 0.4, 0.6, 0.4, False, ""),
        Figure("out of all bounds", 100, 100, 100, 2, True, ""),
        Figure("lost", 0, 0, 0, 0, False, ""),
    ],
    "spool": [Figure("spooled over thrown away", 1.08, 1.0, 1.2, 0.9, True, "", best=1.0)],
}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of each chart that is saved."""
    found: list[Axes] = []
    monkeypatch.setattr(Chart, "savefig", lambda chart, path, **_: found.extend(chart.axes))
    return found


def test_bars_are_as_long_as_their_labels_say(drawn: list[Axes]) -> None:
    charts.ratios(SUITES, Path("unused"))
    (axes,) = drawn
    said = [re.match(r">?([\d.]+) times", text.get_text()) for text in axes.texts]
    assert [f"{bar.get_width():.2f}" for bar in axes.patches] == [match[1] for match in said if match]
    assert sorted(round(bar.get_width(), 2) for bar in axes.patches) == [0.8, 1.0, 1.1, 1.2, charts.LONGEST]


def test_a_first_run_has_a_trend(drawn: list[Axes]) -> None:
    run = {"figures": [figure.as_dict() | {"suite": name} for name, those in SUITES.items() for figure in those]}
    charts.trend([run], Path("unused"))
    (axes,) = drawn
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(points) == 5
    assert sorted(round(float(line.get_xdata()[0]), 3) for line in points) == [0.875] * 4 + [1.125]  # a column a suite


def test_what_is_better_than_can_be_is_called_noise() -> None:
    faster, slower = SUITES["spool"][0], Figure("", 0.97, 0.9, 1.0, 0.9, True, "", best=1.0)
    assert "noise: 1 is the best there can be" in as_line(faster)
    assert "| reached, noise: 1 is the best there can be |" in as_table(SUITES)
    assert not slower.noise
    assert Figure("", 0.9, 0.9, 0.9, 1.6, False, "", best=1.0).noise


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert figure("n", [3, 1, 2], 2.5, "d", at_least=True, best=4) == Figure("n", 2, 1, 3, 2.5, True, "d", 4)


@pytest.mark.parametrize("name", report.SUITES)
def test_each_suite_gives_its_figures_one_by_one(name: str) -> None:
    measure = importlib.import_module(f"bench.{name}").measure
    assert inspect.isgeneratorfunction(measure)
    assert next(iter(inspect.signature(measure).parameters)) == "rounds"


def test_nothing_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    options = command_line("").parse_args(["--check"])
    assert finish(iter(SUITES["spool"]), options) == 0
    assert capsys.readouterr().out.startswith("ok ")
    assert finish(iter(()), options) == 1
    assert capsys.readouterr().out == "nothing was measured\n"


def test_detections_of_a_picture_that_shows_nothing_are_compared_too() -> None:
    rows = np.zeros((1, 1, 5, 7), np.float32)
    rows[..., 2] = np.linspace(0.04, 0.01, 5)
    rows[..., 3:] = 0.5
    moved = rows.copy()
    moved[0, 0, 1, 3] = 0.9
    assert difference({"out": rows[:, :, ::-1]}, {"out": rows}) == 0
    assert difference({"out": moved}, {"out": rows}) > 0.5
    with pytest.raises(AssertionError, match="nothing is compared"):
        difference({"out": 0 * rows}, {"out": 0 * rows})


def test_an_option_that_would_be_ignored_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line("", rounds=None).parse_args(["--rounds", "5"])
    assert "unrecognized arguments: --rounds" in capsys.readouterr().err


def test_memory_of_a_process_is_its_own() -> None:
    """Not what the process had that started it."""
    held = bytearray(b"x") * (150 << 20)
    program = f"{PEAK}\nprint(peak())"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=True)
    assert 1 << 20 < int(done.stdout) < len(held) // 3


def test_a_run_that_was_broken_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured, written = list[str](), list[dict[str, list[Figure]]]()

    def suite(path: str) -> SimpleNamespace:
        def measure(rounds: int) -> list[Figure]:
            measured.append(path)
            return SUITES["spool"]

        return SimpleNamespace(measure=measure)

    monkeypatch.setattr(report.importlib, "import_module", suite)
    monkeypatch.setattr(report, "write", lambda suites, folder: written.append(suites))
    for line in ("--suite kernels --no-report", "--suite cores --suite kernels --resume"):
        monkeypatch.setattr(sys, "argv", ["bench", "--out", str(tmp_path), *line.split()])
        assert report.main() == 0
    assert measured == ["bench.kernels", "bench.cores"]
    assert written == [{"kernels": SUITES["spool"], "cores": SUITES["spool"]}]
    assert not list(tmp_path.iterdir())
