"""The old device API: frames a second of an unmodified script's loop, against the same loop on bare parts.

    python -m bench.awscam [--rounds N] [--frames N] [--json FILE] [--check]

The loop is that of the tutorials: getLastFrame, cv2.resize to 300x300, doInference, parseResult. The reference does
the same with cv2.VideoCapture and OpenVINO in the same process, on the same file with the same network. The pipeline's
own rate is measured beside them: it decodes at the size that the network needs and infers while it decodes, which a
loop that wants every frame whole cannot.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import openvino.opset13 as ops

from bench.figures import Figure, command_line, figure, finish
from bench.pipeline import video
from saccade import compat
from saccade.capture import Capture, open_source

SIZE = 300


def detector(path: Path) -> Path:
    """A small convolutional network with the output of an SSD: as much work as a light face detector of 2018."""
    random = np.random.default_rng(0)
    data = ops.parameter([1, 3, SIZE, SIZE], np.float32, name="data")
    node: ov.Node = ops.multiply(data, np.float32(1 / 255))
    channels = 3
    for wide in (16, 32, 64):
        weights = (random.standard_normal((wide, channels, 3, 3)) / np.sqrt(9 * channels)).astype(np.float32)
        node = ops.relu(ops.convolution(node, weights, [2, 2], [1, 1], [1, 1], [1, 1]))
        channels = wide
    mean = ops.reshape(ops.reduce_mean(node, np.array([1, 2, 3])), np.array([1, 1, 1, 1]), False)
    rows = np.array([[0, 1, 0.9, 0.1, 0.2, 0.4, 0.6], [-1, 0, 0, 0, 0, 0, 0]], np.float32).reshape(1, 1, 2, 7)
    out = ops.add(ops.constant(rows), ops.multiply(mean, np.float32(0)))
    out.output(0).set_names({"detection_out"})
    ov.save_model(ov.Model([out], [data], "detector"), str(path))
    return path


def script_loop(source: Path, model: Path, frames: int) -> float:
    """Frames a second of the loop through `awscam`."""
    compat.install(source=str(source), device="CPU", precision="f32", realtime=False)
    try:
        import awscam

        net = awscam.Model(str(model), {"GPU": 0})
        start = 0.0
        for _ in range(frames):
            ok, frame = awscam.getLastFrame()
            assert ok
            found = net.parseResult("ssd", net.doInference(cv2.resize(frame, (SIZE, SIZE))))["ssd"]
            assert len(found) == 1
            start = start or time.perf_counter()
        return (frames - 1) / (time.perf_counter() - start)
    finally:
        compat.uninstall()


def bare_loop(source: Path, model: Path, frames: int) -> float:
    """Frames a second of the same loop on OpenCV and OpenVINO alone."""
    core = ov.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    camera = cv2.VideoCapture(str(source))
    start = 0.0
    for _ in range(frames):
        ok, frame = camera.read()
        assert ok
        small = cv2.resize(frame, (SIZE, SIZE))
        rows = compiled(small.transpose(2, 0, 1)[None].astype(np.float32))[0].reshape(-1, 7)
        assert len([row for row in rows if row[0] >= 0]) == 1
        start = start or time.perf_counter()
    camera.release()
    return (frames - 1) / (time.perf_counter() - start)


def pipeline_rate(source: Path, model: Path, frames: int) -> float:
    """Frames a second of capture, preprocess and inference as the pipeline does them, with two requests."""
    from saccade.kernels import Preprocess
    from saccade.networks import Model

    net = Model(model, precision="f32", threads=1)
    requests = [net.request(), net.request()]
    name = net.inputs[0].name
    plan = None
    start, done = 0.0, 0
    with Capture(open_source(str(source), realtime=False), size=(SIZE, SIZE), slots=3) as capture:
        while done < frames:
            frame = capture.latest(10.0)
            assert frame is not None
            request = requests[done % 2]
            request.wait()
            with frame:
                picture = frame.planes[0]
                plan = plan or Preprocess(source=picture.shape[:2], size=(SIZE, SIZE))
                plan(picture, out=request.inputs[name])
            request.start()
            start = start or time.perf_counter()
            done += 1
        for request in requests:
            request.wait()
            (rows,) = request.outputs.values()
            assert (rows.reshape(-1, 7)[:, 0] >= 0).sum() == 1
    return (done - 1) / (time.perf_counter() - start)


def measure(rounds: int, frames: int = 200) -> Iterator[Figure]:
    """All figures of this suite."""
    source = video("demo:")
    with tempfile.TemporaryDirectory() as folder:
        model = detector(Path(folder) / "detector.xml")
        rates = [
            (script_loop(source, model, frames), bare_loop(source, model, frames), pipeline_rate(source, model, frames))
            for _ in range(rounds)
        ]
    script, bare, pipeline = (statistics.median(column) for column in zip(*rates, strict=True))
    detail = f"awscam {script:.0f}, bare {bare:.0f}, pipeline {pipeline:.0f} frames/s"
    for name, ratios, target in (
        ("1080p: the script's loop over the same on bare parts", [a / b for a, b, _ in rates], 1.0),
        ("1080p: the script's loop over the pipeline", [a / c for a, _, c in rates], 0.15),
    ):
        yield figure(name, ratios, target, detail, at_least=True)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    return finish(measure(options.rounds, options.frames), options)


if __name__ == "__main__":
    raise SystemExit(main())
