"""The spool: what a durable crop costs, how fast the spool drains, and what both cost a running pipeline.

    python -m bench.spool [--rounds N] [--folder DIR] [--json FILE] [--check]

References run in the same process: the bare system calls of a durable write, the least that a drain can do, and
the loop of the old tutorial, which makes a client for each face. S3 is a small HTTP server in a process of its own that
takes everything at once, so that the client's side is what is measured.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure, command_line, figure, finish
from saccade.storage.spool import Spool
from saccade.storage.uploader import Uploader, s3_client

CROP_BYTES = 30_000
SERVER = """
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            length, expects = 0, False
            if not self.rfile.readline():
                return
            while (line := self.rfile.readline()) not in (b"\\r\\n", b""):
                name, _, value = line.lower().partition(b":")
                if name == b"content-length":
                    length = int(value)
                expects |= name == b"expect"
            if expects:
                self.wfile.write(b"HTTP/1.1 100 Continue\\r\\n\\r\\n")
            self.rfile.read(length)
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


@contextlib.contextmanager
def bucket_server() -> Iterator[str]:
    """Something that answers as S3 does; its address is in the environment meanwhile."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    try:
        with s3_at(url):
            yield url
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@contextlib.contextmanager
def s3_at(url: str) -> Iterator[None]:
    """The environment of clients of a local S3."""
    settings = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
                "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def bare_durable(folder: Path, crops: list[bytes]) -> float:
    """Seconds a crop of the system calls alone: write, fsync, rename, fsync of the folder."""
    folder.mkdir()
    directory = os.open(folder, os.O_RDONLY)
    start = time.perf_counter()
    for i, crop in enumerate(crops):
        file = os.open(folder / f"{i}.tmp", os.O_WRONLY | os.O_CREAT)
        os.write(file, crop)
        os.fsync(file)
        os.close(file)
        os.rename(folder / f"{i}.tmp", folder / str(i))
        os.fsync(directory)
    seconds = (time.perf_counter() - start) / len(crops)
    os.close(directory)
    return seconds


def put(spool: Spool, crops: list[bytes]) -> float:
    """Seconds a crop of `Spool.put`."""
    start = time.perf_counter()
    for i, crop in enumerate(crops):
        spool.put(crop, f"faces/1_1/0_0/{i}_{{digest}}.jpg")
    return (time.perf_counter() - start) / len(crops)


def drain(spool: Spool) -> float:
    """Seconds a crop of the uploader, from disk to the server and off the disk."""
    count = spool.statistics().pending
    client = s3_client()
    uploader = Uploader(spool, "some-bucket", client=client)
    start = time.perf_counter()
    assert uploader.flush(120)
    seconds = (time.perf_counter() - start) / count
    assert uploader.statistics().uploaded == count
    client.close()
    return seconds


def bare_drain(folder: Path, client: Any) -> float:
    """Seconds a crop of the least that any drain does: read the file, put_object, unlink."""
    files = sorted(folder.iterdir())
    start = time.perf_counter()
    for file in files:
        client.put_object(
            Body=file.read_bytes(), Bucket="some-bucket", Key=f"faces/{file.name}.jpg", ContentType="image/jpeg"
        )
        file.unlink()
    return (time.perf_counter() - start) / len(files)


def tutorial_upload(crops: list[bytes]) -> float:
    """Seconds a crop as the tutorial uploads it, with a new client for each; nothing is kept on a disk."""
    import boto3

    start = time.perf_counter()
    for i, crop in enumerate(crops):
        boto3.client("s3").put_object(Body=crop, Bucket="some-bucket", Key=f"faces/{i}.jpg")
    return (time.perf_counter() - start) / len(crops)


def pipeline_rates(folder: Path, frames: int) -> tuple[float, float, int]:
    """Frames a second of the faces app with crops that are thrown away, and with crops that are spooled and uploaded.

    The file is read as fast as it goes, so that a second sees several times as many crops as one of a live camera.
    """
    from bench.pipeline import make_faces, video
    from saccade.capture import Capture, open_source
    from saccade.outputs.crops import CropWriter
    from saccade.outputs.upload import CropsToSpool
    from saccade.pipeline import Pipeline

    def rate(output: Any) -> float:
        capture = Capture(open_source(video("demo:")), slots=4)
        return Pipeline(capture, make_faces(), [output]).run(frames=frames).fps

    without = rate(CropWriter(lambda crop: None, interval=1.0, margin=0.2))
    with Spool(folder, min_free=0) as spool:
        uploader = Uploader(spool, "some-bucket").start()
        with_spool = rate(CropsToSpool(spool, prefix="faces/", interval=1.0, margin=0.2))
        crops = spool.statistics().written
        uploader.stop()
        assert crops, "no crop was spooled"
        assert uploader.statistics().uploaded + spool.statistics().pending == crops, "a crop was lost"
    return without, with_spool, crops


def measure(rounds: int, folder: Path | None = None) -> Iterator[Figure]:
    """All figures of this suite. folder : on the disk to be measured."""
    crops = [os.urandom(CROP_BYTES) for _ in range(200)]
    rows = []
    with bucket_server(), tempfile.TemporaryDirectory(dir=folder) as temporary:
        for number in range(rounds):
            place = Path(temporary) / str(number)
            place.mkdir()
            bare = bare_durable(place / "bare", crops)
            with Spool(place / "spool", min_free=0) as spool:
                durable, drained = put(spool, crops), drain(spool)
            client = s3_client()
            upload = bare_drain(place / "bare", client)
            client.close()
            rows.append(
                (bare, durable, drained, upload, tutorial_upload(crops[:40]), *pipeline_rates(place / "run", 300))
            )
    bare, durable, drained, upload, old, without, with_spool, count = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    for name, ratios, target, at_least, best, detail in (
        ("durable put over the bare system calls (time)", [r[1] / r[0] for r in rows], 1.6, False, 1.0,
         f"{1 / durable:.0f} crops/s of 30 KB, {durable * 1e3:.2f} ms each; bare {bare * 1e3:.2f} ms"),
        ("drain over read, put_object on one client, unlink (time)", [r[2] / r[3] for r in rows], 1.6, False, 1.0,
         f"{1 / drained:.0f} crops/s uploaded, {drained * 1e3:.2f} ms each; bare {upload * 1e3:.2f} ms"),
        ("drain over a client for each face, as the tutorial (speed)", [r[4] / r[2] for r in rows], 2.0, True, None,
         f"{drained * 1e3:.2f} ms against {old * 1e3:.2f} ms a crop"),
        ("pipeline with crops spooled and uploaded over thrown away (speed)", [r[6] / r[5] for r in rows], 0.9, True,
         1.0,
         f"{with_spool:.0f} against {without:.0f} frames/s, {count:.0f} crops in 300 frames"),
    ):  # fmt: skip
        yield figure(name, ratios, target, detail, at_least=at_least, best=best)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured (default: the temporary folder)")
    options = parser.parse_args()
    return finish(measure(options.rounds, options.folder), options)


if __name__ == "__main__":
    raise SystemExit(main())
