"""What a deployed project does per frame, and how one configuration becomes a running session.

`open_session(name, config)` builds source, capture, models, app, outputs and pipeline; the command line and the edge
lambdas are thin over it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from saccade.config import APPS, RunConfig, options_of
from saccade.errors import ConfigError
from saccade.process import is_service, usable_cores
from saccade.results import DIRECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from saccade.capture.source import Source
    from saccade.formats.shapes import Shapes
    from saccade.networks.sharing import Networks
    from saccade.outputs.display import Display
    from saccade.outputs.opening import Outputs
    from saccade.pipeline import App, Output, Pipeline, PipelineStatistics
    from saccade.pipeline.balance import Balance, Shares
    from saccade.predict.predictor import Predictor

log = logging.getLogger(__name__)

FOLLOWED = ("detect", "faces")
"""Apps whose objects have a life."""

__all__ = ["FOLLOWED", "Page", "Session", "figures_of", "make_app", "open_session", "predictor_options", "source_of"]


class Page(Protocol):
    """What shows a run to people, from the room that serves."""

    @property
    def url(self) -> str:
        """Where to look."""
        ...

    def start(self) -> Page:
        """Begin to serve."""
        ...

    def close(self) -> None:
        """Serve no more."""
        ...


@dataclass(slots=True)
class Session:
    """A pipeline that is ready to run, with what serves its results.

    outputs : by name, for their figures. results : what sends and serves them, finished at the end unless the caller
    does that. camera : its name. page : the live page, or None.
    """

    pipeline: Pipeline
    outputs: dict[str, Output]
    results: Outputs
    frames: int | None = None
    seconds: float | None = None
    camera: str = ""
    page: Page | None = None
    finishing: bool = True
    closing: list[Any] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def page_url(self) -> str:
        """Address of the live page; empty where none is served."""
        return self.page.url if self.page else ""

    def run(self) -> PipelineStatistics:
        """Run to the end; outputs are closed, with all they held written, when this returns."""
        try:
            return self.pipeline.run(frames=self.frames, seconds=self.seconds)
        finally:
            self.close()

    def stop(self) -> None:
        """Ask the run to end; from any thread, and from signal handlers. What is queued gets little time then."""
        self.results.hurried = True
        self.pipeline.stop()

    def close(self) -> None:
        """Write what the outputs hold, and take away what serves them; from any thread, once is enough."""
        from saccade.pipeline.delivery import ENDING_SECONDS

        self.pipeline.close_outputs(ENDING_SECONDS if self.results.hurried else None)
        if self.finishing:
            self.results.finish()
        with self._lock:
            while self.closing:
                self.closing.pop(0).close()

    def summary(self) -> dict[str, Any]:
        """What `--summary` writes."""
        return self.pipeline.statistics().summary() | self.output_statistics()

    def figures(self) -> dict[str, Any]:
        """What page, metrics and telemetry tell of the run as it is now."""
        live = self.pipeline.statistics().live()
        return live | {"camera": self.camera, "outputs": self.output_statistics()}

    def output_statistics(self) -> dict[str, Any]:
        """Figures of the outputs that keep any, by output."""
        return figures_of(self.outputs) | self.results.statistics()


def figures_of(outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Figures of the outputs that keep any, by output."""
    figures = {}
    for name, output in outputs.items():
        statistics = getattr(output, "statistics", None)
        if statistics is not None:
            figures[name] = {
                key: value for key, value in asdict(statistics()).items() if isinstance(value, (int, float, str))
            }
    return figures


def open_session(
    name: str,
    config: RunConfig,
    *,
    extra_outputs: dict[str, Output] | None = None,
    results: Outputs | None = None,
    make_page: Callable[[str, Display, Callable[[], Mapping[str, Any]]], Page] | None = None,
) -> Session:
    """Build everything that `config` asks for; `saccade.service.session.open_session` does it with the live page.

    name : one of `config.APPS`. extra_outputs : further outputs by name. results : made by the caller, who finishes it,
    too; by default the session's own. make_page : makes the page from an address, the display and the figures.
    Raises SaccadeError where a part cannot be had; nothing is left running then.
    """
    from saccade.capture import Capture
    from saccade.outputs.opening import Outputs
    from saccade.pipeline import Pipeline
    from saccade.pipeline.balance import spread_as_tuned

    opened: list[Any] = []
    wait = is_service() if config.wait is None else config.wait
    try:
        source = source_of(config, wait=wait)
        opened.append(source)
        app = make_app(name, config)
        if results is None:
            results = Outputs(config)
            opened.append(results)
        live = not source.every_frame
        tuned = spread_as_tuned(app.predictor, live=live) if config.threads is None else None
        objects = config.track and name in FOLLOWED
        results.open(name, wait=source.every_frame, objects=objects, model=app.model_name)
        opened += results.by_name.values()
        outputs = results.by_name | (extra_outputs or {})
        pipeline = Pipeline(
            Capture(source, wait=wait), app, list(outputs.values()), requests=_requests(config, tuned),
            track=config.track, balance=None if tuned else _balance(app, config, live=live),
        )  # fmt: skip
        results.watch(lambda: pipeline.capture.statistics().state)
        session = Session(pipeline, outputs, results, config.frames, config.seconds, config.camera)
        session.finishing = any(part is results for part in opened)
        if config.view:
            if make_page is None:
                raise ConfigError("view: nothing serves a page here; open the session by saccade.service.session")
            session.page = make_page(config.view, results.display, session.figures)
            session.page.start()
            session.closing.append(session.page)
    except BaseException:
        for part in reversed(opened):
            part.close()
        raise
    return session


def source_of(config: RunConfig, *, wait: bool) -> Source:
    """The source that a configuration names; `wait` as for `open_source`."""
    from saccade.capture import open_source

    return open_source(
        config.source,
        realtime=config.realtime,
        rate=config.rate,
        insecure=config.insecure,
        ca=config.ca or None,
        hwaccel=config.hwaccel,
        decode=config.decode,
        max_pixels=config.max_pixels,
        wait=wait,
    )


def make_app(name: str, config: RunConfig, networks: Networks | None = None) -> App:
    """The app with its networks loaded; raises ConfigError, ModelError or DownloadError.

    networks : where they are opened, to be shared with other apps; None: for this one alone.
    """
    if name == "detect":
        from saccade.apps.detect import Detect

        return Detect(_predictor(name, "detect", config, networks))
    if name == "faces":
        from saccade.apps.faces import Faces, preset

        return Faces(_predictor(name, "detect", preset(config), networks))
    if name == "segment":
        from saccade.apps.segment import Segment

        return Segment(_predictor(name, "segment", config, networks))
    if name == "classify":
        from saccade.apps.classify import DEFAULT_MODEL, MOST_CLASSES, Classify

        config = config.replace(model=config.model or DEFAULT_MODEL, top=config.top or MOST_CLASSES)
        return Classify(_predictor(name, "classify", config, networks))
    if name == "head-pose":
        return _head_pose(config, networks)
    raise ConfigError(f"app {name!r} is not known; choose {', '.join(APPS)}")


def _head_pose(config: RunConfig, networks: Networks | None) -> App:
    from saccade.apps import head_pose
    from saccade.predict.parsers.classification import Classifier

    config = config.replace(model=config.model or head_pose.DEFAULT_MODEL, top=len(DIRECTIONS), classes=())
    predictor = _open(config.replace(regions=()), networks)
    classes = predictor.parser.classes if isinstance(predictor.parser, Classifier) else None
    if predictor.task == "pan-tilt" or classes == len(DIRECTIONS):
        square = predictor.reframed(head_pose.CentredSquare(), resize="stretch")
        return head_pose.CentredHeadPose(_within_regions(square, config))
    if predictor.task not in ("landmarks", "angles"):
        raise ConfigError(
            f"head-pose wants a network of nine directions, of angles or of a face mesh; {predictor.name} is one to "
            f"{predictor.task}" + (f" with {classes} classes" if classes else "")
        )
    predictor = predictor.reframed(resize="stretch")
    # What is said of the model is not said of the one that finds the faces.
    finder = RunConfig(
        model=head_pose.DEFAULT_DETECTOR, device=config.device, precision=config.precision, threads=config.threads,
        threshold=config.threshold, regions=config.regions,
    )  # fmt: skip
    return head_pose.FaceHeadPose(_open(finder, networks), predictor)


def _predictor(app: str, task: str, config: RunConfig, networks: Networks | None) -> Predictor:
    """The network of an app that wants one to `task`."""
    if not config.model:
        raise ConfigError(
            f"{app} needs a network: --model FILE, or a name that `saccade models list` shows; "
            "--labels FILE names its classes where it does not"
        )
    predictor = _open(config, networks)
    if predictor.task != task:
        other = f"; `saccade run {predictor.task}` shows what it says" if predictor.task in APPS else ""
        raise ConfigError(f"{app} wants a network to {task}; {predictor.name} is one to {predictor.task}{other}")
    return predictor


def _open(config: RunConfig, networks: Networks | None) -> Predictor:
    """A network with what its outputs mean, as the configuration says."""
    from saccade.predict import open_predictor

    # Networks that are shared know how many threads there are for all of them.
    threads: dict[str, Any] = (
        {"threads": config.threads, "usual_threads": _inference_threads()} if networks is None or config.threads else {}
    )
    predictor = open_predictor(
        config.model, precision=config.precision, networks=networks, **predictor_options(config), **threads
    )
    return _within_regions(predictor, config)


def predictor_options(config: RunConfig) -> dict[str, Any]:
    """What a configuration says of a network and its meaning, as `open_predictor` takes it."""
    return {
        "device": config.device,
        "input_shapes": _input_shapes(config),
        "labels": config.labels or None,
        "task": config.task,
        "head": config.head,
        "mean": config.mean or None,
        "scale": config.scale or None,
        "color": config.color,
        "resize": config.resize,
        "pad": config.pad,
        "threshold": config.threshold,
        "iou": config.iou,
        "classes": config.classes,
        "top": config.top,
        "tiles": config.tiles,
    }


def _within_regions(predictor: Predictor, config: RunConfig) -> Predictor:
    """The predictor for the parts of the frame that are to be looked at."""
    if not config.regions:
        return predictor
    from saccade.predict.framing import Parts

    if len(config.regions) > 1 and predictor.task != "detect":
        raise ConfigError(
            f"regions: {predictor.name} is one to {predictor.task}, of which there is one answer for a frame; give "
            "one region, or a camera for each"
        )
    return predictor.reframed(Parts(config.regions, predictor.framing))


def _input_shapes(config: RunConfig) -> Shapes | None:
    if not config.input_shape:
        return None
    from saccade.formats.shapes import parse_shapes

    return parse_shapes([config.input_shape])


def _requests(config: RunConfig, tuned: Shares | None) -> int:
    """Requests in flight: as many as somebody asks for, else as its network was tuned with."""
    usual = options_of(RunConfig)["requests"].default
    return tuned.requests if tuned is not None and config.requests == usual else config.requests


def _balance(app: App, config: RunConfig, *, live: bool) -> Balance | None:
    """What spreads the app's network over the cores, unless the user has said how."""
    from saccade.pipeline.balance import Balance

    if config.threads is not None or app.predictor.network.is_remote or usable_cores() == 1:
        return None
    return Balance(app.predictor, threads=_inference_threads(), live=live)


def _inference_threads() -> int:
    """All cores but one, which decodes: until both are measured."""
    return max(1, usable_cores() - 1)
