"""Is a build slower than another? Two of them, side by side, on a machine that has other things to do.

    python -m bench.duel BASE HEAD [--slow STAGE=1.02] [--record FILE]     exits with 1 where HEAD is slower,
                                                                           with 2 where a build cannot be had
    python -m bench.duel --simulate FILE                                   what the test does with recorded A/A pairs

BASE and HEAD are wheels, folders with a checkout, or git revisions; the last two are built. The stages of
bench/stages.py run in slices of about 4 ms of CPU time, in turns A B B A, in one process for each build on one
processor. So both see the same load, and what drifts cancels; slices as short as that, because what else runs on a busy
machine changes within tens of milliseconds. Each is four parts, of which the fastest counts: the others may have been
interrupted. All asks for a higher priority, and goes on without where it does not get it. Where memory happens to lie
makes a stage up to a few per cent faster or slower: its buffers are made anew after every few turns, and new processes
are started again and again. A *pair* of them is one observation, the median over its turns of log(B / A). Stages that
scatter get more of the time than others, and those that are settled leave theirs to the rest.

Who begins in a pair is drawn by lot, for the processes' starts and for the turns alike. So if both builds are equal,
their names may be exchanged in each pair without any change: pairs are symmetric about zero, whatever the noise is and
whatever it does to who comes first. Wilcoxon's signed-rank test and the sign test need no more than that. A stage is
slower where the Hodges-Lehmann estimate is above `MARGIN` and the better test's p, doubled, is below what is left of
`FALSE_ALARMS` for one stage and one look; it is settled as soon as it is surely within `SETTLED`.

Instructions of each stage are counted by callgrind as well. Red needs both: the clock and the count. Where they
disagree the machine is suspect, or the change trades instructions for time; that is said and is not red.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench import callgrind

ROOT = Path(__file__).resolve().parents[1]
STAGES = Path(__file__).with_name("stages.py")
COUNTER = Path(__file__).with_name("counter.c")

PART_NS = 1_000_000
PARTS = 4
"""Of a slice."""
TURNS = 3
"""A B B A, after which a stage makes its buffers anew."""
PAIR_NS, MOST_NS = 6_300_000_000, 2_100_000_000
"""CPU time of all stages in each pair of processes that are not settled, and the most of one."""
KNOWN = 4
"""Pairs after which it is known which stages scatter more than others."""
BUDGET_S, COUNTING_S, START_S = 285.0, 37.0, 3.5
"""CPU time after which no further pair is begun; of it, about, that of counting and that of a pair's own start."""
PRIORITY = -10
"""The nice value that the processes ask for."""
LOOKS = (8, 12, 16, 20, 26, 32, 40)
"""After how many pairs a stage may be settled."""
ALARMS = (20, 26, 32, 40)
"""After how many it may be slower."""
FALSE_ALARMS = 1e-3
"""Of a whole duel of equal builds, all stages and looks together."""
MARGIN = math.log(1.01)
"""A stage that is slower by less is not told from equal: two layouts of the same code differ by as much."""
SETTLED = math.log(1.02)
COUNT_TOLERANCE = 0.01

Pairs = Mapping[str, Sequence[float]]


# The test.


@lru_cache
def _rank_sums(n: int) -> list[float]:
    """Probabilities of the sums of positive ranks of `n` symmetric observations, from 0 on."""
    ways = [1.0]
    for rank in range(1, n + 1):
        longer = ways + [0.0] * rank
        for total, way in enumerate(ways):
            longer[total + rank] += way
        ways = longer
    return [way / 2**n for way in ways]


def chance(values: Sequence[float], centre: float = 0.0) -> float:
    """P of Wilcoxon's signed-rank test, one-sided, exact: how likely values so far above `centre` are by chance."""
    ordered = sorted((value - centre for value in values), key=abs)
    positive = sum(rank for rank, value in enumerate(ordered, 1) if value > 0)
    return sum(_rank_sums(len(values))[positive:])


def even_chance(values: Sequence[float]) -> float:
    """P of the sign test, one-sided: how likely so few are below zero by chance, whatever their sizes."""
    below, n = sum(value <= 0 for value in values), len(values)
    return sum(math.comb(n, k) for k in range(below + 1)) / 2**n


def estimate(values: Sequence[float]) -> float:
    """Hodges-Lehmann: the median of the means of all pairs of values."""
    return statistics.median((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))


def verdict(values: Sequence[float], stages: int) -> str:
    """slower, equal, or nothing while more pairs are needed."""
    if len(values) in ALARMS:
        # One test is good at wide noise, the other at single pairs that are far off.
        p = 2 * min(chance(values), even_chance(values))
        if p <= FALSE_ALARMS / stages / len(ALARMS) and estimate(values) > MARGIN:
            return "slower"
    if chance([-value for value in values], -SETTLED) <= 0.005:  # surely less than SETTLED slower
        return "equal"
    return ""


def decide(pairs: Pairs) -> dict[str, tuple[str, int]]:
    """Verdict of each stage and the pairs it took, as a duel with these pairs would end; "open" if it never settles."""
    found = {}
    for stage, values in pairs.items():
        looks = [look for look in LOOKS if look <= len(values)]
        ends = ((word, look) for look in looks if (word := verdict(values[:look], len(pairs))))
        found[stage] = next(ends, ("open", len(values)))
    return found


# The builds.


def unpacked(build: str, folder: Path) -> Path:
    """The package of a build, in a folder that can be imported from."""
    source = Path(build)
    if not source.exists():
        source = folder / "checkout"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", "--quiet", source, build], check=True)
    try:
        if source.is_dir():
            clean = folder / "source"  # what lies compiled in a checkout may be of another day
            shutil.copytree(source, clean, ignore=shutil.ignore_patterns(".git", ".venv", "build", "out", "*.so"))
            command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
            subprocess.run([*command, "--wheel-dir", folder, clean], check=True)
            (source,) = folder.glob("*.whl")
    finally:
        if (folder / "checkout").exists():
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", folder / "checkout"], check=True)
    with zipfile.ZipFile(source) as wheel:
        wheel.extractall(folder / "package")
    return folder / "package"


def environment(package: Path) -> dict[str, str]:
    """Of a process that imports this build, the same each time."""
    return os.environ | {"PYTHONPATH": str(package), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}


def program(slow: Sequence[str]) -> list[str | Path]:
    """The command of bench/stages.py. slow : STAGE=FACTOR, which stages take so much longer."""
    return [sys.executable, STAGES, *(f"--slow={text}" for text in slow)]


# The clock.


class Side:
    """A process that runs slices of one build's stages."""

    def __init__(self, package: Path, processor: int, slow: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            program(slow), env=environment(package), text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {processor}),
        )  # fmt: skip
        self.digests = dict(entry.rsplit("=", 1) for entry in self._ask("list").split("\t"))

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(line, file=self._process.stdin, flush=True)
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"bench/stages.py ended at {line!r}")
        return answer.strip()

    def slice(self, stage: str, calls: int, parts: int = PARTS) -> int:
        """CPU time of so many calls in the fastest of the parts, ns."""
        return int(self._ask(f"{stage} {calls} {parts}"))

    def renew(self, stage: str) -> None:
        """Have the stage make its buffers anew, at another place."""
        self._ask(f"{stage} anew")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def go_first() -> None:
    """Go before what else runs, with all processes that are started from now on, where that is allowed."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(PRIORITY, os.getpriority(os.PRIO_PROCESS, 0)))
    with contextlib.suppress(OSError):  # where sessions are scheduled as groups, that one counts
        Path("/proc/self/autogroup").write_text(str(PRIORITY))


def observe(a: Side, b: Side, stage: str, time_ns: float) -> float:
    """One pair in which A begins: the median over the turns of log(B / A), within so much CPU time."""
    calls = 1
    while (taken := a.slice(stage, calls)) < PART_NS / 4:
        calls *= 2
    calls = max(1, round(calls * PART_NS / taken))
    effects, spent = [], 0
    while spent < time_ns:
        for side in (a, b):
            side.renew(stage)
        for _ in range(TURNS):
            a1, b1, b2, a2 = (side.slice(stage, calls) for side in (a, b, b, a))
            effects.append(math.log(b1 * b2 / a1 / a2) / 2)
            spent += PARTS * (a1 + b1 + b2 + a2)
    return statistics.median(effects)


def shares(pairs: Pairs, stages: Sequence[str]) -> dict[str, float]:
    """CPU time of each of these stages in the next pair, ns: the more the pairs so far scatter, up to a factor of 4."""
    scatter = {
        stage: statistics.median(map(abs, pairs[stage])) + 1e-6 if len(pairs.get(stage, ())) >= KNOWN else 1.0
        for stage in stages
    }
    usual = statistics.mean(scatter.values()) if stages else 1.0
    weights = {stage: min(max(value, usual / 2), usual * 2) for stage, value in scatter.items()}
    return {stage: min(MOST_NS, PAIR_NS * weight / sum(weights.values())) for stage, weight in weights.items()}


def pair_up(
    packages: Sequence[Path], slow: Sequence[str], settle: bool, lot: random.Random, *, until: float = math.inf
) -> tuple[dict[str, list[float]], list[str]]:
    """Pairs by stage, until each is settled or there are enough; and what else is to be said of the builds.

    packages : BASE and HEAD. slow : stages of HEAD that take longer. until : CPU time of all processes after which no
    pair is begun, s.
    """
    builds = tuple(zip(packages, ((), slow), strict=True))
    pairs: dict[str, list[float]] = {}
    settled: set[str] = set()
    processors, remarks = itertools.cycle(sorted(os.sched_getaffinity(0))), []
    for n in range(1, LOOKS[-1] + 1):
        if _cpu_seconds() > until:
            break
        processor, turned = next(processors), lot.random() < 0.5
        sides = [Side(package, processor, more) for package, more in (builds[::-1] if turned else builds)]
        base, head = sides[::-1] if turned else sides
        common = [stage for stage in base.digests if stage in head.digests]
        remarks = _remarks(base.digests, head.digests)
        open_stages = [stage for stage in common if stage not in settled]
        for stage, share in shares(pairs, open_stages).items():
            effect = -observe(head, base, stage, share) if turned else observe(base, head, stage, share)
            pairs.setdefault(stage, []).append(effect)
        for side in sides:
            side.close()
        if settle and n in LOOKS:
            settled = {stage for stage, (word, _) in decide(pairs).items() if word != "open"}
            if len(settled) == len(common):
                break
    return pairs, remarks


def _remarks(base: Mapping[str, str], head: Mapping[str, str]) -> list[str]:
    """Where the stages of two builds cannot be compared. base, head : digest of each."""
    found = []
    if differ := [stage for stage in base if head.get(stage, base[stage]) != base[stage]]:
        found.append(f"results differ, so that times compare different work: {', '.join(differ)}")
    for name, one, other in (("BASE", base, head), ("HEAD", head, base)):
        if alone := [stage for stage in one if stage not in other]:
            found.append(f"only {name} has, and nobody compares: {', '.join(alone)}")
    return found


# The count.


def counts(package: Path, folder: Path, slow: Sequence[str] = ()) -> dict[str, float]:
    """Instructions a call by stage."""
    library = folder / "counter.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", COUNTER, "-o", library], check=True)
    command = [*program(slow), "--count", library]
    totals = callgrind.counts(command, folder, "--instr-atstart=no", environment=environment(package))
    labels = ((label.rpartition("="), total) for label, total in totals.items())
    return {stage: total / int(calls) for (stage, _, calls), total in labels}


# What is said.


@dataclass(frozen=True, slots=True)
class Row:
    """What a duel says of one stage."""

    stage: str
    clock: str
    pairs: int
    slower: float
    more: float | None

    @property
    def suspect(self) -> bool:
        """Whether clock and count disagree."""
        return self.more is not None and (self.clock == "slower") != (self.more > COUNT_TOLERANCE)

    @property
    def red(self) -> bool:
        """Whether both say that it got slower."""
        return self.clock == "slower" and not self.suspect

    def __str__(self) -> str:
        counted = "not counted" if self.more is None else f"{self.more:+.2%} instructions"
        word = "SLOWER" if self.red else "suspect machine" if self.suspect else self.clock
        return f"{self.stage:16} {self.slower:+7.2%} of {self.pairs:2} pairs   {counted:22} {word}"


def rows(pairs: Pairs, base: Mapping[str, float], head: Mapping[str, float]) -> list[Row]:
    """A row for each stage."""
    found = []
    for stage, (clock, n) in decide(pairs).items():
        more = head[stage] / base[stage] - 1 if stage in head and stage in base else None
        found.append(Row(stage, clock, n, math.expm1(estimate(pairs[stage][:n])), more))
    return found


def affordable(ends: Mapping[str, tuple[str, int]]) -> int:
    """How many pairs the budget allows in a duel whose stages are settled after so many."""
    spent, n = COUNTING_S, 0
    while spent <= BUDGET_S and n < LOOKS[-1]:
        n += 1
        still_open = sum(word == "open" or pairs >= n for word, pairs in ends.values())
        spent += START_S + min(PAIR_NS, MOST_NS * still_open) / 1e9
    return n


def simulate(recorded: Pairs, duels: int = 4000) -> Iterator[str]:
    """What becomes of duels made of recorded A/A pairs: drawn anew, their signs too, and one stage made slower."""
    dice = random.Random(0)

    def slower(effects: Mapping[str, float]) -> list[str]:
        drawn = {
            stage: [dice.choice((1, -1)) * dice.choice(values) + effects.get(stage, 0.0) for _ in range(LOOKS[-1])]
            for stage, values in recorded.items()
        }
        ends = decide(drawn)
        most = affordable(ends)
        return [stage for stage, (word, pairs) in ends.items() if word == "slower" and pairs <= most]

    false = sum(bool(slower({})) for _ in range(duels))
    yield f"equal builds: {false} of {duels:,} duels raise an alarm by the clock alone"
    for percent in (2, 3, 5):
        shares = []
        for stage in recorded:
            found = sum(stage in slower({stage: math.log1p(percent / 100)}) for _ in range(duels // 10))
            shares.append(f"{stage} {found / (duels // 10):.1%}")
        yield f"{percent:+} % is found: {', '.join(shares)}"


def main() -> int:
    """Duel, or simulate duels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs="*", metavar="BASE HEAD")
    parser.add_argument("--slow", action="append", default=[], metavar="STAGE=FACTOR", help="make HEAD slower")
    parser.add_argument("--record", type=Path, help="write the pairs, all that may be needed, as JSON")
    parser.add_argument("--simulate", type=Path, metavar="FILE", help="recorded pairs of equal builds")
    options = parser.parse_args()
    if options.simulate:
        for line in simulate(json.loads(options.simulate.read_text())):
            print(line, flush=True)
        return 0
    if len(options.builds) != 2:
        parser.error("give two builds: wheels, checkouts or git revisions")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, name) for name in ("base", "head")]
        packages = []
        for build, place in zip(options.builds, places, strict=True):
            place.mkdir()
            try:
                packages.append(unpacked(build, place))
            except (subprocess.CalledProcessError, zipfile.BadZipFile) as error:
                parser.exit(2, f"{build} cannot be built: {error}\n")
        go_first()
        built = _cpu_seconds()
        base, head = counts(packages[0], places[0]), counts(packages[1], places[1], options.slow)
        until = built + BUDGET_S if options.record is None else math.inf
        pairs, remarks = pair_up(packages, options.slow, options.record is None, random.Random(), until=until)
    if options.record:
        options.record.write_text(json.dumps(pairs) + "\n")
    found = rows(pairs, base, head)
    print(*found, *remarks, sep="\n")
    taken, worked, load = time.monotonic() - started, _cpu_seconds() - built, os.getloadavg()[0]
    print(f"{taken:.0f} s; {worked:.0f} s of CPU time after building; load {load:.0f}")
    red = [row.stage for row in found if row.red]
    print(f"slower: {', '.join(red)}" if red else "not slower")
    return int(bool(red))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
