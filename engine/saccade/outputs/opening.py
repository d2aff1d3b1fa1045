"""The outputs that one camera's configuration asks for; the same for the command line and for edge functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.config import RunConfig
from saccade.outputs.display import Display
from saccade.outputs.publish.bodies import frame_body
from saccade.outputs.publish.home_assistant import discovery_topic
from saccade.outputs.publish.topics import CameraTopics, check_topic, thing_name, topic_prefix

if TYPE_CHECKING:
    from saccade.outputs.publish import Publisher
    from saccade.outputs.publish.camera import Body, CameraMessages, HomeAssistant
    from saccade.storage.spool import Spool
    from saccade.storage.uploads import CameraUploads, Uploads

STOPPED_SECONDS = 0.4
"""How long messages and an upload in hand have left after a signal, s."""

EMPTYING_SECONDS = 10.0
"""How long uploads have where the source has ended by itself, s."""

STATE_SECONDS = 0.5
"""How often the source's state is looked at, s."""

PICTURE_SECONDS = 10.0
"""How often Home Assistant gets a picture, s."""

PICTURE_WIDTH, PICTURE_HEIGHT = 1280, 720
"""Bounds of published pictures, px."""


class Outputs:
    """What takes one camera's results.

    Publishers are there at once, so that what happens before the first result can be told, too; `open` makes the rest.
    By the end the pipeline has closed the outputs; `finish` then sends what is queued and ends what sends.

    by_name : outputs of the pipeline, for their figures. display : page and FIFO share it. messages : of the camera,
    one for each publisher. hurried : the run was told to end: what is queued gets little time; what is spooled is safe.
    body, topic : what is said of a frame, and where, in place of our own; a publisher that is no broker of one's own
    then gets nothing else, as whoever reads the topic allows no other.
    Raises SaccadeError where a publisher cannot be had.
    """

    def __init__(self, config: RunConfig, *, body: Body = frame_body, topic: str = "") -> None:
        self.display = Display()
        self.by_name: dict[str, Any] = {}
        self.messages: list[CameraMessages] = []
        self.hurried = self._forgotten = False
        self._watchers: list[Callable[[], object]] = []
        self._config, self._body = config, body
        frigate = config.mqtt_schema == "frigate"
        self.topics = CameraTopics(topic_prefix(config.mqtt_prefix, frigate=frigate), config.camera, frigate)
        self._own_topics = not topic
        self._topic = config.topic or topic or self.topics.results
        if config.home_assistant:
            check_topic(discovery_topic(config.home_assistant, config.camera))
        self._publishers: list[Publisher] = []
        self._best_of: Callable[[int], str | None] = lambda track: ""
        self._spool: Spool | None = None
        self._uploader: CameraUploads | None = None
        self._last: dict[str, dict[str, Any]] = {}
        self._ends: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._asking = threading.Lock()  # the spool for its figures: it is not closed meanwhile
        try:
            for target in config.publish:
                self._open_publisher(target)
        except BaseException:
            self.close()
            raise

    def open(self, app: str, *, wait: bool, objects: bool, model: str = "", uploads: Uploads | None = None) -> None:
        """Open all that the configuration asks for; raises SaccadeError, and nothing is left open then.

        app : its name. wait : every frame counts, so that an output that is busy holds the stream up rather than skip.
        objects : the app follows objects. model : name of its network. uploads : those of all cameras of the process;
        None: there are no others.
        """
        try:
            # First what is durable: it has each frame, and is closed, before what may hang.
            if self._config.bucket or self._config.spool:
                self._open_spool(app, wait=wait, uploads=uploads)
            self._open_files(wait=wait)
            self._open_display()
            for number, publisher in enumerate(self._publishers, 1):
                self._open_messages(publisher, "" if number == 1 else f"_{number}", objects, model)
        except BaseException:
            for output in self.by_name.values():
                output.close()
            self.close()
            raise

    def watch(self, state: Callable[[], str]) -> None:
        """Tell brokers what the source is up to as it changes, until the end. state : `connecting`, `up` or `lost`."""
        if not any(publisher.keeps_state for publisher in self._publishers):
            return
        done = threading.Event()

        def tell() -> None:
            while True:
                ended = done.wait(STATE_SECONDS)
                now = "ended" if ended else state()
                for messages in () if self._forgotten else self.messages:
                    messages.tell_state(now)
                if ended:
                    return

        thread = threading.Thread(target=tell, name="saccade-state", daemon=True)
        thread.start()

        def end() -> None:
            done.set()
            thread.join()

        self._ends.append(end)
        self._watchers.append(end)

    def forget(self) -> None:
        """The camera is gone for good: take it away where it was told of to stay, as from Home Assistant."""
        self._forgotten = True
        for end in self._watchers:
            end()
        for messages in self.messages:
            messages.forget()

    @property
    def folder(self) -> Path | None:
        """Where crops and pictures go; None where they are not kept."""
        return Path(self._config.out) if self._config.out else None

    def say(self, text: str) -> None:
        """Publish a text beside the results, as the tutorials' functions do of their state."""
        for publisher in self._publishers:
            publisher.publish(text)

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Figures of spool and uploads; those of the outputs are their own."""
        with self._asking:
            parts = {"spool": self._spool, "uploads": self._uploader}
            return self._last | {name: _figures(part) for name, part in parts.items() if part is not None}

    def finish(self, *, failed: bool = False) -> None:
        """After the outputs are closed: upload what is left for a while, then end what sends and serves."""
        if not failed and self._ends and self._uploader is not None:
            end = time.monotonic() + EMPTYING_SECONDS
            while not self.hurried and time.monotonic() < end and self._spool is not None:
                if not self.statistics()["spool"]["pending"]:
                    break
                time.sleep(0.05)
        self.close()

    def close(self) -> None:
        """End what sends and serves, the last first; from any thread, once is enough."""
        with self._lock:
            while self._ends:
                self._ends.pop()()

    @property
    def _patience(self) -> tuple[float, ...]:
        """Seconds that a goodbye may take, as an argument; none: what is usual."""
        return (STOPPED_SECONDS,) if self.hurried else ()

    def _open_publisher(self, target: str) -> None:
        from saccade.outputs.publish import open_publisher

        publisher = open_publisher(target, topic=self._topic, camera=self.topics)
        self._ends.append(lambda: publisher.close(*self._patience))
        self._publishers.append(publisher)

    def _open_files(self, *, wait: bool) -> None:
        """Events, crops and pictures on this machine."""
        config = self._config
        if config.events:
            from saccade.outputs.events import EventWriter

            self.by_name["events"] = EventWriter(config.events, camera=config.name)
        if config.out:
            from saccade.outputs.crops import CropWriter

            crops = CropWriter(config.out, interval=config.interval, margin=config.margin, wait=wait)
            self.by_name["crops"] = crops
            if "spooled_crops" not in self.by_name:
                self._best_of = crops.best_of
            if config.pictures:
                from saccade.outputs.pictures import PictureWriter

                self.by_name["pictures"] = PictureWriter(config.out, every=config.pictures, wait=wait)

    def _open_spool(self, app: str, *, wait: bool, uploads: Uploads | None) -> None:
        from saccade.outputs.upload import CropsToSpool
        from saccade.storage.spool import Spool, default_folder
        from saccade.storage.uploads import Uploads

        config = self._config
        spool = self._spool = Spool(
            Path(config.spool) if config.spool else default_folder(),
            max_bytes=config.spool_bytes, min_free=config.spool_free, max_age=config.spool_days * 86400,
            when_full=config.spool_full, owner=config.camera,
        )  # fmt: skip
        self._ends.append(self._close_spool)
        name = "spooled_crops" if config.out else "crops"
        prefix = (config.prefix or f"{app}/").replace("{thing}", thing_name()).replace("{camera}", config.camera)
        crops = CropsToSpool(spool, prefix=prefix, interval=config.interval, margin=config.margin, wait=wait)
        self.by_name[name] = crops
        self._best_of = crops.best_of
        if config.bucket:
            encryption = "" if config.encryption == "none" else config.encryption
            uploads = Uploads() if uploads is None else uploads
            uploader = uploads.start(spool, config.bucket, encryption=encryption, kms_key=config.kms_key)
            self._uploader = uploader
            self._ends.append(lambda: uploader.stop(*self._patience))

    def _close_spool(self) -> None:
        """Its figures are asked for once more when it is closed."""
        with self._asking:
            spool, self._spool = self._spool, None
            if spool is not None:
                self._last["spool"] = _figures(spool)
                spool.close()

    def _open_display(self) -> None:
        config = self._config
        if config.view or config.fifo:
            self.by_name["display"] = self.display
        if config.fifo:
            from saccade.outputs.fifo import Fifo

            self.display.name = f"the page and fifo ({config.fifo})" if config.view else f"fifo ({config.fifo})"
            self._ends.append(Fifo(self.display, config.fifo).start().close)

    def _open_messages(self, publisher: Publisher, suffix: str, objects: bool, model: str) -> None:
        from saccade.outputs.publish.camera import CameraMessages, HomeAssistant

        config = self._config
        home: HomeAssistant | None = None
        if publisher.keeps_state:
            picture = self._open_picture(publisher, suffix)
            if config.home_assistant:
                home = HomeAssistant(config.home_assistant, labels=config.classes, model=model, picture=picture)
        messages = CameraMessages(
            publisher, self.topics, body=self._body, results=self._topic, every=config.every,
            objects=objects and (self._own_topics or publisher.keeps_state), home_assistant=home,
            crop=self._best_of,
        )  # fmt: skip
        self.messages.append(messages)
        self.by_name[f"publish{suffix}"] = messages

    def _open_picture(self, publisher: Publisher, suffix: str) -> bool:
        """Publish pictures where that is asked for; whether it is."""
        from saccade.outputs.pictures import PictureWriter

        every, topic = self._config.mqtt_pictures, self.topics.picture
        if every is None:
            every = PICTURE_SECONDS if self._config.home_assistant else 0.0
        if every:
            self.by_name[f"picture{suffix}"] = PictureWriter(
                lambda name, jpeg: publisher.publish(jpeg, topic, retain=True), every=every, width=PICTURE_WIDTH,
                height=PICTURE_HEIGHT, quality=80, name=f"pictures by {publisher.name}",
            )  # fmt: skip
        return bool(every)


def _figures(part: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(part.statistics()).items() if isinstance(value, (int, float, str))}
