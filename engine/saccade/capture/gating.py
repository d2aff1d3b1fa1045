"""Decoding only what may show something new: a gate says what that is.

Pictures that decode on their own (JPEG) are left out one by one. Those of H.264 and H.265 need the ones before: while
the scene is still only key frames are decoded, and the packets since then are kept, until the gate wants to see one of
them or the next key frame makes them useless. A key frame that shows what the sizes of the packets before it did not
tell has those decoded too, before it: of a file, whose every picture counts, all that show something are handed out, of
a live camera one a second, so that no second in which something moved goes unseen, late as it is.

A decoder keeps as much memory as it has ever needed, for pictures that others refer to: 3 MB each at 1080p. While the
scene is still there are none, and another takes its place that has had none but key frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from saccade.capture import jpeg
from saccade.capture.orientation import upright
from saccade.capture.planes import planes_of
from saccade.errors import JpegError
from saccade.frame import Frame, Image

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MOST_BYTES = 4 << 20
"""So much of a group is kept; what is larger is decoded as it comes."""
PAST_SECONDS = 1.0
"""Of a group that a live camera's key frame has decoded afterwards pictures are shown so far apart, s."""
LOOK_SECONDS = 0.1
"""So often decoded pictures of a video are looked at, s; half as often while something moves."""
SHRINK = 8
"""Gates see an eighth of the picture's size: the mean of each block of a JPEG."""


class DecodeGate(Protocol):
    """Who decides; from any thread. Times are those of the pictures, s."""

    @property
    def moving(self) -> bool:
        """Whether the scene moved when it was looked at last."""

    def worth_decoding(self, size: int, time: float, *, place: int = 0, later: bool = False) -> bool:
        """Whether a compressed picture of so many bytes may show something new; place : pictures since the key frame
        that it needs. later : it can still be decoded when the next key frame shows something new.
        """

    def worth_a_look(self, luma: Image, time: float) -> bool:
        """Whether a decoded picture does; luma : uint8 (h, w), `luma_of` or `luma_of_jpeg` of it."""

    def differs(self, luma: Image) -> bool:
        """Whether a decoded picture shows another scene than is remembered; nothing is learned of it."""


def luma_of(frame: Frame) -> Image:
    """Brightness of a frame, uint8, at an eighth of its size."""
    return _shrunk(frame.planes[0], frame.width, frame.height)


def _shrunk(plane: Image, width: int, height: int) -> Image:
    """Brightness of a plane of a picture of this size, px."""
    import cv2

    size = -(-width // SHRINK), -(-height // SHRINK)
    small: Any = plane
    # Halves are what OpenCV has fast code for: three of them take a fifth of the time of one eighth.
    while small.shape[0] >= 2 * size[1] and small.shape[1] >= 2 * size[0]:
        half = -(-small.shape[1] // 2), -(-small.shape[0] // 2)
        small = cv2.resize(small, half, interpolation=cv2.INTER_AREA)
    if small.shape[1::-1] != size:
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) if small.ndim == 3 else small  # type: ignore[no-any-return]


def luma_of_jpeg(data: jpeg.Compressed, turn: int, *, max_pixels: int) -> Image | None:
    """Brightness of a JPEG picture at an eighth of its size, upright; None where it cannot be decoded so.

    turn : how it lies, as EXIF counts; 0: as its own EXIF says.
    """
    try:
        luma = jpeg.decode_luma(data, max_pixels=max_pixels)
    except JpegError:
        return None
    return upright(luma, turn or jpeg.orientation(data))


class MakeDecoder(Protocol):
    """Makes a decoder of a stream, which has decoded nothing yet; None where there is only the one that is in use.

    extradata : the stream's headers, where they came with a packet; None: those it began with. reorder : pictures that
    come out later than in the order of decoding, at least.
    """

    def __call__(self, extradata: bytes | None, reorder: int) -> VideoCodecContext | None:
        """A new one."""


class GatedDecoder:
    """Decodes the packets of a video that a gate wants to see, in order.

    Parameters
    ----------
    context : decodes, unless `make` gives another.
    still : told how many pictures were left out, or were decoded only for the ones behind them.
    when : the time of a picture with this time stamp, s.
    every : each picture counts, not only the newest.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        gate: DecodeGate,
        still: Callable[[int], None],
        when: Callable[[int | None], float],
        *,
        make: MakeDecoder = lambda extradata, reorder: None,
        every: bool = False,
    ) -> None:
        # The one that belongs to a container would last as long as that.
        self._make = make
        self._extradata: bytes | None = None
        self._context = self._another(context)
        # Whether the decoder has had more than key frames, and whether those were seen to need what came before them,
        # or to give no picture without.
        self._used = self._chained = self._none_alone = False
        self._gate = gate
        self._still = still
        self._when = when
        self._every = every
        # The group of pictures: the decoder has had so many of its packets, and of so many the pictures are known.
        self._group: list[av.Packet[VideoStream]] = []
        self._position = self._known = 0
        self._whole = False
        self._bytes = self._place = 0
        self._newest: int | None = None
        self._looked = -math.inf

    def decode(self, packet: av.Packet[VideoStream], time: float) -> Iterator[VideoFrame]:
        """What is to be shown after this packet, or is damaged. Raises what PyAV raises for damage.

        Of a group that is not decoded at the end of the stream nothing is shown.
        """
        if packet.has_sidedata("new_extradata"):
            self._extradata = bytes(packet.get_sidedata("new_extradata"))
        if not packet.size:
            self._still(len(self._group) - self._known)
            self._forget()
            yield from self._shown(self._context.decode(None))
        elif self._none_alone:
            # As where pictures are refreshed column by column: each packet is decoded, and only what is done with the
            # pictures is the gate's to say.
            yield from self._shown(self._context.decode(packet))
        elif packet.is_keyframe:
            yield from self._begin(packet)
        else:
            self._append(packet)
            self._place += 1
            later = self._every and self._whole
            if self._gate.worth_decoding(packet.size, time, place=self._place, later=later):
                yield from self._catch_up()
            elif self._bytes > MOST_BYTES:
                yield from self._catch_up()
                self._forget()

    def _begin(self, key: av.Packet[VideoStream]) -> Iterator[VideoFrame]:
        """A new group: its key frame at once."""
        if key.pts is not None and self._newest is not None and key.pts < self._newest:
            self._newest = None  # stamps have begun anew
        left = len(self._group) - self._known
        # A decoder that waits for B-frames is emptied, and begins with the key frame anew to go on.
        waits = self._context.has_b_frames if self._context.is_open else self._reordered
        if not waits and self._is_still():
            self._empty()
        if not left and (self._gate.moving or not waits):
            self._start(key)
            yield from self._catch_up()
            return
        frames = self._at_once(key, waits=waits)
        if left and self._whole and frames and self._gate.differs(_luma_of(frames[-1])):
            self._context.flush_buffers()
            self._position = left = 0
            yield from self._catch_up() if self._every else self._look_back()
            frames = self._at_once(key, waits=waits)
        self._still(left)
        self._start(key)
        self._position, self._known = 0 if waits else 1, 1
        yield from self._shown(frames)

    def _is_still(self) -> bool:
        """Whether key frames are all that is decoded, each on its own."""
        return not (self._chained or self._gate.moving)

    def _empty(self) -> None:
        """Have the decoder keep no picture; while the scene is still, nor the memory of those that others needed."""
        self._context.flush_buffers()
        if self._used and self._is_still():
            self._context, self._used = self._another(self._context), False

    def _another(self, context: VideoCodecContext) -> VideoCodecContext:
        """A new decoder in place of this one, or this one."""
        # PyAV before 18 says only that there is some, and one that waits for too few would lose pictures.
        reorder = getattr(context, "reorder_depth", None if context.has_b_frames else 0)
        self._reordered = reorder != 0  # a decoder that has had no packet does not say so yet
        return context if reorder is None else self._make(self._extradata, reorder) or context

    def _at_once(self, key: av.Packet[VideoStream], *, waits: bool) -> list[VideoFrame]:
        frames = self._context.decode(key)
        if waits:
            frames += self._context.decode(None)
            self._empty()
        # A decoder may learn only from this packet that it has to wait for others.
        self._none_alone |= not frames and (waits or not self._context.has_b_frames)
        self._chained |= not frames or frames[-1].is_corrupt
        return frames

    def _start(self, key: av.Packet[VideoStream]) -> None:
        self._forget()
        self._whole, self._place = True, 0
        self._append(key)

    def _append(self, packet: av.Packet[VideoStream]) -> None:
        self._group.append(packet)
        self._bytes += packet.size

    def _forget(self) -> None:
        """Keep nothing of the group."""
        self._group.clear()
        self._position = self._known = self._bytes = 0
        self._whole = False

    def _catch_up(self) -> Iterator[VideoFrame]:
        """Decode all of the group that the decoder has not had. Damage leaves what is behind it for the next time."""
        newest: list[VideoFrame] = []
        while self._position < len(self._group):
            packet = self._group[self._position]
            self._position += 1
            self._known = max(self._known, self._position)
            # One picture at a time: those of a group are more than 100 MB.
            frames = self._fresh(self._later(packet))
            if self._every:
                yield from self._shown_of(frames)
            elif frames:
                self._still(len(newest) + len(frames) - 1)
                newest = frames[-1:]
        if not self._every:
            self._forget()
            yield from self._shown_of(newest)

    def _later(self, packet: av.Packet[VideoStream]) -> list[VideoFrame]:
        self._used |= not packet.is_keyframe
        return self._context.decode(packet)

    def _look_back(self) -> Iterator[VideoFrame]:
        """Decode the group, and show what it was that nobody has seen: a picture a second of those in which it moved.

        They are told apart by their stamps, as all come at once. The last is next to the key frame.
        """
        shown = -math.inf
        for packet in self._group:
            for frame in self._fresh(self._later(packet)):
                for seen in self._shown_of([frame]):
                    stamp = math.inf if frame.time is None else frame.time
                    if frame.is_corrupt or stamp - shown >= PAST_SECONDS:
                        shown = stamp
                        yield seen
                    else:
                        self._still(1)

    def _shown(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Of the frames that come out of the decoder at once, those to be shown."""
        fresh = self._fresh(frames)
        if not self._every and fresh:
            self._still(len(fresh) - 1)
            fresh = fresh[-1:]
        yield from self._shown_of(fresh)

    def _fresh(self, frames: list[VideoFrame]) -> list[VideoFrame]:
        """Those that did not come out before."""
        fresh = [frame for frame in frames if self._newest is None or frame.pts is None or frame.pts > self._newest]
        stamps = [frame.pts for frame in fresh if frame.pts is not None]
        self._newest = max(stamps) if stamps else self._newest
        return fresh

    def _shown_of(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Those that show something new, and damaged ones."""
        for frame in frames:
            time = self._when(frame.pts)
            if frame.is_corrupt or self._shows(frame, time):
                yield frame
            else:
                self._still(1)

    def _shows(self, frame: VideoFrame, time: float) -> bool:
        moving = self._gate.moving
        patience = 2 * LOOK_SECONDS if moving else LOOK_SECONDS
        # By a key frame it is decided whether the pictures behind it are decoded.
        if 0 <= time - self._looked < patience and not frame.key_frame:
            return moving
        self._looked = time
        return self._gate.worth_a_look(_luma_of(frame), time)


def _luma_of(frame: VideoFrame) -> Image:
    return _shrunk(planes_of(frame).planes[0], frame.width, frame.height)
