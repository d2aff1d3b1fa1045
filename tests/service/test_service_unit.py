"""`saccade service`: the unit it writes, what it refuses, and its life under a real systemd."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from booted import Booted, booted

from conditions import wait_for
from http_cameras import serving, stream
from saccade.cli import main
from saccade.config.toml import as_toml, read_toml
from saccade.service import reach
from saccade.service.health import NO_ANSWER, health_at
from saccade.service.unit import MARK, Unit, quoted
from small_networks import classifier_network
from videos import jpeg, picture

ROOT = Path(__file__).parents[2]
EXPOSURE = 1.5
"""Most that `systemd-analyze security` may say; docs/device.md states the figure."""


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root folder of a system that is being made."""
    if shutil.which("systemctl") is None:
        pytest.skip("systemctl is not installed: sudo apt-get install systemd")
    # The checkout that is tested may itself lie in a folder that is emptied at boot.
    monkeypatch.setattr(reach, "_EMPTIED", (tmp_path / "emptied",))
    root = tmp_path / "image"
    (root / "etc").mkdir(parents=True)
    (root / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")
    return root


def install(image: Path, *words: object) -> int:
    return main(["service", "install", "--root", str(image), *map(str, words)])


@pytest.mark.parametrize("address", ["a..b:80", "\0:80", f"{'x' * 300}:80", "[::1]:1"])
def test_a_page_at_an_address_that_is_none_has_no_answer(address: str) -> None:
    assert health_at(address).startswith(f"{NO_ANSWER} (")


def test_an_image_gets_a_unit_that_enables_and_a_configuration_for_root_alone(
    image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    source = 'rtsp://me:se%20"cret@10.0.0.7/1'
    assert install(image, "faces", "--source", source, "--out", "crops", "--wait") == 0
    config, unit = image / "etc/saccade/saccade.toml", image / "etc/systemd/system/saccade.service"
    assert read_toml(config) == {"app": "faces", "source": source, "out": "crops", "wait": True}
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert "se%20" not in unit.read_text() + capsys.readouterr().out
    assert (image / "etc/systemd/system/multi-user.target.wants/saccade.service").is_symlink()
    assert "SupplementaryGroups=video\n" in unit.read_text()

    # Again with other options, and then as the file has become: nothing that was written by hand is lost.
    assert install(image, "faces", "--source", "/dev/video0") == 0
    assert read_toml(config.with_suffix(".toml.old"))["source"] == source
    config.write_text('[defaults]\napp = "faces"\n[[camera]]\nname = "a"\nsource = "demo:"\n')
    assert install(image) == 0
    assert "[[camera]]" in config.read_text()

    assert main(["service", "uninstall", "--root", str(image)]) == 0
    assert not unit.exists()
    assert not list((image / "etc/systemd/system").rglob("*.service"))
    assert config.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["faces", "--out", "/srv/crops"], "give /var/lib/saccade/crops"),
        (["faces", "--publish", "jsonl:/srv/all.jsonl"], "publish /srv/all.jsonl: a service writes only"),
        (["faces", "--publish", "mqtts://broker?ca=/opt/nowhere/ca.pem"], "publish ca /opt/nowhere/ca.pem: no such"),
        (["faces", "--fifo"], "give /run/saccade/results.mjpeg"),
        (["faces", "--source", "-"], "no standard input"),
        (["faces", "--view", "0.0.0.0:80"], "below 1024"),
        (["detect", "--model", "/opt/nowhere/yolo.onnx"], "model /opt/nowhere/yolo.onnx: no such file"),
        (["detect", "--model", "{tmp}/yolo.onnx"], "emptied at boot"),
        (["detect", "--model", "/root/yolo.onnx"], "lies in a home"),
        (["faces", "--config", "{tmp}/a.toml"], "a service has one of them"),
        (["--source", "demo:"], "no app"),
        (["--config", "{tmp}/a.toml"], "model yolo.onnx: a service starts in a folder of its own"),
        (["--service", "A b", "faces"], "--service A b"),
        ([], "say `saccade service install APP`"),
    ],
)
def test_what_the_service_could_not_reach_is_said_when_it_is_installed(
    words: list[str], message: str, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = image.with_name("emptied")
    folder.mkdir()
    (folder / "yolo.onnx").write_bytes(b"")
    (folder / "a.toml").write_text('app = "detect"\nmodel = "yolo.onnx"\n')
    assert install(image, *(word.format(tmp=folder) for word in words)) == 2
    assert message in capsys.readouterr().err
    assert not list(image.rglob("*.service"))


def test_a_unit_of_somebody_else_is_left_alone(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unit = image / "etc/systemd/system/saccade.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert install(image, "faces") == 2
    assert main(["service", "uninstall", "--root", str(image)]) == 2
    assert "another --service" in capsys.readouterr().err
    assert "/bin/true" in unit.read_text()


def test_systemd_finds_the_unit_sound_and_little_exposed(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: sudo apt-get install systemd")
    odd = tmp_path / "a b 100%"
    odd.symlink_to(sys.executable)
    unit = tmp_path / "odd.service"
    version = int(subprocess.check_output(["systemctl", "--version"], text=True).split()[1])
    text = Unit(
        name="odd", command=[str(odd), "-m", "saccade"], config=Path("/etc/saccade/odd.toml"),
        groups=["video"], shown=[Path("/root/a b")], systemd=version,
    ).text  # fmt: skip
    unit.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "odd.service" in line]) == (0, []), (
        done.stderr
    )
    figures = subprocess.check_output(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit], text=True, stderr=subprocess.DEVNULL
    )
    found = re.search(r"exposure level for odd.service: ([\d.]+)", figures)
    assert found
    assert float(found[1]) <= EXPOSURE
    assert f"exposure level {float(found[1])}" in (ROOT / "docs/device.md").read_text()


def test_words_and_values_mean_what_they_say(tmp_path: Path) -> None:
    assert quoted("/opt/saccade/bin/saccade") == "/opt/saccade/bin/saccade"
    assert quoted('a "b" $c 5%\\') == '"a \\"b\\" $$c 5%%\\\\"'
    table = {"a": 'q"\\\n\x7fé', "b": True, "c": 0.5, "d": float("inf"), "e": ("x, y", "z"), "f": ((0, 0.5, 1, 1),)}
    (tmp_path / "a.toml").write_text(as_toml(table), encoding="utf-8")
    assert read_toml(tmp_path / "a.toml") == {**table, "e": ["x, y", "z"], "f": [[0, 0.5, 1, 1]]}


# Under systemd


@pytest.fixture
def system(tmp_path: Path) -> object:
    """A booted system with saccade as it is here in /opt/saccade-files/venv, and a network beside it."""
    files = tmp_path / "files"
    packages = files / f"venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    packages.mkdir(parents=True)
    (files / "venv/bin").mkdir()
    python = Path(sys.executable).resolve()
    (files / "venv/bin/python").symlink_to(python)
    (files / "venv/pyvenv.cfg").write_text(f"home = {python.parent}\n")
    # Wherever this clone lies, also in a folder for temporary files, which a booted system has its own of.
    there = [Path(path) for path in sys.path if path.endswith("site-packages")]
    shown = {path: f"/opt/saccade-packages/{number}" for number, path in enumerate(there)}
    (packages / "here.pth").write_text("\n".join(["/opt/saccade-source/engine", *shown.values()]) + "\n")
    classifier_network(files / "directions.xml")
    files.chmod(0o755)
    with booted(tmp_path, {ROOT: "/opt/saccade-source", files: "/opt/saccade-files", **shown}) as running:
        yield running


def free_port() -> int:
    """A port that nobody listens on, and that the kernel gives to no connection meanwhile."""
    for port in random.sample(range(20000, 30000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def state_at(view: str) -> str:
    """What the page says of the source, without the reason."""
    return health_at(view).partition(":")[0]


class Service:
    """`saccade service` in a booted system."""

    def __init__(self, system: Booted) -> None:
        self.system = system

    def __call__(self, *words: object) -> str:
        program = ("/opt/saccade-files/venv/bin/python", "-m", "saccade", "service")
        done = self.system.run(*program, *words, check=words[0] != "status")
        return done.stdout + done.stderr

    def show(self, name: str) -> str:
        return self.system.run("systemctl", "show", "--value", f"--property={name}", "saccade").stdout.strip()


@pytest.mark.slow
def test_the_service_waits_for_its_camera_starts_again_and_survives_a_reboot(system: Booted) -> None:
    service, port, view = Service(system), free_port(), f"127.0.0.1:{free_port()}"
    assert "no service saccade is installed" in service("status")
    said = service(
        "install", "classify", "--source", f"http://me:secret@127.0.0.1:{port}/", "--model",
        "/opt/saccade-files/directions.xml", "--device", "CPU", "--events", "events.jsonl", "--scale", 255,
        "--view", view, "--fifo", "/run/saccade/results.mjpeg",
    )  # fmt: skip
    assert "it has ended" not in said
    # Nobody sees the password but root, and the camera is waited for.
    wait_for(lambda: state_at(view) in ("connecting", "lost"))
    assert f"{view}: " in service("status")
    assert service.show("ActiveState") == "active"
    first = service.show("MainPID")
    assert "secret" not in system.run("cat", f"/proc/{first}/cmdline", "/etc/systemd/system/saccade.service").stdout
    status = system.run("cat", f"/proc/{first}/status").stdout
    assert not re.search(r"^Uid:\s+0\b", status, re.M)
    assert re.search(r"^CapEff:\s+0+$", status, re.M)

    with serving(port=port) as camera:
        camera.paths["/"] = stream([jpeg(picture(7))])
        wait_for(lambda: state_at(view) == "up")
        # Killed, it comes back; after a reboot nobody has to start it.
        system.run("kill", "-9", first)
        wait_for(lambda: service.show("MainPID") not in ("0", first) and state_at(view) == "up", pause=0.1)
        assert service.show("NRestarts") == "1"
        lines = len(system.run("cat", "/var/lib/saccade/events.jsonl").stdout.splitlines())
        assert lines
        system.reboot()
        wait_for(lambda: state_at(view) == "up")
        assert service.show("NRestarts") == "0"
    system.run("systemctl", "stop", "saccade")
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")

    # What can never work is said at once, and tried again without a limit.
    system.run("mv", "/etc/saccade/saccade.toml", "/etc/saccade/kept.toml")
    service("uninstall")
    said = service(
        "install", "classify", "--source", "demo:", "--model", "/opt/saccade-files/directions.xml", "--head",
        "no-such-head",
    )  # fmt: skip
    # On a slow machine it fails after `install` has stopped looking.
    wait_for(lambda: "no-such-head" in said + system.run("journalctl", "--unit", "saccade").stdout, pause=0.1)
    wait_for(lambda: service.show("ActiveState") == "activating", pause=0.1)
    assert service.show("StartLimitIntervalUSec") == "0"
    service("uninstall", "--purge")
    assert MARK not in system.run("ls", "-R", "/etc/systemd/system", "/etc/saccade", "/var/lib").stdout
    assert "no service saccade is installed" in service("status")
