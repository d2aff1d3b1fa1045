"""Writes recorded.npz: what the original engine 2020.3 gives for the cases.

    PYTHONPATH=.:tests/formats python -m legacy_ir.record

Each case runs in a process of its own, for the engine may crash.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench.original_engine import OriginalNet, fetch

from .cases import CASES

HERE = Path(__file__).resolve().parent


def run(name: str) -> dict[str, Any]:
    net, feeds, _ = CASES[name].build()
    with tempfile.TemporaryDirectory() as folder:
        return OriginalNet(net.write(Path(folder)), threads=1).infer(feeds)


def main() -> None:
    fetch()
    found: dict[str, np.ndarray] = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, case in CASES.items():
            if not case.recorded:
                continue
            try:
                outputs = pool.apply_async(run, (name,)).get(60)
            except Exception as error:  # a tool: say it and go on
                print(f"{name}: not recorded: {error}")
                continue
            found |= {f"{name}|{output}": values for output, values in outputs.items()}
    np.savez_compressed(HERE / "recorded.npz", **found)
    print(f"{len(found)} outputs, {(HERE / 'recorded.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
