"""Names of strangers on terminals, in logs and metrics."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from conditions import PATIENCE
from saccade.cli import main
from saccade.outputs.metrics import prometheus_text
from saccade.text import PlainFormatter, plain
from small_networks import mean_network

HOSTILE = "a\x1b[31m\x1b]0;title\x07\x9b5m\u202eb\r\nWARNING forged"
ACTS = set("\x1b\x07\x9b\u202e\r")


def test_plain_text() -> None:
    assert plain("Grüße 猫 👩\u200d🚀") == "Grüße 猫 👩\u200d🚀"
    assert plain("a\nb") == r"a\nb"
    assert plain("a\nb\x7f", lines=True) == "a\nb\\x7f"
    assert not ACTS & set(plain(HOSTILE))
    assert plain("caf\udce9") == r"caf\udce9"


def test_a_log_line_is_one_line() -> None:
    record = logging.LogRecord("saccade", logging.WARNING, "", 0, "camera %s", (HOSTILE,), None)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        traced = logging.LogRecord("saccade", logging.ERROR, "", 0, "camera %s", ("x",), sys.exc_info())
    formatter = PlainFormatter("%(levelname)s %(message)s")
    assert formatter.format(record).count("\n") == 0
    text = formatter.format(traced)
    assert text.startswith("ERROR camera x\nTraceback (most recent call last):\n")
    assert not ACTS & set(text)


def test_metrics_hold_no_control_characters() -> None:
    text = prometheus_text({"model": HOSTILE, "source": "caf\udce9", "state": "lost", "reason": HOSTILE})
    assert not ACTS & set(text)
    assert all(line.startswith(("#", "saccade_")) for line in text.splitlines())


COMMANDS = [
    ["run", "classify", "--model", "MODEL", "--task", "classify", "--source", "PICTURE"],
    ["run", "classify", "--model", "NAME", "--source", "PICTURE"],
    ["run", "classify", "--source", "NAME"],
    ["infer", "MODEL", "PICTURE", "NAME"],
    ["infer", "MODEL", "PICTURE"],
    ["inspect", "MODEL"],
    ["inspect", "NAME"],
    ["convert", "MODEL", "--output", "FOLDER"],
    ["models", "pull", "NAME"],
    ["spool", "status", "--spool", "NAME"],
    ["NAME"],
    ["run", "NAME"],
]


@pytest.fixture
def names(tmp_path: Path) -> dict[str, str]:
    """Files whose names act on a terminal."""
    folder = tmp_path / HOSTILE
    folder.mkdir()
    data = cv2.imencode(".png", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    (folder / f"{HOSTILE}.png").write_bytes(data)
    (folder / f"{HOSTILE}2.png").write_bytes(data[:-20])
    return {
        "MODEL": str(mean_network(folder / f"{HOSTILE}.xml")), "FOLDER": str(folder),
        "PICTURE": str(folder / f"{HOSTILE}.png"), "NAME": str(tmp_path / f"{HOSTILE}.none"),
    }  # fmt: skip


def check(text: str) -> None:
    assert text
    assert not ACTS & set(text)
    assert not any(line.startswith("WARNING forged") for line in text.splitlines())
    assert "Traceback" not in text


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_what_acts_on_a_terminal(
    command: list[str], names: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(SystemExit):
        main([names.get(word, word) for word in command])
    check("".join(capfd.readouterr()))


def test_no_log_of_a_run_does_either(names: dict[str, str]) -> None:
    command = ["run", "classify", "--model", "MODEL", "--task", "classify", "--source", "FOLDER", "--summary", "NAME"]
    done = subprocess.run(
        [sys.executable, "-m", "saccade", "-v", *(names.get(word, word) for word in command)],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert "damaged PNG" in done.stderr
    check(done.stdout + done.stderr)
