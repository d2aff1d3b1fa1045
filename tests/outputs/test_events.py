from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from conditions import PATIENCE, meanwhile, wait_for
from saccade.errors import OutputError
from saccade.frame import Frame
from saccade.outputs.events import EventStatistics, EventWriter, to_json
from saccade.results import Result
from scenes import classes_result, faces_result, picture, pose_result


@pytest.fixture(scope="module")
def frame() -> Frame:
    return Frame.from_bgr(picture(width=80, height=60))


def test_one_line_a_frame_at_once(tmp_path: Path, frame: Frame) -> None:
    writer = EventWriter(tmp_path / "e.jsonl")
    results = [faces_result(0, 0.1, [(1, 2, 3.5, 4)]), classes_result(1, 0.2), pose_result(2, 0.3, 8)]
    for count, result in enumerate(results, 1):
        writer.accept(frame, result)
        assert (tmp_path / "e.jsonl").read_bytes().count(b"\n") == count
    writer.close()
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert lines == [result.to_event() for result in results]
    assert lines[0]["detections"][0]["xmax"] == 3.5
    assert lines[2]["pose"]["direction"] == "Up Left"
    assert writer.statistics() == EventStatistics(written=3, lost=0)


@pytest.mark.parametrize(("append", "lines"), [(False, 1), (True, 2)])
def test_begins_anew_unless_told(tmp_path: Path, frame: Frame, append: bool, lines: int) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text('{"old":1}\n')
    writer = EventWriter(path, append=append)
    writer.accept(frame, faces_result(0, 0.0, []))
    writer.close()
    assert len(path.read_text().splitlines()) == lines


def test_numpy_values_and_nan_become_json() -> None:
    extra = {
        "n": np.int64(3),
        "a": np.array([1.0, np.nan]),
        "x": float("inf"),
        "deep": [{"y": float("nan")}],
        "s": "\ud800é\n",
    }
    text = to_json(Result(frame=0, time=0.0, app="faces", width=1, height=1, extra=extra).to_event())
    assert "\n" not in text
    read = json.loads(text)
    assert (read["n"], read["a"], read["x"], read["deep"]) == (3, [1.0, None], None, [{"y": None}])
    text.encode()


def test_events_on_standard_output_stand_among_what_is_printed(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from scenes import faces_result
from saccade.outputs.events import EventWriter
print("before")
writer = EventWriter("-")
writer.accept(None, faces_result(0, 0.0, []))
writer.close()
print("after")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert [line[:10] for line in sorted(done.stdout.splitlines())] == ["after", "before", '{"frame":0']


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(OutputError, match=r"events cannot be written to /no/e\.jsonl: No such file or directory; give"):
        EventWriter("/no/e.jsonl")


def test_a_reader_that_goes_is_one_error(frame: Frame) -> None:
    reader, pipe = os.pipe()
    writer = EventWriter(f"/dev/fd/{pipe}")
    os.close(pipe)
    writer.accept(frame, faces_result(0, 0.0, []))
    os.close(reader)
    with pytest.raises(OutputError, match=r"the reader of the events on .* has gone"):
        writer.accept(frame, faces_result(1, 0.0, []))
    writer.accept(frame, faces_result(2, 0.0, []))
    assert writer.statistics() == EventStatistics(written=1, lost=2)
    writer.close()


def test_a_slow_reader_loses_no_line_and_cuts_none(frame: Frame) -> None:
    reader, pipe = os.pipe()
    writer = EventWriter(f"/dev/fd/{pipe}")
    os.close(pipe)
    received = b""

    def read() -> None:
        nonlocal received
        while piece := os.read(reader, 2000):
            received += piece
            sleep(0.001)

    many = [(float(i), 0.0, float(i + 5), 9.0) for i in range(150)]  # a line of more than a pipe's atomic 4096 bytes
    with meanwhile(read):
        for n in range(40):
            writer.accept(frame, faces_result(n, 0.0, many))
        writer.close()
    os.close(reader)
    assert [json.loads(line)["frame"] for line in received.splitlines()] == list(range(40))


def test_close_while_the_reader_takes_nothing(frame: Frame) -> None:
    reader, pipe = os.pipe()
    writer = EventWriter(f"/dev/fd/{pipe}")
    with meanwhile(lambda: [writer.accept(frame, faces_result(n, 0.0, [])) for n in range(3000)]):
        wait_for(lambda: not select.select([], [pipe], [], 0)[1])  # no line has room
        os.close(pipe)
        writer.close()
    assert writer.statistics().lost > 0
    os.close(reader)


def test_full_device_is_counted_and_told_once(frame: Frame, caplog: pytest.LogCaptureFixture) -> None:
    writer = EventWriter("/dev/full")
    for n in range(5):
        writer.accept(frame, faces_result(n, 0.0, []))
    writer.close()
    assert writer.statistics() == EventStatistics(written=0, lost=5)
    assert [r.message for r in caplog.records] == [
        "events cannot be written to /dev/full: No space left on device; lines are lost until that is mended"
    ]


def test_full_disk_leaves_whole_lines_and_recovers(
    small_disk: Path, frame: Frame, caplog: pytest.LogCaptureFixture
) -> None:
    path = small_disk / "e.jsonl"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    writer = EventWriter(path)
    n = 0
    while writer.statistics().lost < 20:
        writer.accept(frame, faces_result(n, 0.0, [(0, 0, 9, 9)] * (n % 5)))
        n += 1
    held = [json.loads(line)["frame"] for line in path.read_text().splitlines()]
    assert path.read_text().endswith("\n")
    ballast.unlink()
    for _ in range(10):
        writer.accept(frame, faces_result(n, 0.0, []))
        n += 1
    writer.close()
    frames = [json.loads(line)["frame"] for line in path.read_text().splitlines()]
    assert frames[: len(held)] == held
    assert frames[-10:] == list(range(n - 10, n))
    assert len(frames) == writer.statistics().written
    assert sum("cannot be written" in r.message for r in caplog.records) == 1
    assert "again" in caplog.text
