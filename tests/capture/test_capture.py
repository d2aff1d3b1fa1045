from __future__ import annotations

import gc
import logging
import threading
import tracemalloc

import numpy as np
import pytest
import simplejpeg
from capture_tools import Scripted, mark, outrun, scene, stop, wait_for

from conditions import PATIENCE, meanwhile
from lengths import length
from saccade.capture import Capture, Picture, connection, jpeg, slots
from saccade.errors import FrameReleasedError, SourceError


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(connection, "LONGEST_PAUSE", 0.04)


def test_every_frame_comes_in_order(pictures):
    source = Scripted(pictures * 3)
    with Capture(source) as capture:
        seen = []
        while (frame := capture.latest()) is not None:
            with frame:
                seen.append((frame.sequence, mark(frame.planes[0]) % 16))
        assert capture.ended
        assert seen == [(i, i % 16) for i in range(48)]
        statistics = capture.statistics()
    assert (statistics.captured, statistics.delivered, statistics.dropped, statistics.damaged) == (48, 48, 0, 0)
    assert statistics.bytes_read == 3 * sum(map(len, pictures))
    assert statistics.decode.count == 48
    assert source.closed == 1


def test_newest_wins_and_nothing_comes_twice(pictures):
    source = Scripted(pictures * 4, every_frame=False, interval=0.002)
    with Capture(source) as capture:
        sequences = []
        while (frame := capture.latest()) is not None:
            with frame:
                sequences.append(frame.sequence)
                assert mark(frame.planes[0]) % 16 == frame.sequence % 16
                outrun(capture, frame, 3, ends_at=64)
                # The lease held: capture went on, and not into this slot.
                assert mark(frame.planes[0]) % 16 == frame.sequence % 16
        statistics = capture.statistics()
    assert sequences == sorted(set(sequences))
    assert len(sequences) < 32
    assert statistics.captured == 64
    assert statistics.delivered == len(sequences)
    assert statistics.dropped == 64 - len(sequences)


def test_what_will_be_overwritten_is_not_decoded(pictures):
    """A consumer at a tenth of the source's rate costs one decode a frame it gets, not ten."""
    taken = threading.Semaphore(0)
    steps: list[object] = []
    for _ in range(16):
        steps += [Picture(time=0, captured=0, size=1, jpeg=memoryview(p), transient=True) for p in pictures[:10]]
        steps.append(lambda: taken.acquire(timeout=PATIENCE))
    with Capture(Scripted(steps, every_frame=False), size=(90, 160)) as capture:
        for end in range(10, 161, 10):
            wait_for(lambda end=end: capture.statistics().captured == end)
            with capture.latest(PATIENCE) as frame:
                assert (frame.sequence, mark(frame.planes[0]) % 16) == (end - 1, 9)
            taken.release()
        statistics = capture.statistics()
    assert statistics.dropped == 160 - 16
    assert statistics.decode.count == 16 + 1, "before the second picture nobody knows that the consumer is slower"


def test_a_waiting_consumer_gets_frames_decoded_by_the_capture_thread(pictures):
    decoders = []

    def wait_for_the_consumer() -> None:
        wait_for(lambda: not capture.queued and capture._offers.waiting)

    def spy(*args):
        decoders.append(threading.current_thread().name)
        return real(*args)

    steps = [step for picture in pictures for step in (wait_for_the_consumer, picture)]
    capture = Capture(Scripted(steps, every_frame=False), size=(90, 160))
    real, capture._filled = capture._filled, spy
    with capture:
        while (frame := capture.latest(PATIENCE)) is not None:
            frame.release()
    assert decoders == ["saccade-capture"] * 16


def test_a_consumer_that_keeps_up_again_gets_frames_decoded_by_the_capture_thread(pictures):
    behind, waiting = threading.Event(), threading.Event()
    steps = [*pictures[:4], behind.set, waiting, pictures[4]]
    with Capture(Scripted(steps, live=True, every_frame=False), size=(90, 160)) as capture:
        behind.wait(PATIENCE)
        decoders = []
        real = capture._filled

        def spy(slot, picture, sequence):
            decoders.append((sequence, threading.current_thread().name))
            return real(slot, picture, sequence)

        capture._filled = spy
        capture.latest().release()
        assert decoders == [(3, "MainThread")], "a consumer that is slower decodes what it takes"

        def wait_on_the_newest() -> None:
            wait_for(lambda: capture._offers.waiting)
            waiting.set()

        with meanwhile(wait_on_the_newest):
            capture.latest(PATIENCE).release()
    assert decoders[1:] == [(4, "saccade-capture")]


def test_damage_found_late_is_counted_too(pictures):
    behind = threading.Event()

    def wait_for_the_consumer() -> None:
        wait_for(lambda: capture.statistics().damaged)

    steps = [*pictures[:2], pictures[2][:5000], behind.set, wait_for_the_consumer, pictures[3]]
    capture = Capture(Scripted(steps, every_frame=False))
    with capture:
        assert behind.wait(PATIENCE)
        assert capture.statistics().damaged == 0, "a consumer that is slower finds it"
        with capture.latest(PATIENCE) as frame:
            assert frame.sequence == 3
        statistics = capture.statistics()
    assert (statistics.captured, statistics.dropped, statistics.damaged, statistics.delivered) == (4, 2, 1, 1)


def test_every_frame_waits_for_the_consumer(pictures):
    source = Scripted(pictures)
    with Capture(source, slots=3) as capture:
        wait_for(lambda: capture.statistics().captured == 4)  # the fourth has been read, and waits for a slot
        assert capture.statistics().decode.count == 3
        first = capture.latest()
        # Taken, but not given back: its slot is not free yet.
        assert capture.statistics().decode.count == 3
        first.release()
        wait_for(lambda: capture.statistics().decode.count == 4)


def test_the_policy_can_be_chosen(pictures):
    source = Scripted(pictures, live=True, every_frame=False)
    with Capture(source, policy="every") as capture:
        assert source.every_frame
        frames = 0
        while (frame := capture.latest()) is not None:
            frame.release()
            frames += 1
    assert frames == len(pictures)


def test_inference_gets_the_smallest_sufficient_scale(pictures):
    for size, expected in (((90, 90), (90, 160)), ((91, 90), (180, 320)), ((45, 80), (45, 80)), (None, (360, 640))):
        with Capture(Scripted(pictures), size=size) as capture, capture.latest() as frame:
            assert frame.planes[0].shape == (*expected, 3)
            assert (frame.height, frame.width) == (360, 640)
            assert frame.full_range


def test_slots_are_page_aligned(pictures):
    with Capture(Scripted(pictures), size=(90, 160)) as capture, capture.latest() as frame:
        assert frame.planes[0].ctypes.data % 4096 == 0
        assert frame.bgr().ctypes.data % 4096 == 0


def test_full_size_and_crops_come_on_demand(pictures):
    with Capture(Scripted(pictures), size=(45, 80)) as capture, capture.latest() as frame:
        full = jpeg.decode(pictures[0])
        assert bytes(frame.jpeg) == pictures[0]
        np.testing.assert_array_equal(frame.crop(100, 20, 300, 120), full[20:120, 100:300])
        assert frame.at_least(40, 80) is frame.planes[0]
        view = frame.at_least(100, 100)
        assert view.shape == (180, 320, 3)
        assert frame.at_least(100, 100) is view
        np.testing.assert_array_equal(frame.crop(0, 300, 640, 360), full[300:])
        np.testing.assert_array_equal(frame.bgr(), full)
        assert frame.bgr() is frame.bgr()
        with pytest.raises(ValueError, match="holds no pixel"):
            frame.crop(700, 10, 800, 20)


def test_a_picture_that_was_lent_twice_is_decoded_by_one_at_a_time(pictures, monkeypatch):
    """An output's thread draws a frame while another output cuts from it: both write to the slot's full picture."""
    with Capture(Scripted(pictures[:1]), size=(45, 80)) as capture, capture.latest() as frame:
        drawn, cut = frame.lend(), frame.lend()
        rows, alone = jpeg.decode_rows, []

        def spy(*args, **options):
            alone.append(frame._decoding.locked())
            return rows(*args, **options)

        monkeypatch.setattr(jpeg, "decode_rows", spy)
        full = jpeg.decode(pictures[0])
        np.testing.assert_array_equal(cut.crop(8, 8, 64, 64), full[8:64, 8:64])
        assert alone == [True]
        np.testing.assert_array_equal(drawn.bgr(), full)
        np.testing.assert_array_equal(cut.crop(0, 0, 640, 360), full)
        assert len(alone) == 1
        drawn.release()
        cut.release()


def test_a_crop_is_a_copy_that_outlives_the_frame(pictures):
    with Capture(Scripted(pictures), size=(45, 80)) as capture:
        with capture.latest() as frame:
            crop = frame.crop(0, 0, 50, 50)
        for _ in range(4):
            capture.latest().release()
    assert mark(crop[:, :]) == 0


def test_use_after_release_raises(pictures):
    with Capture(Scripted(pictures), size=(45, 80)) as capture:
        frame = capture.latest()
        frame.retain()
        frame.release()
        assert frame.planes
        frame.release()
        for use in (lambda: frame.planes, frame.bgr, lambda: frame.jpeg, lambda: frame.crop(0, 0, 9, 9), frame.release):
            with pytest.raises(FrameReleasedError):
                use()


def test_leases_outlive_stop(pictures):
    capture = Capture(Scripted(pictures), size=(90, 160)).start()
    frame = capture.latest()
    capture.stop()
    del capture
    gc.collect()
    with frame:
        assert mark(frame.planes[0]) == 0
        np.testing.assert_array_equal(frame.bgr(), jpeg.decode(pictures[0]))


def test_damaged_pictures_are_skipped_and_counted(pictures, caplog):
    good, bad = pictures[1], pictures[2][:5000]
    with Capture(Scripted([good, bad, good, b"no jpeg", good, bytes(100)])) as capture:
        sequences = []
        while (frame := capture.latest()) is not None:
            with frame:
                sequences.append(frame.sequence)
        statistics = capture.statistics()
    assert sequences == [0, 2, 4]
    assert statistics.damaged == 3
    assert statistics.captured == 6
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


def test_a_new_frame_size_in_mid_stream(pictures, caplog):
    large = jpeg.encode(scene(720, 1280, 3))
    held = []
    with Capture(Scripted([pictures[1], pictures[1], large, large, pictures[1]]), size=(90, 160), slots=6) as capture:
        while (frame := capture.latest()) is not None:
            held.append(frame)
        statistics = capture.statistics()
    assert [(f.height, f.planes[0].shape) for f in held] == [
        (360, (90, 160, 3)), (360, (90, 160, 3)), (720, (90, 160, 3)), (720, (90, 160, 3)), (360, (90, 160, 3)),
    ]  # fmt: skip
    assert [mark(f.planes[0]) for f in held] == [1, 1, 3, 3, 1]
    assert held[2].bgr().shape == (720, 1280, 3)
    assert statistics.resizes == 2
    assert "from 640x360 to 1280x720" in caplog.text
    for frame in held:
        frame.release()


def test_a_slot_is_reallocated_when_the_size_changes(pictures):
    large = jpeg.encode(scene(720, 1280, 3))
    with Capture(Scripted([pictures[1]] * 4 + [large] * 4), slots=2) as capture:
        shapes = []
        while (frame := capture.latest()) is not None:
            with frame:
                shapes.append(frame.bgr().shape[0])
    assert shapes == [360] * 4 + [720] * 4


def test_a_lost_live_source_is_opened_again(pictures, caplog):
    source = Scripted([pictures[0], SourceError("cable pulled"), pictures[1]], live=True)
    lost = iter([True])
    original = source.open

    def open_with_trouble():
        if source.opened and next(lost, False):
            source.open_errors = [SourceError("still away")] * 3
        original()

    source.open = open_with_trouble
    with Capture(source, policy="every") as capture:
        with capture.latest() as frame:
            assert frame.sequence == 0
        with capture.latest(PATIENCE) as frame:
            assert frame.sequence == 1
        statistics = capture.statistics()
    assert statistics.reconnects == 1
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 2, warnings
    assert "cable pulled" in warnings[0]
    assert "back after" in warnings[1]


def test_the_first_open_must_succeed(pictures):
    source = Scripted(pictures, live=True)
    source.open_errors = [SourceError("no such camera")]
    with pytest.raises(SourceError, match="no such camera"), Capture(source):
        pass
    assert source.closed


def test_a_file_that_fails_says_so_after_its_last_frame(pictures):
    with Capture(Scripted([pictures[0], SourceError("disk on fire")])) as capture:
        capture.latest().release()
        with pytest.raises(SourceError, match="disk on fire"):
            capture.latest()
        assert capture.ended


def test_a_bug_in_a_source_becomes_one_error(pictures, caplog):
    with Capture(Scripted([pictures[0], ZeroDivisionError("oops")])) as capture:
        capture.latest().release()
        with pytest.raises(SourceError, match="capture failed: oops"):
            capture.latest()
    assert "capture failed" in caplog.text


def test_a_source_that_cannot_be_closed_ends_the_capture_all_the_same(pictures, caplog):
    class Stuck(Scripted):
        def close(self):
            raise OSError("the device is gone")

    capture = Capture(Stuck(pictures[:1])).start()
    capture.latest(PATIENCE).release()
    with pytest.raises(SourceError, match="scripted: capture failed: the device is gone"):
        capture.latest(PATIENCE)
    assert capture.ended
    stop(capture)
    assert "capture failed" in caplog.text


def test_latest_times_out(pictures):
    with Capture(Scripted(pictures[:1], live=True, interval=600)) as capture:
        assert capture.latest(0.02) is None
        assert not capture.ended


def test_a_capture_starts_once(pictures):
    with Capture(Scripted(pictures)) as capture, pytest.raises(RuntimeError, match="started before"):
        capture.start()


def test_too_few_slots_are_refused(pictures):
    with pytest.raises(ValueError, match="at least 2"):
        Capture(Scripted(pictures), slots=1)


class TestStop:
    """At once, from any state."""

    def test_while_the_consumer_holds_all_slots(self, pictures):
        capture = Capture(Scripted(pictures)).start()
        held = [capture.latest(), capture.latest()]
        wait_for(lambda: capture.statistics().captured == 3)  # the thread waits for a slot
        stop(capture)
        assert capture.statistics().dropped == 0  # nothing newer came
        for frame in held:
            frame.release()

    def test_while_nobody_takes_frames(self, pictures):
        capture = Capture(Scripted(pictures)).start()
        wait_for(lambda: capture.statistics().captured == 3)
        stop(capture)
        assert capture.latest() is None

    def test_while_the_source_is_silent(self):
        stop(Capture(Scripted([b""] * 9, live=True, interval=600)).start())

    def test_while_the_source_is_lost(self, pictures, monkeypatch, caplog):
        monkeypatch.setattr(connection, "FIRST_PAUSE", 600)
        capture = Capture(Scripted([SourceError("away")], live=True)).start()
        wait_for(lambda: "away; trying again" in caplog.text)
        stop(capture)

    def test_while_another_thread_waits_for_a_frame(self, pictures):
        capture = Capture(Scripted(pictures, live=True, interval=600)).start()
        results = []
        with meanwhile(lambda: results.append(capture.latest())):
            wait_for(lambda: capture._offers.waiting)
            stop(capture)
        assert results == [None]

    def test_while_the_system_holds_the_thread(self, pictures):
        release = threading.Event()
        capture = Capture(Scripted([pictures[0], release])).start()
        capture.latest().release()
        capture.stop()  # though the thread cannot end
        assert capture.ended
        release.set()

    def test_before_the_start_and_twice(self, pictures):
        capture = Capture(Scripted(pictures))
        stop(capture)
        stop(capture)


def test_steady_state_allocates_no_frame_and_copies_no_frame(monkeypatch):
    """1080p frames: what a frame costs is one decode into known memory, and nothing of a frame's size."""
    data = [jpeg.encode(scene(1080, 1920, i)) for i in range(3)]
    decoded: list[int] = []
    real = simplejpeg.decode_jpeg

    def counting(*args, **options):
        decoded.append(options["buffer"].ctypes.data)
        return real(*args, **options)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", counting)
    transient = [
        Picture(time=0, captured=0, size=len(d), jpeg=memoryview(d), transient=i % 2 == 0) for i, d in enumerate(data)
    ]
    capture = Capture(Scripted(transient * 30), size=(192, 192))
    known = list(capture._pool.free)
    with capture:
        # Both slots make all that they will ever need.
        warm = [capture.latest(), capture.latest()]
        places = {frame.bgr().ctypes.data for frame in warm}
        for frame in warm:
            frame.release()
        for index in range(88):
            with capture.latest() as frame:
                places.add(frame.planes[0].ctypes.data)
                if index % 3 == 0:
                    places.add(frame.bgr().ctypes.data)
            if index == 30:
                made = sum(slot.allocations for slot in known)
                tracemalloc.start()
                gc.collect()
                before = tracemalloc.take_snapshot()
                tracemalloc.reset_peak()
                base = tracemalloc.get_traced_memory()[0]
                count = len(decoded)
        current, peak = tracemalloc.get_traced_memory()
        after = tracemalloc.take_snapshot()
        tracemalloc.stop()
    # NumPy reports its arrays to tracemalloc. The smallest picture here has 388,800 bytes.
    assert peak - base < 150_000, after.compare_to(before, "lineno")[:5]
    assert current - base < 100_000
    assert sum(slot.allocations for slot in known) == made <= 4
    assert len(places) <= 4
    assert set(decoded) <= places
    # One decode a frame, and one more for each that was asked for at full size; two frames may be read ahead.
    assert abs(len(decoded) - count - (57 + 19)) <= 3


def test_memory_is_flat_over_thousands_of_frames():
    data = [jpeg.encode(scene(120, 160, i)) for i in range(8)]
    count = length(4_000, 10_080)
    with Capture(Scripted(data * (count // 8)), size=(30, 40)) as capture:
        for index in range(count):
            with capture.latest() as frame:
                if index % 50 == 0:
                    frame.bgr()
            if index == 1000:
                before = resident()
        assert resident() - before < 2 << 20


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_full_size_is_kept_for_the_next_frame_that_needs_it_and_not_by_each_slot(pictures):
    with Capture(Scripted(pictures), size=(45, 80), slots=4) as capture:
        places, seen = set(), []
        for index in range(12):
            with capture.latest() as frame:
                frame.crop(0, 0, 64, 64)
                full = frame.bgr()
                places.add(full.ctypes.data)
                np.testing.assert_array_equal(full, jpeg.decode(pictures[index]))
                seen.append(frame.planes[0].copy())
        assert len(places) == 1
        assert len(capture._pool.spares) == 1
    for index, small in enumerate(seen):
        np.testing.assert_array_equal(small, jpeg.decode(pictures[index], 45, 80, fast=True))


def test_a_viewer_s_size_and_the_full_one_are_both_kept_for_the_next_frame(pictures):
    with Capture(Scripted(pictures), size=(45, 80), slots=2) as capture:
        for picture in pictures:
            with capture.latest() as frame:
                np.testing.assert_array_equal(frame.at_least(150, 160), jpeg.decode(picture, 150, 160, fast=True))
                np.testing.assert_array_equal(frame.bgr(), jpeg.decode(picture))
        assert capture.latest() is None
        assert sum(slot.allocations for slot in capture._pool.free) == 2 + 2, "one in each slot, and one of either size"


def test_buffers_of_a_size_that_the_source_has_no_more_are_let_go(pictures):
    small = jpeg.encode(scene(120, 160))
    with Capture(Scripted([pictures[0], small, small]), size=(15, 20), slots=2) as capture:
        for _ in range(3):
            with capture.latest() as frame:
                frame.bgr()
        assert [picture.shape[:2] for picture in capture._pool.spares._free] == [(120, 160)]


def test_frames_that_are_held_at_a_time_have_full_sizes_of_their_own(pictures):
    with Capture(Scripted(pictures), size=(45, 80), slots=4) as capture:
        held = [capture.latest() for _ in range(4)]
        fulls = [frame.bgr() for frame in held]
        for index, full in enumerate(fulls):
            np.testing.assert_array_equal(full, jpeg.decode(pictures[index]))
        for frame in held:
            frame.release()
        wait_for(lambda: len(capture._pool.spares) == 2)


def test_full_sizes_that_no_frame_needs_any_more_are_let_go_though_nobody_takes_frames(pictures, monkeypatch):
    monkeypatch.setattr(slots, "SPARE_SECONDS", 0.0)
    go_on = threading.Event()
    source = Scripted([pictures[0], go_on, *pictures], live=True, every_frame=False, interval=0.002)
    with Capture(source, size=(45, 80), lazy=True) as capture:
        with capture.latest() as frame:
            frame.bgr()
        assert len(capture._pool.spares) == 1
        go_on.set()
        wait_for(lambda: capture.statistics().captured >= 3)
        assert len(capture._pool.spares) == 0


def test_full_sizes_of_a_camera_that_is_lost_are_let_go(pictures):
    go_on = threading.Event()
    steps = [pictures[0], go_on, SourceError("away"), pictures[1]]
    with Capture(Scripted(steps, live=True), size=(45, 80)) as capture:
        with capture.latest() as frame:
            frame.bgr()
        assert len(capture._pool.spares) == 1
        go_on.set()
        wait_for(lambda: capture.statistics().reconnects)
        assert len(capture._pool.spares) == 0
