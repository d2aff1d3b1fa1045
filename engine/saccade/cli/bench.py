"""`saccade bench`: how fast this device is, step by step and as a whole."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from saccade.address import without_credentials
from saccade.cli import add_command, style
from saccade.errors import ConfigError
from saccade.text import plain

if TYPE_CHECKING:
    from saccade.frame import Frame

SIZE = 300
"""Side of the tensor that the kernel is measured on, px."""


def add_parser(subparsers: Any) -> None:
    """`saccade bench`."""
    parser = add_command(
        subparsers, "bench", summary="measure this device: kernels, model, whole pipeline",
        example="saccade bench --source demo:4mp --seconds 5 --json",
    )  # fmt: skip
    parser.add_argument("--source", default="demo:", metavar="S", help="where frames come from; every one is taken")
    parser.add_argument("--model", default="blazeface-full", metavar="M", help="a detector: artifact or catalogue name")
    parser.add_argument("--device", choices=("AUTO", "CPU", "GPU"), default="AUTO", help="inference device")
    parser.add_argument("--precision", choices=("auto", "f32", "bf16", "f16"), default="auto", help="arithmetic")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="T", help="length of each measurement")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    if not 0 < options.seconds <= 3600:
        raise ConfigError(f"--seconds: got {options.seconds}; expected more than 0 and at most 3600")
    report = measure(options)
    if options.json:
        print(json.dumps(report, indent=2))
        return 0
    what = f"{report['model']} on {report['device']} ({report['precision']}), {report['source']}"
    print(style.paint(plain(what), "bold"))
    rows = [
        ("kernel: frame to tensor, saccade", f"{report['kernel']['saccade_ms']:.3f} ms"),
        ("kernel: frame to tensor, OpenCV and NumPy", f"{report['kernel']['reference_ms']:.3f} ms"),
        ("kernel: times as fast", f"{report['kernel']['ratio']:.2f} ({report['kernel']['variant']})"),
        ("decode alone", f"{report['decode_fps']:.1f} frames/s"),
        ("network alone", f"{report['infer_fps']:.1f} a second"),
        ("whole pipeline", f"{report['pipeline']['fps']:.1f} frames/s"),
        ("capture to result, p50 / p99", "{p50:.1f} / {p99:.1f} ms".format(**report["pipeline"]["age_ms"])),
    ]
    print(style.table(rows))
    stages = [(name, t["p50_ms"], t["p99_ms"]) for name, t in report["pipeline"]["stages"].items()]
    print(style.table(stages, ("stage", "p50 ms", "p99 ms")))
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of the device."""
    from saccade.apps import make_app, open_session
    from saccade.capture import Capture, open_source
    from saccade.config import RunConfig

    config = RunConfig(
        source=options.source, model=options.model, device=options.device, precision=options.precision,
        realtime=False, seconds=options.seconds,
    )  # fmt: skip
    app = make_app("detect", config)
    with Capture(open_source(config.source, realtime=False), slots=3) as capture:
        frame = capture.latest(30.0)
        if frame is None:
            raise ConfigError(f"{without_credentials(config.source)}: gave no frame; nothing can be measured")
        kernel = _kernel(frame, options.seconds / 3)
        capture.size = app.least_size(frame.width, frame.height)
        source = f"{without_credentials(config.source)} {frame.width}x{frame.height}"
        frame.release()
        decode = _decode_rate(capture, options.seconds)
    infer = _infer_rate(app, options.seconds)
    app.close()
    figures = open_session("detect", config).run().summary()
    return {
        "source": source,
        "model": figures["model"],
        "device": figures["device"],
        "precision": figures["precision"],
        "kernel": kernel,
        "decode_fps": round(decode, 2),
        "infer_fps": round(infer, 2),
        "pipeline": {key: figures[key] for key in ("frames", "fps", "age_ms", "stages", "dropped")},
    }


def _kernel(frame: Frame, seconds: float) -> dict[str, Any]:
    """Resize, scale and lay out one full-size frame: saccade against the usual chain, in turns."""
    import cv2
    import numpy as np

    from saccade import kernels

    picture = frame.bgr()
    tensor = np.empty((1, 3, SIZE, SIZE), np.float32)
    plan = kernels.Preprocess(source=picture.shape[:2], size=(SIZE, SIZE), scale=(255, 255, 255))

    def chain() -> Any:
        return (cv2.resize(picture, (SIZE, SIZE)).astype(np.float32) / 255).transpose(2, 0, 1)[None].copy()

    def fused() -> Any:
        return plan(picture, out=tensor)

    if not np.array_equal(chain(), fused()):
        raise ConfigError("the kernel and OpenCV disagree on this machine; please report it with `saccade doctor`")
    own: list[float] = []
    reference: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(own) < 20:
        own.append(_timed(fused))
        reference.append(_timed(chain))
    mine, theirs = statistics.median(own), statistics.median(reference)
    return {
        "variant": kernels.variant(),
        "saccade_ms": round(mine * 1e3, 4),
        "reference_ms": round(theirs * 1e3, 4),
        "ratio": round(theirs / mine, 2),
    }


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _decode_rate(capture: Any, seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        frame = capture.latest(1.0)
        if frame is None:
            break
        frame.release()
        count += 1
    return float(count / (time.perf_counter() - start))


def _infer_rate(app: Any, seconds: float) -> float:
    ring = [app.predictor.network.request() for _ in range(2)]
    for request in ring:
        request.start()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        request = ring[count % len(ring)]
        request.wait()
        request.start()
        count += 1
    elapsed = time.perf_counter() - start
    for request in ring:
        request.wait()
    return float(count / elapsed)
