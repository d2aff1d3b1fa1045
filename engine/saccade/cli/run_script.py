"""`saccade run-script`: a DeepLens Lambda script as it is."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from saccade.cli import add_command
from saccade.config import DEFAULT_FIFO
from saccade.errors import ConfigError


def add_parser(subparsers: Any) -> None:
    """`saccade run-script FILE.py [options]`."""
    parser = add_command(
        subparsers,
        "run-script",
        summary="run an unmodified DeepLens Lambda script, Python 2.7 or 3",
        example="saccade run-script greengrassHelloWorld.py --source /dev/video0 --artifacts models",
    )
    parser.add_argument("script", metavar="FILE.py", help="the script, as it was deployed")
    parser.add_argument("arguments", nargs="*", metavar="ARG", help="arguments of the script itself, after --")
    parser.add_argument("--source", default="demo:", metavar="S", help="camera, file or stream, as for saccade run")
    parser.add_argument("--artifacts", metavar="DIR", help="folder that stands for /opt/awscam/artifacts")
    parser.add_argument(
        "--model", action="append", metavar="NAME=PATH", dest="models",
        help="model that answers for artifact NAME (a file or a name of the catalogue); PATH alone answers for any",
    )  # fmt: skip
    parser.add_argument("--device", choices=["AUTO", "CPU", "GPU"], default="AUTO", help="what {'GPU': 1} means here")
    parser.add_argument("--precision", choices=["auto", "f32", "bf16", "f16"], default="auto", help="arithmetic")
    parser.add_argument("--frames", type=int, metavar="N", help="stop after N frames (default: the source's end)")
    parser.add_argument("--seconds", type=float, metavar="T", help="stop after T seconds")
    drop = parser.add_mutually_exclusive_group()
    drop.add_argument("--realtime", dest="realtime", action="store_true", default=None, help="drop late frames")
    drop.add_argument("--every-frame", dest="realtime", action="store_false", default=None, help="take every frame")
    parser.add_argument(
        "--events", default="-", metavar="FILE|-|URL",
        help="where messages go: JSON lines to a file or - (default: -), mqtt://, mqtts:// or greengrass:",
    )  # fmt: skip
    parser.add_argument("--fifo", default=DEFAULT_FIFO, metavar="PATH", help="the script's result stream")
    parser.add_argument(
        "--view", nargs="?", const="127.0.0.1:8080", default="", metavar="HOST:PORT", help="show the stream on a page"
    )
    parser.add_argument(
        "--python", choices=["auto", "2", "3"], default="auto", help="which Python the script was written for"
    )
    parser.add_argument("--report", default="", metavar="FILE", help="write what was adapted as JSON")


def run(options: argparse.Namespace) -> int:
    """Start the script's process and wait for it."""
    from saccade.compat.host import HostOptions

    script = Path(options.script)
    if not script.is_file():
        raise ConfigError(f"{options.script}: no such file; give the script that was deployed")
    if options.artifacts is not None and not Path(options.artifacts).is_dir():
        raise ConfigError(f"--artifacts {options.artifacts}: no such folder")
    for name in ("frames", "seconds"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ConfigError(f"--{name}: got {value}; expected a positive number")
    models = {}
    for text in options.models or ():
        name, sign, path = text.partition("=")
        if sign and not (name and path):
            raise ConfigError(f"--model {text}: expected NAME=PATH")
        path = path if sign else text
        models[name if sign else "*"] = _absolute(path) if Path(path).exists() else path
    artifacts = str(Path(options.artifacts).resolve()) if options.artifacts is not None else None
    settings = HostOptions(
        script=str(script.absolute()), source=options.source, artifacts=artifacts, models=models,
        device=options.device, precision=options.precision, frames=options.frames, seconds=options.seconds,
        realtime=options.realtime, events=_absolute_events(options.events), fifo=_absolute(options.fifo),
        view=options.view, python=options.python, report=options.report and _absolute(options.report),
        arguments=tuple(options.arguments),
    )  # fmt: skip
    sys.stdout.flush()
    command = [sys.executable, "-W", "ignore", "-m", "saccade.compat.host", settings.to_json()]
    child = subprocess.Popen(command)
    # The terminal sends Ctrl-C to the child as well; other signals are passed on.
    previous = {
        number: signal.signal(number, lambda n, _: child.send_signal(n) if n != signal.SIGINT else None)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        status = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if status < 0:
        print(f"saccade run-script: the script's process died of {signal.Signals(-status).name}", file=sys.stderr)
        return 1
    return status


def _absolute(path: str) -> str:
    """The script runs in its own folder."""
    return str(Path(path).absolute())


def _absolute_events(text: str) -> str:
    return text if text == "-" or ":" in text else _absolute(text)
