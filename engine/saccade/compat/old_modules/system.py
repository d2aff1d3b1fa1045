"""Processes, threads and the machine: `subprocess`, `commands`, `popen2`, `thread`, `threading`, `os`, `sys`."""

from __future__ import annotations

import importlib
from typing import Any

from saccade.compat.old_modules.facade import Facade, Names, new_module
from saccade.compat.old_text import plain, raw


def subprocess_names(module: Any) -> Names:
    """`Popen` that takes text."""

    class Popen(module.Popen):  # type: ignore[misc]
        """Takes text on standard input."""

        def communicate(self, input: Any = None, timeout: float | None = None) -> Any:
            return super().communicate(raw(input) if not self.text_mode else input, timeout)

    return {"Popen": Popen}


def commands_module() -> Any:
    """`commands`."""
    import subprocess

    def getstatusoutput(command: Any) -> tuple[int, Any]:
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        # The status is that of wait(2).
        code = done.returncode
        return code << 8 if code >= 0 else -code, plain(done.stdout.removesuffix(b"\n"))

    return new_module(
        "commands", getstatusoutput=getstatusoutput, getoutput=lambda command: getstatusoutput(command)[1]
    )


def popen2_module() -> Any:
    """`popen2`, whose functions give (output, input) and, the third, errors."""
    import subprocess

    def popen(command: Any, merged: bool, separate: bool) -> Any:
        process = subprocess.Popen(
            command, shell=isinstance(command, str), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE if separate else None,
        )  # fmt: skip
        return (process.stdout, process.stdin, process.stderr) if separate else (process.stdout, process.stdin)

    return new_module(
        "popen2",
        popen2=lambda command, *_: popen(command, False, False), popen3=lambda command, *_: popen(command, False, True),
        popen4=lambda command, *_: popen(command, True, False),
    )  # fmt: skip


def thread_module() -> Any:
    """`thread`."""
    import _thread

    return Facade("thread", _thread, {"error": RuntimeError, "start_new": _thread.start_new_thread})


def threading_names(module: Any) -> Names:
    """The classes, which functions hid."""
    return {"_Timer": module.Timer, "_Event": module.Event, "_RLock": module.RLock, "_Condition": module.Condition,
            "_Semaphore": module.Semaphore}  # fmt: skip


def os_names(module: Any) -> Names:
    """What is gone from `os` and `os.path`."""

    def walk(top: Any, visit: Any, argument: Any) -> None:
        names = module.listdir(top)
        visit(argument, top, names)
        for name in names:
            path = module.path.join(top, name)
            if module.path.isdir(path) and not module.path.islink(path):
                walk(path, visit, argument)

    def popen3(command: str) -> Any:
        out, into, err = popen2_module().popen3(command)
        return into, out, err

    return {"getcwdu": module.getcwd, "path": Facade("os.path", module.path, {"walk": walk}), "errno":
            importlib.import_module("errno"), "popen2": lambda c: popen2_module().popen2(c)[::-1], "popen3": popen3,
            "tmpnam": lambda: importlib.import_module("tempfile").mktemp()}  # fmt: skip


def sys_names(module: Any) -> Names:
    """What is gone from `sys`."""
    nothing = lambda *_: None  # noqa: E731
    return {"maxint": module.maxsize, "setdefaultencoding": nothing, "exc_clear": nothing,
            "subversion": ("CPython", "", ""), "py3kwarning": False, "long_info": module.int_info,
            "getdefaultencoding": lambda: "ascii", "maxunicode": module.maxunicode}  # fmt: skip
