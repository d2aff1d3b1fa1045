"""One typed configuration for everything that runs: the command line, the environment and a TOML file all fill it.

Each field of `RunConfig` is declared once, with its help text; the command line's options, the `SACCADE_*` variables
and the table in docs/configuration.md come from that declaration.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from saccade.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

AppName = Literal["faces", "head-pose", "classify"]
DeviceName = Literal["AUTO", "CPU", "GPU"]
PrecisionName = Literal["auto", "f32", "bf16", "f16", "int8"]

DEFAULT_FIFO = "/tmp/results.mjpeg"


def cache_dir() -> Path:
    """Folder for downloads and compiled models: $SACCADE_CACHE, else $XDG_CACHE_HOME/saccade, else ~/.cache/saccade."""
    own = os.environ.get("SACCADE_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "saccade"


def _option(default: Any, help: str, *, metavar: str | None = None, bare: str | None = None) -> Any:
    """A field; `bare` is the value of the option given without one."""
    return dataclasses.field(default=default, metadata={"help": help, "metavar": metavar, "bare": bare})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What to run, on what, and where the results go. Empty strings and None mean "off" or "choose for me"."""

    source: str = _option(
        "demo:", "camera index, /dev/videoN, file, folder, glob, rtsp:// or http:// stream, FIFO, -, demo:, demo:4mp",
        metavar="S",
    )  # fmt: skip
    model: str = _option("", "artifact or catalogue name (default: the app's own demo model)", metavar="M")
    device: DeviceName = _option("AUTO", "inference device; GPU falls back to CPU, loudly, where it does not work")
    precision: PrecisionName = _option(
        "auto", "arithmetic of the inference; auto is the device's choice, int8 for calibrated old IR"
    )
    labels: str = _option("", "file with the class names, one a line or JSON", metavar="FILE")
    threshold: float = _option(0.5, "least probability of a detection", metavar="P")
    top: int = _option(5, "how many classes to report", metavar="K")
    mean: tuple[float, ...] = _option(
        (), "means that the network wants subtracted, one number or three", metavar="X,.."
    )
    scale: tuple[float, ...] = _option(
        (), "divisors after the means, one number or three (255: to [0, 1])", metavar="X,.."
    )
    color: Literal["", "bgr", "rgb"] = _option("", "channel order that the network wants (default: as the model says)")
    frames: int | None = _option(None, "stop after N frames (default: the source's end)", metavar="N")
    seconds: float | None = _option(None, "stop after T seconds (default: the source's end)", metavar="T")
    realtime: bool | None = _option(None, "drop frames that come too late (live sources) or take every one (files)")
    events: str = _option("", "write one JSON object a frame to FILE, or to standard output with -", metavar="FILE|-")
    summary: str = _option(
        "", "write the run's figures as JSON to FILE, or to standard output with -", metavar="FILE|-"
    )
    out: str = _option("", "folder for face crops and annotated pictures", metavar="DIR")
    pictures: float = _option(0.0, "with --out: an annotated picture every T seconds; 0 writes none", metavar="T")
    interval: float = _option(3.0, "with --out: seconds of the stream between two crops of the same face", metavar="T")
    margin: float = _option(0.2, "with --out: border round a crop, as a part of the face's size", metavar="PART")
    view: str = _option("", "serve the live page at this address", metavar="HOST:PORT", bare="127.0.0.1:8080")
    fifo: str = _option("", "serve the annotated stream in an MJPEG FIFO", metavar="PATH", bare=DEFAULT_FIFO)
    requests: int = _option(2, "infer requests in flight", metavar="N")
    threads: int | None = _option(None, "inference threads (default: leaves one core to the decoder)", metavar="N")

    def __post_init__(self) -> None:
        hints = get_type_hints(RunConfig)
        for field in dataclasses.fields(self):
            if get_origin(hints[field.name]) is Literal:
                allowed = get_args(hints[field.name])
                value = getattr(self, field.name)
                if value not in allowed:
                    raise ConfigError(
                        f"{field.name}: got {value!r}; expected one of {', '.join(a for a in allowed if a)}"
                    )
        if not 0.0 <= self.threshold <= 1.0:
            raise ConfigError(f"threshold: got {self.threshold}; expected a probability from 0 to 1")
        for name, least in (("frames", 1), ("top", 1), ("requests", 1), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name}: got {value}; expected a whole number of at least {least}")
        if self.requests > 16:
            raise ConfigError(f"requests: got {self.requests}; expected at most 16, more only adds delay")
        for name in ("seconds", "interval"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}: got {value}; expected a positive number of seconds")
        for name in ("pictures", "margin"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}; expected zero or more")
        for name in ("mean", "scale"):
            if len(getattr(self, name)) not in (0, 1, 3):
                raise ConfigError(
                    f"{name}: got {len(getattr(self, name))} numbers; expected one, or one a channel (three)"
                )
        if any(not value > 0 for value in self.scale):
            raise ConfigError(
                f"scale: got {self.scale}; expected positive divisors, as 255 for networks that want [0, 1]"
            )

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def parse_value(name: str, text: str) -> Any:
    """Turn the text of an option or variable into the value of field `name`; raises ConfigError."""
    hint = get_type_hints(RunConfig)[name]
    try:
        if hint in (int, int | None):
            return int(text)
        if hint in (float, float | None):
            return float(text)
        if hint == tuple[float, ...]:
            return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        kind = "a whole number" if hint in (int, int | None) else "a number" if "tuple" not in str(hint) else "numbers"
        raise ConfigError(f"{name}: got {text!r}; expected {kind}") from None
    if hint == bool | None:
        lowered = text.lower()
        if lowered in ("1", "true", "yes", "on"):
            return True
        if lowered in ("0", "false", "no", "off"):
            return False
        if not lowered:
            return None
        raise ConfigError(f"{name}: got {text!r}; expected true or false")
    return text


def from_environment(environ: Mapping[str, str], base: RunConfig | None = None) -> RunConfig:
    """`base` with every field that a `SACCADE_NAME` variable sets, as `SACCADE_SOURCE=/dev/video0`."""
    changes = {}
    for field in dataclasses.fields(RunConfig):
        text = environ.get(f"SACCADE_{field.name.upper()}")
        if text is not None:
            try:
                changes[field.name] = parse_value(field.name, text)
            except ConfigError as error:
                raise ConfigError(f"environment variable SACCADE_{field.name.upper()}: {error}") from None
    return (base or RunConfig()).replace(**changes)


def from_file(path: str | Path, base: RunConfig | None = None) -> RunConfig:
    """`base` with the fields that a TOML file sets; a name that is no field is an error."""
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a TOML file with options as keys") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from None
    known = {field.name for field in dataclasses.fields(RunConfig)}
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ConfigError(f"{path}: unknown option {key!r}; expected one of {', '.join(sorted(known))}")
        if isinstance(value, list):
            value = ",".join(str(part) for part in value)
        try:
            changes[name] = parse_value(name, str(value))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return (base or RunConfig()).replace(**changes)
