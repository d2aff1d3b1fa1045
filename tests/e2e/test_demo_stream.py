"""The main job from end to end: the demo stream, the real network, crops, events, FIFO and page in one run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import pytest

from conditions import PATIENCE, wait_for
from lengths import length
from saccade.config import cache_dir


@pytest.fixture(autouse=True)
def demo_files() -> None:
    """Skip where the demo's model and pictures were never pulled."""
    needed = ("models/blazeface-full.tflite", "models/face-mesh.tflite", "pictures/astronaut.png")
    if not all((cache_dir() / name).is_file() for name in needed):
        pytest.skip("the demo files are not here; run `saccade models pull demo`")


def saccade(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "saccade", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize(
    ("source", "width", "height", "frames"),
    [("demo:", 1920, 1080, length(60, 240)), ("demo:4mp", 2688, 1520, length(30, 240))],
)
def test_faces_are_found_in_the_moving_scene(source: str, width: int, height: int, frames: int, tmp_path: Path) -> None:
    events, summary, crops = tmp_path / "events.jsonl", tmp_path / "summary.json", tmp_path / "crops"
    done = saccade(
        "run", "faces", "--source", source, "--every-frame", "--frames", frames, "--interval", 2,
        "--events", events, "--summary", summary, "--out", crops,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(frames))
    two = sum(len(line["detections"]) == 2 for line in lines)
    assert two >= 0.9 * len(lines), "the scene has two people"
    for line in lines:
        for face in line["detections"]:
            assert 0 <= face["xmin"] < face["xmax"] <= width
            assert 0 <= face["ymin"] < face["ymax"] <= height
            assert face["label"] == "face"
            assert 0.5 <= face["prob"] <= 1
    figures = json.loads(summary.read_text())
    assert (figures["frames"], figures["dropped"], figures["damaged"]) == (frames, 0, 0)
    pictures = sorted(crops.glob("*.jpg"))
    # 30 frames a second, a crop a face every two seconds.
    looks = -(-frames // 60)
    assert 1.5 * looks <= len(pictures) <= 3 * looks
    for path in pictures:
        crop = cv2.imread(str(path))
        assert crop is not None
        assert min(crop.shape[:2]) > 100
        assert path.stat().st_mode & 0o077 == 0, "faces are nobody else's business"


def test_page_and_fifo_serve_while_it_runs(tmp_path: Path) -> None:
    fifo = tmp_path / "results.mjpeg"
    process = subprocess.Popen(
        [sys.executable, "-m", "saccade", "run", "head-pose", "--source", "demo:", "--view", "127.0.0.1:0",
         "--fifo", fifo],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("live page: "):
                break
        url = line.removeprefix("live page: ").strip()

        def figures() -> dict[str, Any]:
            return dict(json.loads(urllib.request.urlopen(url + "statistics.json", timeout=PATIENCE).read()))

        wait_for(lambda: figures()["frames"] > 0)
        assert figures()["app"] == "head-pose"
        assert "saccade_frames_total" in urllib.request.urlopen(url + "metrics", timeout=PATIENCE).read().decode()
        if shutil.which("ffmpeg"):
            reader = subprocess.run(
                ["ffmpeg", "-loglevel", "error", "-f", "mjpeg", "-i", fifo, "-frames:v", "10", tmp_path / "%02d.png"],
                stdin=subprocess.DEVNULL, timeout=2 * PATIENCE, check=False,
            )  # fmt: skip
            assert reader.returncode == 0
            picture = cv2.imread(str(tmp_path / "05.png"))
            assert picture is not None
            assert picture.shape[1] / picture.shape[0] == pytest.approx(16 / 9, abs=0.02)
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "frames in" in out
    assert not fifo.exists(), "a FIFO that saccade made goes with it"
