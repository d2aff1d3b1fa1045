"""The frames of a segment: decode as little as gives them, and exactly those that decoding everything would give.

Which frames are looked at is settled by the packets' time stamps before anything is decoded: with a rate, the first
frame of each slot of 1/rate seconds, counted from the begin of the video and not of the segment. Of the rest,
- what no frame refers to is left out by the decoder,
- behind the last wanted frame of a group of pictures nothing is decoded, and of a group without one nothing at all,
as long as no wanted frame at the begin of the next group refers back (open groups).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, pairwise
from typing import IO, TYPE_CHECKING, Any

from saccade.archive.edits import change_nothing
from saccade.capture.clock import FALLBACK_RATE, Clock
from saccade.capture.source import Picture, SourceOptions
from saccade.capture.video import FileSource

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

GROUP_BYTES = 16 << 20
"""Most packets that are held at a time; of longer groups every frame that others refer to is decoded."""


class VideoFile(FileSource):
    """A video file, here or in S3, and of it a segment.

    target : what FFmpeg opens. name : for messages. start, stop : time stamps of the key frames that bound the segment,
    ticks; None: begin and end of the file. rate : frames a second to look at; None: all. keys : key frames only.
    """

    _threads = "NONE"

    def __init__(
        self, target: str | IO[bytes], name: str, *, start: int | None = None, stop: int | None = None,
        rate: float | None = None, keys: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, SourceOptions())
        self._target = os.path.abspath(target) if isinstance(target, str) else target
        self._start, self._end = start, stop
        self._every = Fraction(rate).limit_denominator(1000) if rate else None
        self._keys = keys
        self._clock = Clock(Fraction(1), 0, Fraction(1), None, True)
        self._stream: Any = None
        self._wanted: set[float] | None = None
        self._slot: int | None = None

    def _input(self) -> str | IO[bytes]:
        return self._target

    def _format_options(self) -> dict[str, str]:
        # A playlist in a video's clothes must not reach for addresses.
        options = {"protocol_whitelist": "file"}
        return options | {"advanced_editlist": "0"} if self._is_whole() else options

    def _is_whole(self) -> bool:
        """Whether it is an MP4 that is shown from its first frame to its last."""
        if isinstance(self._target, str):
            with open(self._target, "rb") as file:
                return change_nothing(file)
        whole = change_nothing(self._target)
        self._target.seek(0)
        return whole

    def _begin(self, stream: Any) -> None:
        # A worker has a core: threads of the decoder would only hold more frames.
        stream.codec_context.thread_count = 1
        self._stream, self._clock = stream, Clock.of(stream)
        super()._begin(stream)

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        """The packets of the open file, not decoded."""
        assert self._container is not None
        yield from (packet for packet in self._container.demux(self._stream) if packet.size)

    @property
    def clock(self) -> Clock:
        """Times of the open file."""
        return self._clock

    # What is decoded

    def _demux(self, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        assert self._container is not None
        if self._clock.counted:
            # Nobody knows the time of a frame before it is decoded.
            yield from self._container.demux(stream)
            return
        self._wanted = set()
        packets = self.packets() if self._start is None else self._from_start(stream)
        yield from self._chosen(stream, packets)

    def _from_start(self, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        """The packets from the key frame on that begins the segment, wherever seeking leads to."""
        container: InputContainer = self._container  # type: ignore[assignment]
        back = round(5 / stream.time_base) if stream.time_base else 0
        assert self._start is not None
        for target in (self._start, self._start - back, self._start - 12 * back, self._clock.start - 12 * back):
            container.seek(target, stream=stream, backward=True, any_frame=False)
            for packet in self.packets():
                if packet.pts == self._start and packet.is_keyframe:
                    return chain([packet], self.packets())
                if packet.is_keyframe and packet.pts is not None and packet.pts > self._start:
                    break
        return iter(())

    def _chosen(self, stream: VideoStream, packets: Iterable[av.Packet[VideoStream]]) -> Iterator[Any]:
        import av

        context: Any = stream.codec_context
        compressed = context.name == "mjpeg"
        decoded = left_out = False
        for (group, wanted), (following, wanted_then) in pairwise(chain(self._groups(packets), [((), frozenset())])):
            cut = not following or following[0].is_keyframe
            first = (following[0].pts or 0) if following else 0
            if cut and not any(stamp < first for stamp in wanted_then):
                last = max((i for i, packet in enumerate(group) if packet.pts in wanted), default=-1)
            else:
                last = len(group) - 1
            self._note(wanted)
            for packet in group[: last + 1]:
                if compressed:
                    if packet.pts in wanted:
                        yield packet
                    continue
                if left_out and decoded:
                    end: Any = av.Packet()
                    end.stream = stream
                    yield end  # what the decoder still holds
                    context.flush_buffers()
                context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
                decoded, left_out = True, False
                yield packet
            left_out = left_out or last + 1 < len(group)
        if not compressed:
            end = av.Packet()
            end.stream = stream
            yield end

    def _note(self, wanted: frozenset[int]) -> None:
        assert self._wanted is not None
        self._wanted.update(self._clock.at(stamp) for stamp in wanted)

    def _wants(self, when: float) -> bool:
        if self._wanted is not None:
            if when not in self._wanted:
                return False
            self._wanted.discard(when)
            return True
        return self._fresh(math.floor(Fraction(when) * self._every + Fraction(1, 1000)) if self._every else None)

    def _fresh(self, slot: int | None) -> bool:
        """Whether this is the first frame of its slot; without slots each is."""
        if slot is not None and slot == self._slot:
            return False
        self._slot = slot
        return True

    def _slot_of(self, stamp: int | None) -> int | None:
        if stamp is None or self._every is None:
            return None
        # A container's ticks may be too coarse for the true time: a thousandth of a slot is forgiven.
        return math.floor((stamp - self._clock.start) * self._clock.unit * self._every + Fraction(1, 1000))

    def _groups(
        self, packets: Iterable[av.Packet[VideoStream]]
    ) -> Iterator[tuple[list[av.Packet[VideoStream]], frozenset[int]]]:
        """Groups of pictures, each with the time stamps of the frames in it that are looked at."""
        if self._start is not None:
            # The frame before the segment was the last of another.
            step = round(self._clock.step) if self._clock.step else round(1 / FALLBACK_RATE / self._clock.unit)
            self._slot = self._slot_of(self._start - step) if self._start > self._clock.start else None
        for group in split(packets):
            key = group[0].pts if group[0].is_keyframe else None
            ended = self._end is not None and key is not None and key >= self._end
            stamps = sorted(p.pts for p in group if p.pts is not None and (p.is_keyframe or not self._keys))
            own = [s for s in stamps if (self._start is None or s >= self._start) and (not self._end or s < self._end)]
            if ended and not own:
                return
            yield group, frozenset(stamp for stamp in own if self._fresh(self._slot_of(stamp)))
            if ended:
                return

    def read(self) -> Picture | None:
        """The next frame that is looked at."""
        return super().read()


def split(packets: Iterable[av.Packet[VideoStream]]) -> Iterator[list[av.Packet[VideoStream]]]:
    """Groups of pictures, from a key frame to the next; groups of too many bytes are cut."""
    group: list[av.Packet[VideoStream]] = []
    size = 0
    for packet in packets:
        if group and (packet.is_keyframe or size > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(packet)
        size += packet.size
    if group:
        yield group
