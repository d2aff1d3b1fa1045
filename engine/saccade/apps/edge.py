"""An app as a service on the edge: results to a publisher, face crops through the spool to S3.

`main(app)` is what the functions in `lambdas/` call. All settings come from the environment: those of `RunConfig` as
`SACCADE_SOURCE` and so on, those of `EdgeConfig` as `SACCADE_PUBLISH` and so on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from saccade.config import RunConfig, from_environment
from saccade.errors import ConfigError, SaccadeError
from saccade.outputs.publish import Publisher, PublishStatistics, default_topic, open_publisher, thing_name
from saccade.results import HeadPose, Result

if TYPE_CHECKING:
    from saccade.frame import Frame
    from saccade.outputs.crops import Crop, CropStatistics
    from saccade.outputs.spool import Spool

log = logging.getLogger(__name__)

REKOGNITION_LEAST_SIDE = 80
"""Amazon Rekognition refuses pictures with a smaller side, px."""

DIRECTION_FIELDS = (
    "Bottom Right", "Middle Right", "Top Right", "Bottom Middle", "Middle Middle", "Top Middle",
    "Bottom Left", "Middle Left", "Top Left",
)  # fmt: skip
"""Names of the nine directions in messages, in label order; pictures show `results.DIRECTIONS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """Where the results of an edge function go.

    publish : a file, ``-``, mqtt://, mqtts:// or greengrass: (see `open_publisher`); empty: nowhere.
    topic : empty: ``saccade/{thing}/infer``. every : least seconds between two messages of results.
    bucket : S3 bucket for face crops; empty: crops stay in the spool. spool : its folder.
    spool_bytes, spool_free, spool_days, spool_full : see `Spool`. encryption, kms_key : see `Uploader`.
    """

    publish: str = ""
    topic: str = ""
    every: float = 0.0
    bucket: str = ""
    spool: str = ""
    spool_bytes: int = 1 << 30
    spool_free: int = 64 << 20
    spool_days: float = 30.0
    spool_full: Literal["oldest", "refuse"] = "oldest"
    encryption: str = "AES256"
    kms_key: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> EdgeConfig:
        """The settings of `SACCADE_*`; raises ConfigError that names the variable at fault."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            name = f"SACCADE_{field.name.upper()}"
            text = environ.get(name, "")
            if not text:
                continue
            kind: Any = type(field.default)
            try:
                changes[field.name] = kind(text)
            except ValueError:
                raise ConfigError(f"environment variable {name}: got {text!r}; expected a number") from None
        config = cls(**changes)
        if config.spool_full not in get_args(Literal["oldest", "refuse"]):
            raise ConfigError(f"environment variable SACCADE_SPOOL_FULL: got {config.spool_full!r}; oldest or refuse")
        if not config.every >= 0:
            raise ConfigError(f"environment variable SACCADE_EVERY: got {config.every}; expected zero or more seconds")
        return config


def message(result: Result) -> dict[str, Any]:
    """What is published about a frame: a probability by name, as the tutorials' functions had it, and the boxes.

    Head pose has all nine directions, best first; a classifier its best classes; a detector the best probability of
    each label, with every object in `detections`.
    """
    fields: dict[str, Any] = {}
    if result.pose is not None:
        fields |= _directions(result.pose)
    if result.classes is not None:
        fields |= {entry["label"]: entry["prob"] for entry in result.classes.to_event()}
    if result.detections is not None and result.pose is None:
        objects = result.detections.to_event()
        for entry in reversed(objects):
            fields[entry["label"]] = entry["prob"]
        fields["detections"] = objects
    return fields


def _directions(pose: HeadPose) -> dict[str, float]:
    order = sorted(range(len(DIRECTION_FIELDS)), key=lambda i: -float(pose.scores[i]))
    return {DIRECTION_FIELDS[i]: round(float(pose.scores[i]), 6) for i in order}


def face_key(seconds: float) -> str:
    """S3 key of a face: ``faces/{month}_{day}/{hour}_{minute}/{timestamp}_{index}.jpg``, in this machine's local time.

    The index is the digest of the crop, so that two faces of one second never share a key; see `Spool.put`.
    """
    # A file's frames have their position as time: they are filed under the time they were seen.
    moment = seconds if seconds > 1e9 else time.time()
    local = time.localtime(moment)
    minute = f"{local.tm_mon}_{local.tm_mday}/{local.tm_hour}_{local.tm_min}"
    return f"faces/{minute}/{int(moment)}_{{digest}}.jpg"


class Messages:
    """An output that publishes a message for each result, at most one in `every` seconds."""

    leases = 0

    def __init__(self, publisher: Publisher, every: float = 0.0) -> None:
        self._publisher, self._every = publisher, every
        self._due = 0.0

    def accept(self, frame: Frame, result: Result) -> None:
        """Publish what the result says."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = max(self._due, now - self._every) + self._every
        self._publisher.publish(json.dumps(message(result)))

    def statistics(self) -> PublishStatistics:
        """Figures of the publisher."""
        return self._publisher.statistics()

    def close(self) -> None:
        """Send what is queued, for a few seconds at most."""
        self._publisher.close()


class FacesToS3:
    """An output that puts the sharpest crop of each face into the spool, from where it is uploaded."""

    leases = 1

    def __init__(self, spool: Spool, *, interval: float, margin: float, wait: bool = False) -> None:
        from saccade.outputs.crops import CropWriter

        self._spool = spool
        self._crops = CropWriter(
            self._put, interval=interval, margin=margin, least_side=REKOGNITION_LEAST_SIDE, wait=wait
        )

    def accept(self, frame: Frame, result: Result) -> None:
        """Follow the frame's faces."""
        self._crops.accept(frame, result)

    def statistics(self) -> CropStatistics:
        """Figures of the crops."""
        return self._crops.statistics()

    def close(self) -> None:
        """Spool the best of what is under way."""
        self._crops.close()

    def _put(self, crop: Crop) -> None:
        self._spool.put(crop.jpeg, face_key(crop.time))


def main(app: str, environ: Mapping[str, str] | None = None) -> int:
    """Run an app until it is stopped; returns the exit status: 0, 1 after a failure, 2 for settings that are wrong."""
    environ = os.environ if environ is None else environ
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        config = from_environment(environ)
        edge = EdgeConfig.from_environment(environ)
        topic = edge.topic or default_topic(thing_name())
        publisher = open_publisher(edge.publish, topic=topic) if edge.publish else None
    except SaccadeError as error:
        log.error("%s: %s", app, error)
        return 2
    with contextlib.ExitStack() as stack:
        if publisher is not None:
            stack.callback(publisher.close)
        try:
            return _run(app, config, edge, publisher, stack)
        except SaccadeError as error:
            log.error("%s: %s", app, error)
            if publisher is not None:
                publisher.publish(f"Lambda has failure, error msg {error}")
            return 2 if isinstance(error, ConfigError) else 1


def _run(
    app: str, config: RunConfig, edge: EdgeConfig, publisher: Publisher | None, stack: contextlib.ExitStack
) -> int:
    from saccade.apps import open_session

    outputs: dict[str, Any] = {}
    if publisher is not None:
        publisher.publish("Loading model")
        outputs["publish"] = Messages(publisher, edge.every)
    spool = uploader = None
    if app == "faces" and (edge.bucket or edge.spool):
        from saccade.outputs.spool import Spool, Uploader, default_folder

        spool = stack.enter_context(
            Spool(
                Path(edge.spool) if edge.spool else default_folder(),
                max_bytes=edge.spool_bytes, min_free=edge.spool_free, max_age=edge.spool_days * 86400,
                when_full=cast(Any, edge.spool_full),
            )
        )  # fmt: skip
        outputs["crops"] = FacesToS3(
            spool, interval=config.interval, margin=config.margin, wait=config.realtime is False
        )
        if edge.bucket:
            uploader = Uploader(spool, edge.bucket, encryption=edge.encryption, kms_key=edge.kms_key).start()
            stack.callback(uploader.stop)
    session = open_session(app, config, extra_outputs=outputs)
    if publisher is not None:
        publisher.publish("Model loaded")
    signals: list[int] = []

    def stop(number: int, _: Any) -> None:
        if signals:
            # The second wish is meant: nothing that was spooled is lost by it.
            os._exit(1)
        signals.append(number)
        session.stop()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        statistics = session.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    summary = statistics.summary() | session.output_statistics()
    if spool is not None:
        if uploader is not None and not signals:
            # The source has ended by itself: what is left goes out now, if the network lets it.
            _wait_until_empty(spool, 10.0)
        summary["spool"] = _figures(spool.statistics())
        if uploader is not None:
            summary["uploads"] = _figures(uploader.statistics())
    text = json.dumps(summary)
    if config.summary and config.summary != "-":
        Path(config.summary).write_text(text + "\n", encoding="utf-8")
    log.info("%s", text)
    return 0


def _wait_until_empty(spool: Spool, seconds: float) -> None:
    end = time.monotonic() + seconds
    while spool.statistics().pending and time.monotonic() < end:
        time.sleep(0.05)


def _figures(statistics: Any) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(statistics).items() if isinstance(v, (int, float, str))}
