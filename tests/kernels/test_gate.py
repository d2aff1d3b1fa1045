"""The benchmark gate itself: it lets the kernels pass as they are, and stops one that was made slower."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from bench import gate
from bench.figures import Figure

from lengths import EXHAUSTIVE

ROOT = Path(__file__).resolve().parents[2]
CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
flags\t\t: fpu sse4_2 avx2

processor\t: 1
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
"""
needs_valgrind = pytest.mark.skipif(
    not (shutil.which("valgrind") and shutil.which("cc")), reason="needs valgrind and a C compiler"
)


def run_gate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.gate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@needs_valgrind
@pytest.mark.slow
@pytest.mark.skipif(not EXHAUSTIVE, reason="by choice: ten seconds of valgrind; SACCADE_EXHAUSTIVE=1 runs it")
def test_a_slowed_kernel_is_stopped(tmp_path: Path) -> None:
    """It alone, and those that call it: to all others the gate is open."""
    sources = tmp_path / "ext"
    shutil.copytree(ROOT / "ext", sources, ignore=shutil.ignore_patterns("_*"))
    kernel = sources / "preprocess.inc.h"
    text = kernel.read_text()
    once = "resize_bgr(columns, plane->data"
    assert text.count(once) == 1
    kernel.write_text(text.replace(once, f"for (int again = 0; again < 2; again++) {once}"))
    shut_gate = run_gate("--part", "instructions", "--sources", str(sources))
    assert shut_gate.returncode == 1, shut_gate.stdout + shut_gate.stderr
    stopped = [line for line in shut_gate.stdout.splitlines() if "WORSE" in line]
    assert any("sse42 BGR 1080p to 300 float32 NCHW" in line for line in stopped)
    assert not any("nms" in line or "I420" in line for line in stopped)


def test_counts_of_a_known_compiler() -> None:
    rows = gate.count_rows({"avx2 a": 102, "avx2 b": 104}, {"gcc 12": {"avx2 a": 100, "avx2 b": 100}}, "gcc 12")
    assert [(row.name, row.worse) for row in rows] == [("avx2 a", False), ("avx2 b", True)]
    assert rows[1].verdict == "WORSE, +4.0%"


def test_a_compiler_without_a_baseline_is_held_against_the_largest_count_of_the_others() -> None:
    baselines = {"gcc 12": {"avx2 a": 80, "avx2 b": 100}, "clang 14": {"avx2 a": 100}}
    rows = gate.count_rows({"avx2 a": 124, "avx2 b": 126}, baselines, "gcc 15")
    assert [row.worse for row in rows] == [False, True]
    assert "of another compiler" in rows[0].bound
    # A case that only another compiler's baseline has.
    (row,) = gate.count_rows({"avx2 b": 120}, {"clang 14": {}} | baselines, "clang 14")[:1]
    assert (row.worse, row.bound) == (False, "100 + 25%, of another compiler")


def test_cases_that_are_new_or_lost_say_how_to_update() -> None:
    baselines = {"gcc 12": {"avx2 old": 100, "sse42 kept": 10, "avx2 kept": 10}}
    rows = gate.count_rows({"avx2 new": 100, "avx2 kept": 10}, baselines, "gcc 12")
    assert {row.name for row in rows if row.worse} == {"avx2 new", "avx2 old"}
    assert all("python -m bench.gate --update" in row.verdict for row in rows if row.worse)


def test_the_kind_of_a_processor() -> None:
    assert gate.processor(CPUINFO, "avx2") == "AuthenticAMD family 25 model 17, avx2"
    assert gate.processor(CPUINFO.replace(": 17", ": 1"), "avx2") != gate.processor(CPUINFO, "avx2")
    assert gate.processor("BogoMIPS : 50", "numba").endswith(", numba")


class Measured:
    """Stands for the kernels' measurement: gives each row the next of its ratios, and keeps what was asked for."""

    def __init__(self, **ratios: list[float]) -> None:
        self._ratios = {name: iter(values) for name, values in ratios.items()}
        self.asked: list[set[str]] = []

    def __call__(self, rounds: int, names: Collection[str] | None) -> Mapping[str, Figure]:
        chosen = self._ratios.keys() if names is None else set(names)
        self.asked.append(set(chosen))
        return {name: figure(name, next(self._ratios[name])) for name in self._ratios if name in chosen}


def figure(name: str, ratio: float) -> Figure:
    """A figure of a row; `floor` is one whose ratio shall be small."""
    return Figure(name, ratio, ratio, ratio, 2.0, name != "floor", "")


def test_ratios_of_an_unknown_processor_are_only_reported() -> None:
    measured = Measured(resize=[0.1], floor=[50.0])
    ratios, why_none = gate.usual_ratios({"Atom": {"references": "OpenCV 5.0", "ratios": {}}}, "Xeon", "OpenCV 5.0")
    rows = gate.ratio_rows(measured, 3, ratios, why_none)
    assert {row.verdict for row in rows} == {"reported, no baseline for this processor"}
    assert not any(row.worse for row in rows)
    assert [row.bound for row in rows] == ["target at least 2", "target at most 2"]
    assert len(measured.asked) == 1


def test_ratios_to_another_release_of_a_reference_are_only_reported() -> None:
    known = {"Xeon": {"references": "OpenCV 5.0", "ratios": {"resize": 2.0}}}
    assert gate.usual_ratios(known, "Xeon", "OpenCV 5.0") == ({"resize": 2.0}, "")
    ratios, why_none = gate.usual_ratios(known, "Xeon", "OpenCV 5.1")
    assert ratios is None
    assert "OpenCV 5.0" in why_none


def test_only_the_row_that_missed_is_measured_again() -> None:
    measured = Measured(resize=[2.0], resize_crops=[1.0, 1.5, 1.7], floor=[9.9, 4.9])
    rows = gate.ratio_rows(measured, 3, {"resize": 2.0, "resize_crops": 2.0, "floor": 4.0})
    assert measured.asked == [{"resize", "resize_crops", "floor"}, {"resize_crops", "floor"}, {"resize_crops"}]
    assert [(row.measured, row.worse) for row in rows] == [("2.00", False), ("1.70", False), ("4.90", False)]


def test_a_row_that_misses_each_time_shuts_the_gate() -> None:
    rows = gate.ratio_rows(Measured(resize=[1.5] * 3, floor=[5.1] * 3), 3, {"resize": 2.0, "floor": 4.0})
    assert all(row.worse for row in rows)
    assert [row.bound for row in rows] == ["at least 1.60 (usual 2)", "at most 5.00 (usual 4)"]


def test_a_row_that_the_processors_baseline_lacks_is_reported_and_says_how_to_update() -> None:
    (row,) = gate.ratio_rows(Measured(new=[1.0]), 3, {"resize": 2.0})
    assert not row.worse
    assert row.verdict.startswith("reported, no baseline for this row")
    assert "python -m bench.gate --update" in row.verdict


def test_an_update_takes_medians_and_keeps_the_entries_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"instructions": {"gcc 12": {"avx2 a": 1}}, "processors": {"Atom": {"references": "", "ratios": {"a": 1}}}}
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(known))
    monkeypatch.setattr(gate, "BASELINE", path)
    monkeypatch.setattr(gate, "measure_kernels", Measured(resize=[1.0, 9.0, 2.0, 3.0, 2.5]))
    monkeypatch.setattr(gate, "this_processor", lambda: "Xeon")
    gate.update(["ratios"], 3)
    written = json.loads(path.read_text())
    assert written["processors"].pop("Xeon") == {"references": gate.references(), "ratios": {"resize": 2.5}}
    assert written == known


def test_memory_is_held_against_the_baseline() -> None:
    assert not gate.memory_row(65.9, 60.0).worse
    assert gate.memory_row(66.1, 60.0).worse


@pytest.mark.slow
def test_importing_the_package_is_measured_and_open() -> None:
    assert not gate.import_row().worse


@pytest.mark.slow
def test_each_case_stands_alone() -> None:
    """In reverse order no case finds what the one before it should have left."""
    from bench import kernels

    cases = list(kernels.cases())
    assert len({case.name for case in cases}) == len(cases)
    for case in reversed(cases):
        case.mine()
        case.reference()
        case.check()


def test_the_baseline_is_readable() -> None:
    baseline = json.loads((ROOT / "bench" / "baseline.json").read_text())
    assert baseline["pipeline_peak_mb"] > 0
    for counts in baseline["instructions"].values():
        assert {name.split()[0] for name in counts} == {"portable", "sse42", "avx2"}
        assert all(count > 0 for count in counts.values())
    for known in baseline["processors"].values():
        assert known["references"]
        assert all(ratio > 0 for ratio in known["ratios"].values())
