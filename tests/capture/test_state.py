"""What a capture says of its source: state, reason, last picture; and how often its log says so."""

from __future__ import annotations

import threading
import time

import numpy as np
import odd_jpeg
import pytest
from capture_tools import Scripted, wait_for

from conditions import PATIENCE
from saccade.capture import Capture, changes, connection
from saccade.capture.changes import ChangeLog
from saccade.capture.later import LaterSource
from saccade.errors import SourceError


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(connection, "LONGEST_PAUSE", 0.01)


def test_from_connecting_to_the_end(pictures):
    go, away = threading.Event(), threading.Event()
    steps = [go, pictures[0], SourceError("cable pulled"), away, pictures[1]]
    with Capture(Scripted(steps, live=True), policy="every") as capture:
        figures = capture.statistics()
        assert (figures.state, figures.reason, figures.last_picture) == ("connecting", "", None)
        go.set()
        capture.latest(PATIENCE).release()
        wait_for(lambda: capture.statistics().state == "lost")
        figures = capture.statistics()
        assert figures.reason == "cable pulled"
        assert abs(figures.last_picture - time.time()) < PATIENCE
        away.set()
        capture.latest(PATIENCE).release()
        wait_for(lambda: capture.statistics().state == "ended")
        assert capture.statistics().last_picture > figures.last_picture
        assert capture.statistics().reason == ""


def test_the_reason_is_the_newest(pictures):
    go = threading.Event()
    source = Scripted([pictures[0], go, SourceError("silent for 30 s")], live=True)
    with Capture(source, policy="every") as capture:
        capture.latest(PATIENCE).release()
        source.open_errors = [SourceError("connection refused")] * 100_000
        go.set()
        wait_for(lambda: capture.statistics().reason == "connection refused")
        assert capture.statistics().state == "lost"


def test_damage_adds_up_where_another_source_is_found_after_each_loss(pictures):
    class Found(Scripted):
        comes_later = True

        def read(self):
            self.note_damage("a part that holds no picture")
            return super().read()

    steps = [
        [pictures[0], SourceError("the writer left")],
        [pictures[1], SourceError("the writer left")],
        [pictures[2]],
    ]
    lives = iter([Found(each, live=True) for each in steps])
    with Capture(LaterSource("pipe", lambda: next(lives)), policy="every") as capture:
        while (frame := capture.latest(PATIENCE)) is not None:
            frame.release()
    figures, account = capture.statistics(), capture.ledger.account()
    assert (figures.damaged, figures.reconnects) == (6, 2)
    assert (account.arrived, account.ended["damaged"]) == (9, 6)


def test_the_reason_of_an_end(pictures):
    with Capture(Scripted([pictures[0], SourceError("disk on fire")])) as capture:
        capture.latest(PATIENCE).release()
        with pytest.raises(SourceError):
            capture.latest(PATIENCE)
        assert (capture.statistics().state, capture.statistics().reason) == ("ended", "disk on fire")


def test_a_flapping_camera_logs_a_bounded_number_of_lines(pictures, caplog):
    steps = [step for _ in range(100) for step in (pictures[0], SourceError("cable loose"))]
    with Capture(Scripted([*steps, pictures[1]], live=True), policy="every") as capture:
        for _ in range(101):
            capture.latest(PATIENCE).release()
        assert capture.statistics().reconnects == 100
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == changes.BURST
    assert warnings[0] == "cable loose; trying again"
    assert "back after" in warnings[1]


def test_what_was_held_back_comes_when_it_is_due(monkeypatch, caplog):
    now = [1000.0]
    monkeypatch.setattr(changes.time, "monotonic", lambda: now[0])
    log = ChangeLog()
    for index in range(changes.BURST + 5):
        log.note(f"change {index}")
    assert len(caplog.records) == changes.BURST
    now[0] += changes.INTERVAL - 1
    log.settle()
    assert len(caplog.records) == changes.BURST
    now[0] += 2
    log.settle()
    last = changes.BURST + 4
    assert caplog.records[-1].getMessage() == f"change {last} (4 changes before that are not shown)"
    now[0] += changes.INTERVAL * 1000
    log.settle()
    assert len(caplog.records) == changes.BURST + 1
    # However long it was quiet, a burst is a burst.
    for index in range(100):
        log.note(f"again {index}")
    assert len(caplog.records) == 2 * changes.BURST + 1


def test_what_needed_help_is_counted(pictures):
    odd = odd_jpeg.padded(pictures[1], bytes(500))
    noisy = odd_jpeg.padded(pictures[2], b"left over " * 50)
    steps = [pictures[0], odd, odd, noisy, pictures[3], noisy[:4000]]
    with Capture(Scripted(steps)) as capture:
        while (frame := capture.latest(PATIENCE)) is not None:
            with frame:
                assert frame.bgr().shape == (360, 640, 3)
                assert frame.crop(10, 10, 200, 100).shape == (90, 190, 3)
        figures = capture.statistics()
    assert (figures.mended, figures.second_opinions, figures.damaged, figures.delivered) == (2, 1, 1, 5)


@pytest.mark.parametrize("size", [None, (90, 160)])
def test_odd_pictures_keep_all_that_clean_ones_have(pictures, size):
    """Scaled decoding, compressed bytes to pass on, crops."""

    def looks(data: bytes) -> list[np.ndarray]:
        with Capture(Scripted([data]), size=size) as capture, capture.latest(PATIENCE) as frame:
            assert frame.jpeg is not None
            return [frame.planes[0].copy(), frame.crop(100, 20, 300, 120), frame.at_least(150, 200), frame.bgr().copy()]

    clean = looks(pictures[0])
    for odd in (odd_jpeg.padded(pictures[0], bytes(500)), odd_jpeg.padded(pictures[0], b"left over " * 50)):
        for seen, expected in zip(looks(odd), clean, strict=True):
            np.testing.assert_array_equal(seen, expected)
