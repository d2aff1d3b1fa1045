"""What it costs to read a network's outputs: SSD networks without their last layer, and the predictor itself.

    python -m bench.heads [--rounds N] [--json FILE] [--check]

Networks and pictures are those of the corpus (SACCADE_CORPUS). Both sides of a ratio take turns in one process, work on
the same picture with one thread, and must find the same. Whole inferences are compared by the processor's time, which
other programs disturb less than the clock's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import openvino as ov

from bench.corpus import corpus
from bench.figures import Figure, command_line, figure, finish
from bench.legacy_ir import take_turns
from saccade.formats import read_model
from saccade.frame import Frame
from saccade.kernels import decode_ssd
from saccade.networks import Model
from saccade.predict.opening import Wishes, understand
from saccade.predict.predictor import Predictor
from saccade.results import Detections

SSDS = (
    "caffe/res10_ssd_300/deploy.prototxt",
    "ir/v4/face-detection-retail-0004-FP32/face-detection-retail-0004.xml",
    "ir/v6/pedestrian-and-vehicle-detector-adas-0001-FP16/pedestrian-and-vehicle-detector-adas-0001.xml",
    "mxnet/dl_ssd_resnet50_slim4_512/deploy_ssd_resnet50_512-symbol.json",
)
WHOLE, TAIL = 1.03, 4.0
"""Time of a whole inference, which may not be longer but for noise; how many times as fast its tail is at least."""

OVERHEAD, OVERHEAD_US = 0.03, 30.0
"""Most that a frame costs beyond the request and the kernels: a part of it, or microseconds."""


def check_alike(one: Detections | None, other: Detections | None) -> None:
    """Raise AssertionError unless both sides found the same."""
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)


def filled(predictor: Predictor, frame: Frame) -> Callable[[], Detections]:
    """One inference and its parsing, the picture being in the input already."""
    request, _ = predictor._filled(frame, (0.0, 0.0, 1.0, 1.0))

    def run() -> Detections:
        request.infer()
        found = predictor.parser.parse(request.outputs, predictor.settings)
        assert isinstance(found, Detections)
        return found

    return run


def layer_seconds(path: Path, feeds: dict[str, np.ndarray], runs: int = 30) -> float:
    """What OpenVINO's profiler says of the DetectionOutput layer within its network, s."""
    compiled = ov.Core().compile_model(
        read_model(path), "CPU", {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    request, times = compiled.create_infer_request(), []
    for _ in range(runs):
        request.infer(list(feeds.values()))
        times += [i.real_time.total_seconds() for i in request.profiling_info if i.node_type == "DetectionOutput"]
    return sorted(times)[len(times) // 4]


def quick_seconds(run: Callable[[], object], runs: int = 300) -> float:
    """Lower quartile of the time of a call, s."""
    times = []
    for _ in range(runs):
        times.append(_seconds(run))
    return sorted(times)[len(times) // 4]


def ssd_figures(path: Path, frame: Frame, rounds: int) -> list[Figure]:
    """A network with its layer against the same one cut before it."""
    layer, cut = (
        understand(Model(path, precision="f32", for_parser=cut, threads=1), Wishes()) for cut in (False, True)
    )
    if len(cut.network.outputs) != 2:
        raise AssertionError(f"{path.name} is not cut")
    sides = {"layer": filled(layer, frame), "cut": filled(cut, frame)}
    check_alike(sides["layer"](), sides["cut"]())
    times = take_turns(sides, rounds, 1.0, time.process_time)
    best = {name: min(values) * 1e3 for name, values in times.items()}
    feeds = {port.name: array.copy() for port, array in zip(layer.network.inputs, _inputs(layer, frame), strict=True)}
    tails = []
    for _ in range(rounds):
        inside = layer_seconds(path, feeds)
        listed, raw = (_outputs(predictor, frame) for predictor in (layer, cut))
        with_layer = inside + quick_seconds(lambda listed=listed: layer.parser.parse(listed, layer.settings))
        tails.append((with_layer, quick_seconds(lambda raw=raw: cut.parser.parse(raw, cut.settings))))
    fastest = [min(column) * 1e6 for column in zip(*tails, strict=True)]
    name = path.parent.name
    return [
        figure(
            f"{name}: whole inference, kernel over DetectionOutput",
            [a / b for a, b in zip(times["cut"], times["layer"], strict=True)],
            WHOLE,
            f"{best['cut']:.2f} against {best['layer']:.2f} ms",
        ),
        figure(
            f"{name}: its tail alone, speed of the kernel over the layer",
            [a / b for a, b in tails],
            TAIL,
            f"{fastest[1]:.0f} against {fastest[0]:.0f} us, parsing included",
            at_least=True,
        ),
    ]


def _inputs(predictor: Predictor, frame: Frame) -> list[np.ndarray]:
    request, _ = predictor._filled(frame, (0.0, 0.0, 1.0, 1.0))
    return [np.array(array) for array in request.inputs.values()]


def _outputs(predictor: Predictor, frame: Frame) -> dict[str, np.ndarray]:
    request, _ = predictor._filled(frame, (0.0, 0.0, 1.0, 1.0))
    request.infer()
    return {name: output.copy() for name, output in request.outputs.items()}


def predictor_overhead(path: Path, frame: Frame, rounds: int, pairs: int = 100) -> Figure:
    """A predictor's call over the kernels and the request that it uses, by themselves: the median of the differences of
    calls that follow each other, in the calling thread's own time, which does not count that of the network and of
    other programs.
    """
    predictor = understand(Model(path, precision="f32", for_parser=True, threads=1), Wishes())
    head = predictor.network.outputs[0].attributes["head"]
    request, _ = predictor._filled(frame, (0.0, 0.0, 1.0, 1.0))
    predictor._free.append(request)  # both sides use the same memory
    fill, _ = predictor._plan(frame, (0.0, 0.0, 1.0, 1.0))
    target = request.inputs[predictor._input]
    loc, conf = (request.outputs[port.name] for port in predictor.network.outputs)
    loc, conf = loc.reshape(-1, 4), conf.reshape(-1, head.classes)

    def bare() -> np.ndarray:
        fill(frame, target)
        request.start()
        request.wait()
        return decode_ssd(
            loc, conf, head.priors, variances=head.variances, score_threshold=0.5, iou_threshold=head.iou_threshold,
            top_k=head.top_k, keep_top_k=head.keep_top_k,
        )  # fmt: skip

    def whole() -> int:
        found = predictor(frame).detections
        assert found is not None
        return len(found)

    assert whole() == len(bare()) > 0
    ratios, more, least = [], [], []
    for _ in range(2 * rounds + 1):
        own = np.array([[_seconds(run, time.thread_time) for run in (whole, bare)] for _ in range(pairs)])
        more.append(float(np.median(own[:, 0] - own[:, 1])))
        least.append(quick_seconds(bare, pairs))
        ratios.append(1 + more[-1] / least[-1])
    most = max(OVERHEAD, OVERHEAD_US * 1e-6 / statistics.median(least))
    return figure(
        f"{path.parent.name}: a predictor's call over its request and kernels", ratios, 1 + most,
        f"{statistics.median(more) * 1e6:.0f} us more than {statistics.median(least) * 1e3:.2f} ms", best=1.0,
    )  # fmt: skip


def _seconds(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    run()
    return clock() - start


def measure(rounds: int) -> Iterator[Figure]:
    """All figures of this suite."""
    folder = corpus() / "corpus"
    picture = cv2.imread(str(corpus() / "images" / "fr_obama.jpg"))
    if picture is None:
        print(f"no corpus under {corpus()}: set SACCADE_CORPUS to measure heads")
        return
    frame = Frame.from_bgr(picture)
    for name in SSDS:
        yield from ssd_figures(folder / name, frame, rounds)
    yield predictor_overhead(folder / SSDS[1], frame, rounds)


if __name__ == "__main__":
    options = command_line(__doc__).parse_args()
    raise SystemExit(finish(measure(options.rounds), options))
