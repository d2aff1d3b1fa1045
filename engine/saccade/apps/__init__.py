"""What a deployed project does per frame, and how one configuration becomes a running session.

`open_session(name, config)` builds source, capture, models, app, outputs and pipeline; the command line and the edge
lambdas are thin over it.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from saccade.config import RunConfig
from saccade.errors import ConfigError

if TYPE_CHECKING:
    from saccade.models import Model
    from saccade.outputs.display import Display
    from saccade.outputs.page import LivePage
    from saccade.pipeline import App, Output, Pipeline, PipelineStatistics

log = logging.getLogger(__name__)

__all__ = ["Session", "make_app", "open_session"]


@dataclass(slots=True)
class Session:
    """A pipeline that is ready to run, with what serves its results.

    outputs : by name, for their figures. page : the live page, or None.
    """

    pipeline: Pipeline
    outputs: dict[str, Output]
    frames: int | None = None
    seconds: float | None = None
    page: LivePage | None = None
    closing: list[Any] = field(default_factory=list)

    @property
    def page_url(self) -> str:
        """Address of the live page; empty where none is served."""
        return self.page.url if self.page else ""

    def run(self) -> PipelineStatistics:
        """Run to the end; outputs are closed, with all they held written, when this returns."""
        try:
            return self.pipeline.run(frames=self.frames, seconds=self.seconds)
        finally:
            for part in self.closing:
                part.close()

    def stop(self) -> None:
        """Ask the run to end; safe from signal handlers."""
        self.pipeline.stop()

    def output_statistics(self) -> dict[str, Any]:
        """Figures of the outputs that keep any, by output."""
        figures = {}
        for name, output in self.outputs.items():
            statistics = getattr(output, "statistics", None)
            if statistics is not None:
                figures[name] = {
                    key: value for key, value in asdict(statistics()).items() if isinstance(value, (int, float, str))
                }
        return figures


def open_session(name: str, config: RunConfig, *, extra_outputs: dict[str, Output] | None = None) -> Session:
    """Build everything that `config` asks for.

    name : faces, head-pose or classify. extra_outputs : further outputs by name, as a spool or a publisher.
    Raises SaccadeError where a part cannot be had; nothing is left running then.
    """
    from saccade.capture import Capture, open_source
    from saccade.pipeline import Pipeline

    opened: list[Any] = []
    try:
        source = open_source(config.source, realtime=config.realtime)
        opened.append(source)
        app = make_app(name, config)
        closing: list[Any] = []
        outputs, display = _outputs(config, opened, closing, wait=source.every_frame)
        outputs |= extra_outputs or {}
        capture = Capture(
            source,
            slots=config.requests + 1 + sum(getattr(output, "leases", 0) for output in outputs.values()),
        )
        pipeline = Pipeline(capture, app, list(outputs.values()), requests=config.requests)
        session = Session(pipeline, outputs, config.frames, config.seconds, closing=closing)
        if config.view:
            from saccade.outputs.page import LivePage

            session.page = LivePage(config.view, display, lambda: pipeline.statistics().live())
            session.page.start()
            session.closing.append(session.page)
    except BaseException:
        for part in reversed(opened):
            part.close()
        raise
    return session


def make_app(name: str, config: RunConfig) -> App:
    """The app with its models loaded; raises ConfigError, ModelError or DownloadError."""
    if name == "faces":
        from saccade.apps.faces import DEFAULT_MODEL, Faces

        model, task = _model(config.model or DEFAULT_MODEL, config)
        return Faces(model, _of_kind(task, ("detection",), "faces", model.name), threshold=config.threshold)
    if name == "classify":
        from saccade.apps.classify import Classify

        if not config.model:
            raise ConfigError("classify needs a network: --model FILE, with --labels FILE for the names of its classes")
        model, task = _model(config.model, config, task="classification")
        return Classify(model, _of_kind(task, ("classification",), "classify", model.name), top=config.top)
    if name == "head-pose":
        from saccade.apps import head_pose

        model, task = _model(config.model or head_pose.DEFAULT_MODEL, config)
        if task.kind in ("classification", "pan-tilt"):
            return head_pose.CentredHeadPose(model, task)
        task = _of_kind(task, ("landmarks", "angles"), "head-pose", model.name)
        finder, detector = _model(head_pose.DEFAULT_DETECTOR, config.replace(mean=(), scale=(), color="", labels=""))
        return head_pose.FaceHeadPose(finder, detector, model, task, threshold=config.threshold)
    raise ConfigError(f"app {name!r} is not known; choose faces, head-pose or classify")


def _outputs(
    config: RunConfig, opened: list[Any], closing: list[Any], *, wait: bool
) -> tuple[dict[str, Output], Display]:
    """The outputs that the configuration asks for, and the display that page and FIFO share.

    Whatever is opened goes to `opened`; what is no output, but shall be closed after the run, to `closing` too.
    wait : every frame counts, so that an output that is busy holds the stream up rather than skip.
    """
    from saccade.outputs.display import Display

    outputs: dict[str, Output] = {}

    def add(name: str, output: Any) -> None:
        opened.append(output)
        outputs[name] = output

    display = Display()
    if config.events:
        from saccade.outputs.events import EventWriter

        add("events", EventWriter(config.events))
    if config.out:
        from saccade.outputs.crops import CropWriter

        add("crops", CropWriter(config.out, interval=config.interval, margin=config.margin, wait=wait))
        if config.pictures:
            from saccade.outputs.pictures import PictureWriter

            add("pictures", PictureWriter(config.out, every=config.pictures, wait=wait))
    if config.view or config.fifo:
        add("display", display)
    if config.fifo:
        from saccade.outputs.fifo import Fifo

        opened.append(Fifo(display, config.fifo).start())
        closing.append(opened[-1])
    return outputs, display


def _model(name: str, config: RunConfig, *, task: str | None = None) -> tuple[Model, Any]:
    """A model, and the task that fits it."""
    from saccade.models import open_model, task_for

    model = open_model(
        name, device=config.device, precision=config.precision, threads=config.threads or _inference_threads()
    )
    options: dict[str, Any] = {"labels": config.labels or None, "task": task}
    if config.mean:
        options["mean"] = config.mean
    if config.scale:
        options["scale"] = config.scale
    if config.color:
        options["swap_rb"] = config.color == "rgb"
    return model, task_for(model, name=name, **options)


def _inference_threads() -> int:
    """All cores but one, which decodes."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores - 1)


def _of_kind(task: Any, kinds: tuple[str, ...], app: str, model: str) -> Any:
    if task.kind not in kinds:
        raise ConfigError(f"{app} wants a network for {' or '.join(kinds)}; {model} is one for {task.kind}")
    return task
