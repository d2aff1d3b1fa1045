"""What a file is, and how a video is cut: heads of pictures and packets of videos are read, nothing is decoded.

A local file is read once from begin to end, for the hash that says which content it is; S3 says so by an ETag, and only
videos are read there.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any, cast

from saccade.archive.boxes import Unproven
from saccade.archive.find import LINKED, Found
from saccade.archive.frames import VideoFile
from saccade.archive.manifest import Item
from saccade.archive.places import S3File, head_of, is_s3
from saccade.archive.trouble import Unavailable
from saccade.capture import formats
from saccade.capture.pictures import PICTURE_SUFFIXES
from saccade.errors import SourceError

HEAD_BYTES = 4096
_VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".m2ts", ".mts", ".mpg", ".mpeg", ".flv", ".wmv", ".asf", ".ogv",
     ".3gp", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg", ".gif", ".dav")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not part of the archive. reason : in words. alarming : it should have been."""

    path: str
    reason: str
    alarming: bool


class Stopped(Exception):
    """Nobody waits for the answer any more."""


def _go_on() -> None:
    """Nobody is in a hurry."""


def survey(found: Found, seconds: float, check: Callable[[], None] = _go_on) -> list[Item] | LeftOut:
    """The items of a file.

    seconds : least length of a segment. check : called now and then while a file is read; what it raises ends that.
    """
    if found.trouble:
        return LeftOut(found.path, found.trouble, found.trouble != LINKED)
    if not found.size:
        return LeftOut(found.path, "is empty", False)
    try:
        if is_s3(found.path):
            kind, version = _kind_by_name(found.path), found.version
            kind = kind or kind_of(head_of(found.path, HEAD_BYTES), found.path)
        else:
            kind, version = _read_through(found.path, check)
    except Unavailable as error:
        return LeftOut(found.path, str(error).removeprefix(f"{found.path}: "), True)
    except OSError as error:
        return LeftOut(found.path, error.strerror or str(error), True)
    if not kind:
        return LeftOut(found.path, "is neither picture nor video", False)
    item = Item(path=found.path, kind=kind, version=version, size=found.size, modified=found.modified)
    if kind == "picture":
        return [item]
    try:
        return segments(item, seconds, check)
    except Unavailable as error:
        return LeftOut(found.path, str(error).removeprefix(f"{found.path}: "), True)


def needs_look(found: Found) -> bool:
    """Whether anything has to be read to survey a file."""
    return not is_s3(found.path) or _kind_by_name(found.path) != "picture"


def kind_of(head: bytes, path: str) -> str:
    """picture, video or "" by the first bytes of a file. path : tells a row of JPEG pictures from a single one."""
    known = formats.format_of(head)
    if known is not None:
        return "video" if known.name == "GIF" else "picture"
    if head.startswith(formats.JPEG):
        return "video" if path.lower().endswith((".mjpeg", ".mjpg")) else "picture"
    signatures = (b"\x1aE\xdf\xa3", b"FLV", b"\x00\x00\x01\xba", b"0&\xb2u\x8ef\xcf\x11", b"OggS", b"\x00\x00\x00\x01")
    boxes = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
    packets = head[:1] == b"G" and head[188:189] == b"G" and head[376:377] in (b"G", b"")
    if head.startswith(signatures) or head[4:8] in boxes or (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or packets:
        return "video"
    return ""


def _kind_by_name(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix in PICTURE_SUFFIXES and suffix != ".gif":
        return "picture"
    if suffix == ".ts":  # also a programming language
        return ""
    if suffix in _VIDEO_SUFFIXES or (mimetypes.guess_type(f"x{suffix}")[0] or "").startswith("video/"):
        return "video"
    return ""


def _read_through(path: str, check: Callable[[], None]) -> tuple[str, str]:
    """Kind of a local file and what its content is."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
        kind = kind_of(head, path) or _kind_by_name(path)
        return kind, version_of(head, file, check) if kind else ""


def version_of(head: bytes, rest: IO[bytes] | None = None, check: Callable[[], None] = _go_on) -> str:
    """What a content is, as text. rest : where it goes on behind `head`. check : as in `survey`."""
    found = hashlib.blake2b(head, digest_size=16)
    while rest is not None and (block := rest.read(1 << 20)):
        found.update(block)
        check()
    return f"blake2b:{found.hexdigest()}"


def opened(item: Item, **options: Any) -> tuple[VideoFile, S3File | None]:
    """A video of the archive, still closed, and what reads it from S3."""
    if not is_s3(item.path):
        return VideoFile(item.path, item.path, **options), None
    file = S3File(item.path, item.version, item.size)
    return VideoFile(cast(IO[bytes], file), item.path, **options), file


def segments(item: Item, seconds: float, check: Callable[[], None]) -> list[Item]:
    """The segments of a video; one of unknown length where it cannot be opened, so that a row tells why."""
    video, remote = opened(item, listed=True)
    try:
        video.open()
        try:
            return _cut(item, video, seconds, check)
        except Unproven:
            video.list_whole()
            return _cut(item, video, seconds, check)
    except SourceError:
        return [item]
    except Exception as error:
        if not _is_of_ffmpeg(error):
            raise
        return [item]
    finally:
        video.close()
        if remote is not None and remote.trouble is not None:
            raise remote.trouble


def _is_of_ffmpeg(error: BaseException) -> bool:
    import av

    return isinstance(error, (av.error.FFmpegError, OSError, ValueError))


def _cut(item: Item, video: VideoFile, seconds: float, check: Callable[[], None]) -> list[Item]:
    """Segments from a key frame to the first that is `seconds` later, or more.

    A video is one segment where its packets do not say when frames are shown, or where its time goes back, as in
    recordings that were joined byte by byte: there a key frame's time bounds nothing.
    """
    clock = video.clock
    before = position = video.fragment_of(None)
    found: list[Item] = []
    orderly = video.orderly
    count = frames = 0
    begin: int | None = None
    latest: int | None = None
    at = clock.start
    keys: tuple[int | None, int | None] = (None, None)
    for packet in video.packets():
        check()
        if packet.is_discard:
            continue
        count += 1
        stamp = packet.pts
        if stamp is None or not orderly:
            orderly = False
            continue
        if packet.is_keyframe and video.begins_group(packet):
            orderly = latest is None or stamp > latest
            keys = keys[1], stamp
            if frames and (stamp - at) * clock.unit >= seconds:
                length = float((stamp - at) * clock.unit)
                found.append(
                    replace(
                        item, segment=len(found), start=begin, stop=stamp, position=position, frames=frames,
                        seconds=length,
                    )
                )  # fmt: skip
                # The segment is read from the key frame before it on: see `VideoFile`.
                frames, begin, at, position = 0, stamp, stamp, before
            before = video.fragment_of(packet.pos)
        elif keys[0] is not None and stamp < keys[0]:
            orderly = False
        frames += 1
        latest = stamp if latest is None else max(latest, stamp)
    if not orderly:
        return [replace(item, seconds=float(count * clock.step * clock.unit), frames=count)]
    length = float(((at if latest is None else latest) - at + clock.step) * clock.unit)
    last = replace(item, segment=len(found), start=begin, position=position, frames=frames, seconds=length)
    return [*found, last]
