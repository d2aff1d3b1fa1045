from __future__ import annotations

import threading
from time import monotonic, perf_counter, sleep

import numpy as np
import pytest
import simplejpeg
from scenes import Feeder, faces_result, picture

from saccade.errors import JpegError
from saccade.frame import Frame
from saccade.outputs.display import Display


def test_costs_microseconds_while_nobody_watches() -> None:
    display = Display()
    frame, result = Frame.from_bgr(picture()), faces_result(0, 0.0, [])
    batches = []
    for _ in range(10):
        start = perf_counter()
        for _ in range(1000):
            display.accept(frame, result)
        batches.append((perf_counter() - start) / 1000)
    assert min(batches) < 3e-6  # the best of some: the machine may be busy
    assert not any(thread.name == "saccade-display" for thread in threading.enumerate())
    display.close()


def test_an_open_viewer_that_does_not_ask_costs_nothing() -> None:
    display = Display()
    with display.watch() as viewer, Feeder(display.accept, rate=100) as feeder:
        assert viewer.next(2) is not None
        made = display.statistics().encoded
        at = feeder.frames
        sleep(0.3)
        assert feeder.frames > at + 10
        assert display.statistics().encoded <= made + 1
    display.close()


def test_pictures_are_of_the_size_that_is_watched() -> None:
    display = Display()
    with Feeder(display.accept) as _, display.watch() as usual, display.watch(width=320, height=240) as small:
        shapes = []
        for viewer in (usual, small):
            made = viewer.next(2)
            assert made is not None
            shapes.append(simplejpeg.decode_jpeg(made.jpeg).shape)
    assert shapes == [(480, 853, 3), (180, 320, 3)]
    display.close()


def test_viewers_of_one_size_share_a_picture() -> None:
    display = Display(rate=10)
    seen: list[list[int]] = [[], []]

    def watch(mine: list[int]) -> None:
        with display.watch() as viewer:
            while len(mine) < 8:
                made = viewer.next(2)
                assert made is not None
                mine.append(made.frame)

    with Feeder(display.accept, rate=60):
        threads = [threading.Thread(target=watch, args=(mine,)) for mine in seen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert display.statistics().encoded <= 12
    assert len(set(seen[0]) & set(seen[1])) >= 6
    display.close()


@pytest.mark.parametrize(("rate", "limit", "expected"), [(90, 20, 20), (25, 25, 25)])
def test_rate(rate: float, limit: float, expected: float) -> None:
    display = Display(rate=limit)
    with Feeder(display.accept, rate=rate), display.watch(width=160, height=90) as viewer:
        viewer.next(2)
        start, count = monotonic(), 0
        while monotonic() - start < 1.5:
            count += viewer.next(1) is not None
        assert count / 1.5 == pytest.approx(expected, rel=0.2)
    display.close()


def test_a_viewer_never_sees_a_frame_from_before_it_asked() -> None:
    display = Display()
    with display.watch() as viewer, Feeder(display.accept) as feeder:
        viewer.next(2)
        sleep(0.4)
        asked = feeder.frames
        made = viewer.next(2)
        assert made is not None
        assert made.frame >= asked - 1
    display.close()


def test_holds_one_frame_and_releases_it() -> None:
    display = Display()
    gone = []
    with display.watch() as viewer:
        waiting = threading.Thread(target=viewer.next, args=(5,))
        waiting.start()
        sleep(0.1)
        frame = Frame(width=64, height=48, planes=(picture(width=640, height=480),), on_release=lambda: gone.append(1))
        display.accept(frame, faces_result(0, 0.0, [], size=(64, 48)))
        frame.release()
        waiting.join()
    display.close()
    assert gone == [1]


def test_a_slow_encoder_does_not_hold_up_the_pipeline() -> None:
    def decode(height: int, width: int) -> np.ndarray:
        sleep(0.5)
        return picture()

    display = Display()
    with display.watch() as viewer:
        threading.Thread(target=viewer.next, args=(5,), daemon=True).start()
        sleep(0.05)
        slowest = 0.0
        for number in range(60):
            frame = Frame(
                width=1280, height=720, planes=(np.zeros((9, 16, 3), np.uint8),), decode=decode, sequence=number
            )
            start = perf_counter()
            display.accept(frame, faces_result(number, 0.0, []))
            frame.release()
            slowest = max(slowest, perf_counter() - start)
            sleep(0.004)
    assert slowest < 0.25
    display.close()


def test_a_damaged_picture_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def decode(height: int, width: int) -> np.ndarray:
        raise JpegError("picture 3 is cut short: 200 of 9000 bytes")

    display = Display(rate=1000)
    with display.watch() as viewer:
        for number in range(3):
            waiting = threading.Thread(target=viewer.next, args=(0.3,))
            waiting.start()
            sleep(0.05)
            bad = Frame(width=640, height=480, planes=(np.zeros((9, 12, 3), np.uint8),), decode=decode, sequence=number)
            display.accept(bad, faces_result(number, 0.0, []))
            bad.release()
            waiting.join()
        with Feeder(display.accept):
            assert viewer.next(2) is not None
    display.close()
    assert display.statistics().failed == 3
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    assert "cut short" in caplog.text


def test_close_lets_waiting_viewers_go() -> None:
    display = Display()
    viewer = display.watch()
    answer: list[object] = []
    waiting = threading.Thread(target=lambda: answer.append(viewer.next(30)))
    waiting.start()
    sleep(0.05)
    display.close()
    waiting.join(2)
    assert answer == [None]
    assert viewer.next(10) is None
    display.accept(Frame.from_bgr(picture()), faces_result(0, 0.0, []))
