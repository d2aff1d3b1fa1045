from __future__ import annotations

import logging
import stat
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg

from conditions import PATIENCE, wait_for
from saccade.errors import JpegError, OutputError
from saccade.frame import Frame
from saccade.outputs.crops import Crop, CropWriter, enlarged, sharpness
from scenes import classes_result, faces_result, picture

FACE = (400.0, 200.0, 600.0, 460.0)


def blurred(strength: int) -> np.ndarray:
    noise = np.random.default_rng(5).integers(0, 255, (720, 1280, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), strength) if strength else noise


def feed(
    writer: CropWriter, count: int, *, fps: float = 30.0, boxes: list[tuple[float, float, float, float]] | None = None,
    pictures: list[np.ndarray] | None = None, first: int = 0,
) -> None:  # fmt: skip
    pictures = pictures or [blurred(2)]
    for n in range(first, first + count):
        frame = Frame.from_bgr(pictures[n % len(pictures)], sequence=n, time=n / fps)
        writer.accept(frame, faces_result(n, n / fps, [FACE] if boxes is None else boxes))
        frame.release()


def test_one_face_gives_a_crop_each_interval(tmp_path: Path) -> None:
    writer = CropWriter(tmp_path / "out", interval=3.0, wait=True)
    feed(writer, 300)  # ten seconds
    assert len(list((tmp_path / "out").iterdir())) == 3
    writer.close()
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name.split("_", 1)[1] for name in names] == ["1_1.jpg", "1_2.jpg", "1_3.jpg", "1_4.jpg"]
    times = [int(name.split("_")[0]) / 1e3 for name in names]
    assert all(start <= time < start + 3.1 for start, time in zip((0, 3, 6, 9), times, strict=True))
    statistics = writer.statistics()
    assert (statistics.written, statistics.lost, statistics.tracks, statistics.skipped) == (4, 0, 1, 0)
    assert statistics.sampled <= 10 * 5 + 4


def test_files_are_private_whole_pictures(tmp_path: Path) -> None:
    writer = CropWriter(tmp_path, margin=0.25, wait=True)
    feed(writer, 5)
    writer.close()
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert simplejpeg.decode_jpeg(path.read_bytes()).shape == (390, 300, 3)


def test_the_sharpest_of_the_interval_is_kept() -> None:
    kept: list[Crop] = []
    writer = CropWriter(kept.append, interval=3.0, wait=True)
    soft, crisp = blurred(6), blurred(1)
    feed(writer, 90, pictures=[soft] * 42 + [crisp] * 12 + [soft] * 36)  # in focus for 0.4 s
    writer.close()
    (crop,) = kept
    assert 42 <= crop.frame < 54
    assert crop.time == crop.frame / 30
    assert crop.sharpness > 10 * sharpness(blurred(6)[200:460, 400:600])


def test_faces_that_move_keep_one_track_each() -> None:
    kept: list[Crop] = []
    writer = CropWriter(kept.append, interval=3.0, wait=True)
    source = [blurred(2)]
    for n in range(180):
        boxes = [(100.0 + 3 * n, 100.0, 250.0 + 3 * n, 300.0), (900.0 - 3 * n, 400.0, 1040.0 - 3 * n, 600.0)]
        feed(writer, 1, boxes=boxes if n % 2 else boxes[::-1], first=n, pictures=source)
    writer.close()
    assert sorted((crop.track, crop.index) for crop in kept) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_face_that_has_gone_is_written_before_the_end() -> None:
    kept: list[Crop] = []
    writer = CropWriter(kept.append, interval=3.0, wait=True)
    feed(writer, 10)
    feed(writer, 45, boxes=[], first=10)
    wait_for(lambda: kept)
    assert [crop.track for crop in kept] == [1]
    writer.close()
    assert len(kept) == 1


@pytest.mark.parametrize(
    "box",
    [
        (-500, -500, -100, -100), (2000, 100, 2400, 400), (300, 300, 300, 500), (500, 500, 300, 300),
        (float("nan"),) * 4, (0, 0, float("inf"), 100), (10, 10, 14, 300),
    ],
)  # fmt: skip
def test_no_crop_of_nothing(box: tuple[float, float, float, float]) -> None:
    kept: list[Crop] = []
    writer = CropWriter(kept.append, wait=True)
    feed(writer, 5, boxes=[box])
    writer.close()
    assert not kept
    assert writer.statistics().failed == 0


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        ((-50, -60, 150, 140), (0, 0, 188, 175)),
        ((1200, 600, 1400, 800), (1180, 570, 1280, 720)),
        ((-9, -9, 2000, 2000), (0, 0, 1280, 720)),
        ((400.2, 200.7, 599.5, 459.1), (350, 135, 650, 525)),
    ],
)
def test_crops_stay_within_the_frame(face: tuple[float, ...], expected: tuple[int, ...]) -> None:
    kept: list[Crop] = []
    writer = CropWriter(kept.append, margin=0.25, wait=True)
    feed(writer, 1, boxes=[face])  # type: ignore[list-item]
    writer.close()
    (crop,) = kept
    assert crop.box == expected
    height, width = simplejpeg.decode_jpeg(crop.jpeg).shape[:2]
    assert (width, height) == (expected[2] - expected[0], expected[3] - expected[1])


def test_never_over_an_earlier_file(tmp_path: Path) -> None:
    for _ in range(3):
        writer = CropWriter(tmp_path, wait=True)
        feed(writer, 3)
        writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0000000000000_1_1-2.jpg",
        "0000000000000_1_1-3.jpg",
        "0000000000000_1_1.jpg",
    ]


def test_a_full_disk_loses_new_crops_and_no_earlier_one(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    earlier = small_disk / "earlier.jpg"
    earlier.write_bytes(b"e" * 60_000)
    writer = CropWriter(small_disk, interval=0.5, wait=True)
    feed(writer, 150, pictures=[blurred(0)])
    writer.close()
    statistics = writer.statistics()
    assert statistics.lost > 0
    assert earlier.read_bytes() == b"e" * 60_000
    for path in small_disk.glob("0*.jpg"):
        simplejpeg.decode_jpeg(path.read_bytes())
    assert not list(small_disk.glob(".*"))
    messages = [r.message for r in caplog.records if r.levelno >= logging.ERROR]
    assert messages == [
        f"pictures cannot be written to {small_disk}: No space left on device; those that come are lost until that "
        "is mended"
    ]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"pictures cannot be written to .*: .*; give a folder that can be"):
        CropWriter(tmp_path / "file" / "out")


def test_a_taker_that_fails_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(crop: Crop) -> None:
        raise OutputError("the spool is full; empty it")

    writer = CropWriter(refuse, interval=0.5, wait=True)
    feed(writer, 90)
    writer.close()
    assert writer.statistics().lost >= 5
    assert [r.message for r in caplog.records] == ["a crop could not be kept: the spool is full; empty it"]


def test_a_damaged_picture_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    def decode(height: int, width: int) -> np.ndarray:
        raise JpegError("picture 0 is cut short")

    kept: list[Crop] = []
    writer = CropWriter(kept.append, wait=True)
    bad = Frame(width=1280, height=720, planes=(np.zeros((72, 128, 3), np.uint8),), decode=decode)
    writer.accept(bad, faces_result(0, 0.0, [FACE]))
    feed(writer, 30, first=1)
    writer.close()
    bad.release()
    assert bad.released
    assert len(kept) == 1
    assert writer.statistics().failed == 1


def test_results_without_faces() -> None:
    writer = CropWriter(lambda crop: None)
    frame = Frame.from_bgr(picture())
    writer.accept(frame, classes_result(0, 0.0))
    writer.accept(frame, faces_result(1, 0.1, []))
    writer.close()
    assert writer.statistics().tracks == 0


def test_a_frame_of_another_size_begins_anew() -> None:
    kept: list[Crop] = []
    writer = CropWriter(kept.append, wait=True)
    feed(writer, 3)
    frame = Frame.from_bgr(picture(width=640, height=360), sequence=3, time=0.1)
    writer.accept(frame, faces_result(3, 0.1, [(400, 200, 500, 300)], size=(640, 360)))
    writer.close()
    assert [crop.track for crop in kept] == [1, 2]


def test_every_single_picture_of_a_folder_counts() -> None:
    """Pictures of different people, one frame each, faster than they can be cut."""
    kept: list[Crop] = []
    writer = CropWriter(kept.append, wait=True)
    for n in range(12):
        x = float(n % 4 * 300)
        feed(writer, 1, fps=1 / 5, boxes=[(x, 100, x + 200, 300)], first=n)
    writer.close()
    assert len(kept) == 12


def test_a_slow_decoder_never_holds_up_a_live_pipeline() -> None:
    decoded = threading.Event()

    def decode(height: int, width: int) -> np.ndarray:
        assert decoded.wait(PATIENCE), "the pipeline waits for the decoder"
        return picture()

    writer = CropWriter(lambda crop: None)
    held = []
    for n in range(100):
        frame = Frame(
            width=1280, height=720, planes=(np.zeros((72, 128, 3), np.uint8),), decode=decode, sequence=n,
            on_release=lambda: held.pop(),
        )  # fmt: skip
        held.append(n)
        writer.accept(frame, faces_result(n, n / 20, [FACE]))
        frame.release()
        assert len(held) <= CropWriter.leases
    assert not decoded.is_set()
    decoded.set()
    writer.close()
    assert not held
    assert writer.statistics().skipped > 0
    assert writer.statistics().failed == 0


def test_a_face_that_is_being_taken_while_the_camera_is_removed_is_written() -> None:
    kept: list[Crop] = []
    writer = CropWriter(lambda crop: kept.append(crop))
    taken, closing = writer._due, threading.Thread(target=writer.close, daemon=True)

    def close_meanwhile(*args: Any) -> list[Any]:
        closing.start()
        wait_for(lambda: writer._accepting.locked() or not closing.is_alive())
        return taken(*args)

    writer._due = close_meanwhile  # type: ignore[method-assign]
    feed(writer, 1)
    closing.join(PATIENCE)
    assert len(kept) == 1


def test_sharpness_is_of_the_face_not_of_its_size() -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 255, (480, 480, 3), np.uint8), (0, 0), 5)
    half = cv2.resize(noise, (240, 240), interpolation=cv2.INTER_AREA)
    assert sharpness(noise) == pytest.approx(sharpness(half), rel=0.1)
    assert sharpness(half) > 3 * sharpness(cv2.GaussianBlur(half, (0, 0), 6))
    tiny = cv2.resize(noise, (24, 24), interpolation=cv2.INTER_AREA)
    assert sharpness(tiny) < 0.7 * sharpness(half)


def test_closing_twice_and_accepting_afterwards_is_harmless() -> None:
    writer = CropWriter(lambda crop: None)
    feed(writer, 2)
    writer.close()
    writer.close()
    feed(writer, 2, first=2)
    assert not [t for t in threading.enumerate() if t.name == "saccade-crops"]


@pytest.mark.parametrize(("size", "expected"), [((40, 30), (107, 80)), ((79, 300), (80, 304)), ((80, 90), (80, 90))])
def test_small_crops_are_enlarged_where_a_least_side_is_asked_for(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = np.full((*size, 3), 90, np.uint8)
    assert enlarged(small, 80).shape[:2] == expected
    assert enlarged(small, 0) is small
    kept: list[Crop] = []
    with_least = CropWriter(kept.append, least_side=600)
    feed(with_least, 3)
    with_least.close()
    assert kept
    assert all(min(simplejpeg.decode_jpeg_header(crop.jpeg)[:2]) == 600 for crop in kept)
