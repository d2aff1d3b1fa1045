"""The cameras of a file, run in one engine: opened, changed while they run, accounted for.

Whatever the file, a signal or the command line wants changed is prepared first, networks included, and takes the place
of what runs only when all of it can be had; where something turns out wrong later, what ran before is put back.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.apps import FOLLOWED, Page, figures_of, make_app, source_of
from saccade.apps.admission import Admission
from saccade.apps.costs import CameraCost, RememberedCosts, inference_seconds, known_costs
from saccade.apps.why import explain
from saccade.capture import Capture
from saccade.config import CameraConfig, Cameras, RunConfig, load_cameras, read_camera, runnable_cameras
from saccade.config.option import Boxes
from saccade.errors import ConfigError, SaccadeError
from saccade.networks.sharing import Networks
from saccade.outputs.events import EventWriter
from saccade.outputs.opening import Outputs
from saccade.pipeline import Branch, Camera, Engine

if TYPE_CHECKING:
    from saccade.frame import Frame
    from saccade.outputs.display import Display
    from saccade.pipeline import App, Output
    from saccade.results import Result

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the file is looked at, s; a change counts once it has lasted that long."""

PROCESS = ("view", "summary", "frames", "seconds")
"""Options that hold for the process and not for a camera."""


@dataclass(frozen=True, slots=True)
class CamerasFile:
    """A file of cameras with what is said beside it. environ, given : as for `load_cameras`. only : this camera."""

    path: str
    environ: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    app: str = ""
    only: str = ""

    def runnable(self, *, quiet: bool = False) -> Cameras:
        """Those that can run; a line in the log for each that cannot. Raises ConfigError where none can."""
        found, problems = runnable_cameras(self.path, environ=self.environ, given=self.given, app=self.app)
        for line in () if quiet else problems:
            log.error("%s; the others run", line)
        return self._chosen(found)

    def read(self) -> Cameras:
        """All of them; raises ConfigError where anything is wrong."""
        return self._chosen(load_cameras(self.path, environ=self.environ, given=self.given, app=self.app))

    def camera(self, table: Mapping[str, Any], where: str, found: Cameras) -> CameraConfig:
        """A camera beside those that were found; raises ConfigError."""
        return read_camera(
            table, where=where, defaults=found.common, environ=self.environ, given=self.given, beside=found.cameras
        )

    def mark(self) -> tuple[int, ...] | None:
        """Changes when the file does; None where there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _chosen(self, found: Cameras) -> Cameras:
        return replace(found, cameras=(found[self.only],)) if self.only else found


class CameraEvents:
    """Events of one camera in a file, or on standard output, that others write to as well."""

    leases = 0

    def __init__(self, writer: EventWriter, camera: str) -> None:
        self._writer, self._camera = writer, camera

    def accept(self, frame: Frame, result: Result) -> None:
        """Write the result with the camera's name."""
        self._writer.accept(frame, replace(result, extra={"camera": self._camera} | result.extra))

    def close(self) -> None:
        """Nothing: the file is the fleet's."""


@dataclass(slots=True)
class Post:
    """A camera that runs. results : of each of its apps. outputs : all of them, for their figures."""

    camera: CameraConfig
    results: list[Outputs]
    outputs: dict[str, Output]

    def finish(self, *, hurried: bool, forgotten: bool = False) -> None:
        """After its outputs were closed: end what sends and serves them. forgotten : it is gone for good."""
        for results in self.results:
            results.hurried |= hurried
            if forgotten:
                results.forget()
            results.finish()


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
        self._make_outputs = make_outputs
        self.engine = Engine()
        self.page: Page | None = None
        self._shown = make_page is not None
        self._read = file.mark()
        self._found = file.runnable()
        self._networks = Networks(threads=self.engine.cores, streams=self.engine.cores)
        self.closing: list[Any] = []
        self._posts: dict[str, Post] = {}
        self._failed: dict[str, str] = {}
        self._paused: set[str] = set()
        self._writers: dict[str, EventWriter] = {}
        self._changing = threading.RLock()
        self._lasting = self._hurried = False
        self._over, self._look = threading.Event(), threading.Event()
        self._costs = RememberedCosts()
        self._admission = Admission(self.engine.statistics, remember=self._remember)
        try:
            self._expect(self._open_all())
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
        return dict(self._failed)

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
        self.engine.close_outputs()
        for post in list(self._posts.values()):
            post.finish(hurried=self._hurried)
        if self.page is not None:
            self.page.close()
        for writer in self._writers.values():
            writer.close()
        while self.closing:
            self.closing.pop(0).close()

    def summary(self) -> dict[str, Any]:
        """What `--summary` writes: figures of all together, and of each."""
        figures = self.engine.statistics().summary()
        for name, post in list(self._posts.items()):
            if name in figures["cameras"]:
                figures["cameras"][name] |= figures_of(post.outputs) | post.results[0].statistics()
        for name, looks in self._admission.looks.items():
            if name in figures["cameras"]:
                figures["cameras"][name]["looks"] = round(looks, 2)
        for name, reason in list(self._failed.items()):
            figures["cameras"].setdefault(name, {"state": "failed", "up": False, "reason": reason, "frames": 0})
        return figures | self._admission.summary()

    def live(self) -> dict[str, Any]:
        """The summary with present frame rates, the newest event of each camera, and what holds them back."""
        figures = self.summary()
        for name, camera in self.engine.statistics().cameras.items():
            if name in figures["cameras"]:  # others may have come since
                figures["cameras"][name] |= {"fps": round(camera.run.recent_fps, 2), "latest": dict(camera.run.latest)}
        figures["fps"] = round(sum(camera.get("fps", 0.0) for camera in figures["cameras"].values()), 2)
        return figures | {"why": explain(figures).summary()}

    def figures(self) -> list[dict[str, Any]]:
        """What metrics and telemetry tell of each camera."""
        runs = []
        for name, camera in self.engine.statistics().cameras.items():
            post = self._posts.get(name)
            outputs = figures_of(post.outputs) | post.results[0].statistics() if post else {}
            now = {"camera": name, "state": camera.state, "reason": camera.reason, "outputs": outputs}
            runs.append(camera.run.live() | now)
        return runs

    def display(self, name: str) -> Display | None:
        """What draws a camera; None where there is none of that name."""
        post = self._posts.get(name)
        return post.results[0].display if post else None

    def folder(self, name: str) -> Path | None:
        """Where a camera's crops go, those of its first app; None where it keeps none."""
        post = self._posts.get(name)
        return post.results[0].folder if post else None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras, those that failed included, as in the file."""
        return self._found.names

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
            self._lasting = True
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
            self._found[name]
            if name in self._failed:
                raise ConfigError(f"camera {name} does not run: {self._failed[name]}")
            self.engine.pause(name, paused=paused)
            (self._paused.add if paused else self._paused.discard)(name)

    def reread(self) -> None:
        """Have the file read again, soon; from any thread."""
        self._look.set()

    def _with(self, camera: CameraConfig, table: Mapping[str, Any]) -> Cameras:
        """The cameras with this one in place of the one of its name, or at the end."""
        cameras = {other.name: other for other in self._found} | {camera.name: camera}
        tables = {**self._found.tables, camera.name: table}
        return replace(self._found, cameras=tuple(cameras.values()), tables=tables)

    def _watch(self) -> None:
        """Follow the file, and tell what the cameras need of the machine."""
        seen = settled = self._read  # it may have changed since
        while not self._over.is_set():
            asked = self._look.wait(LOOK_SECONDS)
            self._look.clear()
            if self._over.is_set():
                return
            try:
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
        cameras = {name: post.camera for name, post in self._posts.items()}
        known = known_costs(cameras, self._costs)
        rates = {name: camera.config.rate for name, camera in cameras.items()}
        seconds: dict[Any, float] = {}
        inference: dict[str, float] = {}
        for name in rates.keys() - known.keys() if any(rates.values()) else ():
            inference[name] = 0.0
            for app, said in zip(apps[name], cameras[name].apps, strict=True):
                key = (id(app.predictor.network), said.config.tiles, said.config.regions)
                if key not in seconds:
                    seconds[key] = inference_seconds(app)
                inference[name] += seconds[key]
        self._admission.expect(rates, known, inference)

    def _remember(self, costs: Mapping[str, CameraCost]) -> None:
        posts = dict(self._posts)  # some may go meanwhile
        self._costs.remember([(posts[name].camera, cost) for name, cost in costs.items() if name in posts])

    def _open_all(self) -> dict[str, list[App]]:
        """At the start; a camera that cannot run does not hinder the others. The apps of those that run."""
        errors, apps = [], {}
        for camera in self._found:
            try:
                apps[camera.name] = self._apps(camera)
                self._start(camera, apps[camera.name])
            except SaccadeError as error:
                errors.append(error)
                self._failed[camera.name] = str(error)
        if len(errors) == len(self._found):
            raise errors[0]
        for name, reason in self._failed.items():
            log.error("camera %s does not run: %s; the others do", name, reason)
        return apps

    def _change(self, wanted: Cameras, *, again: bool = False) -> None:
        """Run these cameras in place of those that run; raises SaccadeError, and all is as it was then.

        again : those that could not run are tried once more, and may fail once more.
        """
        before = self._found
        fresh = [camera for camera in wanted if self._differs(camera, again=again)]
        apps: dict[str, list[App]] = {}
        for camera in fresh:
            try:
                apps[camera.name] = self._apps(camera)
            except SaccadeError as error:
                if not (again and camera.name in self._failed):
                    raise ConfigError(f"camera {camera.name}: {error}") from None
                self._failed[camera.name] = str(error)
        try:
            self._switch(wanted, apps, may_fail=set(self._failed) if again else set())
        except Exception:
            self._switch(before, {}, may_fail=set(before.names))
            raise
        self._found = wanted
        self._paused &= set(wanted.names)

    def _switch(self, wanted: Cameras, apps: Mapping[str, list[App]], *, may_fail: Set[str]) -> None:
        """Run these cameras. apps : of those that are new. may_fail : cameras that are noted where they cannot run."""
        names = set(wanted.names)
        self.engine.lasting = True  # also where there is no camera for a moment
        gone = [
            name for name, post in self._posts.items()
            if name not in names or not _alike(post.camera, wanted[name])
        ]  # fmt: skip
        for name in gone:
            self._end(name, forgotten=name not in names)
        for name in set(self._failed) - names:
            del self._failed[name]
        for camera in wanted:
            if (post := self._posts.get(camera.name)) is not None:
                if (camera.config.rate, camera.weight) != (post.camera.config.rate, post.camera.weight):
                    self.engine.change(camera.name, rate=camera.config.rate, weight=camera.weight)
                post.camera = camera
            elif camera.name not in self._failed or camera.name in apps:
                try:
                    self._start(camera, apps[camera.name] if camera.name in apps else self._apps(camera))
                    self._failed.pop(camera.name, None)
                except SaccadeError as error:
                    if camera.name not in may_fail:
                        raise
                    self._failed[camera.name] = str(error)
                    log.error("camera %s does not run: %s; the others do", camera.name, error)
        self.engine.lasting = self._lasting
        self._admission.restart()

    def _differs(self, camera: CameraConfig, *, again: bool) -> bool:
        """Whether a camera has to be opened, as it is new, or another than the one of its name."""
        post = self._posts.get(camera.name)
        if post is not None:
            return not _alike(post.camera, camera)
        return again or camera.name not in self._failed or camera != self._found[camera.name]

    def _apps(self, camera: CameraConfig) -> list[App]:
        """The camera's apps, with networks that are shared by all who want the same."""
        return [make_app(app.app, app.config, self._networks) for app in camera.apps]

    def _start(self, camera: CameraConfig, apps: Sequence[App]) -> None:
        """Open a camera with its outputs; raises SaccadeError, and nothing of it is left then."""
        opened: list[Any] = []
        try:
            capture: Capture | None = _capture(camera)
            assert capture is not None
            opened.append(capture.source)
            every = capture.source.every_frame
            branches: list[Branch] = []
            results: list[Outputs] = []
            outputs: dict[str, Output] = {}
            for number, app in enumerate(apps):
                results.append(self._make_outputs(self._results_config(camera, app.name, number, len(apps))))
                opened.append(results[-1])
                followed = camera.config.track and app.name in FOLLOWED
                results[-1].open(app.name, wait=every, objects=followed, model=app.model_name)
                opened += results[-1].by_name.values()
                made = results[-1].by_name | self._events(camera)
                suffix = f"_{app.name}" if number else ""
                outputs |= {f"{key}{suffix}": output for key, output in made.items()}
                branches.append(Branch(app, list(made.values()), camera.config.track))

            def open_again() -> Capture:
                nonlocal capture
                first, capture = capture, None
                return first or _capture(camera)

            self.engine.add(
                Camera(
                    name=camera.name,
                    open=open_again,
                    branches=branches,
                    rate=camera.config.rate,
                    weight=camera.weight,
                    gate=camera.gating.mode,
                    always_every=camera.gating.always_every,
                    hold=camera.gating.hold,
                    sensitivity=camera.gating.sensitivity,
                    regions=_looked_at(camera),
                )
            )
        except BaseException:
            _close(reversed(opened))
            raise
        if camera.name in self._paused:  # and only opened anew
            self.engine.pause(camera.name)
        for each in results:
            each.watch(lambda: self.engine.state(camera.name))
        self._posts[camera.name] = Post(camera, results, outputs)

    def _results_config(self, camera: CameraConfig, app: str, number: int, apps: int) -> RunConfig:
        """Where the results of one of a camera's apps go: those of the first are shown, the others have names."""
        config = camera.config.replace(view="page" if self._shown else "", events="")
        if apps > 1 and config.out:
            config = config.replace(out=str(Path(config.out) / app))
        if number:
            config = config.replace(name=f"{camera.name}-{app}", view="", fifo="", pictures=0.0)
        return config

    def _events(self, camera: CameraConfig) -> dict[str, Output]:
        """The events of a camera, in a file that others may write to as well."""
        target = camera.config.events
        if not target:
            return {}
        if target not in self._writers:
            self._writers[target] = EventWriter(target)
        return {"events": CameraEvents(self._writers[target], camera.name)}

    def _end(self, name: str, *, forgotten: bool) -> None:
        post = self._posts.pop(name)
        self.engine.remove(name, then=lambda: post.finish(hurried=True, forgotten=forgotten))


def _capture(camera: CameraConfig) -> Capture:
    """A camera's capture; what is not there yet is waited for, unless that is forbidden."""
    wait = camera.config.wait is not False
    return Capture(source_of(camera.config, wait=wait), wait=wait, lazy=True)


def _looked_at(camera: CameraConfig) -> Boxes:
    """The regions that its apps look at; none where one of them looks at the whole picture."""
    each = [app.config.regions for app in camera.apps]
    return tuple(region for regions in each for region in regions) if all(each) else ()


def _alike(one: CameraConfig, other: CameraConfig) -> bool:
    """Whether a camera need not be opened anew to become the other: at most rate and weight differ."""
    return _lasting(one) == _lasting(other)


def _lasting(camera: CameraConfig) -> CameraConfig:
    """What a camera cannot change while it runs. An HTTP camera is asked at its rate."""
    changes: dict[str, Any] = {key: getattr(RunConfig(), key) for key in PROCESS}
    if not camera.config.source.startswith(("http:", "https:")):
        changes["rate"] = None
    apps = tuple(replace(app, config=app.config.replace(**changes)) for app in camera.apps)
    return replace(camera, config=camera.config.replace(**changes), apps=apps, weight=1.0, origins={})


def _close(parts: Any) -> None:
    for part in list(parts):
        part.close()
