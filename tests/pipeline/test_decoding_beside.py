"""Files of one camera of an engine: decoded by several workers, handed out in order, with nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
from parts import Keep, Live, Means

from conditions import PATIENCE, meanwhile, wait_for, waits_for
from saccade import Capture, Model, open_source
from saccade.capture import Source
from saccade.pipeline import Branch, Camera, Engine
from small_networks import mean_network
from videos import jpeg, mjpeg_avi, picture

COUNT = 24
PICTURES = [jpeg(picture(i)) for i in range(COUNT)]

pytestmark = pytest.mark.usefixtures("patient_engine")

BeforeDecoding = Callable[[Callable[[int], object]], None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(mean_network(tmp_path_factory.mktemp("net") / "means.xml"), precision="f32", threads=2, streams=2)


@pytest.fixture
def before_decoding(before_decoding: Callable[[Callable[[bytes], object]], None]) -> BeforeDecoding:
    """Have something done by the thread that decodes, with the number of the picture; -1 for others than `PICTURES`."""
    return lambda step: before_decoding(lambda data: step(PICTURES.index(data) if data in PICTURES else -1))


def engine_of(model: Model, source: Callable[[], Source], keep: Keep) -> Engine:
    """One camera and four workers."""
    camera = Camera(
        name="only",
        open=lambda: Capture(source(), lazy=True),
        branches=[Branch(Means(model), [keep])],
    )
    return Engine([camera], workers=4)


def test_pictures_of_a_file_are_decoded_beside_each_other(
    model: Model, tmp_path: Path, before_decoding: BeforeDecoding
) -> None:
    before_decoding(waits_for(0, 2))
    video, keep = mjpeg_avi(tmp_path / "v.avi", PICTURES), Keep()
    figures = engine_of(model, lambda: open_source(video), keep).run().cameras["only"]
    assert [result.frame for result in keep.results] == list(range(COUNT))
    assert figures.run.pictures == {"arrived": COUNT, "served": COUNT}
    assert figures.restarts == 0


def test_no_more_is_read_ahead_than_there_are_slots(
    model: Model, tmp_path: Path, before_decoding: BeforeDecoding
) -> None:
    held, go_on = set(), threading.Event()

    def hold(number: int) -> None:
        held.add(number)
        assert go_on.wait(PATIENCE)

    before_decoding(hold)
    video, keep = mjpeg_avi(tmp_path / "v.avi", PICTURES), Keep()
    engine = engine_of(model, lambda: open_source(video), keep)
    with meanwhile(engine.run):
        try:
            wait_for(lambda: len(held) == 4)
            wait_for(lambda: engine.statistics().cameras["only"].run.pictures["arrived"] == 8)
            assert held == {0, 1, 2, 3}, "each of the workers has the next picture"
        finally:
            go_on.set()
    assert [result.frame for result in keep.results] == list(range(COUNT))


def test_damaged_pictures_and_those_whose_decoder_fails_are_left_out_in_their_place(
    model: Model, tmp_path: Path, before_decoding: BeforeDecoding,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def fail_at_some(number: int) -> None:
        # More of them than there are slots: what fails gives its slot back.
        if number in range(3, 15, 2):
            raise MemoryError("no room for it")

    pictures = list(PICTURES)
    for cut in (0, 6, 7, 23):
        pictures[cut] = b"\xff\xd8\xff\xdb no picture"
    before_decoding(fail_at_some)
    video, keep = mjpeg_avi(tmp_path / "v.avi", pictures), Keep()
    figures = engine_of(model, lambda: open_source(video), keep).run().cameras["only"]
    lost = {0, 6, 7, 23, *range(3, 15, 2)}
    assert [result.frame for result in keep.results] == [i for i in range(COUNT) if i not in lost]
    assert figures.run.pictures == {"arrived": COUNT, "served": COUNT - len(lost), "damaged": 4, "failed": 5}
    assert caplog.messages.count("camera only: MemoryError: no room for it") == 1


def test_a_size_that_changes_changes_once_whoever_decodes_first(
    model: Model, tmp_path: Path, before_decoding: BeforeDecoding
) -> None:
    before_decoding(waits_for(1, -1))  # the next is decoded first
    large = jpeg(picture(3, (480, 640)))
    video, keep = mjpeg_avi(tmp_path / "v.avi", [*PICTURES[:2], large, large]), Keep()
    capture = Capture(open_source(video), lazy=True)
    Engine([Camera(name="only", open=lambda: capture, branches=[Branch(Means(model), [keep])])], workers=4).run()
    assert [result.width for result in keep.results] == [320, 320, 640, 640]
    assert capture.statistics().resizes == 1


def test_pictures_of_a_live_camera_are_decoded_one_by_one(model: Model, before_decoding: BeforeDecoding) -> None:
    decoding: set[int] = set()
    beside: set[int] = set()
    first = threading.Event()
    engines: list[Engine] = []

    def lost() -> int:
        pictures = engines[0].statistics().cameras["only"].run.pictures
        return pictures.get("newer", 0) + pictures.get("over budget", 0)

    def look_who_else_decodes(number: int) -> None:
        decoding.add(number)
        if not first.is_set():  # workers that are free could have had any of those that were lost
            first.set()
            wait_for(lambda: beside or lost() >= 50)
            engines[0].stop()
        beside.update(decoding - {number})
        decoding.discard(number)

    before_decoding(look_who_else_decodes)
    play = cycle([0.002, *PICTURES])
    engines.append(engine_of(model, lambda: Live("live", play), Keep()))
    engines[0].run()
    assert not beside
