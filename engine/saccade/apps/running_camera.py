"""One camera that runs in an engine: its source, its apps, and where the results of each go."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.apps import FOLLOWED, source_of
from saccade.capture import Capture
from saccade.config import CameraConfig, RunConfig
from saccade.config.option import Boxes
from saccade.outputs.events import EventWriter
from saccade.outputs.opening import Outputs
from saccade.pipeline import Branch, Camera, Engine
from saccade.pipeline.delivery import Delivery

if TYPE_CHECKING:
    from saccade.frame import Frame
    from saccade.pipeline import App, Output
    from saccade.results import Result
    from saccade.storage.uploads import Uploads

PROCESS = ("view", "summary", "frames", "seconds")
"""Options that hold for the process and not for a camera."""

_CLIENT = re.compile(r"(?<=[?&]client_id=)[^&#]+")
"""The id by which a broker knows a client, in its address: of two with one id it hangs up on the older."""


class CameraEvents:
    """Events of one camera in a file, or on standard output, that others write to as well. name : the writer's."""

    leases = 0

    def __init__(self, writer: EventWriter, camera: str) -> None:
        self._writer, self._camera = writer, camera
        self.name = writer.name

    def accept(self, frame: Frame, result: Result) -> None:
        """Write the result with the camera's name."""
        self._writer.accept(frame, replace(result, extra={"camera": self._camera} | result.extra))

    def close(self) -> None:
        """Nothing: the file is the fleet's."""


class EventFiles:
    """The files of events of a fleet, each written by one writer for all of its cameras."""

    def __init__(self) -> None:
        self._writers: dict[str, EventWriter] = {}

    def output(self, camera: CameraConfig) -> dict[str, Output]:
        """What writes a camera's events, by its name among the outputs; nothing where they are not asked for."""
        target = camera.config.events
        if not target:
            return {}
        if target not in self._writers:
            self._writers[target] = EventWriter(target)
        return {"events": CameraEvents(self._writers[target], camera.name)}

    def close(self, seconds: float | None) -> None:
        """Close them all, when no camera writes any more. seconds : as for `Engine.close_outputs`."""
        Delivery(tuple(self._writers.values()), lambda count: None).close(seconds)


@dataclass(slots=True)
class RunningCamera:
    """A camera that runs. results : of each of its apps. outputs : all of them, for their figures."""

    config: CameraConfig
    results: list[Outputs]
    outputs: dict[str, Output]

    @classmethod
    def start(
        cls,
        config: CameraConfig,
        apps: Sequence[App],
        engine: Engine,
        *,
        events: EventFiles,
        uploads: Uploads,
        shown: bool,
        make_outputs: Callable[[RunConfig], Outputs],
    ) -> RunningCamera:
        """Open a camera with its outputs and have the engine run it; raises SaccadeError, and nothing is left then.

        apps : those of the configuration, in its order. events, uploads : of all cameras. shown : on a page.
        make_outputs : makes the outputs of one of its apps.
        """
        with ExitStack() as opened:
            capture: Capture | None = _capture(config)
            assert capture is not None
            opened.callback(capture.source.close)
            every = capture.source.every_frame
            branches: list[Branch] = []
            results: list[Outputs] = []
            outputs: dict[str, Output] = {}
            for number, app in enumerate(apps):
                made = make_outputs(_results_config(config, app.name, number, len(apps), shown=shown))
                opened.callback(made.close)
                results.append(made)
                followed = config.config.track and app.name in FOLLOWED
                made.open(app.name, wait=every, objects=followed, model=app.model_name, uploads=uploads)
                for output in made.by_name.values():
                    opened.callback(output.close)
                by_name = made.by_name | events.output(config)
                suffix = f"_{app.name}" if number else ""
                outputs |= {f"{key}{suffix}": output for key, output in by_name.items()}
                branches.append(Branch(app, list(by_name.values()), config.config.track))

            def open_again() -> Capture:
                nonlocal capture
                first, capture = capture, None
                return first or _capture(config)

            engine.add(
                Camera(
                    name=config.name,
                    open=open_again,
                    branches=branches,
                    rate=config.config.rate,
                    weight=config.weight,
                    gate=config.gating.mode,
                    always_every=config.gating.always_every,
                    hold=config.gating.hold,
                    sensitivity=config.gating.sensitivity,
                    regions=looked_at(config),
                )
            )
            opened.pop_all()
        for each in results:
            each.watch(lambda: engine.state(config.name))
        return cls(config, results, outputs)

    def can_become(self, other: CameraConfig) -> bool:
        """Whether it need not be opened anew to become the other: at most rate and weight differ."""
        return _lasting(self.config) == _lasting(other)

    def finish(self, *, hurried: bool, forgotten: bool = False) -> None:
        """After its outputs were closed: end what sends and serves them. forgotten : it is gone for good."""
        for results in self.results:
            results.hurried |= hurried
            if forgotten:
                results.forget()
            results.finish()


def looked_at(camera: CameraConfig) -> Boxes:
    """The regions that its apps look at; none where one of them looks at the whole picture."""
    each = [app.config.regions for app in camera.apps]
    return tuple(region for regions in each for region in regions) if all(each) else ()


def _capture(camera: CameraConfig) -> Capture:
    """A camera's capture; what is not there yet is waited for, unless that is forbidden."""
    wait = camera.config.wait is not False
    return Capture(source_of(camera.config, wait=wait), wait=wait, lazy=True)


def _results_config(camera: CameraConfig, app: str, number: int, apps: int, *, shown: bool) -> RunConfig:
    """Where the results of one of a camera's apps go: those of the first are shown, the others have names."""
    config = camera.config.replace(view="page" if shown else "", events="")
    if apps > 1 and config.out:
        config = config.replace(out=str(Path(config.out) / app))
    if number:
        publish = tuple(_CLIENT.sub(rf"\g<0>-{app}", target) for target in config.publish)
        config = config.replace(name=f"{camera.name}-{app}", view="", fifo="", pictures=0.0, publish=publish)
    return config


def _lasting(camera: CameraConfig) -> CameraConfig:
    """What a camera cannot change while it runs. An HTTP camera is asked at its rate."""
    changes: dict[str, Any] = {key: getattr(RunConfig(), key) for key in PROCESS}
    if not camera.config.source.startswith(("http:", "https:")):
        changes["rate"] = None
    apps = tuple(replace(app, config=app.config.replace(**changes)) for app in camera.apps)
    return replace(camera, config=camera.config.replace(**changes), apps=apps, weight=1.0, origins={})
