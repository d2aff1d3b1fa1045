"""`saccade serve`: a model behind HTTP, as SageMaker runs it."""

from __future__ import annotations

import argparse
import os
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from saccade.cli import add_command
from saccade.cli.parser import add_options, given
from saccade.config import resolve
from saccade.config.commands import SERVED_OPTIONS, ServeConfig
from saccade.errors import ConfigError
from saccade.process import StopSignals, usable_cores
from saccade.text import plain

SAGEMAKER_MODEL = Path("/opt/ml/model")
"""Where SageMaker unpacks a model's archive."""

SUFFIXES = (".xml", ".onnx", ".tflite", ".pb", "-symbol.json", ".prototxt")


def add_parser(subparsers: Any) -> None:
    """`saccade serve`."""
    parser = add_command(
        subparsers, "serve", summary="serve a model over HTTP: SageMaker's /ping and /invocations, KServe's /v2",
        example="saccade serve --model blazeface-full --address 127.0.0.1:8080",
    )  # fmt: skip
    parser.add_argument("--config", metavar="FILE", help="TOML file with options; the command line wins")
    add_options(parser, ServeConfig)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, then finish what is under way."""
    from saccade.networks import open_network
    from saccade.service.address import reason
    from saccade.service.serve import Server, Service, input_shapes, open_served

    config = configuration(options)
    address = _address(config.address)
    config = config if config.model else replace(config, model=_sagemaker_model())
    cores = usable_cores()
    how: dict[str, Any] = {
        "device": config.device, "precision": config.precision, "streams": min(config.requests, cores),
        "threads": cores,
    }  # fmt: skip
    predictor = open_served(config, **how)
    service = Service(predictor, requests=config.requests, waiting=config.waiting)
    try:
        server = Server(
            service,
            address,
            open_whole=partial(open_network, config.model, batch=1, input_shapes=input_shapes(config), **how),
        )
    except OSError as error:
        raise ConfigError(
            f"cannot serve at {address[0]}:{address[1]}: {reason(error)}; choose another --address"
        ) from None
    ended = threading.Event()
    with StopSignals() as signals, server:
        signals.then(lambda _: ended.set())
        network = predictor.network
        print(plain(f"{network.name} on {network.device} ({network.precision}) at {server.url}"), flush=True)
        ended.wait()
    figures = service.statistics()
    print(f"{figures.requests} requests, {figures.pictures} pictures, {figures.refused} refused", flush=True)
    return 0


def configuration(options: argparse.Namespace) -> ServeConfig:
    """What file, environment and command line say; without any of them, the options that SageMaker has unpacked."""
    said = given(options, ServeConfig)
    file = options.config or os.environ.get("SACCADE_CONFIG")
    packed = SAGEMAKER_MODEL / SERVED_OPTIONS
    if not file and not said.get("model") and not os.environ.get("SACCADE_MODEL") and packed.is_file():
        config = resolve(ServeConfig, file=packed, environ=os.environ, given=said).config
        labels = str(SAGEMAKER_MODEL / config.labels) if config.labels else ""
        return replace(config, model=str(SAGEMAKER_MODEL / config.model), labels=labels)
    return resolve(ServeConfig, file=file, environ=os.environ, given=said).config


def _address(text: str) -> tuple[str, int]:
    from saccade.service.address import is_port, parse_address

    if text:
        return parse_address(text, "--address")
    inside = SAGEMAKER_MODEL.is_dir()
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT") or "8080"
    if not is_port(port):
        raise ConfigError(f"SAGEMAKER_BIND_TO_PORT is {port!r}; expected a port, as 8080")
    return ("0.0.0.0" if inside else "127.0.0.1", int(port))


def _sagemaker_model() -> str:
    found = (
        sorted(p for p in SAGEMAKER_MODEL.rglob("*") if p.name.endswith(SUFFIXES)) if SAGEMAKER_MODEL.is_dir() else []
    )
    if not found:
        raise ConfigError(f"no model: give --model, or a model archive that SageMaker unpacks to {SAGEMAKER_MODEL}")
    return str(found[0])
