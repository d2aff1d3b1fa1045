"""Small files that would unpack to gigabytes: a size that hides behind another, and what only a decoder finds out."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from capture_tools import mark, scene, write_video

import memory
from conditions import PATIENCE
from saccade.capture import Capture, jpeg, markers, open_source, still
from saccade.capture.arrays import MOST_ARRAYS, read_npy, read_npz
from saccade.errors import JpegError, SourceError

SIDE = 12_000
LIMIT = 1 << 16
"""px, for pictures of 300 by 300."""


def tiff(tags: list[tuple[int, int, int]], data: bytes) -> bytes:
    """tags : (tag, type, value)."""
    start = 8 + len(data) + len(data) % 2
    tags = [*tags, (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return (b"II*\0" + struct.pack("<I", start) + data).ljust(start, b"\0") + struct.pack("<H", len(tags)) + entries


def disguised() -> dict[str, bytes]:
    """Pictures of 300x300 px that claim to be smaller."""
    data = zlib.compress(bytes(300 * 300))
    strip = [(273, 4, 8), (278, 4, 300), (279, 4, len(data))]
    square = np.zeros((300, 300, 3), np.uint8)
    jp2, avif = (cv2.imencode(suffix, square)[1].tobytes() for suffix in (".jp2", ".avif"))
    small = b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 41, 0, 10, 10, 0, 0) + bytes(40)
    code = jp2.index(b"jp2c") - 4
    return {
        "TIFF, tags twice": tiff([(256, 4, 300), (256, 4, 10), (257, 4, 300), (257, 4, 10), *strip], data),
        "TIFF, signed and twice": tiff([(256, 9, 300), (256, 4, 10), (257, 9, 300), (257, 4, 10), *strip], data),
        "TIFF, signed tile": tiff(
            [(256, 4, 10), (257, 4, 10), (322, 9, 300), (323, 9, 300), (324, 4, 8), (325, 4, len(data))], data
        ),
        "JPEG 2000, another head before": jp2[:code] + struct.pack(">I", 8 + len(small)) + b"free" + small + jp2[code:],
        "PNM, comment up to a carriage return": b"P5\n#\r300 300 255\n5 5 255\n" + bytes(90_000),
        "AVIF, boxes": avif.replace(struct.pack(">II", 300, 300), struct.pack(">II", 100, 100)),
    }


@pytest.mark.parametrize(("name", "data"), disguised().items(), ids=disguised())
def test_the_size_that_a_decoder_takes_counts(name: str, data: bytes) -> None:
    with pytest.raises(JpegError, match=rf"above the limit of {LIMIT} pixels"):
        still.decode(data, max_pixels=LIMIT)


def test_scans_without_end_are_no_picture() -> None:
    """Each goes over all blocks of the picture, and takes twenty bytes to say so."""
    good, data = cv2.imencode(".jpg", scene(64, 64), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert good
    whole = data.tobytes()
    assert still.decode(whole).shape == (64, 64, 3)
    last = whole.rindex(b"\xff\xda")
    bomb = whole[:-2] + whole[last:-2] * markers.MAX_SCANS + b"\xff\xd9"
    for picture in (bomb, bomb[:2] + b"junk" + bomb[2:]):
        with pytest.raises(JpegError, match="scans; expected at most 200"):
            still.decode(picture)


TRY = (
    f"{Path(memory.__file__).read_text()}\n"
    + """
import sys
from saccade.capture import Capture, open_source
from saccade.errors import SourceError
import av, cv2, numpy
before = reset_peak()
for path in sys.argv[1:]:
    try:
        with Capture(open_source(path, realtime=False)) as capture:
            while (frame := capture.latest(180)) is not None:
                frame.release()
                sys.exit(f"{path}: {frame.width}x{frame.height}")
    except SourceError as error:
        print(error)
print(peak() - before)
"""
)


def large_pictures(folder: Path) -> list[Path]:
    """Files of formats that FFmpeg reads: some MB that are 432 MB unpacked."""
    row = b"\xff\0\0\0" * (SIDE // 128) + bytes([0x80 | SIDE % 128 - 1, 0, 0, 0])
    tga = struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, SIDE, SIDE, 24, 0) + row * SIDE
    pcx = struct.pack("<BBBBHHHHHH48xBBHH58x", 10, 5, 1, 8, 0, 0, SIDE - 1, SIDE - 1, 72, 72, 0, 3, SIDE, 1)
    pcx += (b"\xff\0" * (3 * SIDE // 63) + bytes([0xC0 | 3 * SIDE % 63, 0])) * SIDE
    qoi = b"qoif" + struct.pack(">IIBB", SIDE, SIDE, 3, 0) + b"\xfd" * (SIDE * SIDE // 62 + 1) + bytes(7) + b"\1"
    for name, data in {"a.tga": tga, "b.pcx": pcx, "c.qoi": qoi}.items():
        (folder / name).write_bytes(data)
    return sorted(folder.iterdir())


def test_ffmpeg_decodes_no_bomb_to_find_out_what_it_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRY, *large_pictures(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    *errors, grown = done.stdout.splitlines()
    assert [Path(error.split(":")[0]).name for error in errors] == ["a.tga", "b.pcx", "c.qoi"]
    assert int(grown) < 100 << 20


def test_a_video_that_grows_in_mid_stream_is_cut_to_what_is_allowed(tmp_path: Path) -> None:
    def stream(size: tuple[int, int], codec: str) -> bytes:
        return write_video(tmp_path / f"part.{'h264' if codec == 'libx264' else 'mjpeg'}", codec, 3, size).read_bytes()

    for codec, name in (("libx264", "a.h264"), ("mjpeg", "a.mjpeg")):
        path = tmp_path / name
        path.write_bytes(b"".join(stream(size, codec) for size in ((96, 128), (480, 640), (96, 128))))
        with Capture(open_source(path, max_pixels=20_000)) as capture:
            sizes = []
            while (frame := capture.latest(PATIENCE)) is not None:
                with frame:
                    sizes.append((frame.height, frame.width, mark(frame.bgr())))
            assert set(sizes) == {(96, 128, index) for index in range(3)}, codec
            assert capture.statistics().damaged >= 3, codec


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 4000000000)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (100,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, True)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|V1000000000', 'fortran_order': False, 'shape': (0,)}",
        "{'descr': (), 'fortran_order': False, 'shape': (1,)}",
        "{'descr': ('<f4', 10**30), 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [(('a',), '<f4')], 'fortran_order': False, 'shape': (1,)}",
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {1 << 70})}}",
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'1,' * 70})}}",
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': (2,2,{'1,' * 70})}}",
        "[" * 9000,
        "-" * 9000 + "1",
        "{'descr': ",
        "'",
    ],
)
def test_npy_headers_that_claim_what_is_not_there(header: str) -> None:
    with pytest.raises(SourceError):
        read_npy(npy(header, bytes(4)))


def test_arrays_as_they_were_saved() -> None:
    for array in (np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.eye(3)), np.zeros((0, 4), "?")):
        file = io.BytesIO()
        np.save(file, array)
        np.testing.assert_array_equal(read_npy(file.getvalue()), array)
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(3), b=np.ones((2, 2)))
    np.testing.assert_array_equal(read_npz(file.getvalue(), 1 << 20)["b"], np.ones((2, 2)))


def test_an_npz_bomb_is_not_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        for _ in range(64):
            member.write(bytes(1 << 20))
    before = memory.reset_peak()
    with pytest.raises(SourceError, match=f"arrays of {64 << 20} bytes; expected at most"):
        read_npz(file.getvalue(), 1 << 20)
    assert memory.peak() - before < 16 << 20
    with pytest.raises(SourceError):
        read_npz(file.getvalue()[:200], 1 << 20)


def test_an_npz_of_more_arrays_than_anybody_sends_is_not_opened() -> None:
    file = io.BytesIO()
    one = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}\n", b"x")
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(MOST_ARRAYS + 1):
            archive.writestr(str(index), one)
    with pytest.raises(SourceError, match=f"{MOST_ARRAYS + 1} arrays; expected at most"):
        read_npz(file.getvalue(), 1 << 24)


def test_infer_refuses_in_one_line(tmp_path: Path) -> None:
    from small_networks import mean_network

    model = mean_network(tmp_path / "mean.xml")
    (tmp_path / "claim.npy").write_bytes(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (40000, 40000, 300)}"))
    (tmp_path / "a.jpg").write_bytes(jpeg.encode(scene(96, 128)))
    for name, options, says in (
        ("claim.npy", [], "needs 1920000000000 bytes and has 0"),
        ("a.jpg", ["--max-pixels", "1000"], "JPEG of 128x96 px is above the limit of 1000 pixels"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "saccade", "infer", model, tmp_path / name, *options],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 2
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
