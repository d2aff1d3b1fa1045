"""A source as it is opened, lost and opened again: what is said of it, and how long is waited in between."""

from __future__ import annotations

import threading

import pytest
from capture_tools import Scripted

from saccade.capture import connection
from saccade.capture.connection import SourceConnection
from saccade.errors import SourceError


class Pauses(threading.Event):
    """A stop that notes how long it was waited for, and does not wait. last : the pause in which it is set."""

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        self.seen: list[float] = []
        self._last = last

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seen.append(timeout)
        if len(self.seen) == self._last:
            self.set()
        return self.is_set()


def opened(source: Scripted, pauses: Pauses, *, later: bool = False) -> SourceConnection:
    there = SourceConnection(source, later=later, stop=pauses)
    there.open()
    return there


def lost(times: int) -> list[SourceError]:
    return [SourceError(f"attempt {number}") for number in range(times)]


def test_a_source_that_is_away_is_tried_less_and_less_often(pictures) -> None:
    pauses = Pauses()
    source = Scripted([SourceError("cable pulled"), pictures[0]], live=True)
    there = opened(source, pauses)
    source.open_errors = lost(9)
    assert there.read() is not None
    longest = connection.LONGEST_PAUSE
    assert pauses.seen == [min(connection.FIRST_PAUSE * 2**number, longest) for number in range(10)]
    assert pauses.seen[-1] == longest
    assert (there.standing, there.reconnects) == (("up", ""), 1)


def test_one_that_breaks_off_again_and_again_goes_on_with_its_pause_up_to_a_limit(pictures) -> None:
    pauses = Pauses()
    steps = [step for _ in range(16) for step in (pictures[0], SourceError("cable loose"))]
    there = opened(Scripted([*steps, pictures[1]], live=True), pauses)
    for _ in range(17):
        assert there.read() is not None
    doubled = [connection.FIRST_PAUSE * 2**number for number in range(4)]
    assert pauses.seen == [min(pause, connection.FLAPPING_PAUSE) for pause in doubled] + [2.0] * 12


def test_one_that_was_back_for_long_begins_with_the_first_pause(pictures, monkeypatch) -> None:
    monkeypatch.setattr(connection, "STEADY_SECONDS", 0.0)
    pauses = Pauses()
    steps = [step for _ in range(5) for step in (pictures[0], SourceError("cable loose"))]
    there = opened(Scripted([*steps, pictures[1]], live=True), pauses)
    for _ in range(6):
        there.read()
    assert pauses.seen == [connection.FIRST_PAUSE] * 5


def test_a_source_that_is_waited_for_connects_until_its_first_picture(pictures, caplog) -> None:
    source = Scripted([pictures[0]], live=True)
    source.open_errors = [SourceError("connection refused"), SourceError("no route")]
    there = opened(source, Pauses(), later=True)
    assert there.is_open, "whoever waits for it need not"
    assert there.standing == ("connecting", "connection refused")
    assert there.read() is not None
    assert (there.standing, there.reconnects) == (("up", ""), 0)
    first, second = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert first == "connection refused; trying again"
    assert "there after" in second


def test_a_file_that_fails_is_not_opened_again() -> None:
    there = opened(Scripted([SourceError("disk on fire")]), Pauses())
    with pytest.raises(SourceError, match="disk on fire"):
        there.read()


def test_a_stop_ends_a_pause_and_leaves_the_reason() -> None:
    pauses = Pauses(last=3)
    source = Scripted([SourceError("cable pulled")], live=True)
    there = opened(source, pauses)
    source.open_errors = lost(9)
    opens = source.opened
    assert there.read() is None
    assert len(pauses.seen) == 3
    assert len(source.open_errors) == 7, "not opened once more"
    assert source.opened == opens
    there.end(None)
    assert there.standing == ("ended", "attempt 1")


def test_who_is_told_of_absence_hears_of_each_attempt(pictures) -> None:
    heard: list[int] = []
    source = Scripted([pictures[0], SourceError("cable pulled"), pictures[1]], live=True)
    there = SourceConnection(source, later=False, stop=Pauses(), on_absence=lambda: heard.append(1))
    there.open()
    there.read()
    assert not heard
    source.open_errors = lost(2)
    there.read()
    assert len(heard) == 3
