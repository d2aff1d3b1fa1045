"""Runs scripts through `saccade run-script` and reads what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conditions import PATIENCE

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass
class Run:
    status: int
    out: str
    err: str
    messages: list[dict[str, Any]]
    report: dict[str, Any]

    @property
    def payloads(self) -> list[str]:
        return [message["payload"] for message in self.messages]

    @property
    def adapted(self) -> str:
        return "\n".join(self.report["adapted"])


class Device:
    """A folder of artifacts and a way to run scripts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.artifacts, self.fifo = folder, folder / "artifacts", folder / "results.mjpeg"
        self.artifacts.mkdir()
        self.environment: dict[str, str] = {}

    def command(self, script: Path, *options: str) -> list[str]:
        source = () if "--source" in options else ("--source", "demo:")
        return [
            sys.executable, "-m", "saccade", "run-script", str(script), *source, "--fifo", str(self.fifo),
            "--artifacts", str(self.artifacts), "--events", str(self.folder / "messages"),
            "--report", str(self.folder / "report"), *options,
        ]  # fmt: skip

    def run_plain(self, script: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a script that takes no frames, to its own end."""
        return subprocess.run(self.command(script, *options), capture_output=True, text=True, timeout=PATIENCE)

    def run(self, script: Path, *options: str, frames: int = 4, status: int = 0, timeout: float = PATIENCE) -> Run:
        for name in ("messages", "report"):
            (self.folder / name).unlink(missing_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | self.environment
        done = subprocess.run(
            self.command(script, "--frames", str(frames), *options),
            capture_output=True, text=True, timeout=timeout, env=environment,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        messages = self.folder / "messages"
        lines = [json.loads(line) for line in messages.read_text().splitlines()] if messages.exists() else []
        report = self.folder / "report"
        told = json.loads(report.read_text()) if report.exists() else {}
        return Run(done.returncode, done.stdout, done.stderr, lines, told)

    @contextlib.contextmanager
    def watched(self) -> Iterator[bytearray]:
        """Somebody reads the FIFO, in a thread; what has come is all there behind the block."""
        os.mkfifo(self.fifo)
        got = bytearray()
        viewer = threading.Thread(target=lambda: got.extend(self.fifo.read_bytes()), daemon=True)
        viewer.start()
        yield got
        viewer.join(PATIENCE)
        assert not viewer.is_alive(), "the FIFO is still open"

    def sample(self, name: str, **options: Any) -> Run:
        return self.run(self.copy(name), **options)

    def copy(self, name: str) -> Path:
        script = self.folder / f"{name}.py"
        script.write_bytes((SCRIPTS / f"{name}.py.txt").read_bytes())
        return script

    def script(self, text: str, name: str = "script") -> Path:
        path = self.folder / f"{name}.py"
        path.write_text(text)
        return path
