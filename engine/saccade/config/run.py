"""What `saccade run` does with one camera, file or stream, and where the results go."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from saccade.address import without_credentials
from saccade.config.option import Boxes, at_least, between, check_values, not_negative, option, positive

APPS: Mapping[str, str] = {
    "detect": "find objects, with masks or key points where the network gives them",
    "faces": "find faces; with --out or --bucket keep crops of them",
    "segment": "what each pixel belongs to",
    "classify": "name what the frame shows",
    "head-pose": "where a head points, in nine directions",
}
"""What `saccade run` can do, by name."""

DeviceName = Literal["AUTO", "CPU", "GPU"]
PrecisionName = Literal["auto", "f32", "bf16", "f16", "int8"]
ResizeName = Literal["", "stretch", "letterbox", "letterbox-top-left", "crop"]

SOURCE_OPTIONS = ("rate", "insecure", "ca", "hwaccel", "decode", "max_pixels", "wait")
"""Options that say how a source is opened, beside its name and `realtime`."""

CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
CAMERA_NAME_WORDS = "1 to 64 letters, digits, - _ and . (it names topics, figures and folders)"

DEFAULT_FIFO = "/tmp/results.mjpeg"
DEFAULT_PAGE = "127.0.0.1:8080"


def _channels(values: tuple[float, ...]) -> str:
    return "" if len(values) in (0, 1, 3) else "one number, or three (one a channel)"


def _divisors(values: tuple[float, ...]) -> str:
    if any(not value > 0 for value in values):
        return "positive divisors, as 255 for networks that want [0, 1]"
    return _channels(values)


def _within(regions: Boxes) -> str:
    for x, y, width, height in regions:
        if max(x, y, width, height) <= 1:
            sound = 0 <= x < 1 and 0 <= y < 1 and 0 < width <= 1 - x + 1e-6 and 0 < height <= 1 - y + 1e-6
        else:
            sound = min(x, y) >= 0 and min(width, height) >= 1 and all(n == int(n) for n in (x, y, width, height))
        if not sound:
            return (
                "x, y, width and height of each region within the frame, as parts of it (0,0.5,1,0.5) or in whole px "
                "(0,540,1920,540)"
            )
    return ""


def _something(text: str) -> str:
    return "" if text.strip() else "a camera, file or stream, as /dev/video0"


def _camera_name(text: str) -> str:
    return "" if not text or CAMERA_NAME.fullmatch(text) else CAMERA_NAME_WORDS


_KEY_PREFIX = re.compile(r"(([\w.:-]|\{thing\}|\{camera\})+/)*", re.ASCII)


def _prefix(text: str) -> str:
    if len(text) <= 200 and _KEY_PREFIX.fullmatch(text) and not {".", ".."} & set(text.split("/")):
        return ""
    return "folders of letters, digits, _ . : -, {thing} and {camera}, each with a / behind it, as faces/{thing}/"


def _rate(value: float) -> str:
    return "" if 0 < value <= 240 else "pictures a second, above 0 and up to 240"


def camera_name(source: str) -> str:
    """A name made of a source: `video0` of /dev/video0, the host of an address, the stem of a file."""
    text = without_credentials(source.strip())
    if text.isdigit():
        return f"video{text}"
    if text == "-":
        return "stdin"
    if "://" in text:
        try:
            parts = urlsplit(text)
            text = parts.hostname or text
        except ValueError:
            pass
    elif text.startswith("/dev/"):
        text = Path(text.partition("@")[0]).name
    else:
        text = next((part for part in reversed(Path(text).parts) if not set("*?[") & set(part)), "")
        text = Path(text).stem
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:64]
    return plain or "camera"


DISCOVERY_PREFIX = "homeassistant"
"""Where Home Assistant looks for new devices, unless it was told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What to run, on what, and where the results go. Empty strings and None mean "off" or "choose for me"."""

    source: str = option(
        "demo:", "camera index, /dev/videoN, file, folder, glob, rtsp:// or http:// stream, FIFO, -, demo:, demo:4mp",
        section="source", metavar="S", check=_something, secret=True, needed=True,
    )  # fmt: skip
    model: str = option(
        "", "artifact or catalogue name (default: the app's own demo model)", section="network", metavar="M"
    )
    device: DeviceName = option(
        "AUTO", "inference device; GPU falls back to CPU, loudly, where it does not work", section="network"
    )
    precision: PrecisionName = option(
        "auto", "arithmetic of the inference; auto: as `saccade tune` found, else the device's choice; int8: of tuned "
        "or calibrated networks", section="network",
    )  # fmt: skip
    labels: str = option("", "file with the class names, one a line or JSON", section="network", metavar="FILE")
    task: str = option(
        "", "what the network does, where its outputs leave that open: detect, classify, segment, ...",
        section="network", metavar="T",
    )  # fmt: skip
    head: str = option(
        "", "family of the network's outputs, where several fit: see `inspect`", section="network", metavar="NAME"
    )
    input_shape: str = option(
        "", "size of an input, where the file leaves it open or says another; HxW is enough for a picture",
        section="network", metavar="[NAME:]N,C,H,W", joined=";",
    )  # fmt: skip
    classes: tuple[str, ...] = option(
        (), "report only these classes, by name (default: all)", section="network", metavar="NAME,.."
    )
    threshold: float | None = option(
        None, "least probability of a detection (default: as the model says, else what is usual for its kind)",
        section="network", metavar="P", check=between(0, 1, "a probability"),
    )  # fmt: skip
    iou: float | None = option(
        None, "overlap at which the weaker of two boxes goes (default: as usual for the network's kind)",
        section="network", metavar="P", check=between(0, 1, "a part"),
    )  # fmt: skip
    top: int | None = option(
        None, "how many classes or objects to report (default: 5 classes, all objects)", section="network",
        metavar="K", check=at_least(1),
    )  # fmt: skip
    tiles: str = option(
        "", "show the network overlapping tiles, for small objects (default: off; auto for the own model of faces)",
        section="network", metavar="auto|off|CxR",
    )  # fmt: skip
    regions: Boxes = option(
        (), "look only at these parts of the frame: x, y, width and height of each, as parts of it or in px",
        section="network", metavar="X,Y,W,H;..", joined=";", check=_within,
    )  # fmt: skip
    mean: tuple[float, ...] = option(
        (), "means that the network wants subtracted, one number or three", section="network", metavar="X,..",
        check=_channels,
    )  # fmt: skip
    scale: tuple[float, ...] = option(
        (), "divisors after the means, one number or three (255: to [0, 1])", section="network", metavar="X,..",
        check=_divisors,
    )  # fmt: skip
    color: Literal["", "bgr", "rgb"] = option(
        "", "channel order that the network wants (default: as the model says)", section="network"
    )
    resize: ResizeName = option(
        "", "how a picture is brought to the network's size (default: as the model says)", section="network"
    )
    pad: int | None = option(
        None, "grey level round a letterboxed picture (default: as the model says)", section="network", metavar="N",
        check=between(0, 255, "a grey level"),
    )  # fmt: skip
    rate: float | None = option(
        None, "ask an HTTP camera that answers with one picture so often a second (default: one picture); of several "
        "cameras: how often each is looked at (default: as often as there is time for)",
        section="source", metavar="HZ", check=_rate,
    )  # fmt: skip
    insecure: bool = option(False, "take any TLS certificate of the source", section="source")
    ca: str = option(
        "", "file (PEM) with the certificate of the source, or of who signed it", section="source", metavar="FILE"
    )
    hwaccel: Literal["none", "auto", "vaapi"] = option(
        "none", "decode H.264 and H.265 in hardware; auto: where the machine has it", section="source"
    )
    decode: Literal["all", "nonref", "key"] = option(
        "all", "H.264 and H.265 frames to decode: nonref leaves out those that no other needs, key takes key frames",
        section="source",
    )  # fmt: skip
    max_pixels: int = option(
        1 << 26, "refuse pictures of more pixels", section="source", metavar="N", check=at_least(1)
    )
    wait: bool | None = option(
        None, "wait for a source that is not there yet (default: only as a service)", section="source",
        opposite="no-wait", opposite_help="end at once if the source is not there yet",
    )  # fmt: skip
    frames: int | None = option(
        None, "stop after N frames (default: the source's end)", section="run", metavar="N", check=at_least(1)
    )
    seconds: float | None = option(
        None, "stop after T seconds (default: the source's end)", section="run", metavar="T",
        check=positive("seconds"),
    )  # fmt: skip
    realtime: bool | None = option(
        None, "drop frames that come too late (live sources) or take every one (files)", section="source",
        opposite="every-frame", opposite_help="take every frame",
    )  # fmt: skip
    track: bool = option(
        True, "number objects over time, in events and pictures", section="results", opposite="no-track",
        opposite_help="objects have no numbers",
    )  # fmt: skip
    events: str = option(
        "", "write one JSON object a frame to FILE, or to standard output with -", section="results",
        metavar="FILE|-",
    )  # fmt: skip
    summary: str = option(
        "", "write the run's figures as JSON to FILE, or to standard output with -", section="results",
        metavar="FILE|-",
    )  # fmt: skip
    out: str = option("", "folder for crops of what is found and annotated pictures", section="results", metavar="DIR")
    pictures: float = option(
        0.0, "with --out: an annotated picture every T seconds; 0 writes none", section="results", metavar="T",
        check=not_negative,
    )  # fmt: skip
    interval: float = option(
        3.0, "seconds of the stream between two crops of an object", section="results", metavar="T",
        check=positive("seconds"),
    )  # fmt: skip
    margin: float = option(
        0.2, "border round a crop, as a part of its size", section="results", metavar="PART", check=not_negative
    )
    view: str = option(
        "", "serve the live page at this address", section="results", metavar="HOST:PORT", bare=DEFAULT_PAGE
    )
    fifo: str = option(
        "", "serve the annotated stream in an MJPEG FIFO", section="results", metavar="PATH", bare=DEFAULT_FIFO
    )
    name: str = option(
        "", "name of the camera in topics, messages and figures (default: from its source, as video0)",
        section="source", metavar="NAME", check=_camera_name,
    )  # fmt: skip
    publish: tuple[str, ...] = option(
        (), "publish results: mqtt://HOST, mqtts://HOST?ca=FILE&cert=FILE&key=FILE, greengrass: or jsonl:FILE; may be "
        "given several times", section="results", metavar="TO", joined=";", secret=True,
    )  # fmt: skip
    topic: str = option("", "topic of the results (default: PREFIX/CAMERA/results)", section="results", metavar="TOPIC")
    every: float = option(
        0.0, "least seconds between two published results", section="results", metavar="T", check=not_negative
    )
    mqtt_prefix: str = option(
        "", "first levels of all topics (default: saccade, or frigate with its schema)", section="results",
        metavar="PREFIX",
    )  # fmt: skip
    mqtt_schema: Literal["saccade", "frigate"] = option(
        "saccade", "messages about objects: our own, or as consumers of Frigate's events expect them",
        section="results",
    )  # fmt: skip
    mqtt_pictures: float | None = option(
        None, "publish an annotated picture every T seconds; 0: none (default: 10 with --home-assistant, else none)",
        section="results", metavar="T", check=not_negative,
    )  # fmt: skip
    home_assistant: str = option(
        "", "tell Home Assistant of the camera, by its MQTT discovery under this prefix", section="results",
        metavar="PREFIX", bare=DISCOVERY_PREFIX,
    )  # fmt: skip
    bucket: str = option("", "upload crops to this S3 bucket, through the spool", section="results", metavar="NAME")
    prefix: str = option(
        "", "what keys of uploads begin with; {thing} stands for the device's name, {camera} for the camera's "
        "(default: the app's, as faces/)",
        section="results", metavar="PREFIX", check=_prefix,
    )  # fmt: skip
    spool: str = option(
        "", "folder where crops wait for their upload (default: with --bucket ~/.local/state/saccade/spool)",
        section="results", metavar="DIR",
    )  # fmt: skip
    spool_bytes: int = option(1 << 30, "most bytes in the spool", section="results", metavar="N", check=at_least(1))
    spool_free: int = option(
        64 << 20, "bytes that the spool leaves free on its disk", section="results", metavar="N", check=at_least(0)
    )
    spool_days: float = option(
        30.0, "longest that a crop waits in the spool", section="results", metavar="DAYS", check=positive("days")
    )
    spool_full: Literal["oldest", "refuse"] = option(
        "oldest", "what goes when the spool is full: the oldest, or what comes", section="results"
    )
    encryption: Literal["AES256", "aws:kms", "none"] = option(
        "AES256", "server-side encryption of uploads", section="results"
    )
    kms_key: str = option("", "key for aws:kms", section="results", metavar="ID")
    requests: int = option(
        2, "infer requests in flight", section="run", metavar="N",
        check=at_least(1, 16, ", more only adds delay"),
    )  # fmt: skip
    threads: int | None = option(
        None, "inference threads (default: chosen by what decoding and inference are measured to cost)",
        section="run", metavar="N", check=at_least(1),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def camera(self) -> str:
        """The camera's name, given or made of its source."""
        return self.name or camera_name(self.source)

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)
