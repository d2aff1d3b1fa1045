"""`saccade run`: frames in, results out."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from saccade.cli import add_command, style
from saccade.cli.parser import add_options, given
from saccade.config import APPS, RunConfig, is_cameras_file, load_cameras, resolve
from saccade.errors import ConfigError, SaccadeError
from saccade.process import StopSignals, is_writable
from saccade.storage.writable import check_file, write_file
from saccade.text import plain

if TYPE_CHECKING:
    from saccade.apps import Session
    from saccade.apps.cameras_file import CamerasFile
    from saccade.apps.fleet import Fleet

log = logging.getLogger(__name__)

CAMERAS = "cameras"
"""Stands for an app where a file says which."""

_WHERE = "Every option may also stand in the environment (SACCADE_SOURCE=...) or in a TOML file (--config)."

EXAMPLES = {
    "detect": "--model yolo.onnx --source /dev/video0 --classes person,car --view",
    "faces": "--source demo: --seconds 10 --events -",
    "segment": "--model road.xml --source film.mp4 --out pictures --pictures 1",
    "classify": "--source 'photos/*.jpg' --events -",
    "head-pose": "--source demo: --seconds 10 --events -",
}


def add_parser(subparsers: Any) -> None:
    """`saccade run {detect,faces,segment,classify,head-pose}` and `saccade run --config FILE`."""
    parser = add_command(
        subparsers, "run", summary="run an app on a camera, file or stream, or the cameras of a file",
        example="saccade run faces --source /dev/video0 --view 127.0.0.1:8080 --out crops\n"
        "  saccade run --config cameras.toml",
    )  # fmt: skip
    parser.otherwise = CAMERAS
    apps = parser.add_subparsers(dest="app", metavar="APP", required=True)
    for name, summary in APPS.items():
        app = apps.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  saccade run {name} {EXAMPLES[name]}\n\n{_WHERE}",
        )  # fmt: skip
        app.add_argument("--config", metavar="FILE", help="TOML file with options; the command line wins")
        add_options(app, RunConfig)
    of_file = apps.add_parser(
        CAMERAS, help="the camera or cameras of a TOML file; `saccade run --config FILE` for short",
        description="The camera or cameras of a TOML file, each with its own app.",
        epilog=f"example:\n  saccade run --config cameras.toml --camera door\n\n{_WHERE}",
    )  # fmt: skip
    of_file.add_argument("--config", metavar="FILE", help="TOML file with [[camera]] tables, or of one camera")
    of_file.add_argument("--camera", metavar="NAME", default="", help="only this one of several cameras")
    add_options(of_file, RunConfig)


def run(options: argparse.Namespace) -> int:
    """Run the app; the summary goes to the terminal, or where --summary says."""
    file = options.config or os.environ.get("SACCADE_CONFIG")
    several = _several(file, options) if file else None
    if several is not None:
        return _run(options, "", several.runnable(quiet=True).defaults, lambda: open_fleet(several))
    app, config = _configuration(options, file)
    return _run(options, app, config, lambda: open_session(app, config))


def _run(options: argparse.Namespace, app: str, config: RunConfig, opening: Callable[[], Session | Fleet]) -> int:
    """Run what `opening` opens to its end, or to that of the user's patience."""
    if config.summary == "-" and not is_writable(1):
        raise ConfigError("--summary -: standard output is closed; give a file")
    if config.summary not in ("", "-"):
        check_file("--summary", config.summary)
    report = _Report(app, config)
    reread = None if app else report.reread
    with StopSignals(report.last, final=options.ends_process, reread=reread) as signals:
        try:
            report.session = session = opening()
        except SaccadeError:
            if signals.received is None:
                raise
            # Ctrl-C ends what was started to fetch a network as well.
            report.write()
            return 0
        signals.then(lambda _: session.stop())
        if session.page_url:
            print(f"live page: {session.page_url}", file=sys.stderr, flush=True)
        session.run()
        report.write()
    return 0


def open_session(app: str, config: RunConfig) -> Session:
    """One camera; what runs it is loaded now and not with the command line."""
    from saccade.service import session

    return session.open_session(app, config)


def open_fleet(file: CamerasFile) -> Fleet:
    """Several cameras."""
    from saccade.service import session

    return session.open_fleet(file)


class _Report:
    """What is said of a run at its end, once. app : empty for several cameras."""

    def __init__(self, app: str, config: RunConfig) -> None:
        self.session: Session | Fleet | None = None
        self._app, self._config = app, config
        self._lock = threading.Lock()
        self._written = False

    def reread(self) -> None:
        """Have several cameras follow their file, where they run already."""
        session = self.session
        if session is not None and not self._app:
            session.reread()  # type: ignore[union-attr]

    def last(self) -> None:
        """End what the main thread does not: it is held by a library, or by a reader that takes nothing."""
        try:
            if self.session is not None:
                self.session.close()
            self.write()
        except (SaccadeError, OSError) as error:
            log.error("%s", error)

    def write(self) -> None:
        """The summary: to the terminal, and where --summary says."""
        with self._lock:
            if not self._written:
                self._written = True
                self._write(self._summary(self.session))

    def _summary(self, session: Session | Fleet | None) -> dict[str, Any]:
        if session is not None:
            return session.summary()
        if not self._app:
            return {"frames": 0, "seconds": 0.0, "fps": 0.0, "cameras": {}}
        from saccade.address import without_credentials
        from saccade.pipeline import PipelineStatistics

        config = self._config
        source = without_credentials(config.source)
        return PipelineStatistics.nothing(self._app, config.model, config.device, config.precision, source).summary()

    def _write(self, summary: dict[str, Any]) -> None:
        config = self._config
        if config.summary:
            _write_summary(config.summary, summary)
        if config.summary != "-" and config.events != "-":
            print(_readable(summary))


def _several(file: str, options: argparse.Namespace) -> CamerasFile | None:
    """The file where it has more for a run than one camera, with one app and no gate; None: an app's options."""
    only = getattr(options, "camera", "")
    if options.app != CAMERAS or not is_cameras_file(file):
        return None
    from saccade.apps.cameras_file import CamerasFile

    several = CamerasFile(file, environ=dict(os.environ), given=given(options, RunConfig), only=only)
    cameras = several.read() if only else several.runnable(quiet=True)
    first = cameras.cameras[0]
    return several if len(cameras) > 1 or len(first.apps) > 1 or first.gate.on else None


def _configuration(options: argparse.Namespace, file: str | None) -> tuple[str, RunConfig]:
    """App and configuration: defaults, then the TOML file, then the environment, then the command line."""
    said = given(options, RunConfig)
    if file:
        return _of_file(file, options, said)
    if options.app == CAMERAS:
        raise ConfigError(f"no app and no file; say `saccade run APP` ({', '.join(APPS)}) or --config FILE")
    return options.app, resolve(RunConfig, environ=os.environ, given=said).config


def _of_file(file: str, options: argparse.Namespace, said: Mapping[str, str]) -> tuple[str, RunConfig]:
    """One camera of a file, for the app that was named or for its own."""
    named = "" if options.app == CAMERAS else options.app
    cameras = load_cameras(file, environ=os.environ, given=said, app=named)
    wanted = getattr(options, "camera", "")
    if len(cameras) > 1 and not wanted:
        raise ConfigError(
            f"{file}: {len(cameras)} cameras, each with its own app; `saccade run --config {file}` runs them"
        )
    camera = cameras[wanted] if wanted else cameras.cameras[0]
    if named and named not in (app.app for app in camera.apps):
        raise ConfigError(
            f"{file}: camera {camera.name} is for {camera.apps[0].app}, not for {named}; leave {named} out"
        )
    app = next((app for app in camera.apps if app.app == named), camera.apps[0])
    return app.app, app.config


def _write_summary(path: str, summary: dict[str, Any]) -> None:
    text = json.dumps(summary, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    write_file("--summary", path, text)


def _readable(summary: dict[str, Any]) -> str:
    """The summary as a person reads it."""
    if "cameras" in summary:
        return _readable_cameras(summary)
    stages = [(name, f"{t['p50_ms']:.2f}", f"{t['p99_ms']:.2f}") for name, t in summary["stages"].items()]
    stages.append(("capture to result", f"{summary['age_ms']['p50']:.2f}", f"{summary['age_ms']['p99']:.2f}"))
    lines = [
        style.paint(f"{summary['frames']} frames in {summary['seconds']:.1f} s: {summary['fps']:.1f} frames/s", "bold"),
        plain(f"{summary['model']} on {summary['device']} ({summary['precision']}), source {summary['source']}: ")
        + f"{summary['dropped']} dropped, {summary['damaged']} damaged, {summary['reconnects']} reconnects",
        style.table(stages, ("stage", "p50 ms", "p99 ms")),
    ]
    for name in ("crops", "events", "spool"):
        if name in summary:
            lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in summary[name].items()))
    return "\n".join(lines)


def _readable_cameras(summary: dict[str, Any]) -> str:
    """The same of several cameras."""
    rows = [
        (
            name, camera["state"], f"{camera['frames']}", f"{camera.get('fps', 0.0):.1f}",
            f"{camera['age_ms']['p50']:.1f}" if "age_ms" in camera else "-",
            f"{camera['age_ms']['p99']:.1f}" if "age_ms" in camera else "-", _fates(camera.get("pictures", {})),
        )
        for name, camera in summary["cameras"].items()
    ]  # fmt: skip
    lines = [
        style.paint(f"{summary['frames']} frames in {summary['seconds']:.1f} s: {summary['fps']:.1f} frames/s", "bold"),
        style.table(rows, ("camera", "state", "frames", "frames/s", "age p50 ms", "p99 ms", "not served")),
    ]
    lines += [f"{name}: {camera['reason']}" for name, camera in summary["cameras"].items() if camera.get("reason")]
    if load := summary.get("load"):
        lines.append(f"{load['asked']} need {load['need']:.0%} of this box ({summary['cores']} cores)")
    return "\n".join(lines)


def _fates(pictures: Mapping[str, int]) -> str:
    """Why pictures were not served, the most frequent reason first."""
    others = [(count, reason) for reason, count in pictures.items() if reason not in ("arrived", "served") and count]
    return ", ".join(f"{count} {reason}" for count, reason in sorted(others, reverse=True)) or "-"
