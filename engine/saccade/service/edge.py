"""An app as a service on the edge: results to a publisher, face crops through the spool to S3.

`main(app)` is what the functions in `lambdas/` call. All settings, those of `RunConfig`, come from the environment as
`SACCADE_SOURCE` and so on, or from the file that `SACCADE_CONFIG` names. If that has `[[camera]]` tables, its cameras
run in this one process: their results share the topic of the device, and each message says its camera.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from saccade.config import RunConfig, is_cameras_file, resolve
from saccade.errors import ConfigError, OutputError, SaccadeError, SourceError
from saccade.outputs.opening import Outputs
from saccade.outputs.publish import default_topic, thing_name
from saccade.outputs.publish.bodies import tutorial_body
from saccade.process import StopSignals, secure_standard_streams, timed
from saccade.storage.writable import check_file, write_file
from saccade.text import PlainFormatter

if TYPE_CHECKING:
    from saccade.apps import Session
    from saccade.apps.cameras_file import CamerasFile
    from saccade.apps.fleet import Fleet

log = logging.getLogger(__name__)


def main(app: str, environ: Mapping[str, str] | None = None) -> int:
    """Run an app until it is stopped; returns the exit status: 0, 1 after a failure, 2 for settings that are wrong."""
    environ = os.environ if environ is None else environ
    secure_standard_streams()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter(timed("%(levelname)s %(name)s %(message)s")))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        file = several(app, environ)
        config = settings(app, environ) if file is None else _of_process(app, file)
        results = _outputs(config)
    except SaccadeError as error:
        log.error("%s: %s", app, error)
        return 2
    function = _Function(app, config, results, file)
    failed = False
    with StopSignals(function.last, final=True, reread=None if file is None else function.reread) as signals:
        signals.then(lambda _: function.stop())
        try:
            function.run()
        except SaccadeError as error:
            failed = True
            if not function.stopped:
                log.error("%s: %s", app, error)
                results.say(f"Lambda has failure, error msg {error}")
                signals.status = 2 if isinstance(error, ConfigError) else 1
        except Exception as error:
            failed = True
            log.exception("%s: failed", app)
            results.say(f"Lambda has failure, error msg {type(error).__name__}: {error}")
            signals.status = 1
        finally:
            results.finish(failed=failed)
        function.summarise()
    return signals.status


def several(app: str, environ: Mapping[str, str]) -> CamerasFile | None:
    """The file of cameras that `SACCADE_CONFIG` names; None where it has none, or is none. Raises ConfigError.

    A deployment gives every variable, if need be without a value: such leave the file as it is, and so do source and
    name, which each camera has for itself.
    """
    path = environ.get("SACCADE_CONFIG", "")
    if not path or not is_cameras_file(path):
        return None
    from saccade.apps.cameras_file import CamerasFile

    kept = {key: value for key, value in environ.items() if value or not key.startswith("SACCADE_")}
    for key in ("SACCADE_SOURCE", "SACCADE_NAME", "SACCADE_CONFIG"):
        kept.pop(key, None)
    return CamerasFile(path, environ=kept, app=app)


def _of_process(app: str, file: CamerasFile) -> RunConfig:
    """What holds for the function itself: where it tells of loading and failing, and its summary.

    What names a camera, or the one client that a broker lets in, is the camera's.
    """
    common = file.runnable(quiet=True).defaults
    publish = tuple(target for target in common.publish if "{camera}" not in target and "client_id=" not in target)
    return common.replace(name=_name(app), publish=publish)


def _outputs(config: RunConfig) -> Outputs:
    """Fields and topic of the tutorials."""
    return Outputs(config, body=tutorial_body, topic=default_topic(thing_name()))


def _name(app: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{thing_name()}-{app}").lstrip("-_.")[:64]


def settings(app: str, environ: Mapping[str, str]) -> RunConfig:
    """What the environment asks for, and the file that it names; raises ConfigError.

    A function comes up with its device, which may be before its camera, and is called by device and app, so that two on
    one device are told apart.
    """
    chosen = {"wait": True, "name": _name(app)}
    return resolve(RunConfig, environ=environ, choose=chosen).config


def _refuse_early_ends(cameras: Mapping[str, Mapping[str, Any]]) -> None:
    """All cameras have ended; raises SourceError where some did not by themselves, so that all are begun again."""
    reasons = [
        f"camera {name}: {camera['reason']}"
        for name, camera in cameras.items()
        if camera.get("reason") and camera["state"] != "failed"
    ]
    if reasons:
        raise SourceError("; ".join(reasons))


class _Function:
    """One run: what it is made of, and its end."""

    def __init__(self, app: str, config: RunConfig, results: Outputs, file: CamerasFile | None) -> None:
        self.app, self.config, self.results = app, config, results
        self.stopped = False
        self._file = file
        self._session: Session | Fleet | None = None
        self._told = threading.Lock()

    def stop(self) -> None:
        """Ask the run to end."""
        self.stopped = self.results.hurried = True
        session = self._session
        if session is not None:
            session.stop()

    def reread(self) -> None:
        """Follow the file of cameras."""
        if self._file is not None and self._session is not None:
            self._session.reread()  # type: ignore[union-attr]

    def run(self) -> None:
        """From loading to the end; raises SaccadeError, also where cameras ended that should not have."""
        from saccade.service.session import open_fleet, open_session

        if self._writes_summary:
            check_file("summary", self.config.summary)
        self.results.say("Loading model")
        session: Session | Fleet
        if self._file is None:
            session = open_session(self.app, self.config, results=self.results)
        else:
            session = fleet = open_fleet(self._file, make_outputs=_outputs)
            for name, reason in fleet.failed.items():
                self.results.say(f"Lambda has failure, error msg camera {name}: {reason}")
        self._session = session
        if self.stopped:
            session.stop()
        self.results.say("Model loaded")
        session.run()
        limited = self.config.frames is not None or self.config.seconds is not None
        if self._file is not None and not self.stopped and not limited:
            _refuse_early_ends(session.summary()["cameras"])

    def last(self) -> None:
        """What there is to write where the main thread does not end by itself."""
        if self._session is not None:
            self._session.close()
        self.results.finish()
        self.summarise()

    def summarise(self) -> None:
        """Log the summary, and write it where it is wanted; once."""
        if self._session is None or not self._told.acquire(blocking=False):
            return
        text = json.dumps(self._session.summary())
        log.info("%s", text)
        if self._writes_summary:
            try:
                write_file("summary", self.config.summary, text + "\n")
            except OutputError as error:
                log.error("%s", error)

    @property
    def _writes_summary(self) -> bool:
        return self.config.summary not in ("", "-")
