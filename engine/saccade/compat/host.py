"""The process of one old script: sets the device up, runs the script, ends it, and says what was adapted.

`python -m saccade.compat.host OPTIONS`, OPTIONS being JSON of `HostOptions`; `saccade run-script` starts it. A process
of its own, because the adaptations change modules, and because a script may leave threads that nothing can end.
"""

from __future__ import annotations

import concurrent.futures.thread
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from saccade import compat
from saccade.compat import device as devices
from saccade.compat import fifo_file, old_libraries, old_python, python2
from saccade.config import DEFAULT_FIFO
from saccade.errors import SaccadeError

log = logging.getLogger(__name__)

_GRACE = 3.0
"""Seconds that a script has to end by itself after its last frame."""
_POOL = concurrent.futures.thread.__file__
"""Workers of a pool that have nothing to do wait here."""
_WAITING = frozenset({threading.__file__, queue.__file__, ""})
_HANDLERS = ("lambda_handler", "function_handler", "handler")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What `saccade run-script` was told; see its help."""

    script: str
    source: str = "demo:"
    artifacts: str | None = None
    models: dict[str, str] = field(default_factory=dict)
    device: str = "AUTO"
    precision: str = "auto"
    frames: int | None = None
    seconds: float | None = None
    realtime: bool | None = None
    events: str = "-"
    fifo: str = DEFAULT_FIFO
    view: str = ""
    python: python2.Version = "auto"
    report: str = ""
    arguments: tuple[str, ...] = ()

    def to_json(self) -> str:
        """For the command line of the process."""
        return json.dumps(asdict(self))


class ScriptEnd(SystemExit):
    """Raised in the script after its last frame. Not an `Exception`, which scripts catch; threads end by it quietly."""


class Host:
    """Runs one script."""

    def __init__(self, options: HostOptions) -> None:
        self.options = options
        self.report = old_python.Report()
        self._start = time.monotonic()
        self._ended = threading.Event()
        self._body_done = threading.Event()
        self._lock = threading.Lock()
        self._told: set[int] = set()
        self._finished = False
        self._status = 0
        self._problem = ""
        self._muted = 0
        self._converted: python2.Converted | None = None
        self._page: Any = None
        self._device: devices.CompatDevice | None = None

    def run(self) -> NoReturn:
        """Run the script to its end and leave the process."""
        try:
            code = self._prepare()
        except SaccadeError as error:
            self._fail(str(error))
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        signal.signal(signal.SIGINT, lambda *_: self._end())
        if self.options.seconds is not None:
            timer = threading.Timer(self.options.seconds, self._end)
            timer.daemon = True
            timer.start()
        threading.excepthook = self._thread_crashed
        threading.Thread(target=self._watch, name="saccade-end", daemon=True).start()
        try:
            self._execute(code)
        except ScriptEnd:
            pass
        except SystemExit as stop:
            # The script's own exit().
            if stop.code not in (None, 0) and not self._ended.is_set():
                self._status, self._problem = 1, f"the script ended itself with {stop.code!r}"
        except BaseException as error:
            self._crashed(error)
        if not self._problem:
            self._wait_for_threads()
        self._body_done.set()
        self._finish()

    def _prepare(self) -> CodeType:
        """Everything that can go wrong before the script's first line."""
        options = self.options
        os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
        if not os.environ.get("AWS_IOT_THING_NAME"):
            os.environ["AWS_IOT_THING_NAME"] = "deeplens"
            self.report.note("AWS_IOT_THING_NAME was not set: the device is called deeplens")
        from saccade.outputs.publish import open_publisher

        name = options.script
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise SaccadeError(f"{name}: cannot be read ({error.strerror}); give a Python file") from None
        self._device = compat.install(
            source=options.source, artifacts=options.artifacts, models=options.models, device=options.device,
            precision=options.precision, realtime=options.realtime, frames=options.frames,
            publisher=_Muting(open_publisher(options.events), self), on_end=self._on_end,
        )  # fmt: skip
        self._device.notes = self.report.note
        self._device.on_failure = self._on_failure
        converted = self._converted = python2.convert(data, name, version=options.python, constants=self._constant)
        for change, lines in converted.changes.items():
            self.report.note(f"{change}: {_lines(lines)}")
        self._device.labels = converted.labels
        self._device.open()
        self._files = old_python.ScriptFiles(self.report, options.fifo, converted.version, self._show())
        self._builtins = old_python.script_builtins(self.report, converted.version, self._files)
        text = converted.text
        retrieve = old_libraries.retrieving(self.report)
        if converted.version == 2:
            old_python.install_modules(self.report, retrieve)
        old_python.restore_names(retrieve)
        old_libraries.adapt_numpy(self.report)
        old_libraries.adapt_opencv(self.report)
        old_libraries.adapt_shell(self.report)
        folder = str(Path(name).resolve().parent)
        if "boto" in text or any(b"boto" in file.read_bytes() for file in Path(folder).glob("*.py")):
            old_libraries.adapt_boto3(self.report)
        sys.path.insert(0, folder)
        # The function's own folder, as for Lambda: scripts open files beside them by name.
        os.chdir(folder)
        sys.argv = [name, *options.arguments]
        sys.meta_path.insert(0, _Neighbours(self, folder))
        # What scripts expect of `Process(target=...)`: the script's state goes along.
        multiprocessing.set_start_method("fork", force=True)
        code: CodeType = python2.compiled(converted, name)
        return code

    def _constant(self, text: str) -> str:
        """A path of the device as it is here."""
        device = self._device
        if device is not None and device.artifacts is not None and devices.ARTIFACTS in text:
            return text.replace(devices.ARTIFACTS, str(device.artifacts))
        return self.options.fifo if text == DEFAULT_FIFO else text

    def _show(self) -> Any:
        """Serves the script's pictures on a live page, where one was asked for."""
        if not self.options.view:
            return None
        from saccade.compat.view import ScriptView

        self._page = ScriptView(self.options.view)
        _say(f"live page: {self._page.url}")
        return self._page.show

    def _execute(self, code: CodeType) -> None:
        module = ModuleType("__main__")
        module.__dict__.update(__file__=self.options.script, __builtins__=self._builtins)
        sys.modules["__main__"] = module
        exec(code, module.__dict__)
        assert self._device is not None
        handler = next((module.__dict__[n] for n in _HANDLERS if callable(module.__dict__.get(n))), None)
        if handler is not None and not self._device.delivered and not self._threads():
            self.report.note(
                f"{handler.__name__}({{}}, None) was called, as the file itself did nothing with the camera"
            )
            handler({}, None)

    def _threads(self) -> list[threading.Thread]:
        """Threads of the script that are still at work."""
        return [
            thread
            for thread in threading.enumerate()
            if thread is not threading.main_thread() and not thread.daemon and _file(thread) != _POOL
        ]

    def _wait_for_threads(self) -> None:
        """Until the script's threads are done; after the last frame only for what they have in hand."""
        while not self._ended.is_set() and any(not self._shows(thread) for thread in self._threads()):
            self._ended.wait(0.05)
        end = time.monotonic() + _GRACE
        while any(not _idle(thread) for thread in self._threads()) and time.monotonic() < end:
            time.sleep(0.02)

    def _shows(self, thread: threading.Thread) -> bool:
        """True for a thread that does nothing but show pictures, and so never ends."""
        assert self._device is not None
        return thread.ident not in self._device.readers and (hasattr(thread, "stop_request") or _in_fifo(thread))

    # The end

    def _on_end(self) -> None:
        """Called by `getLastFrame()` when there are no more frames."""
        self._end()
        thread = threading.get_ident()
        if thread not in self._told:
            self._told.add(thread)
            raise ScriptEnd(0)
        # The script caught ScriptEnd and came back: it waits here until the process is gone.
        self._body_done.set()
        threading.Event().wait()

    def _on_failure(self, error: SaccadeError) -> None:
        """Called when a model cannot be had: no later frame can mend that."""
        if not self._problem:
            self._status, self._problem = 2, str(error)
        self._on_end()

    def _end(self) -> None:
        self._ended.set()
        if self._device is not None:
            self._device.finish()

    def _watch(self) -> None:
        """Ends the process when the script does not end by itself."""
        self._ended.wait()
        self._body_done.wait(2 * _GRACE)
        self._finish()

    def muted(self) -> bool:
        """True in a thread that was told of the end: what it says then is about that, and no device had an end."""
        if threading.get_ident() in self._told:
            self._muted += 1
            return True
        return False

    def _crashed(self, error: BaseException) -> None:
        if not self._ended.is_set():
            self._status = 2 if isinstance(error, SaccadeError) else 1
            self._problem = self._described(error)

    def _thread_crashed(self, arguments: Any) -> None:
        """A thread of the script ended by an error; the others go on, as on the device."""
        if not self._ended.is_set() and not issubclass(arguments.exc_type, SystemExit):
            name = arguments.thread.name if arguments.thread else "?"
            _say(f"saccade run-script: thread {name}: {self._described(arguments.exc_value)}")

    def _described(self, error: BaseException) -> str:
        if os.environ.get("SACCADE_DEBUG"):
            traceback.print_exception(error)
        first = (str(error).splitlines() or [""])[0]
        if isinstance(error, SaccadeError):
            return first
        if isinstance(error, ModuleNotFoundError):
            first += "; install it into this Python, or lay it beside the script"
        lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == self.options.script]
        where = f"{self.options.script}, line {lines[-1].lineno}" if lines else self.options.script
        return f"{where}: {type(error).__name__}: {first}"

    def _fail(self, problem: str) -> NoReturn:
        self._status, self._problem = 2, problem
        self._finish(quiet=True)

    def _finish(self, quiet: bool = False) -> NoReturn:
        with self._lock:
            if self._finished:
                threading.Event().wait()
            self._finished = True
        delivered = self._device.delivered if self._device else 0
        with contextlib.suppress(Exception):
            compat.uninstall()
            if self._page is not None:
                self._page.close()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        try:
            if not quiet:
                self._tell(delivered)
            if self._problem:
                _say(f"saccade run-script: {self._problem}")
        finally:
            # Threads of the script may hang in a FIFO or a socket: nothing waits for them.
            os._exit(self._status)

    def _tell(self, frames: int) -> None:
        seconds = time.monotonic() - self._start
        lines = self.report.lines()
        if self._muted:
            lines.append(f"messages after the last frame were not sent ({self._muted} times)")
        converted = self._converted
        kind = f"Python {'2.7' if converted.version == 2 else '3'} ({converted.why})" if converted else ""
        if self.options.report:
            report = {
                "script": self.options.script, "python": converted.version if converted else None,
                "why": converted.why if converted else "", "frames": frames, "seconds": round(seconds, 2),
                "adapted": lines, "problem": self._problem,
            }  # fmt: skip
            Path(self.options.report).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        _say(f"{self.options.script}: {kind}, {frames} frames in {seconds:.1f} s")
        for line in ["adapted:", *("  " + line for line in lines)] if lines else []:
            _say(line)


class _Muting:
    """The publisher of a script; silent after the last frame."""

    def __init__(self, publisher: Any, host: Host) -> None:
        self._publisher, self._host = publisher, host

    def publish(self, payload: str | bytes, topic: str | None = None) -> bool:
        if self._host.muted():
            return False
        with contextlib.suppress(ValueError):
            # Lines of the script's own prints come out in the order of the messages.
            sys.stdout.flush()
        return bool(self._publisher.publish(payload, topic))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._publisher, name)


class _Neighbours(importlib.abc.MetaPathFinder):
    """Imports modules that lie beside the script as the script itself is run."""

    def __init__(self, host: Host, folder: str) -> None:
        self._host, self._folder = host, folder
        self._packages: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if path is None:
            # Python 2 looked into the importing package first; it is asked last here.
            places = [self._folder, *self._packages]
        else:
            places = [p for p in path if str(p).startswith(self._folder + os.sep)]
        for place in places:
            spec = importlib.machinery.PathFinder.find_spec(name, [place])
            if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
                spec.loader = _Loader(name, spec.loader.path, self._host)
                self._packages += spec.submodule_search_locations or []
                return spec
        return None


class _Loader(importlib.machinery.SourceFileLoader):
    """Converts a neighbour's source; nothing is cached beside it."""

    def __init__(self, name: str, path: str, host: Host) -> None:
        super().__init__(name, path)
        self._host = host

    def get_code(self, fullname: str) -> CodeType:
        name = self.get_filename(fullname)
        host = self._host
        converted = python2.convert(self.get_data(name), name, version=host.options.python, constants=host._constant)
        for change, lines in converted.changes.items():
            host.report.note(f"{os.path.basename(name)}: {change}: {_lines(lines)}")
        code: CodeType = python2.compiled(converted, name)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._host._builtins
        super().exec_module(module)


def _file(thread: threading.Thread) -> str:
    """File of the code that a thread is in."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame.f_code.co_filename if frame is not None else ""


def _in_fifo(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_filename == fifo_file.__file__:
            return True
        frame = frame.f_back
    return False


def _idle(thread: threading.Thread) -> bool:
    """True if a thread of the script waits, for a timer, a queue or a viewer, and has nothing in hand."""
    return _file(thread) in _WAITING or hasattr(thread, "stop_request") or _in_fifo(thread)


def _say(text: str) -> None:
    """Tell the user; standard output belongs to the script's prints and messages."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _lines(lines: list[int]) -> str:
    unique = sorted(set(lines))
    shown = ", ".join(str(n) for n in unique[:12]) + (", ..." if len(unique) > 12 else "")
    return f"line {shown}" if len(unique) == 1 else f"lines {shown}"


def main() -> NoReturn:
    """Entry of the process."""
    # The root logger is the script's own.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    package = logging.getLogger("saccade")
    package.addHandler(handler)
    package.propagate = False
    values = json.loads(sys.argv[1])
    values["arguments"] = tuple(values.get("arguments", ()))
    Host(HostOptions(**values)).run()


if __name__ == "__main__":
    main()
