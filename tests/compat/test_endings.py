"""How runs end: what is said of it, with which status, and how soon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from script_runs import Device

from conditions import PATIENCE, wait_for
from lengths import length

HEAD = "import awscam, greengrasssdk, time, json\nfrom threading import Thread, Timer\n"
HEAD += "client = greengrasssdk.client('iot-data')\n"
LOOP = "while True:\n    ret, frame = awscam.getLastFrame()\n    client.publish(topic='t', payload='frame')\n"


def last(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_frames_reached_of_frames_asked(device: Device) -> None:
    run = device.run(device.script(HEAD + LOOP), frames=3)
    assert "3 of 3 frames in" in run.err
    assert (run.report["frames"], run.report["asked"], run.report["restarts"]) == (3, 3, 0)
    assert run.report["ended"] == "these are all that were asked for"


def test_an_early_end_is_said_with_the_error_that_the_script_caught(device: Device) -> None:
    text = HEAD + "try:\n    ret, frame = awscam.getLastFrame()\n    raise ValueError('too dark')\n"
    text += "except Exception as e:\n    client.publish(topic='t', payload=str(e))\n"
    run = device.run(device.script(text), frames=5)
    assert "1 of 5 frames" in run.err
    assert run.report["ended"].startswith("the script ended by itself; the last error it caught: ")
    assert run.report["ended"].endswith("script.py, line 6: ValueError: too dark")


def test_a_script_that_takes_no_frame_is_told_so(device: Device) -> None:
    run = device.run(device.script("import awscam\nprint 'hello'\n"), status=1)
    assert last(run.err) == "saccade run-script: no frame was taken"
    assert run.out == "hello\n"


@pytest.mark.parametrize(
    ("clause", "first"),
    [
        ("open('synset.txt')", "FileNotFoundError: [Errno 2] No such file or directory: 'synset.txt'"),
        ("{}['cat']", "KeyError: 'cat'"),
        ("import dlr_of_another_world", "ModuleNotFoundError: No module named 'dlr_of_another_world'"),
    ][: length(1, 3)],
)
def test_the_first_error_is_shown_not_the_one_that_hid_it(device: Device, clause: str, first: str) -> None:
    text = f"import awscam\ndef run():\n    try:\n        {clause}\n        answer = 1\n"
    text += "    except Exception as e:\n        print answer\nrun()\n"
    run = device.run(device.script(text), status=1)
    assert f"script.py, line 4: {first}" in last(run.err)
    assert "line 7: UnboundLocalError" in last(run.err)


def test_an_error_that_a_thread_ended_by(device: Device) -> None:
    text = (
        HEAD + "def work():\n    ret, frame = awscam.getLastFrame()\n    frame.nothing()\nThread(target=work).start()\n"
    )
    run = device.run(device.script(text), status=1)
    assert "1 of 4 frames" in run.err
    assert "line 6: AttributeError" in last(run.err)


def test_restarts_back_off_and_stop(device: Device) -> None:
    text = (
        HEAD
        + "def run():\n    print '%.4f' % time.time()\n    try:\n        open('gone.txt')\n    except Exception as e:\n"
    )
    text += "        client.publish(topic='t', payload='failed')\n    Timer(0.05, run).start()\nrun()\n"
    run = device.run(device.script(text), "--restarts", "4", status=1)
    starts = [float(line) for line in run.out.splitlines()]
    assert len(starts) == 5
    assert all(b - a >= 0.05 * 2**n for n, (a, b) in enumerate(pairwise(starts)))
    assert "run was started again 4 times by its Timer and took no frame" in last(run.err)
    assert "line 7: FileNotFoundError" in last(run.err)
    assert run.report["restarts"] == 4


def test_a_pacing_timer_is_no_restart(device: Device) -> None:
    text = HEAD + "def look():\n    awscam.getLastFrame()\n    client.publish(topic='t', payload='x')\n"
    text += "    Timer(0.01, look).start()\nlook()\n"
    run = device.run(device.script(text), "--restarts", "1", frames=8)
    assert len(run.payloads) == 8
    assert run.report["restarts"] == 0


def test_restarts_with_frames_in_between_go_on(device: Device) -> None:
    text = HEAD + "def look():\n    try:\n        awscam.getLastFrame()\n        raise IOError('x')\n"
    text += "    except IOError:\n        pass\n    Timer(0.01, look).start()\nlook()\n"
    run = device.run(device.script(text), "--restarts", "1", frames=5)
    assert "5 of 5 frames" in run.err
    assert run.report["restarts"] == 5  # the last one finds no frame more


def test_a_script_that_asks_for_no_frame(device: Device) -> None:
    run = device.run(
        device.script(HEAD + "awscam.getLastFrame()\nwhile True:\n    time.sleep(0.01)\n"), "--patience", "3", status=1
    )
    assert "stopped: the script asked for no frame for 3 s" in last(run.err)
    assert "line 6" in last(run.err)
    assert "--patience SECONDS" in last(run.err)
    assert "1 of 4 frames" in run.err


def test_a_flood_of_messages(device: Device) -> None:
    text = HEAD + "awscam.getLastFrame()\nwhile True:\n    try:\n        client.publish(topic='t', payload='x')\n"
    text += "    except:\n        pass\n"
    run = device.run(device.script(text), status=1)
    assert len(run.payloads) == 1000
    assert "1000 messages were sent since frame 1" in last(run.err)


@pytest.mark.parametrize(
    ("words", "got"),
    [
        (["FILE", "--frames", "2", "--", "out.jpg"], ["out.jpg"]),
        (["--frames", "2", "FILE", "--", "--frames", "9", "-x"], ["--frames", "9", "-x"]),
        (["FILE", "one", "--frames", "2", "--", "--", "two"], ["one", "--", "two"]),
        (["FILE", "--frames", "2"], []),
    ][: length(3, 4)],
)
def test_arguments_of_the_script(device: Device, words: list[str], got: list[str]) -> None:
    script = device.script("import sys, json, awscam\nawscam.getLastFrame()\nprint json.dumps(sys.argv[1:])\n")
    command = [word.replace("FILE", str(script)) for word in words]
    base = device.command(script)[:4]
    done = subprocess.run([*base, *command], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == got


def started(device: Device, text: str, **options: Any) -> subprocess.Popen[str]:
    """A script that runs, and has sent its first message."""
    process = subprocess.Popen(
        device.command(device.script(text)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    messages = device.folder / "messages"
    try:
        wait_for(lambda: process.poll() is not None or (messages.exists() and messages.stat().st_size))
    except AssertionError:
        process.kill()
        process.wait()
    if process.poll() is not None:
        raise AssertionError(process.communicate())
    return process


DOES = ("time.sleep(1000)", "while True: pass", "open('pipe').read()")
NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.mark.parametrize(("does", "number"), list(product(DOES, NUMBERS))[:: length(4, 1)])  # each of both
def test_signals_end_it_at_once(device: Device, number: signal.Signals, does: str) -> None:
    os.mkfifo(device.folder / "pipe")
    text = HEAD + f"awscam.getLastFrame()\nclient.publish(topic='t', payload='x')\n{does}\n"
    process = started(device, text)
    try:
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "1 frames in" in err
    assert f"{number.name} came" in err


def test_a_library_that_lets_no_thread_run_is_killed(device: Device) -> None:
    text = HEAD + "awscam.getLastFrame()\nclient.publish(topic='t', payload='x')\n"
    # It holds Python's lock and waits for its own, which no signal ends.
    text += "import ctypes\nlibrary = ctypes.PyDLL(None)\nmutex = ctypes.create_string_buffer(64)\n"
    text += "library.pthread_mutex_lock(mutex)\nlibrary.pthread_mutex_lock(mutex)\n"
    process = started(device, text)
    try:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "died of SIGKILL" in err


def test_processes_of_the_script_end_with_it(device: Device) -> None:
    text = HEAD + "import subprocess, multiprocessing\nawscam.getLastFrame()\n"
    text += "def forever():\n    time.sleep(1000)\n"
    text += "children = [subprocess.Popen(['sleep', '1000']), multiprocessing.Process(target=forever)]\n"
    text += "children[1].start()\nprint children[0].pid, children[1].pid\nimport sys; sys.stdout.flush()\n"
    text += "client.publish(topic='t', payload='x')\ntime.sleep(1000)\n"
    process = started(device, text)
    try:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)  # they hold the output open
    finally:
        process.kill()
    assert process.returncode == 0, err
    for child in out.split():
        state = Path(f"/proc/{child}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_process_that_the_script_ends_does_not_end_the_script(device: Device) -> None:
    text = HEAD + "import multiprocessing\ndef forever():\n    time.sleep(1000)\n"
    text += "p = multiprocessing.Process(target=forever)\np.start()\np.terminate()\np.join()\n"
    text += "client.publish(topic='t', payload=str(p.exitcode))\n" + LOOP
    run = device.run(device.script(text), frames=3)
    assert run.payloads == ["-15", "frame", "frame", "frame"]


def test_a_run_ends_when_who_started_it_is_killed(device: Device) -> None:
    process = started(
        device, HEAD + "awscam.getLastFrame()\nclient.publish(topic='t', payload='x')\ntime.sleep(1000)\n"
    )
    process.kill()
    _, err = process.communicate(timeout=PATIENCE)
    assert "the process that started it has gone" in err


def test_a_run_whose_standard_streams_are_closed(device: Device) -> None:
    script = device.script("import awscam, sys\nwhile True:\n    awscam.getLastFrame()\n    print 'x' * 9000\n")
    closed = ["sh", "-c", 'exec 0<&- 1>&- 2>&- "$@"', "sh", *device.command(script, "--frames", "3")]
    assert subprocess.run(closed, timeout=PATIENCE).returncode == 0
    assert json.loads((device.folder / "report").read_text())["frames"] == 3
    silent = ["sh", "-c", 'exec 1>&- "$@"', "sh", *device.command(script, "--frames", "3", "--events", "-")]
    refused = subprocess.run(silent, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert (refused.returncode, refused.stderr) == (
        2, "saccade run-script: messages cannot be written: standard output is closed; give a file (--events)\n",
    )  # fmt: skip


def test_a_child_by_fork_takes_frames_and_says_nothing_of_the_run(device: Device) -> None:
    text = "import awscam, os\npid = os.fork()\nn = sum(awscam.getLastFrame()[0] for _ in range(3))\n"
    text += "if pid:\n    os.waitpid(pid, 0)\nprint n, pid == 0\n"
    run = device.run(device.script(text), frames=6)
    assert run.out == "3 True\n3 False\n"
    assert run.err.count("6 of 6 frames") == 1


def test_threads_that_take_frames_and_save_them_are_no_displays(device: Device) -> None:
    """Though they have the display's name for the wish to stop; what waits to be saved is saved."""
    script = device.script(SAVER)
    run = device.run(script, frames=6)
    assert run.out == "saved 6\n"


SAVER = """
from threading import Thread, Event
import Queue, time
import awscam

class Saver(Thread):
    def __init__(self):
        super(Saver, self).__init__()
        self.stop_request, self.queue = Event(), Queue.Queue()
    def run(self):
        n = 0
        while not self.stop_request.isSet() or not self.queue.empty():
            try:
                frame = self.queue.get(True, 0.2)
            except Queue.Empty:
                continue
            time.sleep(0.1)
            n += 1
        print 'saved', n
    def join(self):
        self.stop_request.set()

class Camera(Thread):
    def __init__(self):
        super(Camera, self).__init__()
        self.stop_request = Event()
    def run(self):
        time.sleep(0.3)
        saver = Saver()
        saver.start()
        try:
            while not self.stop_request.isSet():
                saver.queue.put(awscam.getLastFrame()[1])
        finally:
            saver.join()

Camera().start()
"""


def test_a_report_that_cannot_be_written_at_the_end_is_told(device: Device) -> None:
    report = device.folder / "report"
    script = device.script(f"import awscam, os\nawscam.getLastFrame()\nos.mkdir({str(report)!r})\n")
    done = device.run_plain(script, "--frames", "1")
    assert done.returncode == 2
    assert done.stderr.endswith(f"--report {report}: cannot be written (Is a directory); give another place\n")
