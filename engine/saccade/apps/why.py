"""What holds a run of cameras back, and what would help: from its figures, as `--summary` and the page have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from saccade.apps.admission import FULL
from saccade.errors import ConfigError

Bound = Literal["decode", "inference", "rest", "others", "device", "camera", "budget", "away", "unknown"]
"""decode, inference, rest : the processors are in full use, most of all by this. others : by other programs.
device : the network's device, or a server. camera : cameras give no more pictures. budget : no more was asked for.
away : no camera gives pictures. unknown : nothing was measured yet."""

SHORT = 0.95
"""A camera that gets less than this part of what it is asked for is short of it."""

INT8_GAIN = 2.0
"""How much faster INT8 makes a network of convolutions: 1.8 to 2.1 times on AVX2; depthwise ones gain nothing."""


@dataclass(frozen=True, slots=True)
class CameraBound:
    """What bounds one camera. got, asked : looks a second; asked is None without a rate."""

    name: str
    bound: Bound
    why: str
    got: float
    asked: float | None


@dataclass(frozen=True, slots=True)
class Why:
    """bound : of the box as a whole, why : in words. costs, chances : further lines; chances are estimates."""

    bound: Bound
    why: str
    costs: tuple[str, ...]
    cameras: tuple[CameraBound, ...]
    chances: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """For programs."""
        return {
            "bound": self.bound, "why": self.why, "costs": list(self.costs), "chances": list(self.chances),
            "cameras": {
                c.name: {"bound": c.bound, "why": c.why, "got": round(c.got, 2), "asked": c.asked}
                for c in self.cameras
            },
        }  # fmt: skip


def explain(figures: Mapping[str, Any]) -> Why:
    """What the summary of several cameras, or their live figures, tell; raises ConfigError where they are neither."""
    cameras, cores = figures.get("cameras"), figures.get("cores")
    if not isinstance(cameras, Mapping) or not isinstance(cores, int) or cores < 1:
        whose = "of one camera's run" if "stages" in figures else "none of cameras"
        raise ConfigError(
            f"these figures are {whose}; give what `saccade run --config FILE --summary FILE` writes of several cameras"
        )
    try:
        return _explained(figures, cameras, cores)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ConfigError(f"these figures of cameras are not whole ({type(error).__name__}: {error})") from None


def _explained(figures: Mapping[str, Any], cameras: Mapping[str, Any], cores: int) -> Why:
    costs = figures.get("costs") or {}
    short = [name for name, camera in cameras.items() if _is_short(camera)]
    bound, why = _of_box(figures, cores, short)
    return Why(
        bound, why,
        _cost_lines(costs, cores) if costs else (),
        tuple(_of_camera(name, camera, bound) for name, camera in cameras.items()),
        _chances(figures, cores) if costs else (),
    )  # fmt: skip


def _rate(camera: Mapping[str, Any]) -> float | None:
    return camera.get("rate") or None


def _gives(camera: Mapping[str, Any]) -> float | None:
    """Pictures a second that the camera has given lately."""
    return camera.get("gives")


def _looks(camera: Mapping[str, Any]) -> float:
    """How often it is looked at; still pictures were looked at, too, however cheaply."""
    return float(camera.get("looks", camera.get("fps", 0.0)) or 0.0)


def _is_short(camera: Mapping[str, Any]) -> bool:
    """Whether a camera that gives pictures gets less than it could."""
    if camera["state"] not in ("up", "ended") or "pictures" not in camera:
        return False
    gives, rate = _gives(camera), _rate(camera)
    wanted = min(value for value in (gives, rate, 1e9) if value)
    return wanted < 1e9 and _looks(camera) < SHORT * wanted and bool(camera["pictures"].get("over budget"))


def _of_box(figures: Mapping[str, Any], cores: int, short: list[str]) -> tuple[Bound, str]:
    costs, cameras = figures.get("costs"), figures["cameras"]
    there = [camera for camera in cameras.values() if "pictures" in camera and camera["pictures"].get("arrived")]
    if not there:
        return "away", "no camera has given a picture yet"
    if not costs:
        return "unknown", "the run is too young, or too idle, for a measure; ask again in some seconds"
    used = costs["used"]
    if not short and not (figures.get("overloaded") and used >= FULL):
        rates = [rate for camera in there if (rate := _rate(camera))]
        if len(rates) == len(there):
            if all(_gives_less(camera) for camera in there):
                return (
                    "camera",
                    f"no camera gives as many pictures as it is asked for; {used:.0%} of this box is in use",
                )
            return "budget", f"all that was asked for is done; {used:.0%} of this box ({cores} cores) is in use"
        return "camera", f"each picture that comes is looked at; {used:.0%} of this box ({cores} cores) is in use"
    who = f"{len(short)} of {len(cameras)} cameras get less than they could"
    if used >= FULL:
        parts = _parts(costs)
        kind = max(parts, key=lambda name: parts[name])
        names = {"decode": "decoding", "inference": "inference", "rest": "what is neither decoding nor inference"}
        return kind, f"{who}: the {cores} cores are in full use, {parts[kind]:.0%} of it by {names[kind]}"
    if used + costs["others_cores"] / cores >= FULL:
        share = costs["others_cores"] / cores
        return "others", f"{who}: other programs have {share:.0%} of this box, these cameras {used:.0%}"
    return "device", f"{who}, with {used:.0%} of this box in use: they wait for the network's device or server"


def _gives_less(camera: Mapping[str, Any]) -> bool:
    """Whether a camera gives fewer pictures than it is asked for; still ones of a gate may never have been decoded."""
    if camera["pictures"].get("still"):
        return False
    gives, rate = _gives(camera), _rate(camera)
    return gives is not None and rate is not None and gives < SHORT * rate


def _parts(costs: Mapping[str, float]) -> dict[Bound, float]:
    """What the processor's time goes to, as parts of it."""
    looks = costs["looks"]
    parts: dict[Bound, float] = {
        "decode": costs["running_cores"] + looks * costs["decode_ms"] / 1e3,
        "inference": looks * costs["inference_ms"] / 1e3,
        "rest": looks * costs["rest_ms"] / 1e3,
    }
    whole = sum(parts.values()) or 1.0
    return {name: value / whole for name, value in parts.items()}


def _cost_lines(costs: Mapping[str, float], cores: int) -> tuple[str, ...]:
    frame = costs["decode_ms"] + costs["inference_ms"] + costs["rest_ms"]
    lines = [
        f"a look takes {frame:.1f} ms of processor time: decoding {costs['decode_ms']:.1f}, "
        f"inference {costs['inference_ms']:.1f}, the rest {costs['rest_ms']:.1f}",
        f"reading sources and decoding video take {costs['running_cores'] / cores:.1%} of this box, looks or not",
    ]
    if costs["others_cores"] / cores >= 0.05:
        lines.append(f"other programs take {costs['others_cores'] / cores:.0%} of this box")
    return tuple(lines)


def _of_camera(name: str, camera: Mapping[str, Any], box: Bound) -> CameraBound:
    state, got, asked = camera["state"], _looks(camera), _rate(camera)
    gives = _gives(camera)
    if state not in ("up", "ended") or "pictures" not in camera:
        return CameraBound(name, "away", f"{state}: {camera.get('reason') or 'no picture has come'}", got, asked)
    if _is_short(camera):
        lost = camera["pictures"].get("over budget", 0)
        return CameraBound(name, box, f"{lost} pictures came while nobody was free for them", got, asked)
    if _gives_less(camera):
        return CameraBound(name, "camera", f"gives {gives:.1f} pictures a second, {asked:g} are asked for", got, asked)
    if still := camera["pictures"].get("still"):
        return CameraBound(name, "budget", f"what moves is looked at; {still} pictures were still", got, asked)
    if asked is None:
        return CameraBound(name, "camera", "each picture is looked at", got, asked)
    return CameraBound(name, "budget", f"gets the {asked:g} looks a second that it is asked for", got, asked)


def _chances(figures: Mapping[str, Any], cores: int) -> tuple[str, ...]:
    """What would change the most that this box can do: estimates, from what a look costs."""
    costs, cameras = figures["costs"], figures["cameras"]
    most = _most(costs, cores)
    if most <= 0:
        return (
            "reading and decoding the sources alone take all of this box: fewer cameras, smaller streams, or "
            'decode = "key" for video',
        )
    lines = [
        f"at most {most:.0f} looks a second on {cores} cores; with one core more about {_most(costs, cores + 1):.0f}"
    ]
    precisions = " ".join(str(camera.get("precision", "")) for camera in cameras.values())
    if "int8" in precisions:
        return tuple(lines)
    faster = dict(costs) | {"inference_ms": costs["inference_ms"] / INT8_GAIN}
    gain = _most(faster, cores)
    lines.append(
        f"with INT8 about {gain:.0f}, if it makes the network {INT8_GAIN:g} times as fast: plain convolutions gain so "
        "much (1.8 to 2.1 times were measured on AVX2), depthwise ones, as blazeface has them, nothing"
    )  # fmt: skip
    return tuple(lines)


def _most(costs: Mapping[str, float], cores: int) -> float:
    """Looks a second that so many cores can do."""
    look = (costs["decode_ms"] + costs["inference_ms"] + costs["rest_ms"]) / 1e3
    return max(0.0, (cores - costs["running_cores"]) / look) if look > 0 else 0.0
