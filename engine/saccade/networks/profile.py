"""How a network runs best here, as `saccade tune` has measured it on the user's own frames.

A profile is a folder with a readable `profile.json` and, where layers are quantised, the network as OpenVINO IR. It
holds for the model's very files, for one processor and for the releases that it was measured with; elsewhere it is not
used, and a line in the log says why.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, get_origin, get_type_hints

from saccade.config import cache_dir
from saccade.formats.core import core
from saccade.networks.cache import folder_name
from saccade.networks.digest import file_digest, model_digest
from saccade.networks.saturation import ISA_LIMIT
from saccade.process import usable_cores

_log = logging.getLogger(__name__)

FILE = "profile.json"
QUANTISED = "int8.xml"

_TELLING = (
    "sse4_2", "avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
)  # fmt: skip
"""Flags of a processor that decide which kernels a network gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What was chosen, what it holds for, and what it was measured on.

    model : name. path : of its file. digest : of its files. device : wished for; ran_on : where that led.
    processor : see `processor`. versions : of what computes, by distribution.
    precision : f32, bf16, f16 or int8; auto: nothing was chosen before the time was over. in_f32 : layers that were
    left in f32. quantised : SHA-256 of the files of the quantised network, by name. inputs : shapes of the network's
    inputs, by name. pixels : as it was given them.
    live : whether frames came from a camera. threads, streams, requests : as for `Model` and `Pipeline`, for a pipeline
    on a source of that kind; None: as without a profile.
    tiles_asked, tiles : what was asked for, and what finds the same in less time. decode : how many times smaller than
    usual a JPEG picture may be decoded, 1 or 2.
    speed, low, high : how many times as fast as f32 the network is, with the 95 % interval. measure : of what: time, or
    instructions of an emulated processor.
    agreement, score_difference : with f32 on `frames`, which were not used to choose (see `saccade.tune.agreement`).
    source : where frames came from. frames_digest : of their content. accept : least agreement that was asked for.
    made : when, ISO 8601. tried : everything that was measured.
    """

    model: str
    path: str
    digest: str
    device: str
    ran_on: str
    processor: str
    versions: Mapping[str, str]
    precision: str
    inputs: Mapping[str, list[int]]
    source: str
    frames: int
    frames_digest: str
    accept: float
    pixels: str
    agreement: float
    score_difference: float
    made: str
    speed: float = 1.0
    low: float = 1.0
    high: float = 1.0
    measure: str = "time"
    in_f32: tuple[str, ...] = ()
    quantised: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    live: bool = False
    threads: int | None = None
    streams: int | None = None
    requests: int | None = None
    tiles_asked: str = "off"
    tiles: str = "off"
    decode: int = 1
    tried: tuple[Mapping[str, Any], ...] = ()
    folder: Path | None = None

    @property
    def quantised_file(self) -> Path | None:
        """The network with quantised layers; None where there is none."""
        return self.folder / QUANTISED if self.folder is not None and self.quantised else None

    def as_json(self) -> str:
        """The content of its file."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "folder"}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        return json.dumps({"format": 1, **plain}, indent=2, default=dict) + "\n"

    def in_words(self) -> str:
        """What it makes of a run, in a line."""
        if self.precision == "auto":
            return "nothing was chosen before the time was over; tune it again"
        parts = [self.precision]
        if self.in_f32:
            parts[0] += f" with {len(self.in_f32)} layers in f32"
        if self.precision != "f32":
            parts.append(f"{self.speed:.2f} times as fast as f32 ({self.low:.2f}-{self.high:.2f})")
        parts.append(f"agreement {self.agreement:.4f} on {self.frames} frames of {self.source}")
        chosen = {"threads": self.threads, "streams": self.streams, "requests": self.requests}
        said = [f"{name} {value}" for name, value in chosen.items() if value is not None]
        if said:
            parts.append(f"{' '.join(said)} for {'live sources' if self.live else 'files'}")
        if self.tiles != self.tiles_asked:
            parts.append(f"tiles {self.tiles} for {self.tiles_asked}")
        if self.decode > 1:
            parts.append("JPEG decoded at half the usual size")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a profile must have been made in to be used: these files, this processor, these releases."""

    digest: str
    processor: str
    versions: Mapping[str, str]

    def differs(self, profile: Profile) -> str:
        """Why a profile does not hold here; empty where it does."""
        if profile.digest != self.digest:
            return "the model's files have changed"
        if profile.processor != self.processor:
            return f"it was made on another processor ({profile.processor}; here: {self.processor})"
        for name, version in self.versions.items():
            if profile.versions.get(name) != version:
                return f"it was made with {name} {profile.versions.get(name)}; here is {version}"
        return ""


def situation_of(path: Path) -> Situation:
    """The present situation of a model's file."""
    return Situation(model_digest(path), processor(), versions())


@lru_cache(None)
def processor() -> str:
    """This machine's processor: name, cores that may be used, and the instructions that networks make use of."""
    name, flags = platform.machine(), frozenset[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and not flags:
            name = value.strip()
        elif key.strip() == "flags":
            flags = frozenset(value.split())
            break
    cores = usable_cores()
    limit = os.environ.get(ISA_LIMIT)
    parts = [name, f"{cores} cores", " ".join(flag for flag in _TELLING if flag in flags)]
    return ", ".join([*filter(None, parts), *([f"limited to {limit}"] if limit else [])])


@lru_cache(None)
def versions() -> Mapping[str, str]:
    """Releases of what decides how fast a network is and what it says."""
    from saccade import __version__

    try:
        openvino = metadata.version("openvino")
    except metadata.PackageNotFoundError:
        openvino = "unknown"
    return MappingProxyType({"saccade": __version__, "openvino": openvino})


def folder_for(name: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Where the profiles of models of that name lie, beside the compiled ones. cache : as `cache_dir` of `Model`."""
    base = cache_dir() if cache is None else Path(cache)
    return base / "tuned" / folder_name(name)


def folders_of(path: Path, name: str) -> list[Path]:
    """Folders of the profiles of one model, whole or begun, as it is and as it was; another of its name keeps its own.

    Each is called DEVICE-DIGEST, by the first digits of the digest.
    """
    digest, place = model_digest(path), str(path.resolve())
    return [
        folder
        for folder in sorted(folder_for(name).glob("*-*"))
        if digest.startswith(folder.name.rpartition("-")[2])
        or ((profile := read_profile(folder / FILE)) is not None and profile.path == place)
    ]


def read_profile(file: Path) -> Profile | None:
    """A profile from its file; None where that is none."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        known = {each.name for each in fields(Profile)} - {"folder"}
        values = {name: value for name, value in said.items() if name in known}
        values |= {name: tuple(values.get(name, ())) for name in ("in_f32", "tried")}
        profile = Profile(**values, folder=file.parent)
        kinds = get_type_hints(Profile)
        odd = [name for name, value in values.items() if not _is_of(value, kinds[name])]
        if odd:
            raise TypeError(f"{odd[0]} is {values[odd[0]]!r}")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        _log.debug("%s: no profile (%s)", file, error)
        return None
    return profile if said.get("format") == 1 else None


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value is of a field's type, what it contains apart."""
    plain = kind if isinstance(kind, UnionType) else get_origin(kind) or kind
    return isinstance(value, (int, float) if plain is float else plain)


def profiles_in(folder: Path) -> Iterator[Profile]:
    """All profiles of a folder, the newest first."""
    found = [profile for file in folder.glob(f"*/{FILE}") if (profile := read_profile(file)) is not None]
    yield from sorted(found, key=lambda profile: profile.made, reverse=True)


def profile_for(
    path: Path, name: str, device: str, *, cache: str | os.PathLike[str] | None = None
) -> tuple[Profile | None, str]:
    """The profile that holds for a model here, or None; and why one that is there does not.

    path, name : of the model. device : wished for, see `Model`. Costs nothing where the model was never tuned.
    """
    candidates = [each for each in profiles_in(folder_for(name, cache)) if _is_for(each, device)]
    if not candidates:
        return None, ""
    here = situation_of(path)
    reasons = []
    for profile in candidates:
        reason = here.differs(profile) or _damage(profile)
        if not reason:
            return profile, ""
        if profile.digest == here.digest or profile.path == str(path.resolve()):
            reasons.append(reason)
    return None, reasons[0] if reasons else ""


def _is_for(profile: Profile, device: str) -> bool:
    """Whether a wish for a device leads where the profile was made."""
    if profile.device == device:
        return True
    on_cpu = profile.ran_on == "CPU"
    return on_cpu and (device == "CPU" or not any(name.startswith("GPU") for name in core().available_devices))


def _damage(profile: Profile) -> str:
    """What is wrong with the files of a profile; empty where nothing is."""
    assert profile.folder is not None
    try:
        sound = all(file_digest(profile.folder / Path(name).name) == sha for name, sha in profile.quantised.items())
    except OSError:
        sound = False
    return "" if sound else "its quantised network is damaged"
