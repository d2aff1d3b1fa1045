"""What is published of one camera: results, the life of objects, how many there are, and the camera's picture."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.frame import Frame
from saccade.outputs.events import to_json
from saccade.outputs.publish.bodies import FrigateBodies, object_body
from saccade.outputs.publish.home_assistant import discovery_body, discovery_topic
from saccade.outputs.publish.publisher import Publisher, PublishStatistics
from saccade.outputs.publish.topics import CameraTopics
from saccade.results import LifeEvent, Result

Body = Callable[[Result, str], dict[str, Any]]
"""What is said of a frame; see `bodies`."""

MOST_CLASSES = 40
"""Classes that Home Assistant is told of at most: a network of 1000 would fill its pages."""

CROP_SECONDS = 3.0
"""How long the end of an object waits for its last crop, s."""


@dataclass(frozen=True, slots=True)
class HomeAssistant:
    """What Home Assistant is told. prefix : of its discovery. labels : classes that are asked for; others are added
    when they are first seen. model : name of the network. picture : there is one of the camera.
    """

    prefix: str
    labels: tuple[str, ...] = ()
    model: str = ""
    picture: bool = True


class CameraMessages:
    """An output that publishes what is said of one camera.

    Parameters
    ----------
    every : least seconds between two messages of results; the life of objects and their counts are never left out.
    body : what is said of a frame. results : its topic, by default the camera's own.
    objects : whether the life of objects and their counts are published. crop : key of the best crop of an object that
    has gone, by its number: "" where there is none, None while it is under way.
    """

    leases = 0

    def __init__(
        self,
        publisher: Publisher,
        topics: CameraTopics,
        *,
        body: Body,
        results: str = "",
        every: float = 0.0,
        objects: bool = True,
        home_assistant: HomeAssistant | None = None,
        crop: Callable[[int], str | None] = lambda track: "",
    ) -> None:
        self._publisher, self._topics, self._body = publisher, topics, body
        self.name = publisher.name
        self._results = results or topics.results
        self._every = every
        self._due = 0.0
        self._state = ""
        self._frigate = FrigateBodies(topics.camera) if topics.frigate else None
        self._objects, self._crop = objects, crop
        self._counting = objects and publisher.keeps_state
        self._newest: Result | None = None
        self._ended: deque[tuple[float, LifeEvent, Result]] = deque()
        self._there: dict[int, str] = {}
        self._said: dict[str, int] = {}
        self._home = home_assistant
        self._labels: set[str] = set(home_assistant.labels) if home_assistant else set()
        self._announce()
        self._count({"all", *self._labels})

    def accept(self, frame: Frame, result: Result) -> None:
        """Publish the frame's message, unless one has just been, and what became of objects."""
        if self._state in ("", "connecting"):
            self.tell_state("up")  # who looks after the state now and then may not look before a short run's end
        now = time.monotonic()
        if now >= self._due:
            self._due = max(self._due, now - self._every) + self._every
            self._publisher.publish(to_json(self._body(result, self._topics.camera)), self._results)
        if self._objects:
            self._newest = result
            self._tell(result.life)
            self._tell_ends(now)

    def conclude(self, life: Sequence[LifeEvent]) -> None:
        """What became of the objects that were there to the last."""
        if self._objects:
            self._tell(life)

    def tell_state(self, state: str) -> None:
        """Say what the source is up to, where that is new; from any thread."""
        if self._publisher.keeps_state and state != self._state:
            self._state = state
            self._publisher.publish(state, self._topics.state, retain=True)

    def statistics(self) -> PublishStatistics:
        """Figures of the publisher."""
        return self._publisher.statistics()

    def forget(self) -> None:
        """Take the camera away from whoever was told of it to stay: Home Assistant's device, counts, state and picture.

        After `close`, so that nothing comes that would stay again.
        """
        topics = [self._topics.count(label) for label in self._said]
        if self._home is not None:
            topics.insert(0, discovery_topic(self._home.prefix, self._topics.camera))
        if self._publisher.keeps_state:
            topics += [self._topics.state, self._topics.picture]
        for topic in topics:
            self._publisher.publish(b"", topic, retain=True)
        self._publisher.forget()

    def close(self) -> None:
        """Nobody is there any more; the publisher is its opener's to close."""
        self._tell_ends()
        self._there.clear()
        self._count(())

    def _tell(self, life: Iterable[LifeEvent]) -> None:
        """Say what becomes of objects now; the end waits for the last crop."""
        for event in life:
            assert self._newest is not None
            if event.kind == "end":
                self._there.pop(event.track, None)
                self._ended.append((time.monotonic() + CROP_SECONDS, event, self._newest))
            else:
                self._there[event.track] = event.name
                self._say(event, self._newest)
        self._count(self._there.values())

    def _tell_ends(self, now: float | None = None) -> None:
        """Say which objects have gone, all whose best crop is known; without `now` all."""
        for _ in range(len(self._ended)):
            latest, event, result = self._ended.popleft()
            crop = self._crop(event.track)
            if crop is None and now is not None and now < latest:
                self._ended.append((latest, event, result))
            else:
                self._say(event, result, crop or "")

    def _say(self, event: LifeEvent, result: Result, crop: str = "") -> None:
        if self._frigate is not None:
            body = self._frigate.body(event, result, crop)
        else:
            body = object_body(event, result, self._topics.camera, crop)
        self._publisher.publish(to_json(body), self._topics.objects)

    def _count(self, labels: Iterable[str]) -> None:
        """Say how many there are of each class where that has changed. labels : those that may be new."""
        if not self._counting:
            return
        names = list(self._there.values())
        for label in sorted({*labels, *self._said}):
            count = len(names) if label == "all" else names.count(label)
            if self._said.get(label) != count:
                self._said[label] = count
                if label != "all" and label not in self._labels and len(self._labels) < MOST_CLASSES:
                    self._labels.add(label)
                    self._announce()
                self._publisher.publish(str(count), self._topics.count(label), retain=True)

    def _announce(self) -> None:
        home = self._home
        if home is not None:
            body = discovery_body(
                self._topics, self._labels, model=home.model, objects=self._counting, picture=home.picture
            )
            self._publisher.publish(to_json(body), discovery_topic(home.prefix, self._topics.camera), retain=True)
