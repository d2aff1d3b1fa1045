"""What a script writes for its viewers, on the live page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from conditions import PATIENCE
from saccade import compat
from saccade.compat.fifo_file import FifoFile
from saccade.compat.view import ScriptView


@pytest.fixture
def view(tmp_path: Path) -> Iterator[ScriptView]:
    compat.install(source="demo:", artifacts=tmp_path)
    view = ScriptView("127.0.0.1:0")
    yield view
    view.close()
    compat.uninstall()


def test_who_comes_while_a_picture_stands_sees_it(view: ScriptView, tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", np.full((16, 32, 3), 100, np.uint8))[1].tobytes()
    written, ended = threading.Event(), threading.Event()

    def write() -> None:
        with FifoFile(str(tmp_path / "fifo"), view.show) as file:
            while not ended.is_set():
                file.write(jpeg)
                written.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    assert written.wait(PATIENCE)
    try:
        for _ in range(2):
            with view._display.watch() as viewer:
                seen = viewer.next(PATIENCE)
            assert seen is not None
            assert seen.frame == 1, "however often it is written"
    finally:
        ended.set()
        thread.join(PATIENCE)
