"""`open_source`: which source an address means."""

from __future__ import annotations

import glob
import mimetypes
import os
import re
import stat
from pathlib import Path

from saccade.address import host_problem, without_credentials
from saccade.capture.jpeg import MAX_PIXELS
from saccade.capture.source import DecodedFrames, HardwareDecoding, Source, SourceOptions
from saccade.errors import SourceError

MJPEG_SUFFIXES = (".mjpeg", ".mjpg")
_SIZE_WISH = re.compile(r"@\d+x\d+(@\d+)?$")
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/stdin")
_MULTIPART = re.compile(rb"(?is)(?:\r?\n)?--.{1,512}content-type:\s*image/jpe?g")


def open_source(
    text: str | int | Path,
    *,
    realtime: bool | None = None,
    rate: float | None = None,
    insecure: bool = False,
    ca: str | Path | None = None,
    hwaccel: HardwareDecoding = "none",
    decode: DecodedFrames = "all",
    max_pixels: int = MAX_PIXELS,
    wait: bool = False,
) -> Source:
    """The source for what a user typed; nothing is opened before `Capture` starts it.

    Parameters
    ----------
    text : a camera (``0``, ``/dev/video0``, ``/dev/v4l/by-id/...@2688x1520@15``), a video file, a folder or glob of
        pictures, ``rtsp://...``, ``http://...``, an MJPEG pipe (path of a FIFO, or ``-`` for standard input),
        ``demo:`` or ``demo:4mp``.
    realtime : True: files play at their frame rate, and pictures nobody was ready for are dropped. False: every
        picture counts, live or not (``demo:`` then runs as fast as it is read). None: live sources are real time,
        files are not.
    rate : Hz
        How often a camera that answers HTTP with one picture is asked for the next; None: one picture.
    insecure : bool
        Take any TLS certificate.
    ca : path
        File (PEM) with the certificate of a camera, or of who signed it.
    hwaccel : decode H.264 and H.265 in hardware: ``vaapi`` (refused where it is missing), ``auto`` (where it is
        there), ``none``.
    decode : of H.264 and H.265, decode ``all`` frames, those that others refer to (``nonref`` leaves out the rest),
        or ``key`` frames only.
    max_pixels : px
        Pictures and videos of more are refused before they are decoded.
    wait : bool
        A path where nothing is yet may become a FIFO, unless it is named as a picture or video; see also `Capture`.

    Raises
    ------
    SourceError : there is no such file, or nothing that saccade can read.
    ConfigError : an option is out of range.
    """
    options = SourceOptions(
        realtime=realtime, rate=rate, insecure=insecure, ca=ca, hwaccel=hwaccel, decode=decode, max_pixels=max_pixels
    )
    source = _later(str(text), options) if wait and _is_missing(str(text)) else _find(str(text), options)
    source.max_pixels = max_pixels
    if realtime is not None:
        source.every_frame = not realtime
    return source


def _later(text: str, options: SourceOptions) -> Source:
    from saccade.capture.later import LaterSource

    return LaterSource(text, lambda: _find(text, options))


def _is_missing(text: str) -> bool:
    """True for a path where nothing is yet, and whose name is not that of a picture or video file."""
    if text == "-" or ":" in text or is_camera(text) or glob.has_magic(text):
        return False
    path = _without_tilde(text)
    kind = "" if path.suffix.lower() in MJPEG_SUFFIXES else mimetypes.guess_type(path.name)[0] or ""
    return not kind.startswith(("image/", "video/")) and not os.path.lexists(path)


def _find(text: str, options: SourceOptions) -> Source:
    scheme = text.partition(":")[0].lower() if ":" in text else ""
    if scheme == "demo":
        from saccade.capture.demo import DemoSource

        return DemoSource(text, paced=options.realtime is not False)
    if "://" in text and (problem := host_problem(text)):
        raise SourceError(f"{without_credentials(text)}: {problem}")
    if scheme in ("http", "https"):
        from saccade.capture.http import HttpSource

        return HttpSource(text, options)
    if scheme in ("rtsp", "rtsps", "rtmp", "udp", "tcp", "srt"):
        from saccade.capture.video import StreamSource

        return StreamSource(text, options)
    if text == "-":
        from saccade.capture.pipe import PipeSource

        return PipeSource(text, fd=0)
    if is_camera(text):
        from saccade.capture.camera import CameraSource

        return CameraSource(text)
    return _find_path(text, options)


def is_camera(text: str) -> bool:
    """True for a camera's number or device, with a size behind it or without."""
    if text.partition("@")[0].isdecimal() or text.startswith(("/dev/video", "/dev/v4l/")):
        return True
    try:
        return stat.S_ISCHR(os.stat(_SIZE_WISH.sub("", text)).st_mode)
    except (OSError, ValueError):
        return False


def _find_path(text: str, options: SourceOptions) -> Source:
    from saccade.capture.pictures import PictureSource, pictures_in

    paced = options.realtime is True
    path = _without_tilde(text)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(text) else []
        if matches:
            return PictureSource(text, [Path(match) for match in matches], paced=paced)
        reason = getattr(error, "strerror", None) or str(error)
        name = without_credentials(text)
        raise SourceError(
            f"source {name!r}: {reason}; give a camera, a file, a folder of pictures, a URL or demo:"
        ) from error
    if stat.S_ISDIR(mode):
        return PictureSource(text, pictures_in(path), paced=paced)
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        from saccade.capture.pipe import PipeSource

        # A pipe that a shell made for this process ends with its writer; a FIFO with a name waits for the next.
        given = _DESCRIPTOR.fullmatch(str(path))
        return PipeSource(str(path), fd=None if given is None else int(given[1] or 0))
    return _file_source(path, options)


def _without_tilde(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        # Nobody's home, as in a container whose user has no entry: then it is a name like any other.
        return Path(text)


def _file_source(path: Path, options: SourceOptions) -> Source:
    """A regular file, by what it holds rather than by its name."""
    from saccade.capture import formats
    from saccade.capture.pictures import PICTURE_SUFFIXES, PictureSource
    from saccade.capture.pipe import MjpegFileSource, kind_of
    from saccade.capture.video import FileSource

    paced = options.realtime is True
    try:
        with path.open("rb") as file:
            head = file.read(formats.HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    suffix, known = path.suffix.lower(), formats.format_of(head)
    if known is not None:
        # GIF is a video, if only of one frame.
        return FileSource(str(path), options) if known.name == "GIF" else PictureSource(str(path), [path], paced=paced)
    if not kind_of(head):
        if suffix in PICTURE_SUFFIXES:
            return PictureSource(str(path), [path], paced=paced)
        if head.startswith(formats.JPEG[:2]) or suffix in MJPEG_SUFFIXES or _MULTIPART.match(head):
            return MjpegFileSource(str(path), paced=paced)
    return FileSource(str(path), options)
