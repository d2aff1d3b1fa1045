"""`saccade run-script`: a DeepLens Lambda script as it is."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.cli import add_command
from saccade.cli.parser import add_options, given
from saccade.config import SOURCE_OPTIONS, resolve
from saccade.config.commands import ScriptConfig
from saccade.errors import ConfigError
from saccade.process import StopSignals
from saccade.storage.writable import check_file

_PATIENCE = 30.0
"""Seconds without a frame after which a trial is given up."""
_HEED = 5.0
"""Seconds that the script's process has to end after a signal: a library's loop may let no thread of it run."""


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
    _take_the_rest(parser)
    parser.add_argument("--config", metavar="FILE", help="TOML file with options; the command line wins")
    add_options(parser, ScriptConfig)


def _take_the_rest(parser: argparse.ArgumentParser) -> None:
    """What follows the first -- is the script's, wherever it stands and whatever it looks like."""
    plain = parser.parse_known_args

    def parse(arguments: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        words = list(arguments)
        at = words.index("--") if "--" in words else len(words)
        found, unknown = plain(words[:at], namespace)
        found.rest = tuple(words[at + 1 :])
        return found, unknown

    parser.parse_known_args = parse  # type: ignore[method-assign, assignment]


def run(options: argparse.Namespace) -> int:
    """Start the script's process and wait for it."""
    from saccade.compat.host_options import HostOptions

    script = Path(options.script)
    if not script.is_file():
        raise ConfigError(f"{options.script}: no such file; give the script that was deployed")
    config = resolve(ScriptConfig, file=options.config, environ=os.environ, given=given(options, ScriptConfig)).config
    if config.artifacts and not Path(config.artifacts).is_dir():
        raise ConfigError(f"--artifacts {config.artifacts}: no such folder")
    if config.report:
        check_file("--report", config.report)
    settings = HostOptions(
        script=str(script.absolute()), source=config.source,
        artifacts=str(Path(config.artifacts).resolve()) if config.artifacts else None, models=_models(config.model),
        device=config.device, precision=config.precision, frames=config.frames, seconds=config.seconds,
        patience=config.patience or (_PATIENCE if config.frames is not None else None), restarts=config.restarts,
        realtime=config.realtime, events=_absolute_events(config.events), fifo=_absolute(config.fifo),
        view=config.view, python=config.python, report=config.report and _absolute(config.report),
        arguments=(*options.arguments, *options.rest), source_options=_source_options(config),
    )  # fmt: skip
    sandbox = None
    if config.sandbox or config.sandbox_net:
        from saccade.compat.sandbox import Sandbox

        if Path(settings.source).exists():
            settings = dataclasses.replace(settings, source=_absolute(settings.source))
        sandbox = Sandbox(settings, network=config.sandbox_net)
    sys.stdout.flush()
    handed = settings.hand_over()
    command = [sys.executable, "-W", "ignore", "-m", "saccade.compat.host", str(handed)]
    with open(handed, "rb"), StopSignals(final=options.ends_process) as signals:
        if sandbox is None:
            child = subprocess.Popen(command, pass_fds=(handed,))
            status = _waited(child, child.pid, signals)
        else:
            with contextlib.closing(sandbox):
                child = subprocess.Popen(
                    sandbox.command(command), pass_fds=(handed, *sandbox.descriptors), env=sandbox.environment
                )
                status = _waited(child, sandbox.process(), signals)
    if status < 0 and -status == signals.received:
        # It was told to end before it could listen.
        return 0
    if status < 0:
        print(f"saccade run-script: the script's process died of {signal.Signals(-status).name}", file=sys.stderr)
        return 1
    return status


def _source_options(config: ScriptConfig) -> dict[str, Any]:
    """What was said of the source beside its name."""
    said = {name: getattr(config, name) for name in SOURCE_OPTIONS}
    if config.ca:
        said["ca"] = _absolute(config.ca)
    return {name: value for name, value in said.items() if value not in (None, "")}


def _models(texts: Sequence[str]) -> dict[str, str]:
    """Path or catalogue name by the name of the artifact that it answers for; `*` for any."""
    models = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if sign and not (name and path):
            raise ConfigError(f"--model {text}: expected NAME=PATH")
        path = path if sign else text
        models[name if sign else "*"] = _absolute(path) if Path(path).exists() else path
    return models


def _waited(child: subprocess.Popen[bytes], process: int | None, signals: StopSignals) -> int:
    """Pass signals on until the child has ended; one that does not heed them is killed. Returns its status.

    process : who gets the signals; the child, or who runs inside it.
    """
    told: list[float] = []

    def pass_on(number: int) -> None:
        told.append(time.monotonic())
        with contextlib.suppress(ProcessLookupError):
            if process is not None and child.poll() is None:
                os.kill(process, number)

    # The terminal sends Ctrl-C to the child as well; there a second one changes nothing.
    signals.then(pass_on)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(0.5)
        if told and time.monotonic() > told[0] + _HEED:
            child.kill()


def _absolute(path: str) -> str:
    """The script runs in its own folder."""
    return str(Path(path).absolute())


def _absolute_events(text: str) -> str:
    return text if text == "-" or ":" in text else _absolute(text)
