"""The spool's folder: durability, bounds, order, damage, several processes. Uploads are in test_spool_upload."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import resource
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import PATIENCE, meanwhile
from saccade.errors import ConfigError, OutputError
from saccade.storage import atomic
from saccade.storage import spool as module
from saccade.storage.entries import EntryError, SpoolEntry, digest_number, read_entry
from saccade.storage.spool import Spool, SpoolFull, default_folder

KEY = "faces/11_20/16_22/1763655720_0{digest}.jpg"


def make(folder: Path, **options: object) -> Spool:
    options.setdefault("min_free", 0)
    return Spool(folder, **options)  # type: ignore[arg-type]


def sound(spool: Spool) -> list[SpoolEntry]:
    """What can be uploaded, oldest first."""
    return [entry for path in spool.entries() if (entry := spool.load(path.name)) is not None]


def test_put_is_durable_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def record(name: str) -> None:
        original = getattr(os, name)

        def call(*args: object, **kw: object) -> object:
            what = name
            if name == "fsync":
                what += " folder" if os.path.isdir(f"/proc/self/fd/{args[0]}") else " file"
            calls.append(what)
            return original(*args, **kw)

        monkeypatch.setattr(atomic.os, name, call)

    with make(tmp_path) as spool:
        for name in ("write", "fsync", "replace"):
            record(name)
        entry = spool.put(b"crop", KEY)
        assert calls == ["write", "fsync file", "replace", "fsync folder"]
        assert read_entry(spool.entries()[0]) == entry
    assert oct((tmp_path / "queue" / entry.name).stat().st_mode)[-3:] == "600"
    assert oct(tmp_path.joinpath("queue").stat().st_mode)[-3:] == "700"


def test_folders_that_are_made_outlast_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(
        atomic.os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file))
    )
    made = tmp_path / "state" / "spool"
    for _ in range(2):  # what was there before was so for long
        make(made).close()
        assert sorted(synced) == [str(tmp_path), str(tmp_path / "state"), str(made)]


def test_key_names_its_content(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        first, second, other = spool.put(b"a", KEY), spool.put(b"a", KEY), spool.put(b"b", KEY)
    assert first.key == second.key == KEY.replace("{digest}", digest_number(b"a"))
    assert other.key != first.key
    assert digest_number(b"a").isdigit()


@pytest.mark.parametrize(
    "key",
    ["faces/x.jpg", "../{digest}", "a//{digest}", "/{digest}", "a/../{digest}", "a\n{digest}", "a\x00{digest}",
     "a\x9b{digest}", "a\u202egpj.{digest}", "a\u2066{digest}",
     "{digest}/.", "x" * 1100 + "{digest}", "\ud800{digest}"],
)  # fmt: skip
def test_hostile_keys_are_refused(tmp_path: Path, key: str) -> None:
    with make(tmp_path) as spool:
        with pytest.raises(ConfigError, match="key") as raised:
            spool.put(b"x", key)
        assert spool.statistics().pending == 0
        assert "\n" not in str(raised.value)


def test_odd_but_legal_keys_are_kept(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        for key in ("faces/{digest} with spaces+plus%20.jpg", "gesichter/übergröße/{digest}", "{0}{x}{digest}"):
            assert spool.put(b"x", key).key == key.replace("{digest}", digest_number(b"x"))
        assert len(spool.entries()) == 3


def test_a_key_may_be_as_long_as_s3_allows(tmp_path: Path) -> None:
    longest = "ü" * ((1024 - 12) // 2) + "{digest}"  # 1024 bytes of UTF-8
    with make(tmp_path) as spool:
        assert len(spool.put(b"x", longest).key.encode()) == 1024
        with pytest.raises(ConfigError, match="1025 bytes; S3 takes at most 1024"):
            spool.put(b"x", "k" + longest)


def test_order_survives_reopening(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        for i in range(5):
            spool.put(str(i).encode(), KEY)
    with make(tmp_path) as spool:
        for i in range(5, 12):
            spool.put(str(i).encode(), KEY)
        assert [read_entry(path).data for path in spool.entries()] == [str(i).encode() for i in range(12)]
        assert spool.statistics().pending == 12


def test_oldest_go_first_when_full(tmp_path: Path) -> None:
    with make(tmp_path, max_bytes=5000) as spool:
        for i in range(20):
            spool.put(bytes([i]) * 700, KEY)
        counts = spool.statistics()
        kept = [read_entry(path).data[0] for path in spool.entries()]
    assert kept == [15, 16, 17, 18, 19]  # no more are dropped than must be
    assert counts.dropped == 15
    assert counts.pending_bytes <= 5000
    assert counts.written == 20


def test_refuses_when_full_and_asked_to(tmp_path: Path) -> None:
    with make(tmp_path, max_bytes=5000, when_full="refuse") as spool:
        for i in range(5):
            spool.put(bytes([i]) * 700, KEY)
        with pytest.raises(SpoolFull, match="full"):
            spool.put(bytes(700), KEY)
        counts = spool.statistics()
        assert (counts.pending, counts.refused, counts.dropped) == (5, 1, 0)
        with pytest.raises(SpoolFull, match="whole spool may hold 5000"):
            spool.put(bytes(6000), KEY)
        assert spool.statistics().refused == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="by choice: mounts a small disk, which only root may")
@pytest.mark.parametrize("policy", ["oldest", "refuse"])
def test_a_disk_that_is_really_full(tmp_path: Path, policy: str) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("by choice: this machine does not let root mount a small disk")
    try:
        with make(tmp_path / "spool", when_full=policy) as spool:
            refused = 0
            for i in range(40):
                try:
                    spool.put(bytes([i]) * 20000, KEY)
                except SpoolFull:
                    refused += 1
            counts = spool.statistics()
            kept = [read_entry(path).data[0] for path in spool.entries()]
        assert counts.pending == len(kept) >= 8
        assert not list((tmp_path / "spool" / "queue").glob(".*"))
        if policy == "oldest":
            assert refused == 0
            assert kept == list(range(40 - len(kept), 40))
            assert counts.dropped == 40 - len(kept)
        else:
            assert kept == list(range(len(kept)))
            assert counts.refused == refused == 40 - len(kept)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_leaves_room_on_the_disk(tmp_path: Path) -> None:
    with make(tmp_path, min_free=1 << 60) as spool, pytest.raises(SpoolFull, match="must stay free"):
        spool.put(b"x", KEY)


def test_leaves_room_on_the_disk_where_the_spool_is_full_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make(tmp_path, max_bytes=5000, min_free=10_000) as spool:
        for i in range(5):
            spool.put(bytes([i]) * 700, KEY)
        disk = os.statvfs(tmp_path)
        full = os.statvfs_result((1, 1, *disk[2:4], 9500, *disk[5:]))  # 9500 bytes are free
        monkeypatch.setattr(os, "statvfs", lambda path: full)
        spool.put(bytes([5]) * 700, KEY)
        kept = [read_entry(path).data[0] for path in spool.entries()]
    assert kept == [3, 4, 5]  # one made room in the spool, two on the disk


def test_input_output_errors_lose_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make(tmp_path) as spool:
        spool.put(b"first", KEY)
        original = os.fsync

        def broken(_: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(atomic.os, "fsync", broken)
        with pytest.raises(OutputError, match="Input/output error"):
            spool.put(b"second", KEY)
        monkeypatch.setattr(atomic.os, "fsync", original)
        spool.put(b"third", KEY)
        assert [read_entry(path).data for path in spool.entries()] == [b"first", b"third"]
        counts = spool.statistics()
        assert (counts.pending, counts.written, counts.refused) == (2, 2, 1)


def test_what_is_too_old_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make(tmp_path, max_age=100) as spool:
        entry = spool.put(b"old", KEY)
        assert sound(spool) == [entry]
        uptime = module._uptime()
        monkeypatch.setattr(module, "_uptime", lambda: uptime + 101)
        fresh = spool.put(b"fresh", KEY)
        assert sound(spool) == [fresh]
        assert spool.statistics().expired == 1


def test_a_clock_that_jumps_ages_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make(tmp_path, max_age=3600) as spool:
        now = time.time()
        for offset in (0, -56 * 365 * 86400, 10 * 365 * 86400, -86400):
            monkeypatch.setattr(module.time, "time", lambda offset=offset: now + offset)
            spool.put(f"{offset}".encode(), KEY)
        assert len([spool.load(path.name) for path in spool.entries()]) == 4
        assert spool.statistics().expired == 0
    # After a reboot only the clock is left: one that was not set when the entry arrived, or is behind now, ages none.
    monkeypatch.setattr(module, "_boot_id", lambda: "another boot")
    monkeypatch.setattr(module.time, "time", lambda: now + 60)
    with make(tmp_path, max_age=3600) as spool:
        loaded = [spool.load(path.name) for path in spool.entries()]
        assert [entry.data if entry else None for entry in loaded[:3]] == [b"0", b"-1766016000", b"315360000"]
        assert loaded[3] is None


def test_damaged_and_foreign_files_are_quarantined(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with make(tmp_path) as spool:
        good = [spool.put(bytes([65 + i]) * 100, KEY) for i in range(6)]
    queue = tmp_path / "queue"
    paths = sorted(queue.iterdir())
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    paths[2].write_bytes(paths[2].read_bytes()[:-1] + b"?")
    paths[3].write_bytes(b'saccade-spool 1\n{"key": [}\n' + b"x" * 100)
    (queue / "holiday.jpg").write_bytes(b"\xff\xd8")
    (queue / "9999999999999999.entry").symlink_to("/etc/passwd")
    (queue / "folder").mkdir()
    (queue / ".0000000000000099.tmp").write_bytes(b"half")
    (queue / ".0000000000000098.entry.1-ab.part").write_bytes(b"half")
    (queue / "name with\nnewline").write_bytes(b"")
    with make(tmp_path) as spool:
        assert [entry.data for entry in sound(spool)] == [good[4].data, good[5].data]
        counts = spool.statistics()
        assert counts.quarantined == 8
        assert counts.pending == 2
        assert len(spool.quarantined_files()) == 8
        assert spool.put(b"more", KEY).number > good[5].number
    assert not list(queue.glob(".*"))
    assert Path("/etc/passwd").exists()
    whys = [path.read_text() for path in (tmp_path / "quarantine").glob("*.why")]
    assert any("digest" in why for why in whys)
    assert any("header says" in why for why in whys)


def test_a_link_in_an_entry_s_place_is_not_followed(tmp_path: Path) -> None:
    """What lies elsewhere and looks like an entry is not for the bucket."""
    with make(tmp_path / "other") as other, make(tmp_path / "spool") as spool:
        elsewhere, entry = other.put(b"secret", KEY), spool.put(b"crop", KEY)
        place = tmp_path / "spool" / "queue" / entry.name
        place.unlink()
        place.symlink_to(tmp_path / "other" / "queue" / elsewhere.name)
        assert not sound(spool)
        counts = spool.statistics()
        assert (counts.quarantined, counts.pending) == (1, 0)
        assert read_entry(other.entries()[0]) == elsewhere


def test_nothing_is_pending_when_the_last_entry_is_quarantined(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        spool.put(b"crop", KEY)
        (path,) = spool.entries()
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        assert not sound(spool)
        counts = spool.statistics()
        assert (counts.quarantined, counts.pending, counts.pending_bytes) == (1, 0, 0)


def test_a_folder_or_device_in_an_entry_s_place_is_quarantined(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        names = [spool.put(b"%d" % i, KEY).name for i in range(4)]
        for name in names[:2]:
            (tmp_path / "queue" / name).unlink()
        (tmp_path / "queue" / names[0] / "full").mkdir(parents=True)
        os.mkfifo(tmp_path / "queue" / names[1])
        (tmp_path / "quarantine").rmdir()  # somebody has tidied up
        assert [entry.data for entry in sound(spool)] == [b"2", b"3"]
        assert spool.statistics().quarantined == 2
        assert spool.statistics().pending == 2
    whys = [(tmp_path / "quarantine" / f"{name}.why").read_text() for name in names[:2]]
    assert whys == [f"{name}: not a regular file\n" for name in names[:2]]


@contextlib.contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """While the block lasts a read of the file is an input/output error, and it can be neither moved nor deleted."""
    # The memory of a process cannot be read at address 0, and a mount point is busy.
    mounted = subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/mem", str(path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("by choice: this machine does not let root mount one file over another")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="by choice: mounts a file that cannot be read, which only root may")
def test_what_the_disk_does_not_give_back_is_named_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with make(tmp_path, max_bytes=5000) as spool:
        names = [spool.put(bytes([i]) * 700, KEY).name for i in range(5)]
        with unreadable(tmp_path / "queue" / names[0]):
            assert [entry.name for entry in sound(spool)] == names[1:]
            assert re.search(r"Input/output error.*cannot be moved.*busy", spool.passed_over()[names[0]])
            assert names[0] in caplog.text
            spool.put(b"more" * 175, KEY)  # room is made from the next oldest
            with unreadable(tmp_path / "queue" / names[2]):
                again = read_entry(tmp_path / "queue" / names[3])
                assert spool.remove(again)
                assert [path.name for path in spool.entries()] == [names[2], *names[4:], "0000000000000005.entry"]
            assert (spool.statistics().passed_over, spool.statistics().dropped) == (1, 1)
    with make(tmp_path) as spool:
        assert sound(spool)[0] == read_entry(tmp_path / "queue" / names[0])  # the disk gives it back: nothing was lost


def test_a_passing_failure_of_this_process_quarantines_nothing(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        entry = spool.put(b"sound", KEY)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
        try:
            with pytest.raises(OSError, match="open files"):
                spool.load(entry.name)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert spool.load(entry.name) == entry


def test_headers_that_somebody_else_wrote_are_damage(tmp_path: Path) -> None:
    sound = {"key": "k", "type": "image/jpeg", "sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1, "time": 1,
             "boot": "", "uptime": 1}  # fmt: skip
    path = tmp_path / "0000000000000001.entry"

    def read(header: str) -> None:
        path.write_bytes(b"saccade-spool 1\n" + header.encode() + b"\nx")
        read_entry(path)

    read(json.dumps(sound))
    hostile = [{"key": "a\nb"}, {"key": "\ud800"}, {"key": "../k"}, {"type": "image/jpeg\nX-Amz-Acl: public-read"}]
    for header in [json.dumps(sound | change) for change in hostile] + [
        json.dumps(sound).replace('"bytes": 1', '"bytes": 1e999'), "[" * 8000, "[" * 9000, "null",
    ]:  # fmt: skip
        with pytest.raises(EntryError, match="header"):
            read(header)


def test_a_lost_or_wrong_state_is_counted_anew(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        last = [spool.put(bytes(10), KEY) for _ in range(3)][-1]
    beyond = struct.pack("<QQQ", 10**15, 3, 99)  # a number that would not sort
    for nonsense in (b"nonsense", b"\xff" * 24, beyond, b""):
        (tmp_path / "state").write_bytes(nonsense)
        with make(tmp_path) as spool:
            assert spool.statistics().pending == 3
            entry = spool.put(b"x", KEY)
            assert entry.number == last.number + 1
            assert spool.remove(entry)


def test_a_file_with_the_last_number_does_not_end_the_numbering(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        spool.put(b"a", KEY)
    (tmp_path / "queue" / "9999999999999999.entry").write_bytes(b"saccade-spool 1\n")
    with make(tmp_path) as spool:
        spool.put(b"b", KEY)
        assert [read_entry(path).data for path in spool.entries()] == [b"a", b"b"]


@pytest.mark.parametrize("folder", ["/proc/nowhere/spool", "/dev/null/spool"])
def test_an_unwritable_spool_says_so(folder: str) -> None:
    with pytest.raises(OutputError, match=r"spool .*cannot be used .*give a folder"):
        Spool(folder)


def test_the_folder_is_the_users_own_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SACCADE_SPOOL", raising=False)
    assert default_folder() == tmp_path / "saccade" / "spool"
    monkeypatch.setenv("SACCADE_SPOOL", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"


def test_bounds_are_checked(tmp_path: Path) -> None:
    for wrong in ({"max_bytes": 0}, {"max_age": -1.0}, {"min_free": -1}, {"when_full": "newest"}):
        with pytest.raises(ConfigError):
            make(tmp_path, **wrong)


def test_use_after_close(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.close()
    with pytest.raises(OutputError, match="was closed"):
        spool.put(b"x", KEY)


def test_threads_share_a_spool(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        with meanwhile(*(lambda t=t: [spool.put(f"{t} {i}".encode(), KEY) for i in range(25)] for t in range(4))):
            pass
        entries = [read_entry(path) for path in spool.entries()]
        assert spool.statistics().pending == len(entries) == 100
    assert [e.number for e in entries] == sorted({e.number for e in entries})
    for t in range(4):
        assert [e.data for e in entries if e.data.startswith(b"%d " % t)] == [b"%d %d" % (t, i) for i in range(25)]


WRITER = textwrap.dedent("""
    import sys
    from saccade.storage.spool import Spool
    with Spool(sys.argv[1], min_free=0) as spool:
        for i in range(int(sys.argv[3])):
            data = f"{sys.argv[2]} {i}".encode()
            spool.put(data, "k/{digest}")
            print(data.decode(), flush=True)
""")


def test_processes_share_a_spool(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name, "60"], stdout=subprocess.DEVNULL)
               for name in "abc"]  # fmt: skip
    assert [writer.wait(PATIENCE) for writer in writers] == [0, 0, 0]
    with make(tmp_path) as spool:
        entries = [read_entry(path) for path in spool.entries()]
        assert spool.statistics().pending == 180
    for name in "abc":
        mine = [e.data.decode() for e in entries if e.data.decode().startswith(name)]
        assert mine == [f"{name} {i}" for i in range(60)]


def test_killed_writers_leave_all_that_they_counted(tmp_path: Path) -> None:
    counted: list[str] = []
    for round_ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), f"r{round_}", "100000"], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        counted.append(writer.stdout.readline().strip())
        time.sleep(0.03 * round_)
        writer.kill()
        # Lines that were printed but not yet read are counted too; a half line was never finished.
        counted += [line.strip() for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
    with make(tmp_path) as spool:
        held = [read_entry(path).data.decode() for path in spool.entries()]
        assert spool.statistics().quarantined == 0
    assert set(counted) <= set(held)
    assert len(held) == len(set(held)) <= len(counted) + 6
    assert counted == [h for h in held if h in set(counted)]


def test_entry_is_readable_without_saccade(tmp_path: Path) -> None:
    with make(tmp_path) as spool:
        spool.put(b"\xff\xd8crop", KEY)
        magic, head, body = spool.entries()[0].read_bytes().split(b"\n", 2)
    assert magic == b"saccade-spool 1"
    assert json.loads(head)["sha256"] == hashlib.sha256(body).hexdigest()
    assert body == b"\xff\xd8crop"


def test_what_an_earlier_release_set_aside_is_still_listed(tmp_path: Path) -> None:
    make(tmp_path).close()
    (tmp_path / "quarantine").rename(tmp_path / "aside")
    (tmp_path / "aside" / "0000000000000001.crop").write_bytes(b"?")
    with make(tmp_path) as spool:
        assert [path.name for path in spool.quarantined_files()] == ["0000000000000001.crop"]
    assert not (tmp_path / "aside").exists()
