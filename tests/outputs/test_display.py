from __future__ import annotations

import threading
from functools import partial
from time import thread_time

import numpy as np
import pytest
import simplejpeg

from conditions import PATIENCE, meanwhile, wait_for
from saccade.errors import JpegError
from saccade.frame import Frame
from saccade.outputs import display as display_module
from saccade.outputs.display import Display
from scenes import Feeder, faces_result, picture


def test_costs_microseconds_while_nobody_watches() -> None:
    display = Display()
    frame, result = Frame.from_bgr(picture()), faces_result(0, 0.0, [])
    batches = []
    for _ in range(10):
        start = thread_time()
        for _ in range(1000):
            display.accept(frame, result)
        batches.append((thread_time() - start) / 1000)
    assert min(batches) < 3e-6  # CPU time, the best of some: the machine may be busy
    assert not any(thread.name == "saccade-display" for thread in threading.enumerate())
    display.close()


def test_an_open_viewer_that_does_not_ask_costs_nothing() -> None:
    display = Display()
    with display.watch() as viewer, Feeder(display.accept, rate=100) as feeder:
        assert viewer.next(PATIENCE) is not None
        made = display.statistics().encoded
        at = feeder.frames
        wait_for(lambda: feeder.frames > at + 10)
        assert display.statistics().encoded <= made + 1
    display.close()


def test_pictures_are_of_the_size_that_is_watched() -> None:
    display = Display()
    with Feeder(display.accept) as _, display.watch() as usual, display.watch(width=320, height=240) as small:
        shapes = []
        for viewer in (usual, small):
            made = viewer.next(PATIENCE)
            assert made is not None
            shapes.append(simplejpeg.decode_jpeg(made.jpeg).shape)
    assert shapes == [(480, 853, 3), (180, 320, 3)]
    display.close()


def test_viewers_of_one_size_share_a_picture() -> None:
    display = Display(rate=1000)
    seen: list[list[int]] = [[], []]

    def watch(mine: list[int]) -> None:
        with display.watch() as viewer:
            while (made := viewer.next(PATIENCE)) is not None:
                mine.append(made.frame)

    with meanwhile(*(partial(watch, mine) for mine in seen)):
        for number in range(8):
            wait_for(lambda: len(display._waiting) == 2)
            display.accept(Frame.from_bgr(picture(), sequence=number), faces_result(number, 0.0, []))
            wait_for(lambda number=number: [len(mine) for mine in seen] == [number + 1] * 2)
        display.close()
    assert display.statistics().encoded == 8
    assert seen == [list(range(8))] * 2


@pytest.mark.parametrize(("rate", "limit", "expected"), [(90, 20, 20), (25, 25, 25)])
def test_no_more_is_encoded_than_the_rate_allows(
    rate: float, limit: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four seconds of a clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(display_module, "monotonic", lambda: now[0])
    display, made = Display(rate=limit), []

    def watch() -> None:
        with display.watch(width=160, height=90) as viewer:
            while (shown := viewer.next(PATIENCE)) is not None:
                made.append(shown.frame)

    frame, result = Frame.from_bgr(picture()), faces_result(0, 0.0, [])
    with meanwhile(watch):
        for number in range(int(4 * rate)):
            now[0] = 100 + number / rate
            wait_for(lambda: display._waiting)
            display.accept(frame, result)
            wait_for(lambda number=number: len(made) + display.statistics().skipped == number + 1)
        display.close()
    assert len(made) / 4 == pytest.approx(expected, rel=0.05)


def test_a_viewer_never_sees_a_frame_from_before_it_asked() -> None:
    display = Display()
    with display.watch() as viewer, Feeder(display.accept) as feeder:
        viewer.next(PATIENCE)
        seen = feeder.frames
        wait_for(lambda: feeder.frames > seen + 10)
        asked = feeder.frames
        made = viewer.next(PATIENCE)
        assert made is not None
        assert made.frame >= asked - 1
    display.close()


def test_holds_one_frame_and_releases_it() -> None:
    display = Display()
    gone = []
    with display.watch() as viewer, meanwhile(partial(viewer.next, PATIENCE)):
        wait_for(lambda: display._waiting)
        frame = Frame(width=64, height=48, planes=(picture(width=640, height=480),), on_release=lambda: gone.append(1))
        display.accept(frame, faces_result(0, 0.0, [], size=(64, 48)))
        frame.release()
    display.close()
    assert gone == [1]


def test_a_slow_encoder_does_not_hold_up_the_pipeline() -> None:
    decoded = threading.Event()

    def decode(height: int, width: int) -> np.ndarray:
        assert decoded.wait(PATIENCE), "the pipeline waits for the encoder"
        return picture()

    display = Display()
    with display.watch() as viewer, meanwhile(partial(viewer.next, PATIENCE)):
        wait_for(lambda: display._waiting)
        for number in range(60):
            frame = Frame(
                width=1280, height=720, planes=(np.zeros((9, 16, 3), np.uint8),), decode=decode, sequence=number
            )
            display.accept(frame, faces_result(number, 0.0, []))
            frame.release()
        assert display.statistics().skipped == 59
        assert display.statistics().encoded == 0
        decoded.set()
    display.close()
    assert display.statistics().failed == 0


def test_a_damaged_picture_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def decode(height: int, width: int) -> np.ndarray:
        raise JpegError("picture 3 is cut short: 200 of 9000 bytes")

    display = Display(rate=1000)
    shown: list[object] = []
    with display.watch() as viewer, meanwhile(lambda: shown.append(viewer.next(PATIENCE))):
        wait_for(lambda: display._waiting)
        for number in range(3):
            bad = Frame(width=640, height=480, planes=(np.zeros((9, 12, 3), np.uint8),), decode=decode, sequence=number)
            display.accept(bad, faces_result(number, 0.0, []))
            bad.release()
            wait_for(lambda number=number: display.statistics().failed == number + 1)
        with Feeder(display.accept):
            wait_for(lambda: shown)
    assert shown[0] is not None
    display.close()
    assert display.statistics().failed == 3
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    assert "cut short" in caplog.text


def test_close_lets_waiting_viewers_go() -> None:
    display = Display()
    viewer = display.watch()
    answer: list[object] = []
    with meanwhile(lambda: answer.append(viewer.next(PATIENCE))):
        wait_for(lambda: display._waiting)
        display.close()
    assert answer == [None]
    assert viewer.next(PATIENCE) is None
    display.accept(Frame.from_bgr(picture()), faces_result(0, 0.0, []))
