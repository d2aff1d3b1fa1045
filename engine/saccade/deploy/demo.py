"""The whole pipeline on one machine: device, bucket, queue, function, rows, graph."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from saccade.deploy.analyst import FaceAnalyst
from saccade.deploy.dashboard import Dashboard
from saccade.deploy.detect import MIN_SIDE
from saccade.deploy.local import LocalAws
from saccade.outputs.crops import enlarged
from saccade.outputs.jpeg import encode_jpeg

log = logging.getLogger(__name__)


class CloudDemo:
    """A local AWS with the stack in it, saccade's models behind DetectFaces, a device that feeds it, and the page.

    lambdas : folder of functions and template. folder : for crops, functions and logs.
    source : of the device, as `saccade run --source` has it; None: no device, put pictures into the bucket yourself.
    """

    def __init__(
        self,
        lambdas: Path,
        folder: Path,
        *,
        source: str | None = "demo:",
        interval: float = 1.0,
        page: tuple[str, int] = ("127.0.0.1", 0),
        port: int = 0,
        processes: int = 1,
        emotions: str | None = None,
        device: str = "CPU",
    ) -> None:
        self.analyst = FaceAnalyst(emotions, device=device)
        self.aws = LocalAws(lambdas, self.analyst, folder=folder, port=port, processes=processes)
        self.camera: Device | None = None
        self._crops = folder / "crops"
        self._source = source
        self._interval = interval
        self._page = page
        self.dashboard: Dashboard | None = None

    def __enter__(self) -> CloudDemo:
        self.aws.start()
        try:
            self.dashboard = Dashboard(
                self.aws.client,
                self.aws.outputs,
                address=self._page,
                counters=self.counts,
                source=f"emotions: {self.analyst.emotion_source}",
                facts=(f"AWS at {self.aws.endpoint}", f"camera {self._source or 'none'}", "functions in awslambdaric"),
            )
            if self._source is not None:
                arguments = ["--source", self._source, "--interval", str(self._interval)]
                self.camera = Device(self.aws, self._crops, arguments)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Camera, page, functions and services end, in this order."""
        if self.camera is not None:
            self.camera.close()
        if self.dashboard is not None:
            self.dashboard.close()
        self.aws.stop()

    def counts(self) -> Mapping[str, int]:
        """What the page shows beside what it reads from the services."""
        return {
            "invocations": sum(poller.invocations for poller in self.aws.pollers),
            "sent": self.camera.sent if self.camera is not None else 0,
        }

    def summary(self, seconds: float) -> dict[str, Any]:
        """What was sent and what has come of it, read back from the services."""
        table = self.aws.outputs["FacesTableName"]
        pages = self.aws.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        rows = [row for page in pages for row in page["Items"]]
        return {
            "seconds": round(seconds, 1),
            **self.counts(),
            "faces": len(rows),
            "pictures": len({row["s3key"]["S"] for row in rows}),
            "points": sum(name.isupper() for row in rows for name in row),
            "dead_letters": self.aws.waiting("DeadFacesQueueUrl"),
            "emotions": dict(Counter(row["emotion"]["S"] for row in rows).most_common()),
            "emotion_source": self.analyst.emotion_source,
        }


class Device:
    """`saccade run faces` as a process of its own, and an uploader for the crops that it writes.

    folder : where the crops appear; with `arguments` None nothing is run and the folder is somebody else's.
    """

    def __init__(self, aws: LocalAws, folder: Path, arguments: Sequence[str] | None) -> None:
        self.sent = 0
        self._aws = aws
        self._folder = folder
        self._known: set[str] = set()
        self._ended = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None
        if arguments is not None:
            command = [sys.executable, "-m", "saccade", "run", "faces", "--out", str(folder), *arguments]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """False once the device process has ended."""
        return self.process is None or self.process.poll() is None

    @property
    def failed(self) -> bool:
        """True once the device process has ended with an error."""
        return self.process is not None and bool(self.process.poll())

    def close(self) -> None:
        """Stop the device, then send what it has written."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.25):
            self._send()
        self._send()

    def _send(self) -> None:
        for path in sorted(self._folder.rglob("*.jpg")):
            name = str(path.relative_to(self._folder))
            if name in self._known or name.startswith("pictures"):
                continue
            data = ready(path.read_bytes())
            if data is None:
                continue  # not all of it is there yet
            try:
                self._aws.client("s3").put_object(
                    Bucket=self._aws.outputs["FacesBucketName"], Key=crop_key(self.sent), Body=data,
                    ContentType="image/jpeg",
                )  # fmt: skip
            except (ClientError, BotoCoreError) as error:
                log.warning("upload of %s: %s", name, error)
                return
            self._known.add(name)
            self.sent += 1


def crop_key(index: int) -> str:
    """The key form of the edge exercise: faces/{month}_{day}/{hour}_{minute}/{timestamp}_{index}.jpg."""
    now = time.localtime()
    return f"faces/{now.tm_mon}_{now.tm_mday}/{now.tm_hour}_{now.tm_min}/{int(time.time())}_{index}.jpg"


def ready(jpeg: bytes) -> bytes | None:
    """The crop with sides that Rekognition takes; None if it is no whole picture."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        return None
    if min(picture.shape[:2]) >= MIN_SIDE:
        return jpeg
    return encode_jpeg(enlarged(np.ascontiguousarray(picture, np.uint8), MIN_SIDE), quality=92)
