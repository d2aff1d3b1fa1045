"""The cloud functions: cold start, rate and memory of one process under load.

    python -m bench.cloud [--rounds N] [--crops N] [--out DIR] [--json FILE] [--check]

Cold start: the function's own package, unpacked as Lambda does, imported by a fresh interpreter up to the point where
it would take its first event (imports and clients made). It computes in one thread and waits for nothing, so its CPU
time is what it takes on a quiet machine; the figure is that, whatever else runs. Writes Python's import-time report of
it to DIR.

Load: crops through the local AWS (S3 -> SQS -> one function process -> DynamoDB and CloudWatch, all over HTTP), with a
DetectFaces that answers at once, so that the rate is the function's and the local services', not a network's.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from bench.figures import Figure, command_line, figure, finish
from saccade.cli.stacks import find_lambdas
from saccade.deploy import package, template
from saccade.deploy.local import LocalAws

LIMIT_MS = 260
"""Import and client set-up of a function, on a small x86 machine."""

FACE = {
    "BoundingBox": {"Left": 0.25, "Top": 0.25, "Width": 0.5, "Height": 0.5},
    "Confidence": 99.5,
    "Emotions": [
        {"Type": "HAPPY", "Confidence": 70.5},
        {"Type": "CALM", "Confidence": 20.25},
        {"Type": "SAD", "Confidence": 9.25},
    ],
}


def unpacked(folder: Path) -> dict[str, Path]:
    """Both functions' packages, unpacked, by name."""
    found = {}
    for function in template.functions(find_lambdas()):
        made = package.build(function, folder / "zips", None)
        found[made.name] = folder / made.name
        with zipfile.ZipFile(made.path) as archive:
            archive.extractall(found[made.name])
    return found


def start_ms(code: Path, *options: str) -> tuple[float, float, str]:
    """From the first line of a fresh interpreter to a function that is ready: CPU time and time, ms; and its stderr."""
    script = (
        "import time; t, c = time.perf_counter(), time.process_time(); import app;"
        "print((time.process_time() - c) * 1e3, (time.perf_counter() - t) * 1e3)"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "eu-central-1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "BOTO_DISABLE_CRT": "true",  # as the template sets it
    }
    done = subprocess.run(
        [sys.executable, *options, "-c", script], cwd=code, env=environment, capture_output=True, text=True, check=True
    )
    cpu, wall = map(float, done.stdout.split())
    return cpu, wall, done.stderr


def cold_starts(rounds: int, out: Path | None) -> Iterator[Figure]:
    """A figure for each function."""
    with tempfile.TemporaryDirectory() as folder:
        for name, code in unpacked(Path(folder)).items():
            start_ms(code)  # the files are in the page cache from here on
            runs = [start_ms(code)[:2] for _ in range(3 * rounds + 2)]
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                (out / f"import-times-{name}.txt").write_text(start_ms(code, "-X", "importtime")[2])
            cpu, wall = zip(*runs, strict=True)
            yield figure(
                f"{name}: import and clients over {LIMIT_MS} ms", [each / LIMIT_MS for each in cpu], 1.0,
                f"{statistics.median(cpu):.0f} ms of CPU time; {min(wall):.0f} to {max(wall):.0f} ms by the clock",
            )  # fmt: skip


def resident_kb(pid: int) -> int:
    """Memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def load(crops: int) -> Iterator[Figure]:
    """Rate of one process, and how its memory grows."""
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), (90, 120, 150)).save(buffer, "JPEG")
    with LocalAws(find_lambdas(), lambda _: [FACE]) as aws:
        (poller,) = aws.pollers
        process = aws.function("RekognizeEmotionsName")
        send(aws, 100, buffer.getvalue(), "warm")
        aws.drain(120)
        assert process.pid is not None
        before = resident_kb(process.pid)
        start = time.perf_counter()
        send(aws, crops, buffer.getvalue(), "load")
        aws.drain(600)
        seconds = time.perf_counter() - start
        after = resident_kb(process.pid)
        assert process.starts == 1
        table = aws.client("dynamodb").get_paginator("scan").paginate(TableName=aws.outputs["FacesTableName"])
        rows = sum(len(page["Items"]) for page in table)
        assert rows == crops + 100, f"{rows} rows of {crops + 100}"
        assert aws.waiting("DeadFacesQueueUrl") == 0
    rate = crops / seconds
    yield figure(
        "crops a second and function process", [rate], 5,
        f"{crops} crops in {seconds:.1f} s, {poller.invocations} invocations, every row there once", at_least=True,
    )  # fmt: skip
    yield figure(
        "memory of the process after the load over before", [after / before], 1.10,
        f"{before / 1024:.1f} to {after / 1024:.1f} MB over {crops} crops",
    )  # fmt: skip


def send(aws: LocalAws, count: int, picture: bytes, name: str, backlog: int = 40) -> None:
    """Put crops into the bucket, no faster than they are taken: moto's queue gets slow when it is long."""
    s3: Any = aws.client("s3")
    (poller,) = aws.pollers
    before = poller.delivered
    for number in range(count):
        while number - (poller.delivered - before) > backlog:
            time.sleep(0.002)
        s3.put_object(Bucket=aws.outputs["FacesBucketName"], Key=f"faces/{name}/{number}.jpg", Body=picture)


def measure(rounds: int, *, crops: int = 1000, out: Path | None = None) -> Iterator[Figure]:
    """All figures of this suite. out : folder for import times by module; None: they are not written."""
    yield from cold_starts(rounds, out)
    yield from load(crops)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="folder for import times by module")
    options = parser.parse_args()
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    return finish(measure(options.rounds, crops=options.crops, out=options.out), options)


if __name__ == "__main__":
    raise SystemExit(main())
