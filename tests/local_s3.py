"""A local S3 (moto in a process of its own) and a proxy in front of it that behaves as bad networks do."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config

from conditions import PATIENCE, wait_for

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Address of a moto server that lives as long as the block."""
    port = free_port()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "from moto.server import main; main()",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | CREDENTIALS
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(f"{url}/moto-api/"), pause=0.1)
        yield url
    finally:
        server.kill()
        server.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(url, timeout=PATIENCE).close()
        return True
    return False


def client(url: str, **options: Any) -> Any:
    """A client for looking at the bucket, not the one under test."""
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, **options),
    )  # fmt: skip


def versioned_bucket(s3: Any, name: str) -> str:
    """A bucket that keeps every version, so that writing a key twice shows."""
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def versions(s3: Any, bucket: str) -> list[str]:
    """Keys of all versions of all objects."""
    return [
        version["Key"]
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
        for version in page.get("Versions", [])
    ]


class FaultProxy:
    """A TCP proxy to `port` that cuts, delays, stalls and answers 500, as `faults` says.

    faults : weights of what happens to a connection: ``pass``, ``refuse`` (closed at once), ``500`` (an answer of its
    own), ``cut_request`` (closed in the request), ``cut_answer`` (the server has done it, the answer is lost),
    ``slow`` (a little at a time), ``stall`` (nothing for a while, then closed). Change it at any time.
    """

    def __init__(self, port: int, faults: dict[str, float] | None = None, seed: int = 0) -> None:
        self.target = port
        self.faults = faults or {"pass": 1.0}
        self.seen: dict[str, int] = {}
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._accepting.start()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="proxy connection", daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _serve(self, near: socket.socket) -> None:
        """One request after the other; each may meet another fault."""
        with near, contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            far: socket.socket | None = None
            near.settimeout(PATIENCE)
            while not self._closed:
                request = _read_message(near)
                if not request:
                    return
                kinds = list(self.faults)
                kind = self._random.choices(kinds, [self.faults[k] for k in kinds])[0]
                self.seen[kind] = self.seen.get(kind, 0) + 1
                if kind == "refuse":
                    return
                if kind == "stall":
                    time.sleep(1.5)
                    return
                if kind == "500":
                    near.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
                    continue
                if kind == "cut_request":
                    with socket.create_connection(("127.0.0.1", self.target), PATIENCE) as half:
                        half.sendall(request[: len(request) // 2])
                    return
                if far is None:
                    far = stack.enter_context(socket.create_connection(("127.0.0.1", self.target), PATIENCE))
                    far.settimeout(PATIENCE)
                far.sendall(request)
                answer = _read_message(far, head_only=request.startswith(b"HEAD "))
                if not answer:
                    return
                if kind == "cut_answer":
                    return
                if kind == "slow":
                    for start in range(0, len(answer), 200):
                        near.sendall(answer[start : start + 200])
                        time.sleep(0.05)
                    continue
                near.sendall(answer)


def _read_message(connection: socket.socket, head_only: bool = False) -> bytes:
    """One HTTP message; an `Expect: 100-continue` is answered here."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
        if data.startswith(b"HTTP/1.1 100") and data.count(b"\r\n\r\n") >= 1:
            data = data.split(b"\r\n\r\n", 1)[1]
    head, body = data.split(b"\r\n\r\n", 1)
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if headers.pop(b"expect", b"").lower() == b"100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
    if not head_only:
        if b"chunked" in headers.get(b"transfer-encoding", b""):
            while not body.endswith(b"0\r\n\r\n"):
                part = connection.recv(65536)
                if not part:
                    return b""
                body += part
        else:
            length = int(headers.get(b"content-length", b"0"))
            while len(body) < length:
                part = connection.recv(65536)
                if not part:
                    return b""
                body += part
    return head + b"\r\n\r\n" + body
