"""Containers and network streams through FFmpeg (PyAV).

MJPEG packets go out as they are. Everything else is decoded by FFmpeg, and its planes go out as views, so that no
pixel is copied or converted before the preprocess kernel reads it.
"""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from saccade.address import ADVICE, looks_unencoded, without_credentials
from saccade.capture import orientation
from saccade.capture.clock import Clock
from saccade.capture.gating import DecodeGate, GatedDecoder
from saccade.capture.planes import planes_of
from saccade.capture.source import Picture, Source, SourceOptions, at_rate
from saccade.capture.still import check_size
from saccade.errors import JpegError, SourceError

if TYPE_CHECKING:
    import av
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_log = logging.getLogger(__name__)

_GROUPED = ("h264", "hevc")
"""Codecs whose packets say that they change little by being small."""
OPEN_SECONDS = 10.0
"""How long a network stream may take to open."""
MOST_BEHIND = 60.0
"""Groups of pictures are no longer than this, s."""
SLICE_SECONDS = 0.5
"""RTSP reads return after so long without a byte, to look whether they should go on."""


class ContainerSource(Source):
    """What files and streams share: demux, decode, hand out."""

    _timeout: tuple[float, float] | None = None
    _threads = "AUTO"

    def __init__(self, name: str, url: str, options: SourceOptions) -> None:
        super().__init__(name)
        self._url = url
        self._options = options
        self._keys_only = False
        self._container: InputContainer | None = None
        self._pictures: Iterator[Picture] = iter(())

    def _format_options(self) -> dict[str, str]:
        return {}

    def _input(self) -> str | IO[bytes]:
        """What FFmpeg opens: a path, an address, or something to read from."""
        return self._url

    def open(self) -> None:
        """Open the container and choose its largest video stream."""
        import av

        self.close()
        start = time.monotonic()
        try:
            container = self._opened()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            seconds = time.monotonic() - start
            # FFmpeg has several names for what a timeout did to it.
            late = self._timeout is not None and seconds >= self._timeout[0]
            reason = f"no answer in {seconds:.0f} s" if late else _reason(error)
            if not late and isinstance(error, av.error.InvalidDataError):
                reason = "neither a picture nor a video of a kind that is known here, or its head is damaged"
            # FFmpeg's error names the address, credentials and all.
            raise SourceError(f"{self.name}: {reason}{self._advice()}") from None
        if self.interrupted:
            container.close()
            return
        self._container = container
        # What lasts a known time is a file, wherever it lies: it ends, and is not opened again.
        self.live = self.live and container.duration is None
        try:
            self._begin(self._stream_of(container))
        except SourceError:
            self.close()
            raise

    def _stream_of(self, container: InputContainer) -> VideoStream:
        """The stream of the largest picture, as FFmpeg's own choice is; the default one among equals, no cover."""
        if not container.streams.video:
            raise SourceError(f"{self.name}: holds no video; expected MJPEG, H.264, H.265 or another FFmpeg format")
        usable = [stream for stream in container.streams.video if stream.codec_context is not None]
        if not usable:
            raise SourceError(f"{self.name}: holds video in a form that FFmpeg cannot decode")
        return max(usable, key=lambda s: (not _is(s, "attached_pic"), s.width * s.height, _is(s, "default")))

    def _begin(self, stream: Any) -> None:
        """Set the decoder up and start to hand out."""
        context = stream.codec_context
        try:
            check_size("video", stream.width, stream.height, self.max_pixels)
        except JpegError as error:
            raise SourceError(f"{self.name}: {error}") from error
        # Streams change their size: what grows above the limit is refused by the decoder.
        context.options = {**context.options, "max_pixels": str(self.max_pixels)}
        clock = self._clock_of(stream)
        self.frame_rate = clock.rate
        self._skip(context, clock)
        gate = self._gate_of(context, clock)
        # Threads that each decode a frame give it when the next ones have come.
        stream.thread_type = "SLICE" if gate else self._threads
        if context.name == "mjpeg":
            self._pictures = self._packets(stream, clock)
        else:
            self._pictures = self._frames(stream, clock, gate)

    def _clock_of(self, stream: Any) -> Clock:
        """What gives times to the pictures of a stream."""
        return Clock.of(stream)

    def _gate_of(self, context: Any, clock: Clock) -> DecodeGate | None:
        """Who says what is decoded; nobody where pictures must be counted to know their time."""
        uncounted = self.live or not clock.counted
        return self.gate if uncounted and self._options.decode == "all" and context.name in _GROUPED else None

    def _skip(self, context: Any, clock: Clock) -> None:
        """Tell the decoder which frames to leave out."""
        wish = self._options.decode
        if wish == "all":
            return
        if clock.counted and not self.live:
            # A frame that is not decoded is not counted, and of those behind it nobody would know the time.
            _log.info("%s: has no time stamps, so that all frames are decoded to count the time by", self.name)
            self._keys_only = wish == "key"
        else:
            context.skip_frame = "NONKEY" if wish == "key" else "NONREF"

    def _opened(self) -> InputContainer:
        import av

        options = {
            # Finding out about its streams, FFmpeg decodes: the limit holds from the start.
            "options": self._format_options() | {"max_pixels": str(self.max_pixels)},
            "timeout": self._timeout,
            "hwaccel": hardware(self._options.hwaccel),
        }
        try:
            return av.open(self._input(), **options)  # type: ignore[call-overload,no-any-return]
        except UnicodeDecodeError:
            # A title that is not UTF-8. PyAV from 19 on does not mind, and does not know the option.
            return av.open(self._input(), metadata_errors="replace", **options)  # type: ignore[call-overload,no-any-return]

    def read(self) -> Picture | None:
        """The next picture, compressed (MJPEG) or as planes."""
        import av

        try:
            return next(self._pictures, None)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"{self.name}: {_reason(error)}") from error

    def close(self) -> None:
        """Close the container; frames handed out keep their memory."""
        self._pictures = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def _demux(self, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        assert self._container is not None
        for packet in self._container.demux(stream):
            if self.interrupted:
                return
            yield packet

    def _when(self, clock: Clock, stamp: int | None) -> float:
        """The time of a picture with this time stamp."""
        return time.time()

    def _behind(self, packet: Any, frame: av.VideoFrame) -> float:
        """By how much a picture came before the packet that had it decoded, s, where that is its only time."""
        return 0.0

    def _packets(self, stream: VideoStream, clock: Clock) -> Iterator[Picture]:
        turn: int | None = None
        for packet in self._demux(stream):
            if packet.size:
                captured = time.monotonic()
                if turn is None:
                    turn = self._lies(packet)
                stamp = packet.pts if packet.pts is not None else packet.dts
                # The view keeps the packet alive, and the packet its bytes.
                view = memoryview(packet)
                when = self._when(clock, stamp)
                if not self._wants(when):
                    continue
                yield Picture(time=when, captured=captured, size=packet.size, jpeg=view, orientation=turn)

    def _lies(self, packet: av.Packet[VideoStream]) -> int:
        """Orientation that the container gives MJPEG; 0 where it gives none. Only a decoder is told of it."""
        import av

        if self.live:
            return 0
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            return 0
        return _orientation(frames[0], 0) if frames else 0

    def _note_still(self, count: int) -> None:
        self.still += count

    def _decoded(self, packet: Any, clock: Clock, gated: GatedDecoder | None) -> Iterator[av.VideoFrame]:
        """Frames that a packet makes it time to show; what is damaged is noted."""
        import av

        try:
            if gated is None:
                yield from packet.decode()
            else:
                yield from gated.decode(packet, self._when(clock, packet.dts if packet.dts is not None else packet.pts))
        except av.error.InvalidDataError as error:
            self.note_damage(_reason(error))
        except av.error.ArgumentError as error:
            self.note_damage(f"{_reason(error)}; pictures may have {self.max_pixels} pixels")

    def _decoder_of(self, stream: VideoStream, extradata: bytes | None, reorder: int) -> VideoCodecContext | None:
        """Another decoder of the stream; see `MakeDecoder`. Those of graphics cards are set up with their container."""
        import av

        if self._options.hwaccel != "none":
            return None
        first = stream.codec_context
        context: Any = av.CodecContext.create(first.codec, "r")
        context.extradata = first.extradata if extradata is None else extradata
        context.options = {**first.options, "has_b_frames": str(reorder)}
        context.thread_type, context.thread_count = first.thread_type, first.thread_count
        return context  # type: ignore[no-any-return]

    def _frames(self, stream: VideoStream, clock: Clock, gate: DecodeGate | None) -> Iterator[Picture]:
        size = 0
        gated = None
        if gate is not None:
            make, when = partial(self._decoder_of, stream), partial(self._when, clock)
            gated = GatedDecoder(stream.codec_context, gate, self._note_still, when, make=make, every=self.every_frame)
        self.gated = gated is not None
        for packet in self._demux(stream):
            captured = start = time.monotonic()
            size += packet.size
            for frame in self._decoded(packet, clock, gated):
                behind = self._behind(packet, frame)
                when_shown = self._when(clock, frame.pts) - behind
                if frame.is_corrupt:
                    self.note_damage("a picture of the video is damaged")
                    continue
                if (self._keys_only and not frame.key_frame) or not self._wants(when_shown):
                    continue
                yield _picture(frame, when=when_shown, captured=captured - behind, size=size, start=start)
                size, start = 0, time.monotonic()
                del frame  # decoded pictures are 3 MB: none is kept until the next one has come

    def _wants(self, when: float) -> bool:
        """Whether a picture of this time goes out; what does not is never converted."""
        return True

    def _advice(self) -> str:
        return f"; {ADVICE}" if "://" in self._url and looks_unencoded(self._url) else ""


def hardware(wish: str) -> HWAccel | None:
    """FFmpeg's hardware decoder, or None for software. Raises `SourceError` where VA-API is asked for and missing."""
    if wish == "none":
        return None
    from av.codec.hwaccel import HWAccel, hwdevices_available

    nodes = sorted(glob.glob("/dev/dri/renderD*"))
    if "vaapi" in hwdevices_available() and nodes:
        return HWAccel("vaapi", device=nodes[0], allow_software_fallback=wish == "auto")
    reason = "no /dev/dri/renderD*" if not nodes else "PyAV was built without it; build it with the system's FFmpeg"
    if wish == "vaapi":
        raise SourceError(f"hwaccel vaapi is not there: {reason}; give auto or none")
    _log.info("decoding in software: no VA-API (%s)", reason)
    return None


def _picture(frame: av.VideoFrame, *, when: float, captured: float, size: int, start: float) -> Picture:
    decoded = planes_of(frame)
    return Picture(
        time=when,
        captured=captured,
        size=size,
        planes=decoded.planes,
        pixels=decoded.pixels,
        full_range=decoded.colour.full_range,
        matrix=decoded.colour.matrix,
        decode=decoded.decode,
        seconds=time.monotonic() - start,
        orientation=_orientation(frame, 1),
    )


def _orientation(frame: av.VideoFrame, otherwise: int) -> int:
    """Orientation in the frame's display matrix; `otherwise` where it has none."""
    from av.sidedata.sidedata import SideDataContainer

    # `frame.side_data` is kept by the frame and keeps the frame: its memory would wait for the garbage collector.
    sides: Iterator[Any] = iter(SideDataContainer(frame))  # type: ignore[call-arg]
    for side in sides:
        if side.type.name == "DISPLAYMATRIX":
            return orientation.of_matrix(bytes(side))
    return otherwise


def _is(stream: Any, what: str) -> bool:
    """Whether a stream has a disposition of FFmpeg's."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition[what])


class FileSource(ContainerSource):
    """A video file; in real time it plays at its frame rate, and leaves out what is late."""

    def __init__(self, path: str, options: SourceOptions | None = None) -> None:
        super().__init__(path, path, options or SourceOptions())

    def open(self) -> None:
        """Open the file at its start."""
        super().open()
        if self._options.realtime:
            self._pictures = at_rate(self._pictures, self._stop, 1.0 / (self.frame_rate or 30.0))

    def _when(self, clock: Clock, stamp: int | None) -> float:
        return clock.at(stamp)


class StreamSource(ContainerSource):
    """A network stream (RTSP and other protocols of FFmpeg)."""

    live = True
    comes_later = True
    every_frame = False
    # One frame of delay for each thread is too much for a camera.
    _threads = "SLICE"

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        super().__init__(without_credentials(url), url, options or SourceOptions())
        self._rtsp = url.lower().startswith("rtsp")
        self._heard = 0.0
        self._timeout = (OPEN_SECONDS, SLICE_SECONDS if self._rtsp else OPEN_SECONDS)

    def _behind(self, packet: Any, frame: av.VideoFrame) -> float:
        """Pictures have the time at which they came, and a gate may have them decoded later than that."""
        if not self.gated or packet.pts is None or frame.pts is None:
            return 0.0
        seconds = float((packet.pts - frame.pts) * packet.time_base)
        # A clock that was set says nothing.
        return seconds if 0 < seconds < MOST_BEHIND else 0.0

    def _format_options(self) -> dict[str, str]:
        options = {"flags": "low_delay"}
        if self._rtsp:
            options["rtsp_flags"] = "prefer_tcp"
        if self._options.ca is not None:
            # Without a file FFmpeg has no authorities to go by, and takes any certificate.
            options |= {"ca_file": str(self._options.ca), "tls_verify": "1"}
        return options

    def _demux(self, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        import av

        self._heard = time.monotonic()
        while not self.interrupted:
            try:
                for packet in super()._demux(stream):
                    yield packet
                    if self._options.decode == "key" or self.gate is not None:
                        # Key frames may be minutes apart.
                        self._heard = time.monotonic()
                    self._check_patience("no picture")
            except av.error.ExitError:
                # RTSP takes up again where a slice ended; other protocols keep the error.
                self._check_patience("silent", self.stall if self._rtsp else 0.0)
            else:
                if self.live and not self.interrupted:
                    raise SourceError(f"{self.name}: the stream ended")
                return

    def read(self) -> Picture | None:
        """The next picture, compressed (MJPEG) or as planes."""
        picture = super().read()
        # A stream counts by its pictures: packets of which none becomes one do not keep it alive.
        self._heard = time.monotonic()
        return picture

    def _check_patience(self, what: str, stall: float | None = None) -> None:
        silence = time.monotonic() - self._heard
        if silence > (self.stall if stall is None else stall):
            raise SourceError(f"{self.name}: {what} for {silence:.0f} s")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
