"""The uploads of several cameras of one process: one client, one thread a spool, each camera's own counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conditions import PATIENCE, wait_for
from saccade.errors import ConfigError
from saccade.storage import uploads
from saccade.storage.spool import Spool
from saccade.storage.uploads import CameraUploads, Uploads


class Bucket:
    """A client that keeps what it is given. slow : keys that begin so hang until `go`. refused : error codes first."""

    def __init__(self, *refused: str) -> None:
        self.keys: list[str] = []
        self.slow, self.go = "", threading.Event()
        self.refused = list(refused)

    def put_object(self, *, Key: str, **_: Any) -> None:
        from botocore.exceptions import ClientError

        if self.refused:
            raise ClientError({"Error": {"Code": self.refused.pop(0)}}, "PutObject")
        if self.slow and Key.startswith(self.slow):
            assert self.go.wait(PATIENCE)
        self.keys.append(Key)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Bucket]:
    """Those that were made."""
    made: list[Bucket] = []
    monkeypatch.setattr(uploads, "s3_client", lambda: made.append(Bucket()) or made[-1])
    return made


class Camera:
    def __init__(self, folder: Path, name: str, uploads: Uploads) -> None:
        self.spool = Spool(folder, min_free=0, owner=name)
        self.uploads: CameraUploads = uploads.start(self.spool, "some-bucket")

    def put(self, count: int) -> list[str]:
        return [self.spool.put(b"%d" % i, f"{self.spool.owner}/{i}_{{digest}}").key for i in range(count)]

    @property
    def uploaded(self) -> int:
        return self.uploads.statistics().uploaded

    def close(self) -> None:
        self.uploads.stop()
        self.spool.close()


@contextmanager
def cameras(*places: tuple[Path, str]) -> Iterator[list[Camera]]:
    together = Uploads()
    there = [Camera(folder, name, together) for folder, name in places]
    try:
        yield there
    finally:
        for camera in there:
            camera.close()


def uploading() -> int:
    return sum(thread.name == "saccade-upload" for thread in threading.enumerate())


def test_cameras_of_one_spool_share_thread_and_client_and_count_their_own(
    tmp_path: Path, clients: list[Bucket]
) -> None:
    with Spool(tmp_path, min_free=0) as before:
        left = before.put(b"of a run before", "left/{digest}").key
    with cameras((tmp_path, "door"), (tmp_path, "yard"), (tmp_path, "gate")) as (door, yard, gate):
        assert uploading() == 1
        keys = [left, *door.put(2), *yard.put(3)]
        wait_for(lambda: not door.spool.statistics().pending)
        wait_for(lambda: (door.uploaded, yard.uploaded, gate.uploaded) == (3, 3, 0))
        assert sorted(clients[0].keys) == sorted(keys)
        assert yard.uploads.statistics().draining
        door.close()
        keys += yard.put(5)[3:] + gate.put(1)
        wait_for(lambda: (yard.uploaded + yard.uploads.statistics().repeats, gate.uploaded) == (8, 1))
        assert (door.uploaded, uploading(), len(clients)) == (3, 1, 1)
    wait_for(lambda: not uploading())


def test_an_upload_that_hangs_holds_up_its_own_spool_and_no_other(tmp_path: Path, clients: list[Bucket]) -> None:
    with cameras((tmp_path / "a", "door"), (tmp_path / "b", "yard")) as (door, yard):
        yard.put(1)
        wait_for(lambda: yard.uploaded == 1)
        clients[0].slow = "door/"
        try:
            door.put(2)
            yard.put(4)
            wait_for(lambda: yard.uploaded == 5)
            assert (door.uploaded, door.spool.statistics().pending, len(clients)) == (0, 2, 1)
        finally:
            clients[0].go.set()
        wait_for(lambda: door.uploaded == 2)


def test_what_stands_in_the_way_is_told_to_all_and_counted_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [Bucket("ExpiredToken"), Bucket(*["AccessDenied"] * 1000)]
    left = list(made)
    monkeypatch.setattr(uploads, "s3_client", lambda: left.pop(0))
    with cameras((tmp_path, "door"), (tmp_path, "yard")) as (door, yard):
        yard.put(1)
        wait_for(lambda: "s3:PutObject" in door.uploads.statistics().problem)
        made[1].refused.clear()
        wait_for(lambda: yard.uploaded == 1 and not door.uploads.statistics().problem)
        assert yard.uploads.statistics().failures >= 2
        assert door.uploads.statistics().failures == 0
    assert not left, "credentials that had expired were asked for anew, and those that were good enough were not"


def test_one_spool_goes_to_one_bucket(tmp_path: Path, clients: list[Bucket]) -> None:
    with cameras((tmp_path, "door")), Spool(tmp_path, owner="yard") as spool:
        together = Uploads()
        first = together.start(spool, "some-bucket", encryption="")
        for options in ({"bucket": "another", "encryption": ""}, {"bucket": "some-bucket"}):
            with pytest.raises(ConfigError, match="camera yard uploads it to some-bucket, camera yard to"):
                together.start(spool, **options)
        first.stop()
        together.start(spool, "another").stop()
