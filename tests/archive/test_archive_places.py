"""Folders and buckets under odd conditions: no rights, bodies that break off, others who write at the same time."""

from __future__ import annotations

import contextlib
import http.server
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conditions import answering
from local_s3 import CREDENTIALS

pytest.importorskip("pyarrow")

import pyarrow.parquet as pq

from saccade.archive import find, places, shard
from saccade.archive.manifest import Item, tasks_of
from saccade.archive.places import Bucket, Folder, read_version
from saccade.archive.schema import error_row
from saccade.archive.trouble import Unavailable
from saccade.deploy.account import open_account
from saccade.errors import ConfigError, OutputError, SourceError


@contextlib.contextmanager
def bucket_of(handler: type[http.server.BaseHTTPRequestHandler], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with answering(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": url}).items():
            monkeypatch.setenv(name, value)
        places.s3_client.cache_clear()
        yield
        places.s3_client.cache_clear()


class Closed(http.server.BaseHTTPRequestHandler):
    """A bucket without any rights."""

    def do_GET(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_PUT = do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_a_bucket_without_rights_says_which_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"rows")
    with bucket_of(Closed, monkeypatch):
        with pytest.raises(Unavailable, match=r"s3://b/a.jpg: AccessDenied: .* s3:GetObject"):
            read_version("s3://b/a.jpg", '"x"', 100)
        with pytest.raises(OutputError, match="s3:ListBucket"):
            list(Bucket("s3://b/out").names("parts/"))
        with pytest.raises(OutputError, match="403: the credentials need s3:GetObject"):
            Bucket("s3://b/out").has("parts/x")
        with pytest.raises(OutputError, match="s3:PutObject"):
            Bucket("s3://b/out").add("parts/x", part)


class BreaksOff(Closed):
    """Gives half of the object three times, and then all of it."""

    count = 0

    def do_GET(self) -> None:
        type(self).count += 1
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789"[: 5 if self.count < 4 else 10])
        self.close_connection = True


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("AWS_ENDPOINT_URL", "http://a..b", "Invalid endpoint"), ("AWS_PROFILE", "nobody", "nobody.* could not be found")],
)
def test_settings_of_aws_that_are_none_are_said_in_one_line(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    places.s3_client.cache_clear()
    with pytest.raises(ConfigError, match=f"S3: .*{says}.*; look at the variables AWS_PROFILE"):
        places.s3_client()
    with pytest.raises(ConfigError, match=f"no AWS account: .*{says}"):
        open_account(None, None)


def test_a_body_that_breaks_off_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket_of(BreaksOff, monkeypatch):
        assert read_version("s3://b/a.jpg", '"x"', 100) == b"0123456789"
        BreaksOff.count = -10
        with pytest.raises(Unavailable, match=r"b/a\.jpg: "):
            read_version("s3://b/a.jpg", '"x"', 100)


class Busy(Closed):
    """Somebody else writes each name, three times."""

    count = 0

    def do_PUT(self) -> None:
        type(self).count += 1
        body = b"<Error><Code>ConditionalRequestConflict</Code><Message>wait</Message></Error>"
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(409 if self.count < 4 else 200)
        self.send_header("Content-Length", str(len(body) if self.count < 4 else 0))
        self.end_headers()
        if self.count < 4:
            self.wfile.write(body)


def test_a_name_that_another_writes_just_now_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part, pauses = tmp_path / "part", []
    part.write_bytes(b"rows")
    monkeypatch.setattr(places.time, "sleep", pauses.append)
    with bucket_of(Busy, monkeypatch):
        assert Bucket("s3://b/out").add("parts/x", part)
    assert pauses == [0.1, 0.2, 0.4]


def test_addresses_without_a_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for address in ("s3://bucket", "s3://bucket/", "s3://bucket/folder/", "s3:///name"):
        with pytest.raises(ConfigError, match="names no"), places.new_file(address):
            pass
        with pytest.raises(ConfigError, match="names no"):
            list(tasks_of(address))
    for address in (".", str(tmp_path), ""):
        with pytest.raises(OutputError, match="Is a directory"), places.new_file(address) as file:
            file.write_bytes(b"rows")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SourceError, match=r"^none\.parquet: No such file or directory; give what"):
        list(tasks_of("none.parquet"))


def test_a_key_with_signs_of_a_pattern_is_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["a [x].mp4", "a x.mp4", "a [x].mp4.txt", "b [x].mp4"]
    found = [{"Key": key, "Size": 1, "ETag": '"1"', "LastModified": None} for key in keys]

    class Client:
        def get_paginator(self, name: str) -> Client:
            return self

        def paginate(self, Prefix: str, **_: str) -> list[dict[str, Any]]:
            return [{"Contents": [one for one in found if one["Key"].startswith(Prefix)]}]

    monkeypatch.setattr(find, "s3_client", Client)
    assert [one.path[7:] for one in find.find(["s3://b/" + keys[0]])] == ["a [x].mp4", "a x.mp4", "a [x].mp4.txt"]


def test_crops_are_written_before_they_are_many(tmp_path: Path) -> None:
    item = Item(path="a.jpg", kind="picture", version="1", size=1)
    place = Folder(str(tmp_path))
    with shard._Part(place) as part:
        part.add({**error_row(item, n), "status": "object", "time": None, "crop": bytes(1 << 20)} for n in range(10))
        assert part.commit("parts/x")
    assert pq.ParquetFile(tmp_path / "parts/x").num_row_groups == 3


def test_scratch_of_the_dead_is_removed_and_that_of_others_stays(tmp_path: Path) -> None:
    place = Folder(str(tmp_path))
    with place.scratch() as mine:
        machine = mine.name.split("-")[0]
        dead = mine.with_name(f"{machine}-{2**22 + 1}-abc")  # above the largest number of a process
        elsewhere = mine.with_name(f"0123456789abcdef-{2**22 + 1}-abc")
        for file in (dead, elsewhere):
            file.touch()
        place.tidy()
        assert sorted(mine.parent.iterdir()) == sorted((mine, elsewhere))
        assert place.add("parts/x", mine)
        assert not place.add("parts/x", mine)
    assert place.has("parts/x")
    assert not mine.exists()


def test_scratch_of_a_bucket_has_no_name_that_could_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.tempfile, "tempdir", str(tmp_path))
    with Bucket("s3://b/out").scratch() as file:
        file.write_bytes(b"rows")
        assert file.read_bytes() == b"rows"
        assert list(tmp_path.iterdir()) == []


def test_a_touched_video_is_read_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = tmp_path / "film.avi"
    film.write_bytes(b"content")
    version = shard.version_of(b"content")
    looked = []
    whole = shard._hash
    monkeypatch.setattr(shard, "_hash", lambda path: looked.append(path) or whole(path))
    examiner = shard.Examiner.__new__(shard.Examiner)
    examiner._verified = None
    item = Item(path=str(film), kind="video", version=version, size=7)
    for _ in range(5):
        examiner._check_file(item)
    assert len(looked) == 1
    film.write_bytes(b"changed")
    os.utime(film, (1e9, 1e9))
    with pytest.raises(Unavailable, match="has changed since it was planned"):
        examiner._check_file(item)
