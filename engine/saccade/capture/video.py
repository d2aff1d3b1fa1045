"""Containers and network streams through FFmpeg (PyAV).

MJPEG packets go out as they are. Everything else is decoded by FFmpeg, and its planes go out as views, so that no
pixel is copied or converted before the preprocess kernel reads it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from saccade.capture.planes import planes_of
from saccade.capture.source import Pace, Picture, Source
from saccade.errors import SourceError
from saccade.frame import Image

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

OPEN_SECONDS = 10.0
"""How long a network stream may take to open."""
SLICE_SECONDS = 0.5
"""RTSP reads return after so long without a byte, to look whether they should go on."""


class _ContainerSource(Source):
    """What files and streams share: demux, decode, hand out."""

    _timeout: tuple[float, float] | None = None
    _threads = "AUTO"

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name)
        self._url = url
        self._container: InputContainer | None = None
        self._pictures: Iterator[Picture] = iter(())

    def _options(self) -> dict[str, str]:
        return {}

    def open(self) -> None:
        """Open the container and choose its first video stream."""
        import av

        self.close()
        start = time.monotonic()
        try:
            container = self._container_of(self._url)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            seconds = time.monotonic() - start
            # FFmpeg has several names for what a timeout did to it.
            late = self._timeout is not None and seconds >= self._timeout[0]
            reason = f"no answer in {seconds:.0f} s" if late else _reason(error)
            raise SourceError(f"{self.name}: {reason}") from error
        if self.interrupted:
            container.close()
            return
        self._container = container
        # What lasts a known time is a file, wherever it lies: it ends, and is not opened again.
        self.live = self.live and container.duration is None
        if not container.streams.video:
            self.close()
            raise SourceError(f"{self.name}: holds no video; expected MJPEG, H.264, H.265 or another FFmpeg format")
        stream: Any = container.streams.video[0]
        if stream.codec_context is None:
            self.close()
            raise SourceError(f"{self.name}: holds video in a form that FFmpeg cannot decode")
        rate = stream.average_rate or stream.guessed_rate
        self.frame_rate = float(rate) if rate else None
        stream.thread_type = self._threads
        if stream.codec_context.name == "mjpeg":
            self._pictures = self._packets(stream)
        else:
            self._pictures = self._frames(stream)

    def _container_of(self, url: str) -> InputContainer:
        import av

        options = self._options()
        try:
            return av.open(url, timeout=self._timeout, options=options)
        except UnicodeDecodeError:
            # A title that is not UTF-8. PyAV from 19 on does not mind, and does not know the option.
            return av.open(url, timeout=self._timeout, options=options, metadata_errors="replace")

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

    def _when(self, stamp: int | None, stream: VideoStream) -> float:
        """The time of a picture with this time stamp."""
        return time.time()

    def _packets(self, stream: VideoStream) -> Iterator[Picture]:
        for packet in self._demux(stream):
            if packet.size:
                captured = time.monotonic()
                stamp = packet.pts if packet.pts is not None else packet.dts
                # The view keeps the packet alive, and the packet its bytes.
                view = memoryview(packet)
                yield Picture(time=self._when(stamp, stream), captured=captured, size=packet.size, jpeg=view)

    def _frames(self, stream: VideoStream) -> Iterator[Picture]:
        import av

        size = 0
        for packet in self._demux(stream):
            captured = start = time.monotonic()
            size += packet.size
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self.damaged += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.damaged += 1
                    continue
                when = self._when(frame.pts, stream)
                yield self._picture(frame, when=when, captured=captured, size=size, start=start)
                size, start = 0, time.monotonic()

    def _picture(self, frame: av.VideoFrame, *, when: float, captured: float, size: int, start: float) -> Picture:
        views = planes_of(frame) if not frame.rotation % 360 else ((_upright(frame),), "bgr", True)
        if views is None:
            frame = frame.reformat(format="yuv420p")
            views = planes_of(frame)
            assert views is not None
        planes, pixels, full_range = views
        return Picture(
            time=when,
            captured=captured,
            size=size,
            planes=planes,
            pixels=pixels,
            full_range=full_range,
            decode=None if pixels == "bgr" else _Converter(frame),
            seconds=time.monotonic() - start,
        )


def _upright(frame: av.VideoFrame) -> Image:
    """A telephone's video that was filmed on its side, turned as players show it; this copies."""
    turned: Image = np.rot90(frame.to_ndarray(format="bgr24"), round(frame.rotation / 90))
    return np.ascontiguousarray(turned)


class _Converter:
    """Makes BGR pictures of a decoded frame, full size or scaled down."""

    __slots__ = ("_frame",)

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame

    def __call__(self, min_height: int, min_width: int) -> Image:
        frame = self._frame
        width, height = frame.width, frame.height
        if 0 < min_height < height and 0 < min_width < width:
            share = max(min_height / height, min_width / width)
            width, height = max(min_width, round(width * share)), max(min_height, round(height * share))
        picture: Any = frame.to_ndarray(format="bgr24", width=width, height=height)
        return picture  # type: ignore[no-any-return]


class FileSource(_ContainerSource):
    """A video file. paced : play at the file's frame rate, and leave out what is late."""

    def __init__(self, path: str, *, paced: bool = False) -> None:
        super().__init__(path, path)
        self._paced = paced

    def open(self) -> None:
        """Open the file at its start."""
        super().open()
        if self._paced:
            self._pictures = self._at_rate(self._pictures)

    def _when(self, stamp: int | None, stream: VideoStream) -> float:
        if stamp is None or stream.time_base is None:
            return 0.0
        return float((stamp - (stream.start_time or 0)) * stream.time_base)

    def _at_rate(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        pace, skipped = Pace(self._stop), 0
        interval = 1.0 / (self.frame_rate or 30.0)
        for picture in pictures:
            late = pace.wait(picture.time)
            if self.interrupted:
                return
            if picture.jpeg is not None and late > interval:
                skipped += 1
                continue
            if late > interval:
                # Decoded pictures cost what they cost; a machine too slow for the file plays it slower.
                pace.shift(late)
            picture.skipped, skipped = skipped, 0
            picture.captured = time.monotonic()
            yield picture


class StreamSource(_ContainerSource):
    """A network stream (RTSP and other protocols of FFmpeg)."""

    live = True
    every_frame = False
    # One frame of delay for each thread is too much for a camera.
    _threads = "SLICE"

    def __init__(self, url: str) -> None:
        super().__init__(without_credentials(url), url)
        self._rtsp = url.lower().startswith("rtsp")
        self._timeout = (OPEN_SECONDS, SLICE_SECONDS if self._rtsp else OPEN_SECONDS)

    def _options(self) -> dict[str, str]:
        options = {"flags": "low_delay"}
        if self._rtsp:
            options["rtsp_flags"] = "prefer_tcp"
        return options

    def _demux(self, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        import av

        heard = time.monotonic()
        while not self.interrupted:
            try:
                for packet in super()._demux(stream):
                    yield packet
                    heard = time.monotonic()
            except av.error.ExitError as error:
                # RTSP takes up again where a slice ended; other protocols keep the error.
                if not self._rtsp or time.monotonic() - heard > self.stall:
                    seconds = time.monotonic() - heard
                    raise SourceError(f"{self.name}: silent for {seconds:.0f} s") from error
            else:
                if self.live and not self.interrupted:
                    raise SourceError(f"{self.name}: the stream ended")
                return


def without_credentials(url: str) -> str:
    """The URL without user name, password and query: fit for logs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
