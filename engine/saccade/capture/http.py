"""Network cameras over HTTP: MJPEG is read here, pictures one by one, and FFmpeg reads everything else.

What the server sends is found out from its first bytes, on the connection that stands: a camera that serves one
client only is asked once. Only playlists (HLS, DASH) are FFmpeg's own business.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, cast

import httpx

from saccade.address import without_credentials
from saccade.capture import formats, still
from saccade.capture.handover import Handover
from saccade.capture.http_client import WHOLE, CameraClient
from saccade.capture.pipe import SplitSource, kind_of
from saccade.capture.source import Picture, SourceOptions
from saccade.capture.video import OPEN_SECONDS, StreamSource
from saccade.errors import JpegError, SourceError

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

_MJPEG = ("video/x-motion-jpeg", "video/x-mjpeg", "video/mjpeg", "video/x-jpeg")
_PLAYLISTS = ("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl",
              "application/dash+xml")  # fmt: skip
_MOST_PICTURE_BYTES = 1 << 28
_SLOWEST = 1 << 16
"""Bytes a second at which a picture goes on coming though its time is over."""
_KNOWN_BYTES = 16


class HttpSource(SplitSource):
    """``http://`` and ``https://``; user name and password may stand in the URL (basic or digest)."""

    comes_later = True

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        super().__init__(without_credentials(url))
        self._url = url
        self._options = options or SourceOptions()
        self._client: CameraClient | None = None
        self._body: Body | None = None
        self._other: Handover | None = None
        self._snapshots: Iterator[Picture] | None = None

    def open(self) -> None:
        """Connect, and find out what the server sends."""
        self.close()
        self._begin()
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        if self.interrupted:
            self.close()

    def read(self) -> Picture | None:
        """The next picture."""
        if self._other is not None:
            return self._other.read()
        if self._snapshots is not None:
            return next(self._snapshots, None)
        body = self._body
        if body is None:
            return None
        body.begin()
        return self._next_picture(body.readinto, newest=not self.every_frame)

    def close(self) -> None:
        """Close the connection."""
        if self._other is not None:
            self._other.close()
        if self._client is not None:
            self._client.close()
        self._other = self._client = self._body = self._snapshots = None

    def interrupt(self) -> None:
        """End a read that waits for the server."""
        super().interrupt()
        other, client = self._other, self._client
        if other is not None:
            other.interrupt()
        if client is not None:
            client.interrupt()

    def _connect(self) -> None:
        client = self._client = CameraClient(self._url, self._options, patience=OPEN_SECONDS, stop=self._stop)
        response = client.get(stall=self.stall)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = self._body = Body(response, client, self)
        head = b"--" if kind.startswith("multipart/") or kind in _MJPEG else body.head()
        if head.startswith(b"--"):
            self.live = True
        elif kind in _PLAYLISTS or head.startswith(b"#EXTM3U"):
            self._hand_over(StreamSource(self._url, self._options))
        elif self._is_snapshot(kind, head, body):
            self.live, self.frame_rate = self._options.rate is not None, self._options.rate
            self._snapshots = self._all_snapshots(client, body)
        elif head.startswith(formats.JPEG):
            self.live = not body.finite and not kind.startswith("image/")
        elif kind.startswith("text/") and not kind_of(head):
            raise SourceError(f"{self.name}: answers with {kind}, expected is a picture or a video")
        else:
            file = _SeekableFile(body, client, self) if body.seekable else _File(body)
            self._hand_over(_FileSource(self._url, self._options, file))

    def _is_snapshot(self, kind: str, head: bytes, body: Body) -> bool:
        """True for one picture: what is called so, unless JPEG pictures might come without end."""
        if head.startswith(formats.JPEG):
            return kind.startswith("image/") and (body.finite or self._options.rate is not None)
        return kind.startswith("image/") or formats.format_of(head) is not None

    def _hand_over(self, other: StreamSource) -> None:
        """Let FFmpeg read the rest."""
        self._other = Handover(self, other)
        self._other.open()

    def _all_snapshots(self, client: CameraClient, body: Body) -> Iterator[Picture]:
        """One picture, or one after the other at the rate asked for."""
        due = time.monotonic()
        while True:
            data = body.rest(_MOST_PICTURE_BYTES)
            if self.interrupted:
                return
            try:
                yield self._snapshot(data)
            except JpegError as error:
                if not self.live:
                    raise SourceError(f"{self.name}: {error}") from error
                self.note_damage(error)
            if self._options.rate is None:
                return
            # A camera slower than the rate is asked again at once, and owes nothing.
            due = max(due + 1 / self._options.rate, time.monotonic())
            if self._stop.wait(due - time.monotonic()):
                return
            body = Body(client.get(stall=self.stall), client, self)

    def _snapshot(self, data: bytes) -> Picture:
        picture = Picture(time=time.time(), captured=time.monotonic(), size=len(data))
        if data.startswith(formats.JPEG[:2]):
            picture.jpeg = data
        else:
            picture.planes = (still.decode(data, max_pixels=self.max_pixels),)
            picture.seconds = time.monotonic() - picture.captured
        return picture


class Body:
    """The body of an answer: bytes as they come. finite : the server said how long it is."""

    def __init__(self, response: httpx.Response, client: CameraClient, source: HttpSource) -> None:
        self._response = response
        self._client = client
        self._source = source
        self._chunks = response.iter_raw()
        self._waiting = b""
        self.length = int(response.headers.get("content-length") or 0)
        self.finite = self.length > 0
        self.seekable = self.finite and response.headers.get("accept-ranges", "").lower() == "bytes"
        self.begin()

    def head(self) -> bytes:
        """The first bytes, enough to know what they are; they stay."""
        while len(self._waiting) < _KNOWN_BYTES and (chunk := self._next()):
            self._waiting += chunk
        return self._waiting[: formats.HEAD_BYTES]

    def begin(self) -> None:
        """What comes now is to be a picture within `WHOLE` times the patience with a silent camera."""
        seconds = WHOLE * self._source.stall
        self._client.limit(
            seconds, f"no whole picture in {seconds:g} s, and less than {_SLOWEST} bytes a second", _SLOWEST
        )

    def readinto(self, memory: memoryview) -> int:
        """Read what is there; 0 at the end, -1 when interrupted."""
        data = self._waiting or self._next()
        if self._source.interrupted:
            return -1
        count = min(len(data), len(memory))
        memory[:count] = data[:count]
        self._waiting = data[count:]
        return count

    def read(self, count: int) -> bytes:
        """At most `count` bytes; none at the end."""
        data = self._waiting or self._next()
        self._waiting = data[count:]
        return data[:count]

    def rest(self, most: int) -> bytes:
        """All of it, one picture. Raises `SourceError` for more than `most` bytes."""
        self.begin()
        parts, total = [], 0
        while data := self.read(most):
            parts.append(data)
            total += len(data)
            if total > most:
                raise SourceError(f"{self._source.name}: a picture of more than {most} bytes")
        return b"".join(parts)

    def close(self) -> None:
        """Read no further."""
        self._response.close()

    def _next(self) -> bytes:
        source = self._source
        try:
            return next(self._chunks, b"")
        except httpx.TimeoutException:
            raise SourceError(f"{source.name}: silent for {source.stall:.0f} s") from None
        except httpx.RemoteProtocolError:
            # The connection broke in mid-answer: to a stream an end like any other.
            return b""
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            if source.interrupted:
                return b""
            raise SourceError(f"{source.name}: {getattr(error, 'strerror', None) or error}") from None


class _File:
    """A body as a file for FFmpeg; it has no `seek`."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._position = 0

    def read(self, count: int) -> bytes:
        """At most `count` bytes from where the file stands."""
        data = self._body.read(count)
        self._position += len(data)
        return data

    def begin(self) -> None:
        """A picture begins."""
        self._body.begin()

    def tell(self) -> int:
        """Where it stands."""
        return self._position


class _SeekableFile(_File):
    """A body of known length as a file: reading on from elsewhere is another request on the same client."""

    def __init__(self, body: Body, client: CameraClient, source: HttpSource) -> None:
        super().__init__(body)
        self._size = body.length
        self._client = client
        self._source = source

    def read(self, count: int) -> bytes:
        """At most `count` bytes from where the file stands."""
        return super().read(count) if self._position < self._size else b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another position."""
        position = offset + (0, self._position, self._size)[whence]
        if position != self._position and position < self._size:
            self._body.close()
            response = self._client.get(stall=self._source.stall, headers={"Range": f"bytes={position}-"})
            if response.status_code != 206:
                raise SourceError(f"{self._source.name}: answers no range of bytes, although it says that it does")
            self._body = Body(response, self._client, self._source)
        self._position = position
        return position


class _FileSource(StreamSource):
    """What FFmpeg reads over a connection of ours."""

    def __init__(self, url: str, options: SourceOptions, file: _File) -> None:
        super().__init__(url, options)
        self._timeout = None
        self._file = file

    def _input(self) -> IO[bytes]:
        return cast("IO[bytes]", self._file)

    def _demux(self, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        self._file.begin()
        for packet in super()._demux(stream):
            yield packet
            self._file.begin()
