"""What is still and what moves, on scenes of which that is known; and what a gate saves and keeps in a real run."""

from __future__ import annotations

import ctypes
import gc
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from parts import Keep, Means

from lengths import length
from saccade import Capture, Model, open_source
from saccade.capture import Source
from saccade.capture.gating import GatedDecoder
from saccade.capture.video import ContainerSource, FileSource
from saccade.pipeline import Branch, Camera, Engine
from saccade.pipeline.gate import Gate, SizeGate
from saccade.pipeline.lane import _followed
from saccade.results import Detections, Result
from saccade.tracking import Tracker
from small_networks import mean_network

HEIGHT, WIDTH = 68, 120


class Scene:
    """Small luma pictures of a scene; noise grows with brightness, as a sensor's does, levels."""

    def __init__(self, seed: int, noise: float) -> None:
        self._random = np.random.default_rng(seed)
        coarse = self._random.uniform(30, 200, (9, 15))
        self._calm = np.kron(coarse, np.ones((8, 8)))[:HEIGHT, :WIDTH]
        self._noise = noise * np.sqrt(self._calm / 100)

    def picture(
        self, *, gain: float = 1.0, offset: float = 0.0, box: tuple[int, int, int] | None = None
    ) -> NDArray[np.uint8]:
        """box : x, y and side of an object that stands out by 60 levels."""
        seen = self._calm * gain + offset
        if box is not None:
            x, y, side = box
            part = seen[y : y + side, x : x + side]
            part += np.where(part > 128, -60, 60)
        return np.clip(np.rint(seen + self._random.normal(0, 1, seen.shape) * self._noise), 0, 255).astype(np.uint8)


@settings(max_examples=length(6, 12), deadline=None)
@given(
    seed=st.integers(0, 1000),
    noise=st.floats(0, 6),
    drift=st.floats(-2, 2),
    flicker=st.floats(0, 0.1),
    rate=st.sampled_from([2, 5, 15]),
    side=st.integers(2, 12),
)
def test_light_and_noise_are_still_and_a_small_object_moves_in_any_of_them(
    seed: int, noise: float, drift: float, flicker: float, rate: int, side: int
) -> None:
    gate, scene = Gate(always_every=1000), Scene(seed, noise)
    if side == 2 and noise > 2:
        side = 3

    def looks(count: int, start: int, *, moves: bool) -> list[bool]:
        return [
            gate.worth_a_look(
                scene.picture(
                    gain=1 + flicker * np.sin(k),
                    offset=drift * k / rate if abs(drift * k / rate) < 20 else np.copysign(20, drift),
                    box=((k - start) * 2 % 100, 30, side) if moves else None,
                ),
                k / rate,
            )
            for k in range(start, start + count)
        ]

    still = looks(60, 0, moves=False)
    assert still[0], "the first picture is news"
    assert sum(still[1:]) <= 2
    moving = looks(12, 60, moves=True)
    assert all(moving[2:])
    after = looks(10 + rate, 72, moves=False)
    assert not any(after[rate:]), "what has gone is forgotten"


def test_a_gate_repeats_itself_and_looks_at_a_still_scene_now_and_then() -> None:
    def woken() -> list[int]:
        gate, scene = Gate(always_every=10), Scene(3, 2.0)
        return [k for k in range(300) if gate.worth_a_look(scene.picture(), k / 5)]

    assert woken() == woken() == [0, 50, 100, 150, 200, 250]


@settings(max_examples=length(6, 12), deadline=None)
@given(seed=st.integers(0, 1000), usual=st.integers(60, 40_000), noise=st.floats(0, 0.05), more=st.floats(0.3, 4))
def test_packets_of_a_still_scene_are_left_and_larger_ones_are_not(
    seed: int, usual: int, noise: float, more: float
) -> None:
    random = np.random.default_rng(seed)

    def sizes(count: int, factor: float = 1.0) -> list[int]:
        return [int(size) for size in usual * factor + random.normal(0, usual * noise + 10, count)]

    gate = SizeGate()
    assert sum([gate.look(size, learn=True) for size in sizes(2000)][SizeGate.FEWEST :]) <= 2
    rise = usual * more
    if rise > 150 and rise > 3 * usual * noise:
        assert any(gate.look(size, learn=False) for size in sizes(12, 1 + more))
    brighter = [gate.look(size, learn=True) for size in sizes(600, 3.0)]
    assert not any(brighter[300:]), "noise that has grown is learned"


def test_sizes_that_missed_motion_are_not_asked_any_more() -> None:
    gate, scene = Gate(always_every=1000), Scene(5, 1.0)
    opened = []
    for second in range(120):
        for k in range(1, 25):
            opened.append(gate.worth_decoding(1000, second + k / 25, place=k))
        gate.worth_a_look(scene.picture(box=(second * 7 % 100, 20, 8) if second % 10 == 9 else None), second + 1.0)
    assert not any(opened[24 * 4 : 24 * 9])
    assert all(opened[-24:])


def test_times_that_begin_anew_open_the_gate() -> None:
    gate, scene = Gate(), Scene(1, 1.0)
    assert [gate.worth_a_look(scene.picture(), time) for time in (100.0, 101.0, 3.0, 4.0)] == [True, False, True, False]


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "0", "g": "50", "preset": "superfast"}),
        ("libx264", {"bf": "3", "g": "50", "preset": "superfast"}),
        ("mjpeg", {"qmin": "3", "qmax": "3"}),
    ],
    ids=["H.264", "H.264 with B-frames", "MJPEG"],
)
def test_a_camera_shows_what_moves_and_every_picture_is_accounted_for(
    codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    model = Model(mean_network(tmp_path / "means.xml"), precision="f32", threads=1)
    path = clip(tmp_path / "clip.mkv", codec, options)
    keep = Keep()
    camera = Camera(
        name="calm",
        open=lambda: Capture(open_source(path), lazy=True),
        branches=[Branch(Means(model), [keep])],
        gate="motion",
        always_every=6.0,
    )
    pictures = dict(Engine([camera], workers=1).run().cameras["calm"].run.pictures)
    assert pictures.pop("arrived") == sum(pictures.values()) == 25 * 16
    assert set(pictures) == {"served", "still"}
    times = [result.time for result in keep.results]
    assert times == sorted(times)
    assert {10, 11} <= {int(time) for time in times}, "each second that moves is seen"
    assert sum(10 <= time < 12 for time in times) >= 45
    assert sum(not 10 <= time < 12.8 for time in times) <= 6, "a still second is seen now and then"
    assert len([time for time in times if time < 10]) >= 2


class DeafGate(Gate):
    """To it all packets are of the same size."""

    def worth_decoding(self, size: int, time: float, *, place: int = 0, later: bool = False) -> bool:
        return super().worth_decoding(1000, time, place=place, later=later)


@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_what_sizes_do_not_tell_is_decoded_as_soon_as_a_key_frame_shows_it(b_frames: str, tmp_path: Path) -> None:
    source = open_source(clip(tmp_path / "clip.mkv", "libx264", {"bf": b_frames, "g": "70", "preset": "superfast"}))
    source.gate = DeafGate(always_every=1000)
    source.open()
    times = [picture.time for picture in iter(source.read, None)]
    assert times == sorted(times)
    assert len(times) + source.still >= 25 * 16 - 3, "what a decoder still held when it was emptied is not counted"
    assert sum(10 <= time < 12 for time in times) >= 45, "also before the key frame at 11.2 s"
    assert sum(not 10 <= time < 12.8 for time in times) <= 6


@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_of_a_live_camera_a_picture_is_seen_of_each_second_that_only_a_key_frame_gives_away(
    b_frames: str, tmp_path: Path
) -> None:
    source = open_source(clip(tmp_path / "clip.mkv", "libx264", {"bf": b_frames, "g": "70", "preset": "superfast"}))
    source.every_frame, source.gate = False, DeafGate(always_every=1000)
    source.open()
    times = [picture.time for picture in iter(source.read, None)]
    assert times == sorted(times)
    assert len(times) + source.still >= 25 * 16 - 3
    late = [time for time in times if 9 <= time < 11.2]
    assert {int(time) for time in late} >= {10, 11}, "the key frame is at 11.2 s, and motion began at 10 s"
    assert len(late) <= 3, "one a second: the scene is live again from the key frame on"


def clip(path: Path, codec: str, options: dict[str, str]) -> Path:
    """16 s at 25 Hz, 320x240, sensor noise; something moves from 10 to 12 s."""
    random = np.random.default_rng(2)
    calm = np.kron(random.integers(40, 190, (15, 20)), np.ones((16, 16)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 320, 240
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = options
        for k in range(400):
            seen = calm + random.normal(0, 2, calm.shape)
            if 250 <= k < 300:
                x = 20 + (k - 250) * 4
                seen[100:160, x : x + 40] = random.integers(0, 255, (60, 40)) * 0.3 + 150
            luma = np.clip(seen, 0, 255).astype(np.uint8)
            picture = np.concatenate([luma, np.full((120, 320), 128, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def test_what_stands_keeps_its_number_over_a_still_time() -> None:
    box = Detections(np.array([[10, 10, 60, 90]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int32))
    tracker = Tracker()

    def look(time: float, rested: float | None = None) -> Any:
        return _followed(
            tracker, Result(frame=0, time=time, app="detect", width=320, height=240, detections=box), rested
        )

    first = [look(k / 5) for k in range(5)][-1]
    later = look(30.0, rested=29.9)
    tracks = [result.detections.tracks[0] for result in (first, later)]
    assert tracks[0] == tracks[1] > 0
    assert {event.kind for event in later.life} == {"update"}


def test_wrong_times_are_named() -> None:
    with pytest.raises(ValueError, match="always_every: got 0; expected seconds, above 0"):
        Gate(always_every=0)


def read(path: Path, gate: Gate, *, every: bool) -> tuple[Source, list[float]]:
    """A video read to its end; the times of what it shows."""
    source = open_source(path)
    source.every_frame, source.gate = every, gate
    source.open()
    return source, [picture.time for picture in iter(source.read, None)]


@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_a_decoder_of_moving_pictures_is_replaced_while_the_scene_is_still(
    b_frames: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes | None] = []
    decoder_of = ContainerSource._decoder_of

    def make(source: ContainerSource, stream: Any, extradata: bytes | None, reorder: int) -> Any:
        made.append(extradata)
        assert reorder >= (b_frames != "0")
        return decoder_of(source, stream, extradata, reorder)

    monkeypatch.setattr(ContainerSource, "_decoder_of", make)
    path = clip(tmp_path / "clip.mkv", "libx264", {"bf": b_frames, "g": "25", "preset": "superfast"})
    source, times = read(path, DeafGate(always_every=1000), every=True)
    assert {10, 11} <= {int(time) for time in times}
    assert len(times) + source.still >= 25 * 16 - 3
    # The first, one once it was seen that all is still, and one after the motion: none for each key frame.
    assert 2 <= len(made) <= 4


def test_decoders_of_still_scenes_keep_one_picture_each(tmp_path: Path) -> None:
    path = tmp_path / "still.mkv"
    count, height, width = 6, 1080, 1920
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"bf": "0", "g": "5", "preset": "ultrafast", "x264-params": "ref=4:scenecut=0"}
        frame = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 90, np.uint8), format="yuv420p")
        for number in range(60):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    container = av.open(str(path))
    packets = [packet for packet in container.demux(video=0) if packet.size]

    def decoder() -> GatedDecoder:
        gate = Gate()
        source = FileSource(str(path))
        make = partial(source._decoder_of, container.streams.video[0])
        context = container.streams.video[0].codec_context
        decoder = GatedDecoder(context, gate, lambda count: None, lambda stamp: (stamp or 0) / 1000, make=make)
        for packet in packets:
            for shown in decoder.decode(packet, packet.pts * float(packet.time_base)):
                del shown
        return decoder

    def in_use() -> int:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed counts for nothing, wherever it lies
        return int(psutil.Process().memory_info().rss)

    kept = [decoder()]
    before = in_use()
    kept += [decoder() for _ in range(count)]
    grown = (in_use() - before) / count
    assert grown < 8 << 20, "a picture has 3 MB, what describes it 1 MB; those of a group were three and more"


def test_time_stamps_that_begin_anew_do_not_end_what_is_seen(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mkv", "libx264", {"bf": "0", "g": "25", "preset": "superfast"})
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        decoder = GatedDecoder(
            container.streams.video[0].codec_context, Gate(), lambda count: None, lambda stamp: (stamp or 0) / 1000
        )
        rounds = [
            [frame.time for packet in packets for frame in decoder.decode(packet, float(packet.pts * packet.time_base))]
            for _ in range(2)
        ]
    for times in rounds:
        assert {10, 11} <= {int(time) for time in times}


@pytest.mark.parametrize(("every", "period"), [(True, "50"), (False, "25")])
def test_what_moves_is_seen_where_no_picture_can_be_decoded_on_its_own(
    every: bool, period: str, tmp_path: Path
) -> None:
    """A stream that is refreshed column by column: its key frames are those from which on a refresh begins."""
    options = {"bf": "0", "g": period, "preset": "superfast", "x264-params": "intra-refresh=1"}
    source, times = read(clip(tmp_path / "clip.mkv", "libx264", options), Gate(always_every=1000), every=every)
    assert {10, 11} <= {int(time) for time in times}
    assert source.still > 250
    assert source.damaged == 0


class WithHeaders:
    """A packet that brings new headers, as RTMP has them."""

    def __init__(self, packet: Any, headers: bytes) -> None:
        self.packet, self._headers = packet, headers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.packet, name)

    def has_sidedata(self, data_type: str) -> bool:
        return data_type == "new_extradata"

    def get_sidedata(self, data_type: str) -> bytes:
        return self._headers


class Unwrapping:
    """A decoder that takes those."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def decode(self, packet: Any) -> Any:
        return self._context.decode(packet.packet if isinstance(packet, WithHeaders) else packet)


def test_headers_that_came_with_a_packet_are_those_of_the_next_decoder(tmp_path: Path) -> None:
    made: list[bytes | None] = []
    container = av.open(str(clip(tmp_path / "clip.mkv", "libx264", {"bf": "0", "g": "25", "preset": "superfast"})))
    stream = container.streams.video[0]
    headers = stream.codec_context.extradata
    assert headers is not None
    source = FileSource(str(tmp_path / "clip.mkv"))

    def make(extradata: bytes | None, reorder: int) -> Any:
        made.append(extradata)
        return Unwrapping(source._decoder_of(stream, extradata, reorder))

    decoder = GatedDecoder(
        stream.codec_context, Gate(), lambda count: None, lambda stamp: (stamp or 0) / 1000, make=make
    )
    packets: list[Any] = [packet for packet in container.demux(stream) if packet.size]
    packets[0] = WithHeaders(packets[0], headers)
    for packet in packets:
        for frame in decoder.decode(packet, packet.pts / 1000):
            assert (frame.width, frame.is_corrupt) == (320, False)
    assert made[0] is None
    assert made[1:]
    assert set(made[1:]) == {headers}
