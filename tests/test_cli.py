"""The command as a person types it: in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from networks import classifier_network, mean_network
from videos import jpeg, mjpeg_avi, numbered_avi, picture

COMMANDS = ("run", "models", "inspect", "convert", "infer", "run-script", "spool", "serve", "cloud", "doctor", "bench")


def saccade(*arguments: object, **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "saccade", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, **keywords,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_avi(tmp_path_factory.mktemp("video") / "v.avi", 12)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier_network(tmp_path_factory.mktemp("net") / "directions.xml")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = saccade(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "example:" in done.stdout
    assert f"saccade {command}" in done.stdout


def test_importing_the_package_is_cheap_and_light() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import saccade; s = time.perf_counter() - t\n"
        "heavy = {'openvino', 'cv2', 'numba', 'numpy', 'boto3', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(s)"
    )
    best = min(float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(3))
    assert best < 0.150


def test_classify_writes_events_and_a_summary(video: Path, classifier: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class {index}" for index in range(9)))
    events, summary = tmp_path / "events.jsonl", tmp_path / "summary.json"
    done = saccade(
        "run", "classify", "--source", video, "--model", classifier, "--labels", labels, "--scale", 255, "--top", 2,
        "--device", "CPU", "--events", events, "--summary", summary,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(12))
    assert all(line["classes"][0]["label"] == "class 4" and len(line["classes"]) == 2 for line in lines)
    assert {"frame", "time", "app", "classes"} == set(lines[0])
    figures = json.loads(summary.read_text())
    assert {"frames", "seconds", "fps", "dropped", "stages", "age_ms", "device", "precision", "model"} <= set(figures)
    assert (figures["frames"], figures["dropped"], figures["device"]) == (12, 0, "CPU")
    assert set(figures["stages"]) == {"decode", "preprocess", "infer", "postprocess", "output"}
    assert set(figures["stages"]["infer"]) == {"p50_ms", "p99_ms"}
    assert "12 frames in" in done.stdout


def test_nine_direction_classifier_gives_a_pose(video: Path, classifier: Path) -> None:
    done = saccade(
        "run", "head-pose", "--source", video, "--model", classifier, "--scale", 255, "--frames", 2, "--events", "-"
    )
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout.splitlines()[0])
    assert first["pose"]["direction"] == "Middle"
    assert set(first["pose"]["probabilities"]) == {
        "Down Right", "Right", "Up Right", "Down", "Middle", "Up", "Down Left", "Left", "Up Left",
    }  # fmt: skip
    assert first["pose"]["yaw"] is None
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "faces", "--source", "/no/such/video.avi"], "No such file"),
        (["run", "faces", "--model", "no-such-model.xml"], "no-such-model.xml"),
        (["run", "faces", "--threshold", "2"], "expected a probability"),
        (["run", "faces", "--frames", "few"], "--frames: got 'few'; expected a whole number"),
        (["run", "faces", "--config", "/no/such.toml"], "/no/such.toml: cannot be read"),
        (["run", "faces", "--events", "-", "--summary", "-"], "would mix on standard output"),
        (["run", "classify"], "classify needs a network"),
        (["models", "pull", "no-such-model"], "no model is called"),
        (["inspect", "/no/such.xml"], "/no/such.xml"),
        (["infer", "/no/such.xml", "x.png"], "/no/such.xml"),
        (["convert", "/no/such.xml"], "/no/such.xml"),
    ],
)
def test_a_mistake_gives_one_line_and_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = saccade(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.avi", b""), ("text.mp4", b"this is no video at all" * 50), ("broken.jpg", b"\xff\xd8\xff\xe0garbage")],
)
def test_a_file_that_is_not_what_its_name_says(name: str, content: bytes, tmp_path: Path, classifier: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    done = saccade("run", "classify", "--source", path, "--model", classifier, "--events", "-")
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or json.loads(done.stdout.splitlines()[0])


def test_a_model_that_is_not_what_its_name_says(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_text("<!DOCTYPE html><html>404</html>")
    done = saccade("run", "faces", "--source", video, "--model", path)
    assert done.returncode == 2
    assert "model.xml" in done.stderr
    assert "Traceback" not in done.stderr


def test_truncated_frames_are_skipped_and_counted(tmp_path: Path, classifier: Path) -> None:
    frames = [jpeg(picture(index)) for index in range(10)]
    frames[4] = frames[4][: len(frames[4]) // 3]
    frames[7] = b"\xff\xd8" + bytes(200)
    summary = tmp_path / "summary.json"
    done = saccade(
        "run", "classify", "--source", mjpeg_avi(tmp_path / "v.avi", frames), "--model", classifier,
        "--summary", summary,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(summary.read_text())
    assert (figures["frames"], figures["damaged"]) == (8, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_its_summary_and_whole_lines(
    number: signal.Signals, tmp_path: Path, classifier: Path
) -> None:
    video = numbered_avi(tmp_path / "long.avi", 300)
    events = tmp_path / "events.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "saccade", "run", "classify", "--source", video, "--model", classifier, "--realtime",
         "--events", events],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (events.exists() and events.stat().st_size > 500) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert "frames in" in out
    assert "Traceback" not in errors
    assert [json.loads(line)["frame"] for line in events.read_text().splitlines()]


def test_ctrl_c_during_start_up_leaves_no_traceback(video: Path, classifier: Path) -> None:
    for delay in (0.05, 0.3, 0.6, 1.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "saccade", "run", "classify", "--source", video, "--model", classifier],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        if delay > 0.2:  # before that the interpreter itself is still starting
            assert "Traceback" not in errors, (delay, errors)


def test_a_reader_that_goes_away_ends_the_events_quietly(tmp_path: Path, classifier: Path) -> None:
    video = numbered_avi(tmp_path / "long.avi", 300)
    command = f"{sys.executable} -m saccade run classify --source {video} --model {classifier} --events - | head -n 2"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert len(done.stdout.splitlines()) == 2
    assert "Traceback" not in done.stderr


def test_a_full_disk_under_out_loses_nothing_that_was_written(tmp_path: Path, classifier: Path, video: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    done = saccade("run", "classify", "--source", video, "--model", classifier, "--events", "/dev/full")
    assert done.returncode == 0
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "12 frames in" in done.stdout


def test_a_taken_port_is_named(video: Path, classifier: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = saccade("run", "classify", "--source", video, "--model", classifier, "--view", f"127.0.0.1:{port}")
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_infer_prints_every_value(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    model = mean_network(tmp_path / "means.xml")
    cv2.imwrite(str(tmp_path / "p.png"), np.full((64, 64, 3), (10, 20, 30), np.uint8))
    done = saccade("infer", model, tmp_path / "p.png", "--json")
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)[0]["outputs"]
    assert outputs["means"]["shape"] == [1, 3]
    assert outputs["means"]["data"] == pytest.approx([10, 20, 30], abs=1e-3)
    assert saccade("infer", model, tmp_path / "p.png", "--rgb", "--scale", 10).stdout.count("means") == 1


def test_doctor_answers_in_json() -> None:
    done = saccade("doctor", "--json")
    assert done.returncode == 0, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["cpu"]["state"] == "ok"
    assert checks["device CPU"]["state"] == "ok"
    assert all(check["remedy"] for check in checks.values() if check["state"] == "missing")


def test_models_list_names_licence_source_and_digest() -> None:
    done = saccade("models", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert entries["blazeface-full"]["licence"] == "Apache-2.0"
    assert entries["blazeface-full"]["files"][0]["digest"].startswith("sha256:")
    assert "face-detection-adas-0001-FP16" in entries
