"""The process of one old script: sets the device up, runs the script, ends it, and says what was adapted.

`python -m saccade.compat.host DESCRIPTOR`, where `HostOptions` can be read; `saccade run-script` starts it. It is a
process of its own because the adaptations change modules, and a script may leave threads that nothing can end.
"""

from __future__ import annotations

import concurrent.futures.thread
import contextlib
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
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from saccade import compat
from saccade.address import hidden
from saccade.compat import children, fifo_file, gone_modules, met, old_libraries, old_python, python2
from saccade.compat import device as devices
from saccade.compat.host_options import HostOptions
from saccade.compat.neighbours import Neighbours, belongs
from saccade.compat.old_modules import Modules
from saccade.compat.restarts import Restarts
from saccade.config import DEFAULT_FIFO
from saccade.errors import OutputError, SaccadeError
from saccade.process import StopSignals, is_writable, secure_standard_streams
from saccade.storage.writable import write_file
from saccade.text import PlainFormatter, plain

log = logging.getLogger(__name__)

_GRACE = 3.0
"""Seconds that a script has to end by itself after its last frame."""
_AT_ONCE = 0.8
"""Seconds that it has after a signal."""
_LOOK = 0.2
"""Seconds between two looks at how the script is doing."""
_QUIET = 3
"""Looks in a row at which no thread of a script may have anything in hand."""
_FLOOD = 1000
"""Messages between two frames from which a script sends without sense."""
_POOL = concurrent.futures.thread.__file__
"""Workers of a pool that have nothing to do wait here."""
_WAITING = frozenset({threading.__file__, queue.__file__, ""})
_HANDLERS = ("lambda_handler", "function_handler", "handler")


class ScriptEnd(SystemExit):
    """Raised in the script after its last frame. Not an `Exception`, which scripts catch; threads end by it quietly."""


class Host:
    """Runs one script."""

    def __init__(self, options: HostOptions) -> None:
        self.options = options
        self.report = old_python.Report()
        self.errors = met.MetErrors(self.owns)
        self._folder = os.path.dirname(os.path.realpath(options.script))
        self._start = time.monotonic()
        self._ended = threading.Event()
        self._body_done = threading.Event()
        self._process = os.getpid()
        self._came: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._told: set[int] = set()
        self._finished = False
        self._status = 0
        self._problem = ""
        self._why = ""
        self._body_waits = False
        self._grace = 2 * _GRACE
        self._thread_error = ""
        self._muted = 0
        self._since_frame = (0, 0)
        self._converted: python2.Converted | None = None
        self._page: Any = None
        self._device: devices.CompatDevice | None = None
        self._restarts = Restarts(
            owns=self.owns, frames=self._delivered, errors=lambda: self.errors.count, idle=self._idles,
            give_up=self._give_up, most=options.restarts,
            hurried=options.frames is not None or options.seconds is not None,
        )  # fmt: skip

    def owns(self, file: str) -> bool:
        """Whether a file belongs to the script: it lies in its folder, and in no environment below that."""
        inside = file == self.options.script or file.startswith(self._folder + os.sep)
        return inside and "site-packages" not in file and "dist-packages" not in file

    def run(self) -> NoReturn:
        """Run the script to its end and leave the process."""
        StopSignals().start().then(self._came.put)
        threading.Thread(target=self._watch, name="saccade-end", daemon=True).start()
        try:
            code = self._prepare()
        except SaccadeError as error:
            if self._ended.is_set():
                self._finish()
            self._fail(str(error))
        if self.options.seconds is not None:
            timer = threading.Timer(self.options.seconds, self._end, (f"--seconds {self.options.seconds:g} are over",))
            timer.daemon = True
            timer.start()
        threading.excepthook = self._thread_crashed
        threading.Timer = self._restarts.timer()  # type: ignore[misc]
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

        if options.events == "-" and not is_writable(1):
            raise SaccadeError("messages cannot be written: standard output is closed; give a file (--events)")
        name = options.script
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise SaccadeError(f"{name}: cannot be read ({error.strerror}); give a Python file") from None
        self._device = compat.install(
            source=options.source, artifacts=options.artifacts, models=options.models, device=options.device,
            precision=options.precision, realtime=options.realtime, frames=options.frames,
            publisher=_Muting(open_publisher(options.events), self), on_end=self._on_end,
            source_options=options.source_options,
        )  # fmt: skip
        self._device.notes = self.report.note
        self._device.on_failure = self._on_failure
        converted = self._converted = python2.convert(data, name, version=options.python, constants=self._constant)
        for change, lines in converted.changes.items():
            self.report.note(f"{change}: {_lines(lines)}")
        self._device.class_names.add(converted.text, name)
        self._device.open()
        self._files = old_python.ScriptFiles(self.report, options.fifo, converted.version, self._show())
        folder = str(Path(name).resolve().parent)
        self._modules = Modules(converted.version, lambda module: belongs(folder, module))
        old_libraries.adapt(self._modules, self.report, converted.version)
        self._builtins = old_python.script_builtins(self.report, converted.version, self._files, self._modules)
        old_python.restore_names()
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        sys.path.insert(0, folder)
        # The function's own folder, as for Lambda: scripts open files beside them by name.
        os.chdir(folder)
        sys.argv = [name, *options.arguments]
        sys.meta_path.insert(0, Neighbours(folder, self._neighbour, self._builtins))
        sys.meta_path.append(gone_modules.Absent(self.owns))
        if any(b"skimage" in file.read_bytes() for file in Path(folder).glob("*.py")):
            gone_modules.restore_skimage(self.report.note)
        # What scripts expect of `Process(target=...)`: the script's state goes along.
        multiprocessing.set_start_method("fork", force=True)
        children.serve(self._device.last_frame, self._device.ask)
        self._builtins[met.MET] = self.errors.caught
        met.tell_of_errors(converted.tree)
        code: CodeType = python2.compiled(converted, name)
        self._device.used()
        return code

    def _neighbour(self, data: bytes, path: str) -> CodeType:
        """Code of a module that belongs to the script."""
        converted = python2.convert(data, path, version=self.options.python, constants=self._constant)
        for change, lines in converted.changes.items():
            self.report.note(f"{os.path.basename(path)}: {change}: {_lines(lines)}")
        if self._device is not None:
            self._device.class_names.add(converted.text, path)
        met.tell_of_errors(converted.tree)
        code: CodeType = python2.compiled(converted, path)
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
        self._body_waits = True
        while not self._ended.is_set() and any(not self._shows(thread) for thread in self._threads()):
            self._ended.wait(0.05)
        end, quiet = time.monotonic() + _GRACE, 0
        # A thread that takes something from a queue seems to wait for a moment.
        while quiet < _QUIET and time.monotonic() < end:
            quiet = quiet + 1 if all(_idle(thread) for thread in self._threads()) else 0
            time.sleep(0.02)

    def _shows(self, thread: threading.Thread) -> bool:
        """True for a thread that does nothing but show pictures, and so never ends."""
        assert self._device is not None
        return thread.ident in self._device.displays and thread.ident not in self._device.readers

    # The end

    def _on_end(self) -> None:
        """Called by `getLastFrame()` when there are no more frames."""
        asked = self.options.frames
        all_given = asked is not None and self._delivered() >= asked
        self._end("these are all that were asked for" if all_given else "the source ended")
        thread = threading.get_ident()
        if thread not in self._told:
            self._told.add(thread)
            raise ScriptEnd(0)
        self._hold()

    def _hold(self) -> NoReturn:
        """Where a thread waits until the process is gone that caught its ScriptEnd and came back."""
        self._body_done.set()
        while True:
            threading.Event().wait()

    def _on_failure(self, error: SaccadeError) -> None:
        """Called when a model cannot be had: no later frame can mend that."""
        if not self._problem:
            self._status, self._problem = 2, str(error)
        self._end("a model cannot be had")
        self._on_end()

    def _give_up(self, reason: str) -> None:
        """End a script that comes to nothing, with status 1."""
        if not self._ended.is_set():
            first = f"; {self.errors.last}" if self.errors.last else ""
            self._status, self._problem = 1, f"stopped: {reason}{first}"
        self._end("the script was stopped")

    def _end(self, why: str) -> None:
        self._why = self._why or why
        self._ended.set()
        if self._device is not None:
            self._device.finish()

    def _watch(self) -> None:
        """Ends the process when a signal comes, when the script comes to nothing, or does not end by itself."""
        parent = os.getppid()
        while not self._ended.is_set():
            came = self._signal(_LOOK)
            if came is not None or os.getppid() != parent:
                self._grace = _AT_ONCE
                self._end(f"{came.name} came" if came is not None else "the process that started it has gone")
            elif self._stalls():
                self._grace = _AT_ONCE
                self._give_up(
                    f"the script asked for no frame for {self.options.patience:g} s{self._place()}; "
                    "--patience SECONDS waits longer"
                )
        end = time.monotonic() + self._grace
        while not self._body_done.is_set() and time.monotonic() < end:
            if self._signal(_LOOK / 4) is not None:
                end = min(end, time.monotonic() + _AT_ONCE)
        self._finish()

    def _signal(self, seconds: float) -> signal.Signals | None:
        """The signal that came, or None where none did in that time."""
        try:
            return signal.Signals(self._came.get(timeout=seconds))
        except queue.Empty:
            return None

    def _stalls(self) -> bool:
        device, patience = self._device, self.options.patience
        return (
            device is not None and patience is not None and not self._restarts.waiting
            and device.idle_for() > patience and not self._body_done.is_set()
        )  # fmt: skip

    def _place(self) -> str:
        """Where the main thread is in the script."""
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        while frame is not None and not self.owns(frame.f_code.co_filename):
            frame = frame.f_back
        return f" ({frame.f_code.co_filename}, line {frame.f_lineno})" if frame is not None else ""

    def _idles(self) -> bool:
        """True if nothing of the script is at work but the thread that asks."""
        own = threading.current_thread()
        return self._body_waits and all(thread is own or self._shows(thread) for thread in self._threads())

    def _delivered(self) -> int:
        return self._device.delivered if self._device is not None else 0

    def muted(self) -> bool:
        """True in a thread that was told of the end: what it says then is about that, and no device had an end."""
        if threading.get_ident() in self._told:
            self._muted += 1
            if self._muted > _FLOOD:
                self._hold()
            return True
        frames, count = self._since_frame
        count = count + 1 if frames == self._delivered() else 1
        self._since_frame = (self._delivered(), count)
        if count > _FLOOD and not self._ended.is_set():
            self._give_up(f"{_FLOOD} messages were sent since frame {frames}{self._place()}")
            self._told.add(threading.get_ident())
            raise ScriptEnd(0)
        return False

    def _crashed(self, error: BaseException) -> None:
        if not self._ended.is_set():
            self._status = 2 if isinstance(error, SaccadeError) else 1
            self._problem = self._problem or self._described(error)

    def _thread_crashed(self, arguments: Any) -> None:
        """A thread of the script ended by an error; the others go on, as on the device."""
        if not self._ended.is_set() and not issubclass(arguments.exc_type, SystemExit):
            name = arguments.thread.name if arguments.thread else "?"
            said = self._described(arguments.exc_value)
            self._thread_error = self._thread_error or f"thread {name}: {said}"
            _say(f"saccade run-script: thread {name}: {said}")

    def _described(self, error: BaseException) -> str:
        if os.environ.get("SACCADE_DEBUG"):
            traceback.print_exception(error)
        return self.errors.describe(error)

    def _fail(self, problem: str) -> NoReturn:
        self._status, self._problem = 2, problem
        self._why = "it did not begin"
        self._finish(quiet=True)

    def _finish(self, quiet: bool = False) -> NoReturn:
        if os.getpid() != self._process:
            # A child by fork that has come to the script's end: what the run came to is its parent's to say.
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                if self._problem:
                    _say(f"saccade run-script: a process of the script: {self._problem}")
            os._exit(self._status)
        with self._lock:
            if self._finished:
                threading.Event().wait()
            self._finished = True
        delivered = self._delivered()
        if not quiet:
            self._judge(delivered)
        # What is closed may wait for a network, and the standard output for a reader: not for ever.
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        closing.join(2 * _GRACE if self._grace > _AT_ONCE else _AT_ONCE)
        try:
            if not quiet:
                self._tell(delivered)
            if self._problem:
                _say(f"saccade run-script: {self._problem}")
        finally:
            _end_children()
            # Threads of the script may hang in a FIFO or a socket: nothing waits for them.
            os._exit(self._status)

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            self._files.flush()
        with contextlib.suppress(Exception):
            compat.uninstall()
            if self._page is not None:
                self._page.close()

    def _judge(self, delivered: int) -> None:
        """Say how the script ended by itself, and whether it did anything."""
        device, asked = self._device, self.options.frames
        early = not self._ended.is_set() and asked is not None and delivered < asked
        self._why = self._why or ("an error" if self._problem else "the script ended by itself")
        first = self._thread_error or self.errors.last
        lost = device.missing if device is not None else ""
        nothing = not delivered and (device is None or not device.inferences)
        if self._problem:
            if lost and lost not in self._problem:
                self._problem += f"; {lost}"
        elif nothing and (asked is not None or first or lost):
            self._status, self._problem = 2 if lost else 1, f"no frame was taken{_after(first)}{_after(lost)}"
        elif early and (self._thread_error or lost):
            self._status, self._problem = 2 if lost else 1, lost or first
        elif early and first:
            self._why += f"; the last error it caught: {first}"

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
                "why": converted.why if converted else "", "frames": frames, "asked": self.options.frames,
                "seconds": round(seconds, 2), "ended": self._why, "restarts": self._restarts.count,
                "adapted": lines, "problem": self._problem,
            }  # fmt: skip
            try:
                write_file("--report", self.options.report, json.dumps(report, indent=2) + "\n")
            except OutputError as error:
                self._status, self._problem = self._status or 2, self._problem or str(error)
        of = f" of {self.options.frames}" if self.options.frames is not None else ""
        times = self._restarts.count
        again = f"; restarted {times} time{'s' if times > 1 else ''} by its Timer" if times else ""
        _say(f"{self.options.script}: {kind}, {frames}{of} frames in {seconds:.1f} s: {self._why}{again}")
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
    return _file(thread) in _WAITING or _in_fifo(thread)


def _say(text: str) -> None:
    """Tell the user; standard output belongs to the script's prints and messages."""
    sys.stderr.write(plain(hidden(text), lines=True) + "\n")
    sys.stderr.flush()


def _after(text: str) -> str:
    return f"; {text}" if text else ""


def _end_children() -> None:
    """End the processes that the script has started: they would hold its output open."""
    with contextlib.suppress(OSError, ValueError):
        for task in os.listdir("/proc/self/task"):
            children = Path(f"/proc/self/task/{task}/children").read_text().split()
            for child in map(int, children):
                os.kill(child, signal.SIGTERM)


def _lines(lines: list[int]) -> str:
    unique = sorted(set(lines))
    shown = ", ".join(str(n) for n in unique[:12]) + (", ..." if len(unique) > 12 else "")
    return f"line {shown}" if len(unique) == 1 else f"lines {shown}"


def _let_prints_vanish() -> None:
    """Where standard output or error is closed, what a script prints goes nowhere, as it did."""
    secure_standard_streams()
    for number, name in ((1, "stdout"), (2, "stderr")):
        if not is_writable(number):
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it lasts like the process


def main() -> NoReturn:
    """Entry of the process."""
    _let_prints_vanish()
    # The root logger is the script's own.
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(levelname)s %(message)s"))
    package = logging.getLogger("saccade")
    package.addHandler(handler)
    package.propagate = False
    Host(HostOptions.handed_over(int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
