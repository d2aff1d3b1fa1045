"""The FIFO with real readers; ffmpeg and mplayer where they are installed."""

from __future__ import annotations

import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import thread_time

import pytest
import simplejpeg

from conditions import PATIENCE, wait_for
from saccade.errors import OutputError
from saccade.outputs.display import Display
from saccade.outputs.fifo import Fifo
from scenes import Feeder


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def read(path: Path, count: int) -> bytes:
    """What a reader of the FIFO gets until that holds so many whole pictures."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return read_on(file, count)
    finally:
        os.close(file)


def read_on(file: int, count: int) -> bytes:
    """The same of a FIFO that is open."""
    data = b""

    def enough() -> bool:
        nonlocal data
        with suppress(BlockingIOError):
            data += os.read(file, 1 << 16)
        return data.count(b"\xff\xd8\xff") > count

    wait_for(enough)
    return data


def whole_pictures(data: bytes) -> list[bytes]:
    """The JPEGs of an MJPEG stream; each must decode, the last may be cut."""
    parts = [b"\xff\xd8\xff" + part for part in data.split(b"\xff\xd8\xff")[1:]]
    for part in parts[:-1]:
        assert part.endswith(b"\xff\xd9")
        simplejpeg.decode_jpeg(part)
    return parts[:-1]


def test_a_reader_gets_whole_pictures(tmp_path: Path) -> None:
    display, path = Display(), tmp_path / "results.mjpeg"
    fifo = Fifo(display, path).start()
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Feeder(display.accept):
        assert len(whole_pictures(read(path, 6))) >= 6
    fifo.close()
    display.close()
    assert not path.exists()


def test_readers_come_and_go(tmp_path: Path) -> None:
    display, path = Display(), tmp_path / "results.mjpeg"
    fifo = Fifo(display, path).start()
    with Feeder(display.accept):
        for _ in range(4):
            data = read(path, 2)
            assert data.startswith(b"\xff\xd8\xff")
            assert len(whole_pictures(data)) >= 2
    threads = [t.name for t in threading.enumerate() if t.name == "saccade-fifo"]
    assert len(threads) == 1
    fifo.close()
    display.close()


def test_a_reader_that_stalls_gets_the_rest_and_then_the_present(tmp_path: Path) -> None:
    display, path = Display(), tmp_path / "results.mjpeg"
    fifo = Fifo(display, path).start()
    with Feeder(display.accept) as feeder:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        full = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        wait_for(lambda: not select.select([], [full], [], 0)[1])
        os.close(full)
        encoded, frames = display.statistics().encoded, feeder.frames
        wait_for(lambda: feeder.frames - frames > 8)
        assert display.statistics().encoded - encoded <= 1  # nothing is made for a reader that takes nothing
        data = read_on(file, 4)
        os.close(file)
    assert len(whole_pictures(data)) > 2
    fifo.close()
    display.close()


def test_no_reader_no_work(tmp_path: Path) -> None:
    display = Display()
    fifo = Fifo(display, tmp_path / "f").start()
    with Feeder(display.accept) as feeder:
        wait_for(lambda: feeder.frames > 15)
    assert display.statistics().encoded == 0
    fifo.close()
    display.close()


@pytest.mark.parametrize("stalled", [False, True])
def test_the_thread_sleeps(tmp_path: Path, stalled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No busy loop, be there no reader or one that takes nothing."""
    used: list[float] = []
    run = Fifo._run

    def timed(self: Fifo) -> None:
        start = thread_time()
        run(self)
        used.append(thread_time() - start)

    monkeypatch.setattr(Fifo, "_run", timed)
    display, path = Display(), tmp_path / "f"
    fifo = Fifo(display, path).start()
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if stalled else None
    with Feeder(display.accept) as feeder:
        wait_for(lambda: feeder.frames > 45)
    fifo.close()
    display.close()
    if file is not None:
        os.close(file)
    assert used[0] < 0.1


def test_close_is_quick_from_any_state(tmp_path: Path) -> None:
    for reader in (False, True):
        display, path = Display(), tmp_path / "f"
        fifo = Fifo(display, path).start()
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if reader else None
        with Feeder(display.accept):
            if reader:
                wait_for(lambda display=display: display.statistics().encoded)
            fifo.close()
        display.close()
        if file is not None:
            os.close(file)
        assert not path.exists()


def test_a_pipe_that_was_there_is_used_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "f"
    os.mkfifo(path, 0o600)
    display = Display()
    fifo = Fifo(display, path).start()
    with Feeder(display.accept):
        assert whole_pictures(read(path, 1))
    fifo.close()
    display.close()
    assert path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_refuses_what_is_no_pipe(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "holiday.mjpeg"
    if kind == "file":
        path.write_bytes(b"precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"holiday\.mjpeg is there already and is not a named pipe; remove it or"):
        Fifo(Display(), path)
    if kind == "file":
        assert path.read_bytes() == b"precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory; give a path"):
        Fifo(Display(), tmp_path / "no" / "f")


def test_a_pipe_that_is_removed_is_made_again(tmp_path: Path) -> None:
    display, path = Display(), tmp_path / "f"
    fifo = Fifo(display, path).start()
    path.unlink()
    wait_for(path.exists)
    with Feeder(display.accept):
        assert whole_pictures(read(path, 1))
    fifo.close()
    display.close()
    assert not path.exists()


def test_never_writes_to_a_file_put_in_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    display, path = Display(), tmp_path / "f"
    fifo = Fifo(display, path).start()
    path.unlink()
    path.write_bytes(b"precious")
    with Feeder(display.accept):
        wait_for(lambda: "now is not a named pipe" in caplog.text)
    fifo.close()
    display.close()
    assert path.read_bytes() == b"precious"
    assert "now is not a named pipe" in caplog.text


def test_sigpipe_does_not_kill_the_program(tmp_path: Path) -> None:
    """With SIGPIPE restored, as programs that end quietly in a shell pipe do."""
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
from conditions import wait_for
from scenes import Feeder
from saccade.outputs.display import Display
from saccade.outputs.fifo import Fifo
display = Display()
fifo = Fifo(display, {str(tmp_path / "f")!r}).start()
with Feeder(display.accept, rate=60):
    for _ in range(3):
        before = display.statistics().encoded
        reader = os.open({str(tmp_path / "f")!r}, os.O_RDONLY | os.O_NONBLOCK)
        wait_for(lambda: display.statistics().encoded >= before + 2)
        os.close(reader)
        wait_for(lambda: display.statistics().viewers == 0)
fifo.close()
display.close()
print("alive")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr


@needs("ffmpeg")
def test_ffmpeg_reads_it_is_killed_and_comes_back(tmp_path: Path) -> None:
    display, path = Display(), tmp_path / "results.mjpeg"
    fifo = Fifo(display, path).start()
    command = ["ffmpeg", "-v", "error", "-f", "mjpeg", "-i", str(path), "-f", "null", "-"]
    with Feeder(display.accept):
        for _ in range(2):
            reader = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            before = display.statistics().encoded
            wait_for(lambda before=before: display.statistics().encoded >= before + 10)
            reader.send_signal(signal.SIGKILL)
            reader.wait()
        done = subprocess.run(
            [*command[:-3], "-frames:v", "20", "-f", "null", "-"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    fifo.close()
    display.close()


@needs("mplayer")
def test_mplayer_reads_it_as_the_old_projects_said(tmp_path: Path) -> None:
    display, path = Display(), tmp_path / "results.mjpeg"
    fifo = Fifo(display, path).start()
    with Feeder(display.accept):
        done = subprocess.run(
            ["mplayer", "-really-quiet", "-vo", "null", "-ao", "null", "-nolirc", "-noconsolecontrols",
             "-demuxer", "lavf", "-lavfdopts", "format=mjpeg:probesize=32", "-frames", "15", "-benchmark", str(path)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert display.statistics().encoded >= 10
    fifo.close()
    display.close()
