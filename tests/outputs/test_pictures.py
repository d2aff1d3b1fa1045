from __future__ import annotations

import stat
from pathlib import Path

import pytest
import simplejpeg

from saccade.errors import OutputError
from saccade.frame import Frame
from saccade.outputs.pictures import PictureStatistics, PictureWriter
from scenes import classes_result, faces_result, picture


def feed(writer: PictureWriter, count: int) -> None:
    source = picture()
    for n in range(count):
        frame = Frame.from_bgr(source, sequence=n)
        writer.accept(frame, faces_result(n, n / 10, [(100, 100, 300, 300)]))
        frame.release()


def test_each_frame_of_a_file(tmp_path: Path) -> None:
    writer = PictureWriter(tmp_path, wait=True)
    feed(writer, 6)
    writer.close()
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths[:2]] == ["0000000000000_000000.jpg", "0000000000100_000001.jpg"]
    assert len(paths) == 6
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o600
    drawn = simplejpeg.decode_jpeg(paths[0].read_bytes(), colorspace="BGR")
    assert drawn.shape == (720, 1280, 3)
    assert abs(drawn.astype(int) - picture()).mean() > 0.3
    assert writer.statistics() == PictureStatistics(written=6, skipped=0, lost=0, failed=0)


def test_one_each_second(tmp_path: Path) -> None:
    writer = PictureWriter(tmp_path, every=1.0, wait=True, width=640, height=360)
    feed(writer, 35)
    writer.close()
    assert [path.name.split("_")[1] for path in sorted(tmp_path.iterdir())] == [
        "000000.jpg", "000010.jpg", "000020.jpg", "000030.jpg",
    ]  # fmt: skip


def test_a_live_source_skips(tmp_path: Path) -> None:
    writer = PictureWriter(tmp_path)
    feed(writer, 40)
    writer.close()
    figures = writer.statistics()
    assert figures.written + figures.skipped == 40
    assert figures.skipped > 0


def test_a_full_disk_leaves_whole_pictures(small_disk: Path) -> None:
    writer = PictureWriter(small_disk, wait=True)
    feed(writer, 8)
    writer.close()
    assert writer.statistics().lost > 0
    for path in small_disk.iterdir():
        simplejpeg.decode_jpeg(path.read_bytes())


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give a folder"):
        PictureWriter(tmp_path / "file")


def test_results_of_classes_are_drawn_too(tmp_path: Path) -> None:
    writer = PictureWriter(tmp_path, wait=True)
    writer.accept(Frame.from_bgr(picture()), classes_result(0, 0.0))
    writer.close()
    assert len(list(tmp_path.iterdir())) == 1
