"""The runner against bare OpenVINO: what a request costs, what a stream gives, what the model cache saves.

    python -m bench.runner [--rounds N] [--json FILE] [--check]

Both sides take turns in one process on one network and must give the same numbers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import openvino as ov
import openvino.opset15 as op

from bench.figures import Figure, command_line, figure, finish
from bench.pipeline import MODEL
from saccade.formats import read_model
from saccade.networks import Model, catalogue


def seconds_each(run: Callable[[], object], count: int) -> float:
    """Time of one call, s."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def call_overhead(rounds: int, calls: int = 5000) -> Iterator[Figure]:
    """Time of a call with next to nothing to compute, over bare OpenVINO's: bound, with a dict, asynchronous."""
    x = op.parameter([1, 8], np.float32, name="x")
    model = Model(ov.Model([op.relu(x)], [x], "relu"), precision="f32", threads=1)
    request, bare = model.request(), model._compiled.create_infer_request()
    data = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)
    request.inputs[model.inputs[0].name][:] = data
    bare.get_input_tensor(0).data[:] = data

    def start_and_wait() -> None:
        request.start()
        request.wait()

    def bare_start_and_wait() -> None:
        bare.start_async()
        bare.wait()

    cases = (
        ("Request.infer over a bare request's infer", request.infer, bare.infer, 1.15, 1.0),
        ("Request.infer over infer(dict)", request.infer, lambda: bare.infer({0: data}), 0.60, None),
        ("Request.start and wait over a bare request's", start_and_wait, bare_start_and_wait, 1.15, 1.0),
    )
    for name, mine, theirs, target, bound in cases:
        mine()
        theirs()
        np.testing.assert_array_equal(*request.outputs.values(), bare.get_output_tensor(0).data)
        pairs = [(seconds_each(mine, calls), seconds_each(theirs, calls)) for _ in range(2 * rounds + 1)]
        best = [min(column) * 1e6 for column in zip(*pairs, strict=True)]
        detail = f"{best[0]:.1f} against {best[1]:.1f} us a call"
        yield figure(name, [a / b for a, b in pairs], target, detail, best=bound)


def in_flight_rate(model: Model, count: int, seconds: float = 1.0) -> float:
    """Runs a second with `count` requests in flight."""
    ring = [model.request() for _ in range(count)]
    for request in ring:
        request.start()
    done, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        request = ring[done % count]
        request.wait()
        request.start()
        done += 1
    for request in ring:
        request.wait()
    return done / (now - start)


def two_streams(rounds: int) -> Figure:
    """Two streams of one thread with two requests, over one stream of two threads with one."""
    path = catalogue.resolve(MODEL)
    one, two = Model(path, threads=2), Model(path, threads=2, streams=2)
    x = np.random.default_rng(0).random(one.inputs[0].shape, dtype=np.float32)
    for mine, expected in zip(two.infer(x).values(), one.infer(x).values(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
    pairs = [(in_flight_rate(two, 2), in_flight_rate(one, 1)) for _ in range(rounds)]
    best = [max(column) for column in zip(*pairs, strict=True)]
    return figure(
        "two streams of one thread over one of two: runs a second", [a / b for a, b in pairs], 1.1,
        f"{best[0]:.0f} against {best[1]:.0f} a second", at_least=True,
    )  # fmt: skip


def second_start(rounds: int) -> Figure:
    """Time to compile by way of the cache, its check included, over the time without."""
    path = catalogue.resolve(MODEL)
    network = read_model(path)
    with tempfile.TemporaryDirectory() as folder:
        first = Model(network, precision="f32", cache_dir=folder)
        x = np.random.default_rng(0).random(first.inputs[0].shape, dtype=np.float32)
        pairs = []
        for _ in range(rounds):
            start = time.perf_counter()
            again = Model(network, precision="f32", cache_dir=folder)
            middle = time.perf_counter()
            ov.Core().compile_model(network, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
            pairs.append((middle - start, time.perf_counter() - middle))
            for mine, expected in zip(again.infer(x).values(), first.infer(x).values(), strict=True):
                np.testing.assert_array_equal(mine, expected)
    best = [min(column) * 1e3 for column in zip(*pairs, strict=True)]
    detail = f"{best[0]:.0f} against {best[1]:.0f} ms"
    return figure("second start: compile with the cache over without", [a / b for a, b in pairs], 0.8, detail)


def measure(rounds: int) -> Iterator[Figure]:
    """All figures of this suite."""
    yield from call_overhead(rounds)
    yield two_streams(rounds)
    yield second_start(rounds)


if __name__ == "__main__":
    options = command_line(__doc__).parse_args()
    raise SystemExit(finish(measure(options.rounds), options))
