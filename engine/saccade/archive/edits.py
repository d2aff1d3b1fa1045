"""Whether the edit lists of an MP4 change anything, read from its own boxes (ISO/IEC 14496-12).

To obey an edit list, FFmpeg makes a second index of all samples beside the first, 24 bytes a sample, also for the list
that nearly every writer puts in: one edit that shows the whole track from its first frame on. It can be told to only
shift the times instead (`advanced_editlist`), which gives the same packets for such lists, and others for any other.
So that is done on proof alone: what is not understood to the end counts as changing something.
"""

from __future__ import annotations

from typing import IO

from saccade.archive.boxes import Box, Boxes, Unproven, check, children, head_of, number, only, read, scale_of
from saccade.archive.samples import Samples

WORTH_BYTES = 1 << 20
"""Of smaller heads (`moov`), as an hour of video has, the index is a few MB at most: they are not looked into."""
NOT_SHOWN = frozenset((b"soun", b"hint", b"text", b"sbtl", b"subt", b"subp", b"clcp", b"tmcd", b"meta", b"camm"))
_FRAGMENTED = frozenset((b"mvex", b"cmov"))


def change_nothing(file: IO[bytes], worth: int | None = None) -> bool:
    """Whether the frames of a file, and their times, are the same without its edit lists, times shifted.

    file : seekable, at any position. worth : least size of a head to look into, bytes; None: `WORTH_BYTES`.
    False also for other formats, and for what is damaged or fragmented.
    """
    try:
        head = head_worth(file, worth)
        for track in shown_tracks(file, head):
            parts = children(file, track)
            if b"edts" in parts:
                track_of(file, parts, scale_of(file, only(children(file, head), b"mvhd")))
        return True
    except Unproven:
        return False


def head_worth(file: IO[bytes], worth: int | None = None) -> Box:
    """The `moov` where it is large. worth : see `change_nothing`. Raises Unproven."""
    head = head_of(file)
    check(head.end - head.begin >= (WORTH_BYTES if worth is None else worth))
    return head


def shown_tracks(file: IO[bytes], head: Box) -> list[Box]:
    """The tracks of a `moov` that may show pictures; raises Unproven where there are none, or in fragments."""
    parts = children(file, head)
    check(_FRAGMENTED.isdisjoint(parts) and b"trak" in parts)
    return [track for track in parts[b"trak"] if kind_of_track(file, children(file, track)) not in NOT_SHOWN]


def kind_of_track(file: IO[bytes], parts: Boxes) -> bytes:
    """`vide` or another. parts : boxes of the track."""
    return read(file, only(children(file, only(parts, b"mdia")), b"hdlr").begin, 12)[8:]


def track_of(file: IO[bytes], parts: Boxes, scale: int) -> tuple[Samples, int]:
    """The samples of a track, walked through, and the time in it that is 0 where its edits are obeyed, ticks.

    parts : boxes of the track. scale : ticks a second of the film. Raises Unproven where edits change more than that.
    """
    media = children(file, only(parts, b"mdia"))
    samples = Samples(file, children(file, only(children(file, only(media, b"minf")), b"stbl")))
    if b"edts" not in parts:
        for _ in samples.walk():
            pass
        return samples, 0
    edits = children(file, only(parts, b"edts"))
    check(edits.keys() == {b"elst"})
    begin, length = _edit(file, only(edits, b"elst"))
    # As FFmpeg rounds: to the nearest, halves up.
    _check_shown(samples, begin, begin + (2 * length * scale_of(file, only(media, b"mdhd")) + scale) // (2 * scale))
    return samples, begin


def _edit(file: IO[bytes], box: Box) -> tuple[int, int]:
    """Begin, in ticks of the track, and length, in those of the film, of the only edit."""
    data = read(file, box.begin, min(box.end - box.begin, 28))
    long = data[:1] == b"\1"
    check(len(data) == (28 if long else 20) and box.end - box.begin == len(data) and data[0] <= 1)
    width = 8 if long else 4
    count, length, begin, rate = data[4:8], data[8 : 8 + width], data[8 + width : -4], data[-4:]
    check(number(count) == 1 and rate == b"\0\1\0\0" and begin[0] < 0x80)
    check(0 < number(length) < 1 << 48 and number(begin) < 1 << 48)
    return number(begin), number(length)


def _check_shown(samples: Samples, begin: int, end: int) -> None:
    """Every sample is shown within the edit, the first one at its begin, and none before the last ends it.

    FFmpeg leaves an edit at the first key frame that lasts beyond its end, or at the second where frames are not shown
    in the order they are stored in.
    """
    beyond = 0
    for part in samples.walk():
        ahead = 0 if part.first else 1
        check(ahead == 0 or part.shown[0] == begin)
        check((part.shown[ahead:] > begin).all() and (part.shown < end).all())
        last = part.first + len(part.shown) == samples.count
        lasting = (part.shown + part.durations >= end) & part.keys
        beyond += int(lasting[: len(lasting) - last].sum())
    check(beyond <= samples.reordered)
