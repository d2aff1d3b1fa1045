"""Executed instructions of a program, counted by callgrind between the marks that it sets."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def counts(
    command: Sequence[str | Path], folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Instructions by the label of each dump (`CALLGRIND_DUMP_STATS_AT`) of a run.

    folder : for the dumps, empty. options : of callgrind. environment : of the program; None: this process's.
    Raises RuntimeError where the program fails.
    """
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts", *options]
    done = subprocess.run([*valgrind, *command], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"callgrind failed: {done.stderr.strip()}")
    found = {}
    for dump in folder.glob("counts.*"):
        text = dump.read_text()
        label = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if label and total:
            found[label[1]] = int(total[1])
    return dict(sorted(found.items()))
