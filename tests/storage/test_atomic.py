"""A file is whole or not there, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from conditions import meanwhile
from saccade.storage import atomic

WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from saccade.storage import atomic
    for i in range(100000):
        atomic.write(Path(sys.argv[1]), b"%06d\\n" % i * 2000)
        print(i, flush=True)
""")


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "report"
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(7):
            counted = int(writer.stdout.readline())
        writer.kill()
        writer.wait()
        writer.stdout.close()
        lines = target.read_bytes().splitlines()
        assert len(lines) == 2000
        assert set(lines) == {lines[0]}
        assert int(lines[0]) >= counted


def test_a_failed_block_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model"
    atomic.write(target, b"old")

    def half() -> None:
        with atomic.replacing(target) as part:
            part.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model", b"old")]
    with atomic.replacing(target) as part:
        part.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model", b"new")]
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_a_file_system_without_hard_links_loses_nothing_either(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    assert [atomic.add(tmp_path / "crop.jpg", b"%d" % n).name for n in range(3)] == [
        "crop.jpg", "crop-2.jpg", "crop-3.jpg"
    ]  # fmt: skip
    (tmp_path / "part").write_bytes(b"new")
    assert not atomic.place(tmp_path / "part", tmp_path / "crop.jpg")
    assert atomic.place(tmp_path / "part", tmp_path / "other")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "crop.jpg": b"0", "crop-2.jpg": b"1", "crop-3.jpg": b"2", "other": b"new"
    }  # fmt: skip


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"somebody's")
    link = tmp_path / "link"
    link.symlink_to(other)
    atomic.write(link, b"ours")
    assert (other.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"somebody's", b"ours", False)


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    with meanwhile(*(partial(atomic.add, tmp_path / "face.jpg", b"%d" % i) for i in range(8))):
        pass
    found = sorted(tmp_path.iterdir())
    assert {path.name for path in found} == {"face.jpg", *(f"face-{n}.jpg" for n in range(2, 9))}
    assert sorted(path.read_bytes() for path in found) == [b"%d" % i for i in range(8)]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "ü" * 127, os.fsdecode(b"\xff" * 255)):
        atomic.write(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 3
