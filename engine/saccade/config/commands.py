"""What the other commands are told, in the same words as `run` where they mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from saccade.config.option import at_least, check_values, like, option, positive
from saccade.config.run import DEFAULT_FIFO, DeviceName, PrecisionName, ResizeName, RunConfig

SERVED_OPTIONS = "saccade.toml"
"""File beside a model that SageMaker unpacks, with the options of `serve`; the files that it names lie beside it."""

SERVED = (
    "precision", "labels", "task", "head", "input_shape", "classes", "threshold", "iou", "top", "mean", "scale",
    "color", "resize", "pad", "requests", "waiting",
)  # fmt: skip
"""Options of `serve` that such a file may hold, beside `model`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """A model behind HTTP."""

    model: str = like(RunConfig, "model", help="artifact or catalogue name (default: what /opt/ml/model holds)")
    address: str = option(
        "", "where to serve (default: 0.0.0.0:8080 under SageMaker, else 127.0.0.1:8080)", section="service",
        metavar="HOST:PORT",
    )  # fmt: skip
    device: DeviceName = like(RunConfig, "device")
    precision: PrecisionName = like(RunConfig, "precision")
    labels: str = like(RunConfig, "labels")
    task: str = like(RunConfig, "task")
    head: str = like(RunConfig, "head")
    input_shape: str = like(RunConfig, "input_shape")
    classes: tuple[str, ...] = like(RunConfig, "classes")
    threshold: float | None = like(RunConfig, "threshold")
    iou: float | None = like(RunConfig, "iou")
    top: int | None = like(RunConfig, "top")
    mean: tuple[float, ...] = like(RunConfig, "mean")
    scale: tuple[float, ...] = like(RunConfig, "scale")
    color: Literal["", "bgr", "rgb"] = like(RunConfig, "color")
    resize: ResizeName = like(RunConfig, "resize")
    pad: int | None = like(RunConfig, "pad")
    requests: int = like(RunConfig, "requests", help="pictures inferred at the same time", check=at_least(1, 1024))
    waiting: int = option(
        32, "requests that may wait; more get 503", section="service", metavar="N", check=at_least(1, 1024)
    )

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptConfig:
    """An old script and the world round it."""

    source: str = like(RunConfig, "source")
    rate: float | None = like(RunConfig, "rate")
    insecure: bool = like(RunConfig, "insecure")
    ca: str = like(RunConfig, "ca")
    hwaccel: Literal["none", "auto", "vaapi"] = like(RunConfig, "hwaccel")
    decode: Literal["all", "nonref", "key"] = like(RunConfig, "decode")
    max_pixels: int = like(RunConfig, "max_pixels")
    wait: bool | None = like(RunConfig, "wait")
    realtime: bool | None = like(RunConfig, "realtime")
    artifacts: str = option("", "folder that stands for /opt/awscam/artifacts", section="network", metavar="DIR")
    model: tuple[str, ...] = option(
        (), "model that answers for artifact NAME (a file or a name of the catalogue); PATH alone answers for any",
        section="network", metavar="NAME=PATH", joined=";",
    )  # fmt: skip
    device: DeviceName = like(RunConfig, "device", help="what {'GPU': 1} means here")
    precision: PrecisionName = like(RunConfig, "precision")
    frames: int | None = like(RunConfig, "frames")
    seconds: float | None = like(RunConfig, "seconds")
    patience: float | None = option(
        None, "stop a script that asks for no frame for T seconds (default: 30 with --frames, else never)",
        section="run", metavar="T", check=positive("seconds"),
    )  # fmt: skip
    restarts: int = option(
        5, "how often in a row a script may start itself again by a Timer without taking a frame", section="run",
        metavar="N", check=at_least(0),
    )  # fmt: skip
    events: str = option(
        "-", "where messages go: JSON lines to a file or -, mqtt://, mqtts:// or greengrass:", section="results",
        metavar="FILE|-|URL", secret=True,
    )  # fmt: skip
    fifo: str = like(RunConfig, "fifo", default=DEFAULT_FIFO, help="the script's result stream", bare=None)
    view: str = like(RunConfig, "view", help="show the stream on a page")
    python: Literal["auto", "2", "3"] = option("auto", "which Python the script was written for", section="run")
    report: str = option("", "write what was adapted as JSON", section="results", metavar="FILE")
    sandbox: bool = option(False, "show the script nothing but what it is given here (needs bubblewrap)", section="run")
    sandbox_net: bool = option(False, "the same, but with the network", section="run")

    def __post_init__(self) -> None:
        check_values(self)
