"""Fixtures that every room's tests may use."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import simplejpeg

from conditions import PATIENCE
from lengths import EXHAUSTIVE
from saccade.config import cache_dir
from saccade.networks.catalogue import find

_USERS_CACHE = cache_dir()  # before any test sets another

ROOT = Path(__file__).resolve().parents[1]

# Some environments say that no bytecode is to be kept. Hundreds of tests run `saccade` in a process of its own; each
# would compile the whole package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Processes inherit signals that are ignored, as SIGHUP is by `nohup` and SIGINT by a shell's `&`, and those that are
# blocked; a handler they do not. Tests of what signals do in a process of its own find them as in a terminal, and a
# SIGHUP that is ignored goes on doing nothing here.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)
signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))

# Hundreds of short processes load NumPy and OpenCV and multiply no matrices: a pool of threads for that costs each a
# tenth of its start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

WORKERS_PER_CORE = 2
"""Tests wait for processes, sockets and cameras most of their time."""

LONGEST = (
    "tests/e2e/", "tests/compat/test_run_script.py", "tests/archive/test_archive_runs.py", "tests/test_cli.py",
    "tests/apps/test_edge_functions.py", "tests/cloud/test_load.py", "tests/service/test_service_unit.py",
    "tests/cloud/", "tests/service/", "tests/compat/", "tests/kernels/",
)  # fmt: skip
"""Files begun first, so that no worker is left alone with one of them in the end."""


def pytest_xdist_auto_num_workers() -> int:
    """Workers of `--numprocesses auto`."""
    return WORKERS_PER_CORE * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, where xdist keeps the order (`--no-loadscope-reorder`)."""

    def place(item: pytest.Item) -> int:
        return next((i for i, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))

    items.sort(key=place)


def pytest_collection(session: pytest.Session) -> None:
    """Thousands of tests and their modules are there for good: the garbage collector need not look at them."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """From here on it looks at what tests make."""
    gc.enable()
    gc.freeze()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real old models (SACCADE_CORPUS, by default ../shared); skips where it is absent."""
    shared = Path(os.environ.get("SACCADE_CORPUS", ROOT.parent / "shared"))
    if not (shared / "corpus" / "MANIFEST.tsv").is_file():
        pytest.skip(f"corpus of old models not found under {shared}; set SACCADE_CORPUS to run this test")
    return shared


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache folder."""
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def own_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cameras cost in a test is not remembered for the user's."""
    monkeypatch.setattr("saccade.apps.costs.cache_dir", lambda: tmp_path)


@pytest.fixture(scope="session")
def demo() -> Path:
    """The user's cache folder with the demo models and pictures in it; skips where they were not pulled."""
    needed = [
        "models/blazeface-short.tflite", "models/blazeface-full.tflite", "models/face-mesh.tflite",
        "pictures/astronaut.png", "pictures/grace_hopper.jpg",
    ]  # fmt: skip
    if not all((_USERS_CACHE / name).is_file() for name in needed):
        pytest.skip("the demo models are not here: run `saccade models pull demo`")
    return _USERS_CACHE


@pytest.fixture
def classifiers(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, in use, with the classifiers in it; skips where they were not pulled."""
    monkeypatch.setenv("SACCADE_CACHE", str(_USERS_CACHE))
    for name in ("dog-or-cat", "efficientnet-lite0"):
        if not all(entry.is_pulled() for entry in find(name)):
            pytest.skip(f"a classifier is not here: run `saccade models pull {name}`")
    return _USERS_CACHE


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """The address of a local S3, in a process of its own."""
    from local_s3 import moto_server

    with moto_server() as url:
        yield url


@pytest.fixture
def patient_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No decoder counts as hung because the machine is busy."""
    monkeypatch.setattr("saccade.pipeline.post.DECODE_PATIENCE", PATIENCE)


@pytest.fixture
def before_decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[bytes], object]], None]:
    """Have something done by the thread that decodes a JPEG picture, with the compressed one."""

    def install(step: Callable[[bytes], object]) -> None:
        real = simplejpeg.decode_jpeg

        def decode(data: bytes, *args: Any, **options: Any) -> Any:
            step(bytes(data))
            return real(data, *args, **options)

        monkeypatch.setattr(simplejpeg, "decode_jpeg", decode)

    return install


_SIGNALS = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1,
    signal.SIGUSR2,
)  # fmt: skip


class _Signals:
    """Handlers, and which signals are blocked."""

    def __init__(self) -> None:
        self.handlers = [signal.getsignal(number) for number in _SIGNALS]
        self.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def restore(self) -> None:
        for number, handler in zip(_SIGNALS, self.handlers, strict=True):
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)


@pytest.fixture
def own_signals() -> Iterator[None]:
    """For what ends its process, and leaves signals ignored, in a test."""
    before = _Signals()
    yield
    before.restore()


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A test that leaves signals otherwise than it found them fails: processes of later tests would inherit that."""
    before = _Signals()
    yield
    after = _Signals()
    if vars(after) != vars(before):
        before.restore()
        pytest.fail(f"signals were left otherwise than found, see `own_signals`: {vars(before)}, now {vars(after)}")


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """The command line sets the level of saccade's loggers; the next test shall not notice."""
    logger = logging.getLogger("saccade")
    level = logger.level
    yield
    logger.setLevel(level)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Beside what was skipped: what was not tried to its end."""
    if not EXHAUSTIVE:
        terminalreporter.write_line("Long tests were short (tests/lengths.py); SACCADE_EXHAUSTIVE=1 tries all of them")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where every part is said to be there (SACCADE_NO_SKIPS=1, as in CI) a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("SACCADE_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.startswith("Skipped: by choice: "):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped, and SACCADE_NO_SKIPS=1 allows none: {reason}"
    return report
