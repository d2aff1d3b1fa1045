"""Files that do to a worker what damaged files, systems and decoders may: each a picture whose name says what.

`segfault` crashes the process, `raise` has a library raise what nobody expects, `starve` has the system kill it, `wait`
blocks until `go_on()`.
"""

from __future__ import annotations

import os
from pathlib import Path

from conditions import wait_for

HOOK = """
import os, pathlib, signal, sys, time
if "saccade.archive.worker" in sys.orig_argv:
    from saccade.archive import shard
    folder, rows = pathlib.Path(__file__).parent, shard.Examiner.rows
    def faulty(self, item):
        name = item.path.rpartition("/")[2]
        if "segfault" in name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "starve" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "raise" in name:
            raise RuntimeError("what nobody expects")
        if "wait" in name and not (folder / "go-on").exists():
            (folder / f"at-{os.getpid()}").touch()
            while not (folder / "go-on").exists():
                time.sleep(0.01)
        return rows(self, item)
    shard.Examiner.rows = faulty
"""


class Faults:
    """The hook, in a folder of its own. environment : of the commands that it shall reach."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(HOOK)
        self.environment = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
        self._seen: set[int] = set()

    def waiting(self) -> int:
        """Process number of the next worker that waits."""

        def new() -> set[int]:
            return {int(path.name[3:]) for path in self._folder.glob("at-*")} - self._seen

        wait_for(new)
        (number,) = new()
        self._seen.add(number)
        return number

    def go_on(self) -> None:
        """Let everybody go on that waits."""
        (self._folder / "go-on").touch()
