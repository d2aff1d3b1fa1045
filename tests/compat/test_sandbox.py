"""What an old script can reach behind bubblewrap, and what it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from script_runs import Device

from conditions import PATIENCE, wait_for
from saccade.compat.host_options import HostOptions
from saccade.compat.sandbox import Sandbox, model_files
from saccade.errors import ConfigError
from small_networks import field
from videos import jpeg, mjpeg_avi, numbered_avi, picture

PROBES = """
import json, os, socket, sys, awscam
found = {{}}
def tries(name, action):
    try:
        action()
        found[name] = "done"
    except Exception as error:
        found[name] = type(error).__name__
tries("own folder", lambda: open("settings.txt").read())
tries("artifacts", lambda: open("{artifacts}/new.txt", "w"))
tries("temporary", lambda: open("/tmp/new.txt", "w"))
tries("write own folder", lambda: open("new.txt", "w"))
tries("write system", lambda: open("/usr/new.txt", "w"))
tries("write Python", lambda: open(os.path.join(os.path.dirname(json.__file__), "new.py"), "w"))
tries("secret", lambda: open("{secret}").read())
tries("home", lambda: os.listdir("{home}"))
tries("shadow", lambda: open("/etc/shadow").read())
tries("network", lambda: socket.create_connection(("127.0.0.1", {port}), 2))
tries("process", lambda: os.kill({pid}, 0))
found["variables"] = [name for name, value in os.environ.items() if "hunter2" in value]
found["ours"] = sorted(name for name in os.environ if name.startswith("SACCADE_"))
ret, frame = awscam.getLastFrame()
found["frame"] = list(frame.shape)
open("/tmp/results.mjpeg", "w").close()
print(json.dumps(found))
"""
ALLOWED = {"own folder", "artifacts", "temporary"}


@pytest.fixture
def bwrap() -> None:
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("bubblewrap is not installed: sudo apt-get install bubblewrap")
    tried = subprocess.run(
        [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"], capture_output=True, text=True
    )
    if tried.returncode:
        pytest.skip(f"bubblewrap cannot make a sandbox here: {tried.stderr.strip()}")


@pytest.fixture
def project(device: Device) -> Path:
    """A script's folder, beside things that are none of its business."""
    folder = device.folder / "project"
    folder.mkdir()
    (folder / "settings.txt").write_text("1")
    (device.folder / "secret.txt").write_text("key")
    return folder


@pytest.mark.usefixtures("bwrap")
@pytest.mark.parametrize("network", [False, True])
def test_a_script_reaches_what_it_was_given_and_nothing_else(network: bool, device: Device, project: Path) -> None:
    video = numbered_avi(device.folder / "camera.avi", 8)
    script, home = project / "script.py", device.folder / "home"
    home.mkdir()
    secrets = dict.fromkeys(("SECRET_ACCESS_KEY", "SACCADE_PUBLISH", "SACCADE_TEST_KEY"), "mqtt://me:hunter2@broker")
    device.environment = {**secrets, "SACCADE_KERNELS": "numba", "HOME": str(home)}
    with socket.create_server(("127.0.0.1", 0)) as server:
        script.write_text(
            PROBES.format(
                artifacts=device.artifacts, secret=device.folder / "secret.txt", home=home,
                port=server.getsockname()[1], pid=os.getpid(),
            )
        )  # fmt: skip
        run = device.run(script, "--source", str(video), "--sandbox-net" if network else "--sandbox", frames=1)
    found = json.loads(run.out)
    assert found.pop("frame") == [240, 320, 3]
    assert found.pop("variables") == []
    assert found.pop("ours") == ["SACCADE_CACHE", "SACCADE_KERNELS"]
    assert {name for name, end in found.items() if end == "done"} == ALLOWED | ({"network"} if network else set())
    assert (device.artifacts / "new.txt").exists()
    assert not (project / "new.txt").exists()
    assert run.report["frames"] == 1
    assert not device.fifo.exists(), "the pipe was made for this run"


@pytest.mark.usefixtures("bwrap")
def test_a_viewer_sees_the_stream_and_a_signal_ends_the_script(device: Device, project: Path) -> None:
    script = project / "script.py"
    script.write_text(
        "import awscam, cv2\n"
        "pipe = open('/tmp/results.mjpeg', 'w')\n"
        "while True:\n"
        "    ret, frame = awscam.getLastFrame()\n"
        "    pipe.write(cv2.imencode('.jpg', frame)[1].tobytes())\n"
    )
    video = mjpeg_avi(device.folder / "camera.avi", [jpeg(picture(0))] * 5000)
    os.mkfifo(device.fifo, 0o600)
    child = subprocess.Popen(
        device.command(script, "--source", str(video), "--realtime", "--sandbox"), stderr=subprocess.PIPE, text=True
    )
    try:
        with device.fifo.open("rb") as pipe:
            assert pipe.read(3) == b"\xff\xd8\xff"
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=PATIENCE)
    finally:
        child.kill()
    assert child.returncode == 0, said
    assert "SIGTERM came" in said
    assert device.fifo.is_fifo(), "it was there before"
    wait_for(lambda: not _sandboxed(script))


def _sandboxed(script: Path) -> list[str]:
    """Processes that still run the script."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and entry.name != str(os.getpid()):
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(script) in words:
                found.append(entry.name)
    return found


@pytest.mark.usefixtures("bwrap")
@pytest.mark.parametrize("more", [(), ("--sandbox",)])
def test_no_command_line_shows_what_the_environment_says(more: tuple[str, ...], device: Device, project: Path) -> None:
    script = project / "script.py"
    script.write_text(
        "import awscam, greengrasssdk, time\nawscam.getLastFrame()\n"
        "greengrasssdk.client('iot-data').publish(topic='t', payload='x')\ntime.sleep(1000)\n"
    )
    secret = {"SACCADE_MODEL": "other=https://me:hunter2@models.invalid/x"}
    messages = device.folder / "messages"
    with subprocess.Popen(device.command(script, *more), env=os.environ | secret, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: process.poll() is not None or (messages.exists() and messages.stat().st_size))
            lines = [Path(f"/proc/{number}/cmdline").read_bytes() for number in family(process.pid)]
        finally:
            process.terminate()
    assert process.returncode == 0
    assert sum(b"saccade.compat.host" in line for line in lines) >= 1
    assert not [line for line in lines if b"hunter2" in line]


def family(process: int) -> list[int]:
    """A process with all that it and they have started."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    children = [int(number) for task in tasks for number in (task / "children").read_text().split()]
    return [process, *(number for child in children for number in family(child))]


def options(device: Device, folder: Path, **changes: object) -> HostOptions:
    return HostOptions(script=str(folder / "script.py"), fifo=str(device.fifo), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "files",
    [
        {"deploy.prototxt": b"layer { }", "iter_7.caffemodel": b"1", "deploy.labels": b"cat"},
        {"net-symbol.json": b'{"nodes": []}', "net-0007.params": b"1"},
        {"net.onnx": field(7, field(5, field(13, field(1, "location") + field(2, "data/w")) + field(14, 1))),
         "data/w": b"1"},
        {"net.xml": b"damaged", "net.bin": b"1"},
    ],
)  # fmt: skip
def test_a_model_is_seen_with_its_weights_whatever_they_are_called(files: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in {**files, "other.txt": b"not of the model"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert model_files(str(tmp_path / next(iter(files)))) == {str(tmp_path / name) for name in files}
    assert model_files(str(tmp_path)) == {str(tmp_path)}


def test_refusals_are_one_line(device: Device, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(says: str, folder: Path = project, **changes: object) -> None:
        with pytest.raises(ConfigError, match=says) as error:
            Sandbox(options(device, folder, **changes))
        assert "\n" not in str(error.value)

    program = tmp_path / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    refused(r"cannot make a sandbox here \(bwrap: No permissions to create new namespace\); it needs user namespaces")
    refused("--source needs the network, which --sandbox takes away; add --sandbox-net", source="rtsp://camera/")
    refused("--events needs the network", events="mqtt://broker")
    refused("--view needs the network", view="127.0.0.1:0")
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    refused(r"would show the script all of .*home; put it into a folder of its own", tmp_path / "home")
    monkeypatch.setenv("PATH", str(tmp_path))
    refused("--sandbox needs bubblewrap, which is not installed: sudo apt-get install bubblewrap")
