"""The cameras of a file, run in one engine: from the first to the last picture, and what changes them meanwhile.

The file (`cameras_file`) is followed. What it wants changed, or a call, is prepared and takes its place as a whole
(`switching`); what one camera consists of is in `running_camera`, what is told of all in `fleet_figures`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.apps import Page
from saccade.apps.admission import Admission
from saccade.apps.cameras_file import CamerasFile
from saccade.apps.costs import CameraCost, RememberedCosts, inference_costs, known_costs
from saccade.apps.fleet_figures import FleetFigures
from saccade.apps.running_camera import PROCESS
from saccade.apps.switching import RunningCameras
from saccade.config import CameraConfig, Cameras, RunConfig
from saccade.errors import ConfigError, SaccadeError
from saccade.outputs.opening import Outputs
from saccade.pipeline import Engine
from saccade.pipeline.delivery import ENDING_SECONDS

if TYPE_CHECKING:
    from saccade.outputs.display import Display
    from saccade.pipeline import App

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the file is looked at, s; a change counts once it has lasted that long."""


class Fleet:
    """The cameras of a file in one engine.

    file : to be read now, and again whenever it changes or `reread` is called.
    make_page : makes the page from an address, which may be empty, and this. make_outputs : makes the outputs of one of
    a camera's apps.
    Raises ConfigError where no camera at all can run; nothing is left running then.
    """

    def __init__(
        self,
        file: CamerasFile,
        *,
        make_page: Callable[[str, Fleet], Page] | None = None,
        make_outputs: Callable[[RunConfig], Outputs] = Outputs,
    ) -> None:
        self.file = file
        self.engine = Engine()
        self.page: Page | None = None
        self.closing: list[Any] = []
        self._read = file.mark()
        self._cameras = RunningCameras(
            self.engine, file.runnable(), shown=make_page is not None, make_outputs=make_outputs
        )
        self._changing = threading.RLock()
        self._hurried = False
        self._over, self._look = threading.Event(), threading.Event()
        self._costs = RememberedCosts()
        self._admission = Admission(self.engine.statistics, remember=self._remember)
        self._figures = FleetFigures(self.engine, self._cameras, self._admission)
        try:
            self._expect(self._cameras.open_all())
            if make_page is not None:
                self.page = make_page(self.config.view, self)
                self.page.start()
        except BaseException:
            self.close()
            raise

    @property
    def config(self) -> RunConfig:
        """What holds for the process."""
        return self._found.defaults

    @property
    def failed(self) -> Mapping[str, str]:
        """Why cameras do not run, by their names."""
        return dict(self._cameras.failed)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras, those that failed included, as in the file."""
        return self._found.names

    @property
    def page_url(self) -> str:
        """Address of the page; empty where none was asked for."""
        return self.page.url if self.page and self.config.view else ""

    def run(self) -> None:
        """Run until all cameras have ended or it is stopped; what outputs hold is written when this returns."""
        watcher = threading.Thread(target=self._watch, name="saccade-cameras", daemon=True)
        watcher.start()
        try:
            self.engine.run(frames=self.config.frames, seconds=self.config.seconds)
        finally:
            self._over.set()
            self._look.set()
            watcher.join(1.0)
            self.close()

    def stop(self) -> None:
        """Ask the run to end; from any thread. What is queued gets little time then."""
        self._hurried = True
        self._over.set()
        self.engine.stop()

    def close(self) -> None:
        """Write what outputs hold, and take away what serves them; from any thread, once is enough."""
        self._over.set()
        self.engine.stop()
        seconds = ENDING_SECONDS if self._hurried else None
        self.engine.close_outputs(seconds)
        self._cameras.finish(hurried=self._hurried)
        if self.page is not None:
            self.page.close()
        self._cameras.close_events(seconds)
        while self.closing:
            self.closing.pop(0).close()

    def summary(self) -> dict[str, Any]:
        """What `--summary` writes: figures of all together, and of each."""
        return self._figures.summary()

    def live(self) -> dict[str, Any]:
        """The summary with present frame rates, the newest event of each camera, and what holds them back."""
        return self._figures.live()

    def figures(self) -> list[dict[str, Any]]:
        """What metrics and telemetry tell of each camera."""
        return self._figures.of_each()

    def display(self, name: str) -> Display | None:
        """What draws a camera; None where there is none of that name."""
        running = self._cameras.get(name)
        return running.results[0].display if running else None

    def folder(self, name: str) -> Path | None:
        """Where a camera's crops go, those of its first app; None where it keeps none."""
        running = self._cameras.get(name)
        return running.results[0].folder if running else None

    # What changes a running fleet. Each raises ConfigError or another SaccadeError, and has changed nothing then.

    def add(self, table: Mapping[str, Any], *, where: str) -> str:
        """One camera more, as a `[[camera]]` table has it; its name."""
        with self._changing:
            camera = self.file.camera(table, where, self._found)
            self._change(self._with(camera, table))
            return camera.name

    def remove(self, name: str) -> None:
        """A camera less; with the last one the run goes on, as others may come."""
        with self._changing:
            self._found[name]
            self._cameras.lasting = True
            self._change(replace(self._found, cameras=tuple(camera for camera in self._found if camera.name != name)))

    def set(self, name: str, changes: Mapping[str, Any], *, where: str) -> None:
        """Other options for a camera; those of rate and weight do not disturb its run."""
        with self._changing:
            before = self._found[name]
            if "name" in changes:
                raise ConfigError(f"{where}: a camera keeps its name; remove it, and add another")
            table = {**self._found.tables.get(name, {}), "name": name, **changes}
            others = replace(self._found, cameras=tuple(camera for camera in self._found if camera is not before))
            self._change(self._with(self.file.camera(table, where, others), table))

    def pause(self, name: str, *, paused: bool) -> None:
        """Let a camera rest, or go on."""
        with self._changing:
            self._cameras.pause(name, paused=paused)

    def reread(self) -> None:
        """Have the file read again, soon; from any thread."""
        self._look.set()

    @property
    def _found(self) -> Cameras:
        return self._cameras.found

    def _with(self, camera: CameraConfig, table: Mapping[str, Any]) -> Cameras:
        """The cameras with this one in place of the one of its name, or at the end."""
        cameras = {other.name: other for other in self._found} | {camera.name: camera}
        tables = {**self._found.tables, camera.name: table}
        return replace(self._found, cameras=tuple(cameras.values()), tables=tables)

    def _change(self, wanted: Cameras, *, again: bool = False) -> None:
        """Run these cameras in place of those that run. again : as for `RunningCameras.prepare`."""
        change = self._cameras.prepare(wanted, again=again)
        if self._over.is_set():  # nobody would close what it opens
            raise ConfigError("the run is over; start it again to change its cameras")
        try:
            self._cameras.switch(change)
        finally:
            self._admission.restart()
            if self._over.is_set():  # it ended meanwhile, without what was opened since
                self.close()

    def _watch(self) -> None:
        """Follow the file, and tell what the cameras need of the machine."""
        seen = settled = self._read  # it may have changed since
        while not self._over.is_set():
            asked = self._look.wait(LOOK_SECONDS)
            self._look.clear()
            if self._over.is_set():
                return
            try:
                with self._changing:  # no other cameras take their place while it is measured
                    self._admission.look()
            except Exception:
                log.exception("what the cameras need could not be measured")
            seen, before = self.file.mark(), seen
            # A file that is being written changes twice; a signal says that it is whole.
            if asked or (seen == before and seen != settled):
                settled = seen
                self._follow()

    def _follow(self) -> None:
        if self.file.mark() is None:
            log.warning("%s has gone; the cameras run on as they are", self.file.path)
            return
        try:
            with self._changing:
                found = self.file.read()
                kept = ", ".join(key for key in PROCESS if getattr(found.defaults, key) != getattr(self.config, key))
                self._change(replace(found, defaults=self.config), again=True)
        except SaccadeError as error:
            log.error("%s; nothing was changed", error)
            return
        except Exception:  # the file is watched on
            log.exception("%s could not be followed", self.file.path)
            return
        if kept:
            log.warning("%s: %s changed, which counts from the next start on", self.file.path, kept)
        log.info("%s was read again: %s", self.file.path, ", ".join(self.names))

    def _expect(self, apps: Mapping[str, Sequence[App]]) -> None:
        """Tell what the cameras that run are expected to need; networks of those that are new are measured for it."""
        cameras = {name: running.config for name, running in self._cameras.by_name().items()}
        known = known_costs(cameras, self._costs)
        rates = {name: camera.config.rate for name, camera in cameras.items()}
        new = {name: cameras[name] for name in cameras if name not in known} if any(rates.values()) else {}
        self._admission.expect(rates, known, inference_costs(new, apps))

    def _remember(self, costs: Mapping[str, CameraCost]) -> None:
        running = self._cameras.by_name()  # some may go meanwhile
        self._costs.remember([(running[name].config, cost) for name, cost in costs.items() if name in running])
