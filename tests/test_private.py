"""What others may not see, and what others may have prepared."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from saccade.capture import demo
from saccade.cli import main
from saccade.compat.fifo_file import FifoFile
from saccade.config import RunConfig
from saccade.errors import OutputError
from saccade.networks.cache import CompileCache
from saccade.outputs.display import Display
from saccade.outputs.events import EventWriter
from saccade.outputs.fifo import Fifo
from saccade.outputs.folder import PictureFolder
from saccade.outputs.opening import Outputs
from saccade.private import check_place, private_folder
from saccade.service.edge import _Function
from saccade.storage.spool import Spool
from small_networks import mean_network

NOBODY = 65534


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder like /tmp."""
    if os.geteuid() != 0:
        pytest.skip("by choice: only root can make files of another user")
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.fixture
def usual_umask() -> None:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Permissions of everything below a folder, itself included."""
    paths = (folder, *folder.rglob("*"))
    return {str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat().st_mode) for path in paths}


@pytest.mark.usefixtures("usual_umask")
def test_cache_crops_and_spool_are_their_owners_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    monkeypatch.delenv("SACCADE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    model = mean_network(tmp_path / "mean.xml")
    np.save(tmp_path / "a.npy", np.zeros((1, 3, 32, 32), np.float32))
    assert main(["infer", str(model), str(tmp_path / "a.npy")]) == 0
    portrait = cv2.merge([np.full((600, 500), level, np.uint8) for level in (50, 100, 150)])
    demo.make_loop([portrait, portrait], (90, 160), demo.demo_path((90, 160)), frames=2)
    assert (home / ".cache" / "saccade" / "compiled" / "mean").is_dir()
    PictureFolder(tmp_path / "out" / "crops").write("a.jpg", b"a")
    with Spool(tmp_path / "state" / "spool") as spool:
        spool.put(b"a", "faces/{digest}.jpg")
    for folder in (home / ".cache", tmp_path / "out", tmp_path / "state"):
        found = modes(folder)
        open_to_others = {name: oct(mode) for name, mode in found.items() if mode & 0o077}
        assert all("compiled" in name and name.rsplit(".")[-1] in ("blob", "sha256") for name in open_to_others)
        assert found[folder.name] == 0o700


def test_what_another_user_put_into_an_open_folder_is_not_used(shared: Path, tmp_path: Path) -> None:
    theirs = shared / "theirs"
    theirs.mkdir()
    link = shared / "link"
    link.symlink_to(tmp_path / "target")
    file = shared / "events.jsonl"
    file.touch(0o666)
    for path in (theirs, link, file):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    for refused in (lambda: PictureFolder(theirs / "crops"), lambda: Spool(theirs), lambda: EventWriter(file),
                    lambda: EventWriter(link), lambda: Fifo(Display(), theirs / "pipe")):  # fmt: skip
        with pytest.raises(OutputError, match=r"another user has put .* into a folder that is open to all"):
            refused()
    with pytest.raises(PermissionError):
        private_folder(theirs / "deeper" / "still")
    config = RunConfig(source="demo:", summary=str(link))
    function = _Function("faces", config, Outputs(config), None)
    function._session = SimpleNamespace(summary=dict)  # type: ignore[assignment]
    function.summarise()
    assert not (tmp_path / "target").exists()
    assert not list(theirs.iterdir())
    # A cache that cannot be trusted is none: the model is compiled all the same.
    assert CompileCache("a", theirs).folder.parent == theirs
    mine = shared / "mine"
    mine.mkdir()
    check_place(mine / "new")
    (tmp_path / "way").symlink_to(mine)
    check_place(tmp_path / "way" / "new")


def test_a_pipe_that_others_can_open_is_not_written_to(tmp_path: Path, shared: Path) -> None:
    def pipe(path: Path, mode: int, owner: int = os.geteuid()) -> Path:
        os.mkfifo(path)
        path.chmod(mode)
        os.chown(path, owner, -1)
        return path

    link = tmp_path / "link"
    link.symlink_to(pipe(tmp_path / "own", 0o600))
    for path, reason in (
        (pipe(tmp_path / "open", 0o622), r"is open to others \(mode 622, wanted 600\)"),
        (pipe(tmp_path / "readable", 0o644), "is open to others"),
        (pipe(tmp_path / "theirs", 0o600, NOBODY), "belongs to another user"),
        (pipe(shared / "trap", 0o666, NOBODY), "belongs to another user"),
        (link, "is not a named pipe"),
    ):
        with pytest.raises(OutputError, match=f"is there already and {reason}"):
            Fifo(Display(), path)
        assert path.is_fifo()
    Fifo(Display(), tmp_path / "own").close()
    Fifo(Display(), tmp_path / "readable", mode=0o644).close()


def test_the_pipe_of_an_old_script_is_its_users_only(tmp_path: Path, shared: Path) -> None:
    os.mkfifo(tmp_path / "own")
    (tmp_path / "own").chmod(0o644)
    FifoFile(str(tmp_path / "own"), lambda _: None).close()
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "own")
    FifoFile(str(tmp_path / "link"), lambda _: None).close()
    assert not (tmp_path / "link").is_symlink()
    os.mkfifo(shared / "trap")
    os.chown(shared / "trap", NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="another user has put"):
        FifoFile(str(shared / "trap"), lambda _: None)


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    # Outside of CI, where it is silent anyway, and without a way out, should it speak.
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment = {**kept, "HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    code = """if True:
        import saccade, openvino, sys
        from openvino.tools.ovc import telemetry_utils
        assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub", telemetry_utils.tm
        assert not [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
    """
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not list(tmp_path.iterdir())  # it would keep its number of this user here
