"""Mutation fuzzer of the legacy IR reader: a file is read, or refused with a ModelError; nothing else may happen.

    cd tests/formats && nice python -m legacy_ir.fuzz --cases 50000            the long run, about ten minutes
    cd tests/formats && python -m legacy_ir.fuzz --case 1234                   one case again, with its error

Seeds are the nets of `cases.py` and, with --corpus, real files. Cases are numbered and the same on every machine with
the same seeds. Workers are processes with a limit on memory; one that dies, hangs or runs out of memory is a finding,
as is any exception but ModelError. One case in `--compile-every` is compiled and run as well.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPARE = 768 << 20  # bytes of address space above what a worker has when it starts
PATIENCE = 60.0  # s for one case
BATCH = 200

NUMBERS = [
    "0", "1", "-1", "2", "3", "7", "255", "256", "65535", "65536", "2147483647", "2147483648", "-2147483648",
    "4294967295", "4294967296", "9223372036854775807", "18446744073709551616", "1e9", "1e38", "-1e38", "1e400",
    "nan", "inf", "-inf", "", " ", "0.5", "-0.0", "1,1", "1,2,3,4,5,6,7,8", "x", "0x10", "1_0", "\u0663",
]  # fmt: skip
TAG = re.compile(r"<(layer|edge|port|dim|data|weights|biases|blobs|custom|input|output|channel|mean)\b[^>]*?(/>|>)")
VALUE = re.compile(r'="([^"]*)"')
ELEMENT = re.compile(r"<(layer|edge|port|dim|weights|biases|custom|data)\b[^>]*?(?:/>|>.*?</\1>)", re.DOTALL)


@dataclass
class Seed:
    name: str
    xml: str
    weights: bytes


@dataclass
class Findings:
    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str]] = field(default_factory=list)


def seeds(corpus: Path | None) -> list[Seed]:
    from .cases import CASES

    found = []
    for case in CASES.values():
        net, _, _ = case.build()
        found.append(Seed(case.name, net.xml(), bytes(net.weights)))
    if corpus is not None:
        for path in sorted((corpus / "corpus" / "ir").glob("v*/*/*.xml")):
            weights = path.with_suffix(".bin")
            if weights.exists() and path.stat().st_size < 200_000:
                found.append(Seed(path.parent.name, path.read_text(), weights.read_bytes()))
    return found


def mutate(number: int, pool: list[Seed]) -> tuple[bytes, bytes]:
    """Return .xml and .bin of a case."""
    rng = random.Random(number)
    seed = pool[rng.randrange(len(pool))]
    xml, weights = seed.xml, seed.weights
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        xml = rng.choice(CHANGES)(rng, xml)
    data = xml.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        data = _spoil(rng, data)
    if rng.random() < 0.1 and weights:
        weights = rng.choice(
            (weights[: rng.randrange(len(weights))], _spoil(rng, weights), b"version https://git-lfs", os.urandom(0))
        )
    return data, weights


def _spoil(rng: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 64))):
        if spoilt:
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
    return bytes(spoilt)


def _any(rng: random.Random, pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Find a match at a random place, without listing all of a long file."""
    start = rng.randrange(len(text)) if text else 0
    return pattern.search(text, start) or pattern.search(text)


def change_value(rng: random.Random, xml: str) -> str:
    found = _any(rng, VALUE, xml)
    if found is None:
        return xml
    old = found[1]
    new = rng.choice(NUMBERS)
    if "," in old and rng.random() < 0.7:
        parts = old.split(",")
        parts[rng.randrange(len(parts))] = new
        new = ",".join(parts)
    elif re.fullmatch(r"-?\d+", old) and rng.random() < 0.5:
        new = str(int(old) + rng.choice((-3, -2, -1, 1, 2, 4, 100)))
    return xml[: found.start(1)] + new + xml[found.end(1) :]


def change_dim(rng: random.Random, xml: str) -> str:
    found = _any(rng, re.compile(r"<dim>([^<]*)</dim>"), xml)
    if found is None:
        return xml
    new = rng.choice(NUMBERS) if rng.random() < 0.4 else str(rng.choice((1, 2, 3, 5, 17, 64, 1000, 40000)))
    return xml[: found.start(1)] + new + xml[found.end(1) :]


def change_all_dims(rng: random.Random, xml: str) -> str:
    """Change a size everywhere, so that shapes still fit together for a while."""
    found = _any(rng, re.compile(r"<dim>([^<]*)</dim>"), xml)
    if found is None:
        return xml
    return xml.replace(found[0], f"<dim>{rng.choice((1, 2, 3, 6, 13, 128, 4096))}</dim>")


def change_type(rng: random.Random, xml: str) -> str:
    from saccade.formats.legacy_ir import ops  # noqa: F401
    from saccade.formats.legacy_ir.table import LAYERS

    found = _any(rng, re.compile(r'type="([A-Za-z]+)"'), xml)
    if found is None:
        return xml
    return xml[: found.start(1)] + rng.choice(sorted(LAYERS)) + xml[found.end(1) :]


def drop_attribute(rng: random.Random, xml: str) -> str:
    found = _any(rng, re.compile(r' [a-z_\-]+="[^"]*"'), xml)
    return xml if found is None else xml[: found.start()] + xml[found.end() :]


def drop_element(rng: random.Random, xml: str) -> str:
    found = _any(rng, ELEMENT, xml)
    return xml if found is None else xml[: found.start()] + xml[found.end() :]


def repeat_element(rng: random.Random, xml: str) -> str:
    found = _any(rng, ELEMENT, xml)
    times = rng.choice((1, 2, 9, 300))
    return xml if found is None else xml[: found.end()] + found[0] * times + xml[found.end() :]


def move_element(rng: random.Random, xml: str) -> str:
    found, target = _any(rng, ELEMENT, xml), _any(rng, TAG, xml)
    if found is None or target is None:
        return xml
    return xml[: target.start()] + found[0] + xml[target.start() :]


def swap_values(rng: random.Random, xml: str) -> str:
    first, second = _any(rng, VALUE, xml), _any(rng, VALUE, xml)
    if first is None or second is None or first.end() > second.start():
        return xml
    return xml[: first.start(1)] + second[1] + xml[first.end(1) : second.start(1)] + first[1] + xml[second.end(1) :]


def cut(rng: random.Random, xml: str) -> str:
    start = rng.randrange(len(xml) + 1)
    return xml[:start] + xml[start + rng.choice((1, 5, 50, len(xml))) :]


def insert_hostile(rng: random.Random, xml: str) -> str:
    text = rng.choice((
        '<!DOCTYPE net [<!ENTITY a "b">]>', "<!-- x -->", "<![CDATA[x]]>", "&amp;", "&lol;", "<a>" * 100, "\x00",
        '<?xml version="1.0" encoding="utf-16"?>', "<layers>", "</layer>", "<body>", "<port_map/>", "<back_edges/>",
        '<pre-process><channel id="0"><mean value="1"/></channel></pre-process>',
        '<statistics><layer><name>in0</name><min>a</min><max>1</max></layer></statistics>',
    ))  # fmt: skip
    found = _any(rng, TAG, xml)
    at = found.start() if found is not None else 0
    return xml[:at] + text + xml[at:]


CHANGES = [
    change_value, change_value, change_value, change_dim, change_dim, change_all_dims, change_type, drop_attribute,
    drop_element, repeat_element, move_element, swap_values, cut, insert_hostile,
]  # fmt: skip


def examine(folder: Path, data: bytes, weights: bytes, compiled: bool) -> str:
    """Read a case; return what happened: read, refused, compiled or not compiled. Anything else raises."""
    import numpy as np

    from saccade.errors import ModelError
    from saccade.formats import legacy_ir

    from .running import F32, core

    path = folder / "net.xml"
    path.write_bytes(data)
    path.with_suffix(".bin").unlink(missing_ok=True)
    path.with_suffix(".bin").write_bytes(weights)
    try:
        model = legacy_ir.read(path, int8=compiled)
    except ModelError as error:
        if "\n" in str(error) or len(str(error)) > 2000:
            raise AssertionError(f"an unreadable message: {str(error)[:3000]!r}") from error
        return "refused"
    if not compiled:
        return "read"
    ports = [port for node in model.get_ordered_ops() for port in node.outputs() if port.partial_shape.is_static]
    sizes = [int(np.prod(list(port.get_shape()))) for port in ports]
    if max(sizes, default=0) > 1 << 22:
        return "too big to run here"
    try:
        request = core().compile_model(model, "CPU", F32).create_infer_request()
        request.infer([np.zeros(list(port.shape), port.element_type.to_dtype()) for port in model.inputs])
    except RuntimeError:
        return "not compiled"
    return "compiled"


def _work(numbers: list[int], corpus: Path | None, compile_every: int, pipe: Any) -> None:
    """Run a batch; say each number before its case and the outcome after it."""
    pool = seeds(corpus)
    with tempfile.TemporaryDirectory() as folder:
        examine(Path(folder), *mutate(1, pool), True)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + SPARE, size + SPARE))
        for number in numbers:
            pipe.send((number, "start"))
            try:
                outcome = examine(Path(folder), *mutate(number, pool), number % compile_every == 0)
            except BaseException:  # anything at all is a finding
                outcome = "!" + traceback.format_exc(limit=-4)
            pipe.send((number, outcome))
        pipe.send((-1, "end"))


def run(
    cases: int, *, first: int = 0, corpus: Path | None = None, compile_every: int = 20, workers: int = 1
) -> Findings:
    """Examine cases in batches, `workers` at a time."""
    findings = Findings()
    context = multiprocessing.get_context("spawn")
    batches: list[list[int]] = [
        list(range(start, min(start + BATCH, first + cases))) for start in range(first, first + cases, BATCH)
    ]
    while batches:
        running = []
        for _ in range(min(workers, len(batches))):
            numbers = batches.pop(0)
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(numbers, corpus, compile_every, theirs))
            process.start()
            theirs.close()
            running.append((process, mine, numbers))
        for process, pipe, numbers in running:
            rest = list(_collect(process, pipe, numbers, findings))
            if rest:
                batches.insert(0, rest)
    return findings


def _collect(process: Any, pipe: Any, numbers: list[int], findings: Findings) -> Iterator[int]:
    """Note the outcomes of a worker; yield what is left of its batch where it died or hung."""
    current, done = numbers[0], 0
    limit = 120 + PATIENCE  # it starts slowly
    while True:
        try:
            if not pipe.poll(limit):
                process.kill()
                findings.bad.append((current, "hangs"))
                break
            number, outcome = pipe.recv()
        except EOFError:
            process.join()
            findings.bad.append((current, f"killed the process, exit code {process.exitcode}"))
            break
        limit = PATIENCE
        if outcome == "end":
            process.join()
            return
        if outcome == "start":
            current = number
            continue
        done += 1
        if outcome.startswith("!"):
            findings.bad.append((number, outcome[1:]))
        else:
            findings.outcomes[outcome] += 1
    process.join()
    yield from numbers[numbers.index(current) + 1 :]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--case", type=int, help="run one case in this process and show its error")
    parser.add_argument("--keep", type=Path, help="with --case: a folder for its files")
    parser.add_argument("--corpus", type=Path, help="folder of real old models")
    parser.add_argument("--compile-every", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    if options.case is not None:
        data, weights = mutate(options.case, seeds(options.corpus))
        folder = options.keep or Path(tempfile.mkdtemp())
        folder.mkdir(exist_ok=True)
        print(examine(folder, data, weights, options.case % options.compile_every == 0))
        if options.keep is None:
            shutil.rmtree(folder)
        return 0
    start, step, findings = time.monotonic(), 2_000, Findings()
    for first in range(options.first, options.first + options.cases, step):
        count = min(step, options.first + options.cases - first)
        part = run(
            count, first=first, corpus=options.corpus, compile_every=options.compile_every, workers=options.workers
        )
        findings.outcomes += part.outcomes
        findings.bad += part.bad
        for number, what in part.bad:
            print(f"case {number}: {what}")
        print(f"{first + count - options.first} cases, {time.monotonic() - start:.0f} s, {dict(findings.outcomes)}, "
              f"{len(findings.bad)} findings", flush=True)  # fmt: skip
    return 1 if findings.bad else 0


if __name__ == "__main__":
    sys.exit(main())
