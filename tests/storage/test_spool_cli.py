"""`saccade spool` as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import local_s3
from conditions import PATIENCE
from saccade.storage.spool import Spool


def saccade(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "saccade", "spool", *arguments], capture_output=True, text=True, timeout=PATIENCE,
        env=os.environ | local_s3.CREDENTIALS | environment,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Spool(tmp_path / "spool", min_free=0) as spool:
        for i in range(3):
            spool.put(b"\xff\xd8crop %d" % i, f"faces/1_2/3_4/{i}_{{digest}}.jpg")
        damaged = spool.put(b"x", "faces/d_{digest}")
    path = tmp_path / "spool" / "queue" / damaged.name
    path.write_bytes(path.read_bytes() + b"tail")
    return tmp_path / "spool"


def test_status_says_what_waits(folder: Path) -> None:
    done = saccade("status", str(folder), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["pending"]) == (0, 4)
    assert report["oldest_key"].startswith("faces/1_2/3_4/0_")
    assert 0 <= report["oldest_age"] < 60
    done = saccade("status", SACCADE_SPOOL=str(folder))
    assert "4 waiting" in done.stdout
    assert "oldest: faces/1_2/3_4/0_" in done.stdout


def test_inspect_says_what_is_sound_and_takes_copies(folder: Path, tmp_path: Path) -> None:
    done = saccade("inspect", str(folder), "--json", "--out", str(tmp_path / "out"))
    rows = json.loads(done.stdout)
    assert [row["sound"] for row in rows] == [True, True, True, False]
    assert "header says 1" in rows[3]["why"]
    files = sorted((tmp_path / "out").iterdir())
    assert [file.read_bytes() for file in files] == [b"\xff\xd8crop %d" % i for i in range(3)]
    assert len(list((folder / "queue").iterdir())) == 4
    assert "header says" in saccade("inspect", str(folder)).stdout


def test_flush_uploads_what_is_sound_and_sets_the_rest_aside(folder: Path, s3_server: str) -> None:
    s3: Any = local_s3.client(s3_server)
    bucket = local_s3.versioned_bucket(s3, "flushed")
    done = saccade("flush", str(folder), "--bucket", bucket, "--json", AWS_ENDPOINT_URL=s3_server)
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (report["uploaded"], report["quarantined"], report["pending"]) == (3, 1, 0)
    assert len(local_s3.versions(s3, bucket)) == 3
    status = json.loads(saccade("status", str(folder), "--json").stdout)
    assert "header says" in status["quarantined"][0]["why"]
    assert "quarantined" in saccade("status", str(folder)).stdout
    s3.close()


def test_flush_that_cannot(folder: Path) -> None:
    dead = f"http://127.0.0.1:{local_s3.free_port()}"
    done = saccade("flush", str(folder), "--bucket", "some-bucket", "--seconds", "1", AWS_ENDPOINT_URL=dead)
    assert done.returncode == 1
    assert "4 left: bucket some-bucket: EndpointConnectionError" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status", "/proc/nowhere"], "/proc/nowhere: not a spool"),
        (["flush", "{}", "--bucket", "b"], "not a bucket name"),
        (["flush", "{}", "--bucket", "bucket", "--seconds", "-1"], "--seconds: got -1"),
        (["flush", "{}"], "--bucket"),
        (["empty"], "invalid choice"),
    ],
)
def test_mistakes_are_named(folder: Path, arguments: list[str], says: str) -> None:
    done = saccade(*(a.replace("{}", str(folder)) for a in arguments))
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize("action", ["status", "flush", "inspect"])
def test_help_has_an_example(action: str) -> None:
    assert f"example:\n  saccade spool {action}" in saccade(action, "--help").stdout
