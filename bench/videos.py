"""Videos made of others."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import av


def looped(path: Path, times: int, out: Path | None = None) -> Path:
    """A video's packets so many times one after the other, as one file; out : by default beside it."""
    out = out or path.with_name(f"{path.stem}-x{times}{path.suffix}")
    with av.open(str(path)) as source, av.open(str(out), "w") as sink:
        video = source.streams.video[0]
        stream = sink.add_stream_from_template(video)
        length = round(Fraction(video.frames) / (video.average_rate or 25) / (video.time_base or 1))
        packets = [packet for packet in source.demux(video) if packet.size]
        stamps = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(times):
            for packet, (pts, dts) in zip(packets, stamps, strict=True):
                packet.pts = None if pts is None else pts + turn * length
                packet.dts = None if dts is None else dts + turn * length
                packet.time_base, packet.stream = video.time_base, stream
                sink.mux(packet)
    return out


def as_h264(path: Path, out: Path, size: tuple[int, int], frames: int | None = None, **options: str) -> Path:
    """A video, or its first frames, as H.264 at 25 Hz. size : width, height. options : of the encoder."""
    with av.open(str(path)) as source, av.open(str(out), "w") as sink:
        stream = sink.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"tune": "zerolatency", **options}
        for count, frame in enumerate(islice(source.decode(video=0), frames)):
            picture = frame.reformat(*size, "yuv420p")
            picture.pts, picture.time_base = count, Fraction(1, 25)
            sink.mux(stream.encode(picture))
        sink.mux(stream.encode(None))
    return out
