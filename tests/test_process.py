"""Standard streams, signals, and the folders of users without a home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from conditions import PATIENCE, wait_for
from saccade import process
from saccade.config import cache_dir, users_folder
from saccade.errors import ConfigError
from saccade.pipeline import Engine
from saccade.process import StopSignals, is_service, is_writable, usable_cores


def run(code: str, *, status: int = 0, **options: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=PATIENCE, check=False,
        **options,  # type: ignore[call-overload]
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return str(done.stdout)


@pytest.mark.parametrize(
    ("share", "cores"),
    [("max 100000", 8), ("150000 100000", 1), ("50000 100000", 1), ("300000 100000", 3), ("1600000 100000", 8),
     ("1 0", 8), ("half", 8), (None, 8)],
)  # fmt: skip
def test_a_container_has_the_cores_of_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(process, "CPU_QUOTA", tmp_path / "cpu.max")
    if share is not None:
        process.CPU_QUOTA.write_text(f"{share}\n")
    assert usable_cores() == Engine().cores == cores


@pytest.mark.usefixtures("own_signals")
def test_each_signal_is_told_from_a_thread() -> None:
    told: list[tuple[int, str]] = []
    with StopSignals() as signals:
        signals.then(lambda number: told.append((number, threading.current_thread().name)))
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: told)
        late: list[int] = []
        signals.then(late.append)
        assert late == [signal.SIGTERM]
        assert signals.received == signal.SIGTERM
    assert told[0] == (signal.SIGTERM, "saccade-signals")
    # The process is ending: nothing cuts it short any more.
    for number in process.SIGNALS:
        assert signal.getsignal(number) is signal.SIG_IGN


def test_without_a_signal_all_is_as_before() -> None:
    before = [signal.getsignal(number) for number in process.SIGNALS]
    with StopSignals() as signals:
        assert signals.received is None
    assert [signal.getsignal(number) for number in process.SIGNALS] == before
    assert not [thread for thread in threading.enumerate() if thread.name == "saccade-signals"]
    assert signal.set_wakeup_fd(-1) == -1


def test_locks_of_the_main_thread_are_no_trap() -> None:
    """A handler runs in the main thread: if it took the lock that is held there it would wait for ever."""
    run("""
        import os, signal, threading
        from saccade.process import StopSignals
        ended = threading.Event()
        with StopSignals() as signals:
            signals.then(lambda number: ended.set())
            stop = threading.Event()
            def storm():
                for _ in range(3000):
                    os.kill(os.getpid(), signal.SIGTERM)
            thread = threading.Thread(target=storm)
            thread.start()
            while thread.is_alive():
                for _ in range(100):
                    ended.clear()
                    ended.set()
            thread.join()
            assert ended.wait(180)
    """)


def test_a_main_thread_that_is_held_is_left_behind() -> None:
    out = run(
        """
        import os, signal, threading
        from saccade.process import StopSignals
        with StopSignals(lambda: print("written"), status=7):
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Lock().acquire() or None
            held = threading.Lock()
            held.acquire()
            held.acquire()
        """,
        status=7,
    )
    assert out == "written\n"


def test_a_child_by_fork_hears_its_own_signals_only() -> None:
    out = run("""
        import os, signal, threading, time
        from saccade.process import StopSignals
        told, came = [], threading.Event()
        with StopSignals() as signals:
            signals.then(lambda number: (told.append(int(number)), came.set()))
            child = os.fork()
            if not child:
                time.sleep(600)
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
            os.kill(os.getpid(), signal.SIGINT)
            assert came.wait(180)
            print(os.WTERMSIG(status), told)
    """)
    assert out == f"{int(signal.SIGTERM)} [{int(signal.SIGINT)}]\n"


def test_closed_streams_are_not_given_to_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import os, sys; from saccade.process import *; secure_standard_streams();"
        f"file = os.open({str(out)!r}, os.O_WRONLY | os.O_CREAT); print('lost');"
        "child = os.spawnl(os.P_WAIT, sys.executable, 'python', '-c', 'import os; os.fstat(1)');"
        "os.write(file, f'{file} {[is_writable(n) for n in (0, 1, 2)]} {child}'.encode())"
    )
    subprocess.run(["sh", "-c", 'exec 0<&- 1>&- 2>&- "$0" -c "$1"', sys.executable, code], check=True, timeout=PATIENCE)
    descriptor, _, writable = out.read_text().partition(" ")
    assert int(descriptor) > 2
    assert writable == "[True, False, False] 0"


def test_what_is_writable(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert is_writable(file.fileno())
    with (tmp_path / "file").open() as file:
        assert not is_writable(file.fileno())
        closed = file.fileno()
    assert not is_writable(closed)


@pytest.mark.parametrize(("variable", "expected"), [("INVOCATION_ID", True), ("NOTIFY_SOCKET", True), ("TERM", False)])
def test_services_are_known_by_their_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, expected: bool
) -> None:
    for name in ("INVOCATION_ID", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "x")
    monkeypatch.setattr(os, "isatty", lambda descriptor: False)
    assert is_service() is expected
    monkeypatch.setattr(os, "isatty", lambda descriptor: True)
    assert not is_service()


class TestUsersWithoutAHome:
    @pytest.fixture(autouse=True)
    def nobody(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("SACCADE_CACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
        monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))

    def test_have_a_folder_of_their_own(self, tmp_path: Path) -> None:
        own = tmp_path / f"saccade-{os.getuid()}"
        assert cache_dir() == own / ".cache" / "saccade"
        assert users_folder("XDG_STATE_HOME", ".local/state") == own / ".local" / "state"
        assert own.stat().st_mode & 0o777 == 0o700
        assert cache_dir() == own / ".cache" / "saccade"

    def test_do_not_take_what_others_can_write(self, tmp_path: Path) -> None:
        own = tmp_path / f"saccade-{os.getuid()}"
        own.mkdir()
        own.chmod(0o777)
        with pytest.raises(ConfigError, match="is not this user's own; set HOME or SACCADE_CACHE"):
            cache_dir()
        own.rmdir()
        own.symlink_to(tmp_path)
        with pytest.raises(ConfigError, match="is not this user's own"):
            cache_dir()

    def test_are_told_where_there_is_no_place(self, tmp_path: Path) -> None:
        (tmp_path / f"saccade-{os.getuid()}").touch()
        with pytest.raises(ConfigError, match="cannot be made"):
            cache_dir()

    def test_a_tilde_is_a_name(self) -> None:
        from saccade.capture import open_source
        from saccade.errors import SourceError

        with pytest.raises(SourceError, match=r"'~/film\.avi': No such file"):
            open_source("~/film.avi")
