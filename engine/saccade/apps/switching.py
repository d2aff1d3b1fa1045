"""Which cameras an engine runs, and how others take their place while it does.

Whatever the file, a signal or the command line wants changed is prepared first, networks included, and takes the place
of what runs only when all of it can be had; where something turns out wrong later, what ran before is put back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saccade.apps import make_app
from saccade.apps.running_camera import EventFiles, RunningCamera
from saccade.config import CameraConfig, Cameras, RunConfig
from saccade.errors import ConfigError, SaccadeError
from saccade.networks.sharing import Networks
from saccade.storage.uploads import Uploads

if TYPE_CHECKING:
    from saccade.outputs.opening import Outputs
    from saccade.pipeline import App, Engine

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """Cameras to run in place of those that do.

    apps : of those that have to be opened. may_fail : names of those of which it is noted where they cannot run.
    """

    wanted: Cameras
    apps: Mapping[str, Sequence[App]]
    may_fail: Set[str]


class RunningCameras:
    """The cameras of an engine.

    found : those that are to run, whether or not they can. failed : why some do not, by their names. lasting : the
    engine runs on without any. shown, make_outputs : as for `RunningCamera.start`.
    """

    def __init__(
        self, engine: Engine, found: Cameras, *, shown: bool, make_outputs: Callable[[RunConfig], Outputs]
    ) -> None:
        self.found = found
        self.failed: dict[str, str] = {}
        self.lasting = False
        self.networks = Networks(threads=engine.cores, streams=engine.cores)
        self._engine, self._shown, self._make_outputs = engine, shown, make_outputs
        self._running: dict[str, RunningCamera] = {}
        self._paused: set[str] = set()
        self._events, self._uploads = EventFiles(), Uploads()

    def get(self, name: str) -> RunningCamera | None:
        """One that runs; None where none of that name does."""
        return self._running.get(name)

    def by_name(self) -> dict[str, RunningCamera]:
        """Those that run now, by their names; from any thread."""
        return dict(self._running)

    def open_all(self) -> dict[str, list[App]]:
        """At the start; a camera that cannot run does not hinder the others. The apps of those that run.

        Raises SaccadeError where none can.
        """
        errors, apps = [], {}
        for camera in self.found:
            try:
                apps[camera.name] = self._apps(camera)
                self._start(camera, apps[camera.name])
            except SaccadeError as error:
                errors.append(error)
                self.failed[camera.name] = str(error)
        if len(errors) == len(self.found):
            raise errors[0]
        for name, reason in self.failed.items():
            log.error("camera %s does not run: %s; the others do", name, reason)
        return apps

    def prepare(self, wanted: Cameras, *, again: bool = False) -> Change:
        """Open the networks of cameras that are to run in place of those that do; raises ConfigError.

        again : those that could not run are tried once more, and may fail once more.
        """
        apps: dict[str, list[App]] = {}
        for camera in wanted:
            if not self._has_to_open(camera, again=again):
                continue
            try:
                apps[camera.name] = self._apps(camera)
            except SaccadeError as error:
                if not (again and camera.name in self.failed):
                    raise ConfigError(f"camera {camera.name}: {error}") from None
                self.failed[camera.name] = str(error)
        return Change(wanted, apps, set(self.failed) if again else set())

    def switch(self, change: Change) -> None:
        """Run what was prepared; raises SaccadeError, and all is as it was then."""
        try:
            self._run(change)
        except Exception:
            self._run(Change(self.found, {}, set(self.found.names)))
            raise
        self.found = change.wanted
        self._paused &= set(change.wanted.names)

    def pause(self, name: str, *, paused: bool) -> None:
        """Let a camera rest, or go on; raises ConfigError where it does not run."""
        self.found[name]
        if name in self.failed:
            raise ConfigError(f"camera {name} does not run: {self.failed[name]}")
        self._engine.pause(name, paused=paused)
        (self._paused.add if paused else self._paused.discard)(name)

    def finish(self, *, hurried: bool) -> None:
        """After the engine has closed their outputs: end what sends and serves them."""
        for running in self.by_name().values():
            running.finish(hurried=hurried)

    def close_events(self, seconds: float | None) -> None:
        """Close the files of events. seconds : as for `Engine.close_outputs`."""
        self._events.close(seconds)

    def _has_to_open(self, camera: CameraConfig, *, again: bool) -> bool:
        """Whether a camera is new, or another than the one of its name."""
        running = self._running.get(camera.name)
        if running is not None:
            return not running.can_become(camera)
        return again or camera.name not in self.failed or camera != self.found[camera.name]

    def _run(self, change: Change) -> None:
        """Run these cameras, and end the others."""
        wanted, apps, names = change.wanted, change.apps, set(change.wanted.names)
        self._engine.lasting = True  # also where there is no camera for a moment
        gone = [
            name for name, running in self._running.items()
            if name not in names or not running.can_become(wanted[name])
        ]  # fmt: skip
        for name in gone:
            self._end(name, forgotten=name not in names)
        for name in set(self.failed) - names:
            del self.failed[name]
        for camera in wanted:
            if (running := self._running.get(camera.name)) is not None:
                before = running.config
                if (camera.config.rate, camera.weight) != (before.config.rate, before.weight):
                    self._engine.change(camera.name, rate=camera.config.rate, weight=camera.weight)
                running.config = camera
            elif camera.name not in self.failed or camera.name in apps:
                try:
                    self._start(camera, apps[camera.name] if camera.name in apps else self._apps(camera))
                    self.failed.pop(camera.name, None)
                except SaccadeError as error:
                    if camera.name not in change.may_fail:
                        raise
                    self.failed[camera.name] = str(error)
                    log.error("camera %s does not run: %s; the others do", camera.name, error)
        self._engine.lasting = self.lasting

    def _apps(self, camera: CameraConfig) -> list[App]:
        """The camera's apps, with networks that are shared by all who want the same."""
        return [make_app(app.app, app.config, self.networks) for app in camera.apps]

    def _start(self, camera: CameraConfig, apps: Sequence[App]) -> None:
        running = RunningCamera.start(
            camera, apps, self._engine, events=self._events, uploads=self._uploads, shown=self._shown,
            make_outputs=self._make_outputs,
        )  # fmt: skip
        if camera.name in self._paused:  # and only opened anew
            self._engine.pause(camera.name)
        self._running[camera.name] = running

    def _end(self, name: str, *, forgotten: bool) -> None:
        running = self._running.pop(name)
        self._engine.remove(name, then=lambda: running.finish(hurried=True, forgotten=forgotten))
