"""The duel of two builds: its test is exact, and its rows ask for both clock and count."""

from __future__ import annotations

import itertools
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from bench import duel
from bench import stages as duel_stages

ROOT = Path(__file__).resolve().parents[1]


def noise(dice: random.Random, effect: float = 0.0) -> list[float]:
    """Pairs of a busy machine: 0.6 % around the effect, and now and then one that is far off."""
    return [effect + dice.gauss(0, 0.006) * (8 if dice.random() < 0.05 else 1) for _ in range(duel.LOOKS[-1])]


@pytest.mark.parametrize("values", [[0.3, -0.1, 0.2], [0.5, 0.4, 0.3, 0.2], [-0.1, -0.2], [0.1, -0.4, 0.3, -0.2, 0.6]])
def test_chance_is_that_of_all_signs(values: list[float]) -> None:
    ranks = [rank for rank, _ in enumerate(values, 1)]
    seen = sum(r for r, value in zip(ranks, sorted(values, key=abs), strict=True) if value > 0)
    sums = [sum(itertools.compress(ranks, signs)) for signs in itertools.product((0, 1), repeat=len(values))]
    assert math.isclose(duel.chance(values), sum(total >= seen for total in sums) / len(sums))


def test_equal_builds_raise_no_alarm_and_two_per_cent_do() -> None:
    dice = random.Random(1)
    equal = [duel.decide({str(stage): noise(dice) for stage in range(9)}) for _ in range(100)]
    assert not [word for ends in equal for word, _ in ends.values() if word == "slower"]
    slower = [duel.decide({str(s): noise(dice, math.log(1.02) if s == 3 else 0) for s in range(9)}) for _ in range(100)]
    assert sum(ends["3"][0] == "slower" for ends in slower) >= 95


def test_most_stages_of_equal_builds_are_settled_early() -> None:
    dice = random.Random(2)
    ends = duel.decide({str(stage): noise(dice) for stage in range(200)})
    assert sum(word == "equal" and pairs <= 16 for word, pairs in ends.values()) > 150


@pytest.mark.parametrize(
    ("effect", "count", "word", "red"),
    [(0.03, 103, "SLOWER", True), (0.03, 100, "suspect machine", False), (0.0, 103, "suspect machine", False),
     (0.0, 100, "equal", False), (-0.05, 95, "equal", False)],
)  # fmt: skip
def test_red_needs_clock_and_count(effect: float, count: float, word: str, red: bool) -> None:
    (row,) = duel.rows({"nms": noise(random.Random(3), effect)}, {"nms": 100.0}, {"nms": count})
    assert row.red is red
    assert word in str(row)


def test_a_slowed_stage_is_found_within_the_budget() -> None:
    dice = random.Random(5)
    pairs = {str(stage): noise(dice, math.log(1.02) if stage == 3 else 0) for stage in range(9)}
    ends = duel.decide(pairs)
    assert ends["3"][0] == "slower"
    assert ends["3"][1] <= duel.affordable(ends)
    assert 20 <= duel.affordable(dict.fromkeys(pairs, ("open", 40))) < duel.LOOKS[-1]


def test_stages_that_scatter_get_more_time_and_no_stage_gets_none() -> None:
    shares = duel.shares({"wide": [0.03, -0.02, 0.04, -0.03], "narrow": [0.001] * 4, "new": []}, ["wide", "narrow"])
    assert shares["wide"] == duel.MOST_NS
    assert shares["narrow"] >= duel.PAIR_NS / 5
    assert len(set(duel.shares({}, ["a", "b", "c"]).values())) == 1


class Favoured:
    """A process of a machine on which the second of two processes is slower by 3 %, as caches might have it."""

    digests = dict.fromkeys(("nms", "track"), "1")
    started: ClassVar[list[Favoured]] = []

    def __init__(self, package: Path, processor: int, slow: Sequence[str] = ()) -> None:
        self.slow = duel_stages.factors(slow)
        self.later = len(self.started) % 2 == 1
        self.started.append(self)
        if package.name == "other":
            self.digests = {"nms": "2", "new": "1"}

    def slice(self, stage: str, calls: int) -> int:
        return round(calls * (1_030_000 if self.later else 1_000_000) * self.slow.get(stage, 1.0))

    def renew(self, stage: str) -> None:
        """Nothing lies anywhere."""

    def close(self) -> None:
        """Nothing runs."""


def test_who_comes_second_is_drawn_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duel, "Side", Favoured)
    pairs, remarks = duel.pair_up([Path("a"), Path("b")], ["track=1.2"], False, random.Random(4))
    assert {round(math.exp(effect), 3) for effect in pairs["nms"]} == {1.03, 0.971}
    assert {round(math.exp(effect), 2) for effect in pairs["track"]} == {1.24, 1.17}
    assert (duel.decide(pairs)["nms"][0], duel.decide(pairs)["track"][0]) == ("equal", "slower")
    assert not remarks
    _, remarks = duel.pair_up([Path("a"), Path("other")], [], False, random.Random(4))
    assert remarks == [
        "results differ, so that times compare different work: nms", "only BASE has, and nobody compares: track",
        "only HEAD has, and nobody compares: new",
    ]  # fmt: skip


def test_stages_compute_the_same_in_every_process_and_errors_name_them() -> None:
    sides = [duel.Side(ROOT / "engine", 0, slow) for slow in ((), ("track=1.02",))]
    assert sides[0].digests == sides[1].digests
    assert len(sides[0].digests) == 9
    assert sides[0].slice("nms", 3) > 0
    sides[0].renew("nms")
    assert sides[0].slice("nms", 3) > 0
    with pytest.raises(RuntimeError, match="no such stage 1"):
        sides[0].slice("no such stage", 1)
    for side in sides:
        side.close()


def test_a_slowed_stage_gives_its_result_and_takes_longer() -> None:
    plain = lambda: sum(range(5_000))  # noqa: E731
    slow = duel_stages.slowed(plain, duel_stages.loops_for(plain, 4.0))
    assert slow() == sum(range(5_000))
    usual, longer = (min(duel_stages.taken(work, 1) for _ in range(200)) for work in (plain, slow))
    assert longer > 1.5 * usual


def test_one_build_is_not_a_duel() -> None:
    run = subprocess.run([sys.executable, "-m", "bench.duel", "x"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "give two builds" in run.stderr


def test_ci_compares_with_the_commit_before_where_there_is_one_that_differs(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *words]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    def said() -> str:
        return subprocess.run([ROOT / ".ci/duel.sh"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    for folder in ("engine", "ext", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("engine/a.py", "ext/a.c", "setup.py", "pyproject.toml"):
        (tmp_path / name).write_text("1")
    duelling = tmp_path / ".venv/bin/python"
    duelling.write_text('#!/bin/sh\necho "$@"\n')
    duelling.chmod(0o755)
    git("init", "--quiet")
    git("add", "engine", "ext", "setup.py", "pyproject.toml")
    git("commit", "--quiet", "--message", "first")
    assert "no HEAD~1 here" in said()
    git("commit", "--quiet", "--message", "pages only", "--allow-empty")
    assert "nothing to compare" in said()
    (tmp_path / "ext/a.c").write_text("2")
    git("commit", "--quiet", "--all", "--message", "a kernel")
    assert said().startswith("-m bench.duel ")
