"""Uploads against a real HTTP S3 (moto), through a proxy that misbehaves; exactly once, in order, nothing lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

import local_s3
from conditions import PATIENCE, answering, meanwhile, wait_for
from lengths import length
from saccade.errors import ConfigError, OutputError
from saccade.storage.spool import Spool
from saccade.storage.uploader import Uploader, s3_client

KEY = "faces/11_20/16_22/1763655720_0{digest}.jpg"
QUICK = (0.01, 0.2)


@pytest.fixture
def s3(s3_server: str) -> Iterator[Any]:
    client = local_s3.client(s3_server)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    return local_s3.versioned_bucket(s3, f"crops-{abs(hash(request.node.name)) % 10**9}")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in local_s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def uploader(spool: Spool, bucket: str, url: str, **options: Any) -> Uploader:
    return Uploader(spool, bucket, client=local_s3.client(url, retries={"total_max_attempts": 1}, read_timeout=1),
                    back_off=options.pop("back_off", QUICK), **options)  # fmt: skip


def test_objects_are_private_encrypted_and_whole(tmp_path: Path, s3: Any, bucket: str, s3_server: str) -> None:
    data = os.urandom(30000)
    with Spool(tmp_path, min_free=0) as spool:
        entry = spool.put(data, KEY)
        assert uploader(spool, bucket, s3_server).flush(PATIENCE)
        assert spool.statistics().pending == 0
    answer = s3.get_object(Bucket=bucket, Key=entry.key)
    assert answer["Body"].read() == data
    assert answer["ServerSideEncryption"] == "AES256"
    assert answer["ContentType"] == "image/jpeg"
    assert answer["Metadata"]["sha256"] == entry.digest
    grants = s3.get_object_acl(Bucket=bucket, Key=entry.key)["Grants"]
    assert all("AllUsers" not in str(grant) for grant in grants)


def test_a_repeat_is_no_second_object(tmp_path: Path, s3: Any, bucket: str, s3_server: str) -> None:
    with Spool(tmp_path, min_free=0) as spool:
        for _ in range(3):
            spool.put(b"same crop", KEY)
        up = uploader(spool, bucket, s3_server)
        assert up.flush(PATIENCE)
        assert (up.statistics().uploaded, up.statistics().repeats) == (1, 2)
    assert len(local_s3.versions(s3, bucket)) == 1


def test_order_is_kept_through_faults(tmp_path: Path, s3: Any, bucket: str, s3_server: str) -> None:
    faults = {"pass": 4.0, "500": 1, "refuse": 1, "cut_request": 1, "cut_answer": 1, "stall": 0.2, "slow": 0.3}
    with local_s3.FaultProxy(urlsplit(s3_server).port, faults, seed=7) as proxy, Spool(tmp_path, min_free=0) as spool:
        keys = [spool.put(b"%d" % i * 100, f"k/{i:04d}-{{digest}}").key for i in range(60)]
        up = uploader(spool, bucket, proxy.url)
        done: list[str] = []
        assert up.flush(50, progress=lambda entry: done.append(entry.key))
        counts = up.statistics()
    assert done == keys
    assert sorted(local_s3.versions(s3, bucket)) == keys
    assert counts.uploaded + counts.repeats == 60
    assert counts.failures > 5
    assert counts.problem == ""
    assert set(proxy.seen) >= {"500", "refuse", "cut_request", "cut_answer"}


@pytest.mark.skipif(os.geteuid() != 0, reason="by choice: pins a file in its place, which only root may")
def test_an_object_whose_entry_cannot_be_deleted_is_sent_once_and_named(
    tmp_path: Path, s3: Any, bucket: str, s3_server: str
) -> None:
    with Spool(tmp_path, min_free=0) as spool:
        keys = [spool.put(b"%d" % i, KEY).key for i in range(3)]
        first = spool.entries()[0]
        if subprocess.run(["mount", "--bind", str(first), str(first)], capture_output=True).returncode:
            pytest.skip("by choice: this machine does not let root mount a file")
        try:
            up = uploader(spool, bucket, s3_server)
            assert not up.flush(20)
        finally:
            subprocess.run(["umount", str(first)], check=True)
        assert (up.statistics().uploaded, up.statistics().repeats) == (3, 0)
        assert "done with, but cannot be deleted" in spool.passed_over()[first.name]
    assert sorted(local_s3.versions(s3, bucket)) == sorted(keys)


def test_hours_offline_then_drains_in_order(tmp_path: Path, s3: Any, bucket: str, s3_server: str) -> None:
    with local_s3.FaultProxy(urlsplit(s3_server).port, {"refuse": 1.0}) as proxy, Spool(tmp_path, min_free=0) as spool:
        up = uploader(spool, bucket, proxy.url).start()
        keys = [spool.put(b"%d" % i, f"k/{i:04d}-{{digest}}").key for i in range(30)]
        assert wait_for(lambda: up.statistics().failures >= 3)
        assert spool.statistics().pending == 30
        assert "Connection" in up.statistics().problem
        proxy.faults = {"pass": 1.0}
        assert wait_for(lambda: spool.statistics().pending == 0)
        up.stop()
        assert up.statistics().problem == ""
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in sorted(listed, key=lambda item: (item["LastModified"], item["Key"]))] == keys


def test_a_missing_bucket_keeps_everything(
    tmp_path: Path, s3: Any, s3_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Spool(tmp_path, min_free=0) as spool:
        spool.put(b"x", KEY)
        up = uploader(spool, "not-there-yet", s3_server).start()
        assert wait_for(lambda: up.statistics().failures >= 3)
        assert "NoSuchBucket: make it, or give another" in up.statistics().problem
        assert sum("NoSuchBucket" in record.message for record in caplog.records) == 1
        s3.create_bucket(Bucket="not-there-yet")
        assert wait_for(lambda: spool.statistics().pending == 0)
        up.stop()


@pytest.mark.parametrize(
    ("code", "says"),
    [("InvalidAccessKeyId", "check the credentials"), ("AccessDenied", "s3:PutObject"),
     ("RequestTimeTooSkewed", "set this machine's clock"), ("SlowDown", "SlowDown")],
)  # fmt: skip
def test_troubles_that_pass_are_waited_out(tmp_path: Path, code: str, says: str) -> None:
    from botocore.exceptions import ClientError

    class Client:
        calls = 0

        def put_object(self, **_: Any) -> None:
            self.calls += 1
            if self.calls < 4:
                raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "PutObject")

    problems = []
    with Spool(tmp_path, min_free=0) as spool:
        spool.put(b"x", KEY)
        up = Uploader(spool, "bucket", client=Client(), back_off=QUICK)
        original = up._report
        up._report = lambda problem, counts: (problems.append(problem), original(problem, counts))[1]  # type: ignore[method-assign]
        assert up.flush(PATIENCE)
        assert up.statistics().failures == 3
    assert says in problems[0]


def test_what_s3_never_takes_does_not_block_the_rest(tmp_path: Path) -> None:
    from botocore.exceptions import ClientError

    class Client:
        taken: ClassVar[list[str]] = []

        def put_object(self, *, Key: str, **_: Any) -> None:
            if Key.startswith("bad"):
                raise ClientError({"Error": {"Code": "KeyTooLongError", "Message": "too long"}}, "PutObject")
            self.taken.append(Key)

    with Spool(tmp_path, min_free=0) as spool:
        spool.put(b"x", "bad/{digest}")
        good = spool.put(b"x", "good/{digest}")
        assert Uploader(spool, "bucket", client=Client(), back_off=QUICK).flush(PATIENCE)
        assert Client.taken == [good.key]
        assert spool.statistics().quarantined == 1
        assert len(spool.quarantined_files()) == 1


def test_one_process_drains(tmp_path: Path, bucket: str, s3_server: str) -> None:
    with Spool(tmp_path, min_free=0) as first, Spool(tmp_path, min_free=0) as second:
        mine, other = uploader(first, bucket, s3_server).start(), uploader(second, bucket, s3_server)
        assert wait_for(lambda: mine.statistics().draining)
        with pytest.raises(OutputError, match="another process is uploading"):
            other.flush(1)
        other.start()
        second.put(b"from the other", KEY)
        assert wait_for(lambda: first.statistics().pending == 0)
        assert (mine.statistics().uploaded, other.statistics().uploaded) == (1, 0)
        mine.stop()
        second.put(b"after it went", KEY)
        assert wait_for(lambda: other.statistics().uploaded == 1)
        other.stop()


def test_stop_is_prompt_and_loses_nothing(tmp_path: Path, bucket: str, s3_server: str) -> None:
    with local_s3.FaultProxy(urlsplit(s3_server).port, {"stall": 1.0}) as proxy, Spool(tmp_path, min_free=0) as spool:
        spool.put(b"x", KEY)
        up = uploader(spool, bucket, proxy.url).start()
        assert wait_for(lambda: "stall" in proxy.seen)
        up.stop(3)
        assert spool.statistics().pending == 1


@pytest.mark.parametrize("name", ["", "a", "has space", "../x", "s3://bucket", "x\n"])
def test_bucket_names_are_checked(tmp_path: Path, name: str) -> None:
    with Spool(tmp_path, min_free=0) as spool, pytest.raises(ConfigError, match="not a bucket name"):
        Uploader(spool, name)


class KeepAlive(BaseHTTPRequestHandler):
    """Takes every object and leaves the connection open, as S3 does (moto closes it)."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_one_connection_carries_all(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    web = ThreadingHTTPServer(("127.0.0.1", 0), KeepAlive)
    with answering(web) as url, Spool(tmp_path, min_free=0) as spool:
        environment.setenv("AWS_ENDPOINT_URL", url)
        for i in range(20):
            spool.put(b"%d" % i, KEY)
        client = s3_client()
        up = Uploader(spool, "some-bucket", client=client)
        assert up.flush(PATIENCE)
        client.close()
    assert up.statistics().uploaded == 20
    assert KeepAlive.connections == 1


DEVICE = textwrap.dedent("""
    import itertools, os, sys
    from saccade.storage.spool import Spool
    from saccade.storage.uploader import Uploader
    import local_s3
    folder, bucket, url, seed = sys.argv[1:]
    spool = Spool(folder, min_free=0)
    client = local_s3.client(url, retries={"total_max_attempts": 1}, read_timeout=1, connect_timeout=1)
    Uploader(spool, bucket, client=client, back_off=(0.01, 0.1)).start()
    for i in itertools.count():
        data = f"{seed} {i} ".encode() + os.urandom(500)
        entry = spool.put(data, f"k/{seed}_{i}_{{digest}}")
        print(entry.key, flush=True)
        if i % 50 == 49:
            import time; time.sleep(0.2)
""")


def test_kill_at_random_moments(tmp_path: Path, s3: Any, bucket: str, s3_server: str) -> None:
    """Each kill leaves a prefix of what was put; in the end all that was counted is there once. SACCADE_KILLS=100."""
    kills = length(2, 20, "SACCADE_KILLS")
    chance = random.Random(int(os.environ.get("SACCADE_SEED", "1")))
    counted: list[str] = []
    faults = {"pass": 20.0, "500": 1, "refuse": 1, "cut_request": 1, "cut_answer": 2}
    environment = os.environ | local_s3.CREDENTIALS | {"PYTHONPATH": str(Path(local_s3.__file__).parent)}
    with local_s3.FaultProxy(urlsplit(s3_server).port, faults, seed=3) as proxy:
        for number in range(kills):
            command = [sys.executable, "-c", DEVICE, str(tmp_path), bucket, proxy.url, f"r{number}"]
            device = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            assert device.stdout is not None
            lines: list[str] = [device.stdout.readline()]
            with device, meanwhile(lambda d=device, into=lines: into.extend(d.stdout)):
                time.sleep(chance.uniform(0.0, 1.5))
                device.kill()
            counted += [line.strip() for line in lines if line.endswith("\n")]
    with Spool(tmp_path, min_free=0) as spool:
        assert uploader(spool, bucket, s3_server).flush(PATIENCE)
        assert spool.statistics().quarantined == 0
    stored = local_s3.versions(s3, bucket)
    assert len(stored) == len(set(stored)), "an object was written twice"
    assert set(counted) <= set(stored), "a counted crop was lost"
    # At most the one put that each kill cut off may be there without having been counted.
    assert len(stored) - len(counted) <= kills
    print(f"\n{kills} kills, {len(counted)} crops counted, {len(stored)} objects, each once; faults met: {proxy.seen}")
