"""The frames of a segment: decode as little as gives them, and exactly those that decoding everything would give.

Which frames are looked at is settled by the packets' time stamps before anything is decoded: with a rate, the first
frame of each slot of 1/rate seconds, counted from the begin of the video and not of the segment. Of the rest,
- what no frame refers to is left out by the decoder,
- behind the last wanted frame of a group of pictures nothing is decoded, and of a group without one nothing at all,
as long as no wanted frame at the begin of the next group refers back (open groups).
"""

from __future__ import annotations

import contextlib
import math
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise
from typing import IO, TYPE_CHECKING, Any, cast

from saccade.archive.boxes import Unproven
from saccade.archive.edits import change_nothing
from saccade.archive.excerpt import Excerpt, Film
from saccade.archive.fragments import Fragments
from saccade.archive.random_access import begins_whole, length_size
from saccade.capture.clock import Clock
from saccade.capture.source import SourceOptions
from saccade.capture.video import FileSource
from saccade.errors import SourceError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

GROUP_BYTES = 16 << 20
"""Most packets that are held at a time; of longer groups every frame that others refer to is decoded."""
_IN_ORDER_OF_DECODING = frozenset(("avi", "asf"))
"""Containers without times at which frames are shown. FFmpeg finds these out for codecs that have frame types at the
begin of their packets; H.264 and H.265 get those of the packets, whatever their order."""


class VideoFile(FileSource):
    """A video file, here or in S3, and of it a segment.

    target : what FFmpeg opens. name : for messages. start, stop : time stamps of the key frames that bound the segment,
    ticks; None: begin and end of the file. rate : frames a second to look at; None: all. keys : key frames only.
    position : see `manifest.Item`. listed : only its packets are wanted.

    Of a long MP4 no more is opened than a part that holds the segment, and for a list of its packets one part after the
    other: FFmpeg keeps an index of all frames that a file has, from its begin to its end.
    """

    _threads = "NONE"

    def __init__(
        self, target: str | IO[bytes], name: str, *, start: int | None = None, stop: int | None = None,
        position: int | None = None, rate: float | None = None, keys: bool = False, listed: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, SourceOptions())
        self._target = os.path.abspath(target) if isinstance(target, str) else target
        self._start, self._end, self._position = start, stop, position
        self._every = Fraction(rate).limit_denominator(1000) if rate else None
        self._keys = keys
        self._listed, self._whole = listed, False
        self._file: IO[bytes] | None = None
        self._sections: Iterator[tuple[Excerpt, list[int]]] = iter(())
        self._fragments: list[int] = []
        self._part: Excerpt | None = None
        self._from: Iterator[av.Packet[VideoStream]] | None = None
        self._clock = Clock(Fraction(1), 0, Fraction(1), None, True)
        self._stream: Any = None
        self._length: int | None = None
        self._stamps: deque[int | None] = deque()
        self._wanted: set[float] | None = None
        self._slot: int | None = None

    def open(self) -> None:
        """Open the file at the segment's first frame."""
        import av

        try:
            super().open()
        except SourceError:
            if self._part is None:
                raise
        else:
            if self._part is None or self._start is None:
                return
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._from = self._from_start()
        if self._from is None:
            self._whole = True  # where decoding may begin lies far before, or nobody knows
            super().open()

    def close(self) -> None:
        """Close the file; frames handed out keep their memory."""
        super().close()
        self._part, self._from, self._sections, self._fragments = None, None, iter(()), []
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> InputContainer:
        if self._part is None:
            with contextlib.suppress(Unproven):
                self._part = self._excerpt()
        return super()._opened()

    def _excerpt(self) -> Excerpt | None:
        bounds = self._start, self._end, self._position
        if self._whole or not (self._listed or any(bound is not None for bound in bounds)):
            return None
        if isinstance(self._target, str):
            self._file = open(self._target, "rb")  # noqa: SIM115 - it is closed with the container
        file = self._file or cast(IO[bytes], self._target)
        if not self._listed:
            if self._position is not None:
                return Fragments(file).segment(self._position, self._end)
            return Film(file).segment(self._start, self._end)
        try:
            self._sections = ((part, []) for part in Film(file).sections())
        except Unproven:
            self._sections = Fragments(file).sections()
        part, self._fragments = next(self._sections)
        return part

    def _input(self) -> str | IO[bytes]:
        target = self._target if self._part is None else cast(IO[bytes], self._part)
        if not isinstance(target, str):
            target.seek(0)  # also after somebody has begun to read
        return target

    def _format_options(self) -> dict[str, str]:
        # A playlist in a video's clothes must not reach for addresses.
        options = {"protocol_whitelist": "file"}
        return options | {"advanced_editlist": "0"} if self._part is None and self._is_whole() else options

    def _is_whole(self) -> bool:
        """Whether it is an MP4 that is shown from its first frame to its last."""
        if isinstance(self._target, str):
            with open(self._target, "rb") as file:
                return change_nothing(file)
        return change_nothing(self._target)

    def _begin(self, stream: Any) -> None:
        # A worker has a core: threads of the decoder would only hold more frames.
        stream.codec_context.thread_count = 1
        self._stream = stream
        context = stream.codec_context
        self._length = length_size(context.extradata) if context.name == "h264" else None
        super()._begin(stream)
        self._keys_only = self._keys and not self.orderly

    def _clock_of(self, stream: Any) -> Clock:
        clock = Clock.of(stream)
        if self._part is not None:
            clock.start = self._part.start
        self._clock = replace(clock)  # each goes on from the last time that it was asked for
        return clock

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        """The packets of the open file, not decoded. Raises Unproven where it has to be listed whole, late as it is."""
        assert self._container is not None
        count = yield from self._shifted(self._container, self._stream)
        for part, fragments in self._sections:
            if self._part is not None and count < self._part.count:
                return  # the file ends before it should
            self._part, self._fragments = part, fragments
            with self._opened() as container:
                count = yield from self._shifted(container, self._stream_of(container))

    def _shifted(self, container: InputContainer, stream: VideoStream) -> Generator[av.Packet[VideoStream], None, int]:
        """The packets of a container with the time stamps of the file; returns how many there were."""
        shift, count = self._part.shift if self._part else 0, 0
        for packet in container.demux(stream):
            if packet.pts is not None and packet.dts is not None and shift:
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            if packet.size:
                count += 1
                yield packet
        return count

    def fragment_of(self, position: int | None) -> int | None:
        """Where the fragment begins that the latest packet lies in; None where the file is not listed by fragments."""
        return self._fragments[max(0, bisect_right(self._fragments, position or 0) - 1)] if self._fragments else None

    def list_whole(self) -> None:
        """Open the file whole after all, at its begin: `packets` raised Unproven."""
        self._whole = True
        self.open()

    @property
    def clock(self) -> Clock:
        """Times of the open file."""
        return self._clock

    @property
    def orderly(self) -> bool:
        """Whether the packets of the open file say when frames are shown."""
        assert self._container is not None
        context = self._stream.codec_context
        return not self._clock.counted and not (
            self._container.format.name in _IN_ORDER_OF_DECODING
            and context.name in ("h264", "hevc")
            and context.has_b_frames
        )

    def begins_group(self, packet: av.Packet[VideoStream]) -> bool:
        """Whether decoding may begin at a packet."""
        return packet.is_keyframe and (self._length is None or begins_whole(bytes(packet), self._length))

    # What is decoded

    def _demux(self, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        assert self._container is not None
        if not self.orderly:
            # Nobody knows the time of a frame before it is decoded.
            for packet in self._container.demux(stream):
                if packet.size and not self._clock.counted:
                    self._stamps.append(packet.pts if packet.dts is None else packet.dts)
                yield packet
            return
        self._wanted = set()
        packets = self.packets() if self._start is None else self._from or self._from_start() or ()
        yield from self._chosen(stream, packets)

    def _when(self, clock: Clock, stamp: int | None) -> float:
        # Frames come out in the order in which they are shown, so that the first has the first time.
        return super()._when(clock, self._stamps.popleft() if self._stamps else stamp)

    def _from_start(self) -> Iterator[av.Packet[VideoStream]] | None:
        """The packets from the key frame on that begins the segment, wherever seeking leads to; None: without it."""
        container: InputContainer = self._container  # type: ignore[assignment]
        back = round(5 / self._clock.unit)
        later = self._part is not None and self._part.later
        start = self._start
        assert start is not None
        # Where a slot has begun before the segment, the frames before it tell whether it has had its frame.
        slot = self._slot_of(start)
        shared = slot is not None and slot == self._slot_of(start - 1)
        for target in (start - 1 if shared else start, start - back, start - 12 * back, self._clock.start - 12 * back):
            if not self._seek(container, target):
                continue
            before: int | None = None
            for packet in self.packets():
                stamp = packet.pts
                begins = stamp is not None and packet.is_keyframe and self.begins_group(packet)
                if stamp == start and begins:
                    if shared and before is None and (later or target > self._clock.start):
                        break
                    self._slot = self._slot_of(before)
                    return chain([packet], self.packets())
                if stamp is None or packet.is_discard:
                    continue
                if begins and stamp > start:
                    break
                if stamp < start and (begins or (before is not None and not self._keys)):
                    before = stamp if before is None else max(before, stamp)
        return None

    def _seek(self, container: InputContainer, target: int) -> bool:
        """To a key frame at or before the target, to the first one where there is none; whether that was possible."""
        import av

        target -= self._part.shift if self._part else 0
        for backward in (True, False):
            with contextlib.suppress(av.error.FFmpegError):
                container.seek(target, stream=self._stream, backward=backward, any_frame=False)
                return True
        return False

    def _chosen(self, stream: VideoStream, packets: Iterable[av.Packet[VideoStream]]) -> Iterator[Any]:
        import av

        context: Any = stream.codec_context
        compressed = context.name == "mjpeg"
        decoded = left_out = False
        for (group, wanted), (following, wanted_then) in pairwise(chain(self._groups(packets), [((), frozenset())])):
            cut = not following or self.begins_group(following[0])
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
        for number, group in enumerate(split(packets, self.begins_group)):
            key = group[0].pts if self.begins_group(group[0]) else None
            ended = self._end is not None and key is not None and key >= self._end
            # What an edit list leaves out is decoded, and not shown.
            shown = [p for p in group if not p.is_discard and (not self._keys or self.begins_group(p))]
            stamps = sorted(p.pts for p in shown if p.pts is not None)
            if number == 0 and self._start is not None:
                # Frames of an open group that are shown before its key frame belong to the segment before.
                before = [stamp for stamp in stamps if stamp < self._start]
                self._slot = self._slot_of(before[-1]) if before else self._slot
            own = [s for s in stamps if self._is_own(s)]
            if ended and not own:
                return
            yield group, frozenset(stamp for stamp in own if self._fresh(self._slot_of(stamp)))
            if ended:
                return

    def _is_own(self, stamp: int) -> bool:
        return (self._start is None or stamp >= self._start) and (self._end is None or stamp < self._end)


def split(
    packets: Iterable[av.Packet[VideoStream]], begins: Callable[[av.Packet[VideoStream]], bool]
) -> Iterator[list[av.Packet[VideoStream]]]:
    """Groups of pictures; groups of too many bytes are cut. begins : whether a packet is the first of one."""
    group: list[av.Packet[VideoStream]] = []
    size = 0
    for packet in packets:
        if group and (size > GROUP_BYTES or begins(packet)):
            yield group
            group, size = [], 0
        group.append(packet)
        size += packet.size
    if group:
        yield group
