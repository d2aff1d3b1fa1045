"""A part of a fragmented MP4 as a file of its own (ISO/IEC 14496-12, 8.8).

To open one, FFmpeg reads the heads of all fragments, which is a walk through the whole file, and keeps an index of all
that it finds. Each fragment says when it begins: the excerpt is the film with some fragments, which lie where they
always lay. A `free` box covers those before, and the file ends where those behind begin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import IO, NamedTuple, cast

from saccade.archive.boxes import Box, Unproven, boxes, check, children, head_of, number, only, read, scale_of
from saccade.archive.edits import NOT_SHOWN, kind_of_track
from saccade.archive.excerpt import MARGIN_SAMPLES, Excerpt, free

MOST_FRAGMENTS = 1 << 24
_BESIDE = frozenset((b"mdat", b"free", b"skip", b"styp", b"emsg", b"prft", b"mfra", b"uuid"))
"""What lies between fragments and says nothing about them. An index of segments (`sidx`) does."""


WORTH_BYTES = 16 << 20
"""Of smaller files the heads of all fragments are soon read."""
SECTION_BYTES = 64 << 20
"""Of a section, at least."""
_FIRST = 8
"""Fragments that tell when the film begins."""
_MARGIN_SECONDS = 2
"""By how much the time from decoding a frame to showing it may differ from that of the first one."""


class Fragment(NamedTuple):
    """at : where it begins in the file. time : when its first frame is decoded, ticks; None: there is none."""

    at: int
    time: int | None
    frames: int


class Fragments:
    """A film in fragments, of which parts may be taken for the whole. Raises Unproven where that is not certain.

    file : seekable.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        check(self._size >= WORTH_BYTES)
        head = head_of(file)
        self._begin = head.end
        parts = children(file, head)
        check(b"mvex" in parts)
        tracks = [children(file, track) for track in parts.get(b"trak", ())]
        shown = [track for track in tracks if kind_of_track(file, track) not in NOT_SHOWN]
        check(len(shown) == 1 and kind_of_track(file, shown[0]) == b"vide")
        for track in tracks:
            info = children(file, only(children(file, only(track, b"mdia")), b"minf"))
            tables = children(file, only(info, b"stbl"))
            check(number(read(file, only(tables, b"stsz").begin + 8, 4)) == 0)
        known = read(file, only(shown[0], b"tkhd").begin, 24)
        self._track = known[20:24] if known[0] == 1 else known[12:16]
        self._scale = scale_of(file, only(children(file, only(shown[0], b"mdia")), b"mdhd"))
        self._decoded, self._start = self._first()

    def _first(self) -> tuple[int, int]:
        """When the first frame is decoded, and shown as FFmpeg has it, ticks."""
        import av

        found = list(islice((one for one in self.fragments() if one.time is not None), _FIRST + 1))
        check(found)
        begin = Excerpt(self._file, 0, b"", found[-1].at if len(found) > 1 else self._size)
        try:
            with av.open(cast(IO[bytes], begin), "r", options={"protocol_whitelist": "file"}) as container:
                start = container.streams.video[0].start_time
        except (av.error.FFmpegError, ValueError):
            raise Unproven from None
        check(start is not None)
        return found[0].time or 0, start or 0

    def segment(self, begin: int, stop: int | None) -> Excerpt:
        """From a fragment on all that tells what is seen before a time stamp; None: the end of the film."""
        check(self._begin <= begin < self._size)
        until = None if stop is None else stop + self._decoded - self._start + _MARGIN_SECONDS * self._scale
        behind = 0
        for found in self.fragments(begin):
            if behind >= MARGIN_SAMPLES:
                return self._excerpt(begin, found.at)
            if until is not None and found.time is not None and found.time >= until:
                behind += found.frames
        return self._excerpt(begin, self._size)

    def sections(self) -> Iterator[tuple[Excerpt, list[int]]]:
        """Excerpts that follow each other, of all fragments, and where these begin; raises Unproven on the way."""
        begins: list[int] = []
        for found in self.fragments():
            if begins and found.at - begins[0] >= SECTION_BYTES:
                yield self._excerpt(begins[0], found.at), begins
                begins = []
            begins.append(found.at)
        if begins:
            yield self._excerpt(begins[0], self._size), begins

    def _excerpt(self, begin: int, end: int) -> Excerpt:
        excerpt = Excerpt(self._file, self._begin, free(begin - self._begin), end)
        excerpt.start, excerpt.later = self._start, begin > self._begin
        return excerpt

    def fragments(self, begin: int | None = None) -> Iterator[Fragment]:
        """From one on to the end, where one may be cut short. Raises Unproven."""
        latest: int | None = None
        for name, box in self._boxes(self._begin if begin is None else begin):
            if name == b"moof":
                time, count = self._what(box)
                check(time is None or latest is None or time >= latest)
                latest = latest if time is None else time
                yield Fragment(box.at, time, count)
            else:
                check(name in _BESIDE)

    def _boxes(self, at: int) -> Iterator[tuple[bytes, Box]]:
        found = boxes(self._file, at, self._size, MOST_FRAGMENTS)
        while True:
            try:
                name, box = next(found)
            except StopIteration:
                return
            except Unproven:
                left = self._size - at
                check(left < 8 or number(read(self._file, at, 4)) > left)
                if left < 8 or read(self._file, at + 4, 4) == b"moof":
                    self._size = at  # with half a head FFmpeg would take nothing of what is before, either
                return
            yield name, box
            at = box.end

    def _what(self, box: Box) -> tuple[int | None, int]:
        found: tuple[int | None, int] = None, 0
        for track in children(self._file, box).get(b"traf", ()):
            parts = children(self._file, track)
            if read(self._file, only(parts, b"tfhd").begin + 4, 4) != self._track:
                continue
            check(found[0] is None)
            head = read(self._file, only(parts, b"tfdt").begin, 8)
            time = number(read(self._file, only(parts, b"tfdt").begin + 4, 8 if head[0] == 1 else 4))
            found = time, sum(number(read(self._file, run.begin + 4, 4)) for run in parts.get(b"trun", ()))
        return found
