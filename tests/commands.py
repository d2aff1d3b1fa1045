"""The `saccade` command in the tests' own process: for what ends by itself and starts no process, much sooner."""

from __future__ import annotations

import contextlib
import io
import subprocess

from saccade.cli import main


def told(*words: object) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    arguments, out, err = [str(word) for word in words], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
