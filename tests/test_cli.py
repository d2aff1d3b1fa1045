"""The command as a person types it: in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from itertools import cycle, product
from pathlib import Path

import pytest

from commands import told
from conditions import PATIENCE, listens, wait_for
from lengths import EXHAUSTIVE, length
from saccade.cli import main
from saccade.storage.writable import check_file, check_folder, write_file
from saccade.text import PlainFormatter
from small_networks import classifier_network, mean_network, spots_network
from videos import jpeg, mjpeg_avi, numbered_avi, picture

COMMANDS = (
    "run", "cameras", "why", "service", "models", "inspect", "convert", "infer", "run-script", "spool", "serve",
    "archive", "cloud", "device", "config", "doctor", "completion", "bench",
)  # fmt: skip


def saccade(*arguments: object, **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "saccade", *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, check=False, **keywords,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_avi(tmp_path_factory.mktemp("video") / "v.avi", 12)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier_network(tmp_path_factory.mktemp("net") / "directions.xml")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = told(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "example:" in done.stdout
    assert f"saccade {command}" in done.stdout


COMPLETES = """
source /dev/stdin
complete_line() {
  COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
  $(complete -p saccade | sed 's/.*-F \\([^ ]*\\) .*/\\1/') saccade "${COMP_WORDS[$COMP_CWORD]}" ""
  echo "${COMPREPLY[@]}"
}
complete_line saccade ru
complete_line saccade run fa
complete_line saccade run faces --mqtt-s
complete_line saccade run faces --mqtt-schema f
"""


def test_a_shell_completes_commands_options_and_values() -> None:
    script = saccade("completion", "bash")
    assert script.returncode == 0, script.stderr
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETES],
        input=script.stdout,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["run", "run-script"], ["faces"], ["--mqtt-schema"], ["frigate"],
    ]  # fmt: skip
    assert "saccade" in saccade("completion", "fish").stdout


def test_the_doctor_says_what_to_do_next(tmp_path: Path) -> None:
    empty = saccade("doctor", env={**os.environ, "SACCADE_CACHE": str(tmp_path)})
    assert empty.stdout.rstrip().splitlines()[-1].startswith(("next: saccade models pull demo", "next: mend "))
    wrong = saccade("doctor", "--json", env={**os.environ, "SACCADE_PUBLISHES": "x"})
    (settings,) = [check for check in json.loads(wrong.stdout)["checks"] if check["name"] == "settings"]
    assert settings["state"] == "missing"
    assert "did you mean SACCADE_PUBLISH?" in settings["remedy"]


@pytest.mark.parametrize("part", ["numpy", "openvino"])
def test_the_doctor_says_which_part_cannot_be_loaded(part: str, tmp_path: Path) -> None:
    (tmp_path / f"{part}.py").write_text("raise ImportError('libgone.so.1: cannot open shared object file')")
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = saccade("doctor", "--json", env={**os.environ, "PYTHONPATH": places})
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["device"]["state"] == "missing"
    assert "libgone.so.1: cannot open" in checks["device"]["found"]
    assert {"cpu", "disk", "settings"} <= checks.keys()


def test_the_log_of_a_run_says_when(video: Path, classifier: Path) -> None:
    by_hand = saccade(
        "run", "classify", "--source", video, "--model", classifier, "--device", "CPU", "--frames", "3", "--publish",
        "mqtt://127.0.0.1:1",
    )  # fmt: skip
    assert by_hand.returncode == 0, by_hand.stderr
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING ", by_hand.stderr, re.MULTILINE)


OUTPUT_FILES = (
    ("run", "detect", "--source", "no.mp4", "--model", "no.xml", "--summary"),
    ("run-script", "SCRIPT", "--source", "no.mp4", "--report"),
    ("tune", "no.xml", "--source", "no.mp4", "--chart"),
    ("cloud", "local", "--lambdas", "no", "--summary"),
    ("cloud", "zip", "no.jpg", "--local", "--out"),
    ("device", "lock", "--wheel", "no.whl", "--out"),
)
OUTPUT_FOLDERS = (
    ("tune", "no.xml", "--source", "no.mp4", "--keep-frames"),
    ("convert", "no.xml", "--output"),
    ("cloud", "build", "--out"),
    ("cloud", "deploy", "--out"),
    ("device", "deploy", "door", "--out"),
)


@pytest.mark.parametrize("words", OUTPUT_FILES + OUTPUT_FOLDERS, ids=" ".join)
def test_what_cannot_be_written_is_said_before_anything_else(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text("print 'ran'")
    named = [str(script) if word == "SCRIPT" else word for word in words]
    wrong = [f"{script}/below"] if words in OUTPUT_FOLDERS else [f"{script}/below", f"{tmp_path}/no/file", tmp_path]
    for place in wrong:
        assert main([*named, str(place)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{words[-1]} {place}: cannot be written (" in line
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


SECRETS = ("rtsp://me:hunter2@127.0.0.1:1/x", "http://127.0.0.1:1/x?token=hunter2", "rtsp://me:hunter2' b@127.0.0.1/")


def status_of(words: list[str]) -> object:
    try:
        return main(words)
    except SystemExit as ended:
        return ended.code


MISTAKES = (
    ("run", "detect", "SECRET"), ("run", "detect", "--sorce", "SECRET"), ("run", "detect", "--rate=SECRET"),
    ("run", "detect", "--device", "SECRET"), ("run", "SECRET"), ("SECRET",), ("convert", "SECRET"),
    ("infer", "no.xml", "SECRET"), ("run-script", "SECRET"), ("bench", "--seconds", "SECRET"),
    ("bench", "--source", "SECRET"), ("tune", "no.xml", "--source", "demo:", "--chart", "SECRET"),
    ("serve", "--address", "SECRET"), ("archive", "status", "SECRET", "--out", "SECRET"),
    ("cloud", "zip", "SECRET"), ("device", "deploy", "SECRET"), ("spool", "status", "SECRET"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "secret"), list(product(MISTAKES, SECRETS)) if EXHAUSTIVE else list(zip(MISTAKES, cycle(SECRETS)))
)
def test_a_mistake_tells_no_password(words: tuple[str, ...], secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of([word.replace("SECRET", secret) for word in words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("saccade")
    assert "hunter2" not in told.err + told.out


def test_a_wrong_variable_and_a_log_tell_no_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACCADE_RATE", SECRETS[2])
    assert main(["run", "detect", "--source", "no.mp4", "--model", "no.xml"]) == 2
    told = capsys.readouterr().err
    assert "SACCADE_RATE" in told
    assert "hunter2" not in told
    record = logging.LogRecord("saccade", logging.INFO, "", 0, "%s is away; %s", tuple(SECRETS[:2]), None)
    line = PlainFormatter("%(message)s").format(record)
    assert line == "rtsp://127.0.0.1:1/x is away; http://127.0.0.1:1/x?token=..."


def test_pipes_and_new_files_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "behind")
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "new", tmp_path / "link", tmp_path / "pipe", Path("/dev/null"), tmp_path / "new"):
        check_file("--out", place)
        if place.name == "new":
            write_file("--out", place, "text")
    check_folder("--out", tmp_path / "some" / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "new", "pipe"]
    assert (tmp_path / "new").read_text() == "text"


@pytest.mark.parametrize("modules", ["saccade", "saccade.cli.run_script, saccade.compat.host_options"])
def test_importing_loads_nothing_heavy(modules: str) -> None:
    """Neither who imports the package nor the process that starts a script and waits for it."""
    code = f"import sys, {modules}\nprint({{'openvino', 'cv2', 'numba', 'numpy', 'boto3', 'av'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


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


def test_detect_with_the_options_of_its_network(video: Path, tmp_path: Path) -> None:
    network = spots_network(tmp_path / "spots.xml")
    done = saccade(
        "run", "detect", "--source", video, "--model", network, "--classes", "red, bright", "--threshold", 0.1,
        "--iou", 0.6, "--tiles", "2x1", "--resize", "stretch", "--pad", 0, "--task", "detect", "--top", 3,
        "--input-shape", "images:1,3,256,256", "--device", "CPU", "--events", "-",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 12
    assert all(line["app"] == "detect" and len(line["detections"]) <= 3 for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--classes", "brigth"), "classes brigth: spots has no class of that name; did you mean bright?"),
        (("--tiles", "3by2"), "tiles '3by2': expected auto, off, or columns and rows as 3x2"),
        (("--task", "paint"), "task 'paint' is not known; choose detect"),
        (("--task", "segment"), "--task segment does not fit its outputs"),
        (("--iou", "2"), "iou: got 2; expected a part from 0 to 1"),
        (("--pad", "300"), "pad: got 300; expected a grey level from 0 to 255"),
        (("--input-shape", "wide"), "input shape: got 'wide'; expected sizes such as"),
        (("--resize", "squeeze"), "invalid choice: 'squeeze'"),
    ],
)
def test_options_of_detect_that_do_not_fit_are_named(
    options: tuple[str, ...], message: str, video: Path, tmp_path: Path
) -> None:
    network = spots_network(tmp_path / "spots.xml")
    done = told("run", "detect", "--source", video, "--model", network, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.corpus
def test_classify_has_a_network_of_its_own(classifiers: Path, corpus: Path) -> None:
    done = saccade("run", "classify", "--source", corpus / "images" / "sk_chelsea.png", "--top", 2, "--events", "-")
    assert done.returncode == 0, done.stderr
    (event,) = map(json.loads, done.stdout.splitlines())
    assert [found["label"] for found in event["classes"]] == ["cat", "neither"]
    assert event["classes"][0]["prob"] > 0.8


@pytest.mark.parametrize("app", ["detect", "faces", "segment", "classify", "head-pose"])
def test_every_app_has_help_with_an_example(app: str) -> None:
    done = told("run", app, "--help")
    assert done.returncode == 0, done.stderr
    assert f"saccade run {app} --" in done.stdout


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
        (["run", "segment"], "segment needs a network"),
        (["models", "pull", "no-such-model"], "no model is called"),
        (["run", "faces", "--sorce", "x"], "unknown option --sorce; did you mean --source; `saccade run faces --help`"),
        (["run", "face"], "invalid choice: 'face'; did you mean faces"),
        (["rum"], "invalid choice: 'rum'; did you mean run"),
        (["models", "pul"], "invalid choice: 'pul'; did you mean pull"),
        (["run", "faces", "--device", "cpu"], "invalid choice: 'cpu'; did you mean CPU"),
        (["run", "faces", "--source", "a", "--source", "b"], "--source is given twice, as 'a' and as 'b'"),
        (["run", "faces", "--realtime", "--every-frame"], "--realtime and --every-frame contradict each other"),
        (["run", "faces", "--wait", "--no-wait"], "--wait and --no-wait contradict each other"),
        (["run", "faces", "--insecure", "--ca", "x"], "--insecure takes any certificate, --ca only some"),
        (["run", "faces", "--pictures", "2"], "--pictures writes pictures into a folder"),
        (["run", "faces", "film.mp4"], "unexpected 'film.mp4'"),
        (["run", "--source", "demo:"], "no app and no file; say `saccade run APP`"),
        (["run-script", "x.py", "--fram", "3"], "unknown option --fram; did you mean --frames"),
        (["serve", "--waiting", "0"], "--waiting: got 0; expected a whole number of at least 1"),
        (["inspect", "/no/such.xml"], "/no/such.xml"),
        (["infer", "/no/such.xml", "x.png"], "/no/such.xml"),
        (["convert", "/no/such.xml"], "/no/such.xml"),
    ],
)
def test_a_mistake_gives_one_line_and_status_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = told(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_says_what_runs_and_on_which_camera(video: Path, classifier: Path, tmp_path: Path) -> None:
    file = tmp_path / "cameras.toml"
    file.write_text(
        f'[defaults]\nmodel = "{classifier}"\nscale = 255\nevents = "-"\ndevice = "CPU"\n'
        f'[[camera]]\nname = "a"\nsource = "{video}"\napp = "classify"\n'
        f'[[camera]]\nname = "b"\nsource = "{video}"\napp = "head-pose"\n'
    )
    done = saccade("run", "--config", file, "--camera", "b", "--frames", 2)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["app"] for line in done.stdout.splitlines()] == ["head-pose"] * 2
    environment = os.environ | {"SACCADE_CONFIG": str(file), "SACCADE_FRAMES": "1"}
    done = saccade("run", "classify", "--events", tmp_path / "e", env=environment)
    assert done.returncode == 2
    assert f"2 cameras, each with its own app; `saccade run --config {file}` runs them" in done.stderr
    done = saccade("run", "--config", file, "--summary", tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for name, app in (("a", "classify"), ("b", "head-pose")):
        mine = [line for line in lines if line["camera"] == name]
        assert [line["frame"] for line in mine] == list(range(12))
        assert {line["app"] for line in mine} == {app}
    cameras = json.loads((tmp_path / "s.json").read_text())["cameras"]
    assert [camera["pictures"] for camera in cameras.values()] == 2 * [{"arrived": 12, "served": 12}]


def test_sighup_reads_cameras_again_and_sigterm_ends_them(classifier: Path, tmp_path: Path) -> None:
    file, summary = tmp_path / "cameras.toml", tmp_path / "s.json"
    text = f'[defaults]\nmodel = "{classifier}"\nscale = 255\napp = "classify"\ndevice = "CPU"\nrate = 5\n'
    text += '[[camera]]\nname = "a"\nsource = "demo:"\n'
    file.write_text(text + '[[camera]]\nname = "none"\nsource = "demo:"\nmodel = "/none.xml"\n')
    with subprocess.Popen(
        [sys.executable, "-m", "saccade", "run", "--config", str(file), "--summary", str(summary)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as run:  # fmt: skip
        assert run.stderr is not None
        try:
            assert "camera none does not run: no model file at /none.xml" in next(run.stderr)
            wait_for(lambda: listens(run.pid))
            file.write_text(text + '[[camera]]\nname = "b"\nsource = "demo:"\n')
            run.send_signal(signal.SIGHUP)
            assert any("was read again: a, b" in line for line in run.stderr)
            run.send_signal(signal.SIGTERM)
            assert run.wait(PATIENCE) == 0
        finally:
            run.kill()
    assert set(json.loads(summary.read_text())["cameras"]) == {"a", "b"}


def test_config_shows_what_is_in_force_and_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "camera.toml"
    file.write_text('app = "faces"\nsource = "rtsp://me:hunter2@cam/1"\nthreshold = 0.7\nview = "127.0.0.1:80"\n')
    environment = os.environ | {"SACCADE_THRESHOLD": "0.8", "COLUMNS": "80"}
    shown = saccade("config", "show", "--config", file, "--view", "127.0.0.1:81", env=environment)
    assert shown.returncode == 0, shown.stderr
    rows = [line.split(maxsplit=1) for line in shown.stdout.splitlines()]
    values = {row[0]: row[1] for row in rows}
    assert values["source"].startswith("rtsp://cam/1 (password not shown)")
    assert values["threshold"].split() == ["0.8", "SACCADE_THRESHOLD"]
    assert values["view"].split() == ["127.0.0.1:81", "--view"]
    assert "hunter2" not in shown.stdout
    assert "iou" not in values, "only what somebody said"
    everything = json.loads(saccade("config", "show", "--command", "serve", "--json").stdout)[0]["settings"]
    assert {row["setting"]: row["from"] for row in everything}["waiting"] == "default"


def test_config_check_tells_everything_that_is_wrong(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[[camera]]\nname = "a"\nsource = "demo:"\napp = "faces"\n')
    bad.write_text('[[camera]]\nname = "a"\nsource = "demo:"\nlabels = "/no.txt"\napp = "faces"\nrate = 1000\n'
                   '[[camera]]\nname = "b"\nsource = "demo:"\nlabels = "/no.txt"\n')  # fmt: skip
    done = saccade("config", "check", good)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{good}: 1 camera: a" in done.stdout
    done = saccade("config", "check", good, bad, env=os.environ | {"SACCADE_DEVICE": "TPU", "SACCADE_SORCE": "x"})
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert "SACCADE_DEVICE: device: got 'TPU'" in lines[0]
    assert "SACCADE_SORCE" in lines[1]
    assert "rate: got 1000" in lines[2]
    assert "camera b: labels /no.txt: no such file" in lines[3]


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.avi", b""), ("text.mp4", b"this is no video at all" * 50), ("broken.jpg", b"\xff\xd8\xff\xe0garbage")],
)
def test_a_file_that_is_not_what_its_name_says(
    name: str, content: bytes, tmp_path: Path, classifier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    events = tmp_path / "events"
    done = told("run", "classify", "--source", path, "--model", classifier, "--events", events)
    assert name in done.stderr + caplog.text
    assert "Traceback" not in done.stderr
    written = events.read_text() if events.exists() else ""
    assert written == "" or json.loads(written.splitlines()[0])


def test_a_model_that_is_not_what_its_name_says(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_text("<!DOCTYPE html><html>404</html>")
    done = told("run", "faces", "--source", video, "--model", path)
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM][: length(1, 2)])
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
    wait_for(lambda: process.poll() is not None or (events.exists() and events.stat().st_size > 500))
    process.send_signal(number)
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "frames in" in out
    assert "Traceback" not in errors
    assert [json.loads(line)["frame"] for line in events.read_text().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_start_up_is_a_clean_end(number: signal.Signals, video: Path, classifier: Path) -> None:
    usual = {signal.SIGINT: 0.0, signal.SIGTERM: 0.3, signal.SIGHUP: 0.6}[number]
    for delay in (0.0, 0.15, 0.3, 0.45, 0.6, 1.0) if EXHAUSTIVE else (usual,):
        process = subprocess.Popen(
            [sys.executable, "-m", "saccade", "run", "classify", "--source", video, "--model", classifier],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(lambda: listens(process.pid))  # noqa: B023 - called at once
        time.sleep(delay)
        process.send_signal(number)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert "frames in" in out
        assert "Traceback" not in errors, (delay, errors)


def test_a_reader_that_goes_away_ends_the_events_quietly(tmp_path: Path, classifier: Path) -> None:
    video = numbered_avi(tmp_path / "long.avi", 300)
    command = f"{sys.executable} -m saccade run classify --source {video} --model {classifier} --events - | head -n 2"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE, check=False)
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
        done = told("run", "classify", "--source", video, "--model", classifier, "--view", f"127.0.0.1:{port}")
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_infer_prints_every_value(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    model = mean_network(tmp_path / "means.xml")
    cv2.imwrite(str(tmp_path / "p.png"), np.full((64, 64, 3), (10, 20, 30), np.uint8))
    done = told("infer", model, tmp_path / "p.png", "--json")
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)[0]["outputs"]
    assert outputs["means"]["shape"] == [1, 3]
    assert outputs["means"]["data"] == pytest.approx([10, 20, 30], abs=1e-3)
    assert told("infer", model, tmp_path / "p.png", "--rgb", "--scale", 10).stdout.count("means") == 1


def test_doctor_answers_in_json() -> None:
    done = saccade("doctor", "--json")
    assert done.returncode == 0, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["cpu"]["state"] == "ok"
    assert checks["device CPU"]["state"] == "ok"
    assert all(check["remedy"] for check in checks.values() if check["state"] == "missing")


def test_models_list_names_licence_source_and_digest() -> None:
    done = told("models", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert entries["blazeface-full"]["licence"] == "Apache-2.0"
    assert entries["blazeface-full"]["files"][0]["digest"].startswith("sha256:")
    assert "face-detection-adas-0001-FP16" in entries


def test_bench_measures_any_detector(tmp_path: Path) -> None:
    model = spots_network(tmp_path / "spots.xml")
    done = saccade("bench", "--model", model, "--device", "CPU", "--seconds", 0.1, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["model"] == "spots"
    assert min(report["infer_fps"], report["kernel"]["ratio"]) > 0
