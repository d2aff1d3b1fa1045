"""`saccade serve`: a model behind HTTP, as SageMaker runs it."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path
from typing import Any

from saccade.cli import add_command
from saccade.errors import ConfigError

SAGEMAKER_MODEL = Path("/opt/ml/model")
"""Where SageMaker unpacks a model's archive."""

SUFFIXES = (".xml", ".onnx", ".tflite", ".pb", "-symbol.json", ".prototxt")


def add_parser(subparsers: Any) -> None:
    """`saccade serve`."""
    parser = add_command(
        subparsers, "serve", summary="serve a model over HTTP: GET /ping, POST /invocations, as SageMaker asks",
        example="saccade serve --model blazeface-full --address 127.0.0.1:8080",
    )  # fmt: skip
    parser.add_argument(
        "--model", metavar="M", help=f"artifact or catalogue name (default: what {SAGEMAKER_MODEL} holds)"
    )
    parser.add_argument("--address", metavar="HOST:PORT", help="default: 0.0.0.0:8080 under SageMaker, else local only")
    parser.add_argument("--device", choices=("AUTO", "CPU", "GPU"), default="AUTO", help="inference device")
    parser.add_argument("--precision", choices=("auto", "f32", "bf16", "f16"), default="auto", help="arithmetic")
    parser.add_argument("--labels", metavar="FILE", help="file with the class names, one a line or JSON")
    parser.add_argument("--requests", type=int, default=2, metavar="N", help="pictures inferred at the same time")
    parser.add_argument("--waiting", type=int, default=32, metavar="N", help="requests that may wait; more get 503")


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, then finish what is under way."""
    from saccade.models import open_model, task_for
    from saccade.serve import Server, Service

    for name in ("requests", "waiting"):
        if not 1 <= getattr(options, name) <= 1024:
            raise ConfigError(f"--{name}: got {getattr(options, name)}; expected 1 to 1024")
    address = _address(options.address)
    name = options.model or _sagemaker_model()
    cores = len(os.sched_getaffinity(0))
    model = open_model(
        name, device=options.device, precision=options.precision, streams=min(options.requests, cores), threads=cores
    )
    service = Service(
        model, task_for(model, name=name, labels=options.labels), requests=options.requests, waiting=options.waiting
    )
    try:
        server = Server(service, address)
    except OSError as error:
        raise ConfigError(
            f"cannot serve at {address[0]}:{address[1]}: {error.strerror}; choose another --address"
        ) from None
    ended = threading.Event()
    previous = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with server:
            print(f"{model.name} on {model.device} ({model.precision}) at {server.url}", flush=True)
            ended.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    figures = service.statistics()
    print(f"{figures.requests} requests, {figures.pictures} pictures, {figures.refused} refused", flush=True)
    return 0


def _address(text: str | None) -> tuple[str, int]:
    if text is None:
        inside = SAGEMAKER_MODEL.is_dir()
        return ("0.0.0.0" if inside else "127.0.0.1", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"--address is {text!r}; expected HOST:PORT, as 127.0.0.1:8080")
    return host, int(port)


def _sagemaker_model() -> str:
    found = (
        sorted(p for p in SAGEMAKER_MODEL.rglob("*") if p.name.endswith(SUFFIXES)) if SAGEMAKER_MODEL.is_dir() else []
    )
    if not found:
        raise ConfigError(f"no model: give --model, or a model archive that SageMaker unpacks to {SAGEMAKER_MODEL}")
    return str(found[0])
