"""The whole pipeline on one machine: device, bucket, queue, function, rows, graph."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from saccade.address import without_credentials
from saccade.config.toml import as_toml
from saccade.deploy.analyst import FaceAnalyst
from saccade.deploy.dashboard import Dashboard
from saccade.deploy.local import LocalAws
from saccade.storage.spool import Spool
from saccade.storage.uploader import Uploader

_SETTINGS = frozenset(
    f"SACCADE_{name}"
    for name in (
        "CONFIG", "TOPIC", "VIEW", "FIFO", "OUT", "SOURCE", "NAME", "INTERVAL", "WAIT", "BUCKET", "PREFIX", "SPOOL",
        "EVERY", "PUBLISH", "SUMMARY", "FRAMES", "SECONDS",
    )
)  # fmt: skip
"""Of this process, which are not its device's."""


class CloudDemo:
    """A local AWS with the stack in it, saccade's models behind DetectFaces, a device that feeds it, and the page.

    lambdas : folder of functions and template. folder : for crops, functions and logs.
    sources : one for each camera of the device, as `saccade run --source` has them; none: put pictures into the bucket
    yourself.
    """

    def __init__(
        self,
        lambdas: Path,
        folder: Path,
        *,
        sources: Sequence[str] = ("demo:",),
        interval: float = 1.0,
        page: tuple[str, int] = ("127.0.0.1", 0),
        host: str = "127.0.0.1",
        port: int = 0,
        processes: int = 1,
        emotions: str | None = None,
        device: str = "CPU",
    ) -> None:
        self.analyst = FaceAnalyst(emotions, device=device)
        self.aws = LocalAws(lambdas, self.analyst, folder=folder, host=host, port=port, processes=processes)
        self.device: EdgeProcess | None = None
        self._folder = folder
        self._sources = sources
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
                facts=(f"AWS at {self.aws.endpoint}", _cameras(self._sources), "functions in awslambdaric"),
            )
            if self._sources:
                named = {f"camera-{number}": source for number, source in enumerate(self._sources, start=1)}
                self.device = EdgeProcess(self.aws, self._folder, named, self._interval)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The device, page, functions and services end, in this order."""
        with ExitStack() as stack:  # whatever one of them says, the others end too
            stack.callback(self.aws.stop)
            if self.dashboard is not None:
                stack.callback(self.dashboard.close)
            if self.device is not None:
                stack.callback(self.device.close)

    def counts(self) -> Mapping[str, int]:
        """What the page shows beside what it reads from the services."""
        return {
            "invocations": sum(poller.invocations for poller in self.aws.pollers),
            "sent": len(self._keys()) if self.device else 0,
        }

    def _keys(self) -> list[str]:
        """Of the crops in the bucket."""
        pages = self.aws.client("s3").get_paginator("list_objects_v2").paginate(
            Bucket=self.aws.outputs["FacesBucketName"], Prefix="faces/"
        )  # fmt: skip
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def summary(self, seconds: float) -> dict[str, Any]:
        """What was sent and what has come of it, read back from the services."""
        table = self.aws.outputs["FacesTableName"]
        pages = self.aws.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        rows = [row for page in pages for row in page["Items"]]
        keys, rejected = self._keys(), self._rejected()
        answered = {row["s3key"]["S"] for row in rows}
        waiting = self.aws.waiting()
        return {
            "seconds": round(seconds, 1),
            **self.counts(),
            "sent": len(keys),
            "cameras": self.device.figures(keys) if self.device else {},
            "messages_left": waiting,
            # A crop without a row has no face that DetectFaces knows, or its message is not done.
            "unanswered": sorted(set(keys) - answered - rejected) if waiting else [],
            "faces": len(rows),
            "pictures": len({row["s3key"]["S"] for row in rows}),
            "points": sum(name.isupper() for row in rows for name in row),
            "dead_letters": self.aws.waiting("DeadFacesQueueUrl"),
            "emotions": dict(Counter(row["emotion"]["S"] for row in rows).most_common()),
            "emotion_source": self.analyst.emotion_source,
        }

    def _rejected(self) -> set[str]:
        pages = self.aws.client("s3").get_paginator("list_objects_v2").paginate(
            Bucket=self.aws.outputs["FacesBucketName"], Prefix="rejected/"
        )  # fmt: skip
        return {item["Key"].removeprefix("rejected/") for page in pages for item in page.get("Contents", ())}


class EdgeProcess:
    """The edge function `faces_to_s3` as a process of its own, with all its cameras: spools, uploads, keys and all.

    folder : for spools, summary and log. cameras : source of each, by its name, which keys have.
    """

    def __init__(self, aws: LocalAws, folder: Path, cameras: Mapping[str, str], interval: float) -> None:
        self.cameras = dict(cameras)
        self._aws, self._folder = aws, folder
        self._left = dict.fromkeys(self.cameras, 0)
        self._summary = folder / "summary.json"
        self._summary.unlink(missing_ok=True)  # of an earlier run in this folder
        file = folder / "cameras.toml"
        for name in self.cameras:
            (folder / name).mkdir(parents=True, exist_ok=True)
        file.write_text(self._configuration(interval), encoding="utf-8")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k not in _SETTINGS}
        environment = {
            **kept, **aws.credentials, "AWS_REGION": aws.region, "AWS_DEFAULT_REGION": aws.region,
            "AWS_ENDPOINT_URL": aws.endpoint, "AWS_IOT_THING_NAME": "local", "SACCADE_CONFIG": str(file),
            "no_proxy": direct_hosts(kept, aws.endpoint),
        }  # fmt: skip
        command = [sys.executable, "-u", "-c", "from saccade.service.edge import main; raise SystemExit(main('faces'))"]
        with (folder / "device.log").open("ab") as output:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def _configuration(self, interval: float) -> str:
        defaults = as_toml({
            "interval": interval, "wait": False, "bucket": self._aws.outputs["FacesBucketName"],
            "prefix": "faces/{camera}/", "spool": str(self._folder / "{camera}" / "spool"), "every": 0.2,
            "publish": [str(self._folder / "messages.jsonl")], "summary": str(self._summary),
        })  # fmt: skip
        cameras = [as_toml({"name": name, "source": source}) for name, source in self.cameras.items()]
        return "\n".join([f"[defaults]\n{defaults}", *(f"[[camera]]\n{camera}" for camera in cameras)])

    @property
    def running(self) -> bool:
        """False once the device process has ended."""
        return self.process.poll() is None

    @property
    def failed(self) -> tuple[str, ...]:
        """Sources of the cameras that gave no picture; all, where the process failed before it had a summary."""
        if self.running:
            return ()
        cameras = self._said().get("cameras", {})
        if not cameras:
            return tuple(self.cameras.values()) if self.process.returncode else ()
        return tuple(
            source for name, source in self.cameras.items()
            if (camera := cameras.get(name, {})).get("reason") or camera.get("state") == "failed"
        )  # fmt: skip

    def close(self) -> None:
        """Stop the device, then send what it has left in its spools."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for name in self.cameras:
            folder = self._folder / name / "spool"
            if (folder / "queue").is_dir():
                with Spool(folder, min_free=0) as spool:
                    Uploader(spool, self._aws.outputs["FacesBucketName"], client=self._aws.client("s3")).flush(10)
                    self._left[name] = spool.statistics().pending

    def figures(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Crops that each camera spooled and still holds, beside those in the bucket (`keys`) under its name."""
        said = self._said().get("cameras", {})
        return {
            name: {
                "source": without_credentials(source),
                "spooled": said.get(name, {}).get("spool", {}).get("written"),
                "left": self._left[name],
                "in_bucket": sum(key.startswith(f"faces/{name}/") for key in keys),
            }
            for name, source in self.cameras.items()
        }

    def _said(self) -> dict[str, Any]:
        """The device's summary; empty where it has written none."""
        try:
            said = json.loads(self._summary.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}


def direct_hosts(environment: Mapping[str, str], endpoint: str) -> str:
    """Hosts that no proxy is asked for: those of the environment, and this machine; cameras may need the proxy."""
    said = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return ",".join(filter(None, [said, "localhost", "127.0.0.1", urlsplit(endpoint).hostname]))


def _cameras(sources: Sequence[str]) -> str:
    if len(sources) > 1:
        return f"{len(sources)} cameras"
    return f"camera {without_credentials(sources[0])}" if sources else "no camera"
