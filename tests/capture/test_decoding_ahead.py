"""Files decoded by several threads: in order, bounded, and with nothing lost whatever goes wrong in one of them."""

from __future__ import annotations

import threading

import pytest
from capture_tools import Scripted, mark, wait_for

from conditions import PATIENCE, meanwhile, waits_for
from saccade.capture import Capture, jpeg
from saccade.errors import SourceError


def ahead(steps: list[object], threads: int = 2, slots: int = 2) -> Capture:
    capture = Capture(Scripted(steps), size=(90, 160), slots=slots)
    capture.decode_ahead(threads)
    return capture


def every(capture: Capture) -> list[tuple[int, int]]:
    """(sequence, mark) of all frames to the end."""
    seen = []
    while (frame := capture.latest(PATIENCE)) is not None:
        with frame:
            seen.append((frame.sequence, mark(frame.planes[0]) % 16))
    assert capture.ended
    return seen


def test_a_picture_whose_decoding_takes_long_comes_in_its_turn(pictures, before_decoding) -> None:
    before_decoding(waits_for(pictures[0], pictures[1]))
    with ahead(list(pictures)) as capture:
        assert every(capture) == [(i, i) for i in range(16)]
        statistics = capture.statistics()
    assert (statistics.captured, statistics.delivered, statistics.decode.count) == (16, 16, 16)


def test_no_more_is_read_than_there_are_slots(pictures) -> None:
    source = Scripted(list(pictures))
    capture = Capture(source, size=(90, 160), slots=2)
    capture.decode_ahead(3)
    with capture:
        wait_for(lambda: capture.statistics().decode.count == 4)
        # The fifth has been read, and waits for a slot.
        assert capture.statistics().captured <= 5
        assert len(source.steps) >= 11
        assert every(capture) == [(i, i) for i in range(16)]


def test_a_damaged_picture_is_left_out_in_its_place(pictures) -> None:
    with ahead([pictures[0], pictures[1][:5000], pictures[2]]) as capture:
        assert every(capture) == [(0, 0), (2, 2)]
        statistics = capture.statistics()
        account = capture.ledger.account()
    assert (statistics.captured, statistics.delivered, statistics.damaged) == (3, 2, 1)
    assert (account.ended["damaged"], account.open) == (1, 2), "who took the frames says how they end"


def test_a_file_of_damaged_pictures_is_an_error(pictures) -> None:
    with ahead([pictures[0][:5000]] * 5) as capture, pytest.raises(SourceError, match="all 5 pictures are damaged"):
        capture.latest(PATIENCE)


def test_what_fails_in_a_decoder_is_raised_after_the_frames_before_it(pictures, before_decoding, caplog) -> None:
    def fail_at_the_third(data: bytes) -> None:
        if data == pictures[2]:
            raise MemoryError("no room for it")

    before_decoding(fail_at_the_third)
    capture = ahead(list(pictures)).start()
    for index in range(2):
        frame = capture.latest(PATIENCE)
        assert frame is not None
        assert frame.sequence == index
        frame.release()
    for _ in range(2):
        with pytest.raises(SourceError, match="scripted: capture failed: no room for it"):
            capture.latest(PATIENCE)
    assert capture.ended
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["scripted: capture failed"]
    capture.stop()
    capture.ledger.seal()
    account = capture.ledger.account()
    assert account.arrived == sum(account.ended.values())


def test_a_stop_in_the_midst_of_decoding_gives_everything_back(pictures, before_decoding) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(data: bytes) -> None:
        del data
        begun.set()
        assert go_on.wait(PATIENCE)

    before_decoding(hold)
    capture = ahead(list(pictures), threads=2, slots=4).start()
    wait_for(begun.is_set)
    wait_for(lambda: capture.statistics().captured >= 2)
    with meanwhile(capture.stop):
        wait_for(lambda: capture._stop.is_set())
        go_on.set()
    assert capture.ended
    assert capture.latest(0) is None
    wait_for(lambda: capture.ledger.account().open == 0)


def test_a_stop_does_not_wait_for_pictures_and_counts_each_once_when_it_is_decoded(
    pictures, before_decoding, monkeypatch
) -> None:
    monkeypatch.setattr("saccade.capture.thread.STOP_SECONDS", 0.0)
    go_on = threading.Event()
    before_decoding(lambda data: go_on.wait(PATIENCE))
    capture = ahead([pictures[0], pictures[1][:5000], pictures[2]], threads=2, slots=4).start()
    wait_for(lambda: len(capture._offers) == 2)
    capture.stop()
    assert capture.ledger.account().open == 2, "what becomes of them is not known yet"
    go_on.set()
    wait_for(lambda: capture.ledger.account().open <= 0 and len(capture._pool.free) == 5)
    account = capture.ledger.account()
    assert (account.arrived, account.ended["ended"], account.ended["damaged"]) == (2, 1, 1)


def test_who_wants_the_next_frame_waits_no_longer_than_it_said(pictures, before_decoding) -> None:
    go_on = threading.Event()
    before_decoding(lambda data: go_on.wait(PATIENCE))
    with ahead(list(pictures)) as capture:
        wait_for(lambda: capture.queued)
        assert capture.latest(0) is None
        assert not capture.ended
        go_on.set()
        assert len(every(capture)) == 16


def test_sizes_change_once_though_two_threads_decode_at_the_border(pictures, before_decoding, caplog) -> None:
    small = jpeg.encode(jpeg.decode(pictures[1], 180, 320))
    behind = threading.Event()

    def decode_the_next_first(data: bytes) -> None:
        if data == pictures[1]:
            assert behind.wait(PATIENCE)
        if data == small:
            behind.set()

    before_decoding(decode_the_next_first)
    with ahead([pictures[0], pictures[1], small, small]) as capture:
        assert len(every(capture)) == 4
        assert capture.statistics().resizes == 1
    assert sum("frame size changed" in record.message for record in caplog.records) == 1


def test_newest_wins_is_decoded_as_before(pictures) -> None:
    source = Scripted(list(pictures), every_frame=False, interval=0.005)
    capture = Capture(source, size=(90, 160))
    capture.decode_ahead(4)
    with capture:
        while (frame := capture.latest(PATIENCE)) is not None:
            frame.release()
        assert not [t for t in threading.enumerate() if t.name.startswith("saccade-decode")]
