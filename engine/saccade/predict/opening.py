"""A predictor for whatever somebody has: a file, a catalogue name, a server's address, a network that is open."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from inspect import signature
from typing import Any, Literal, cast, get_args

import numpy as np

from saccade.errors import ConfigError
from saccade.networks import catalogue
from saccade.networks.network import Network, Port
from saccade.networks.opening import open_network
from saccade.networks.profile import Profile
from saccade.networks.sharing import Networks
from saccade.networks.spec import InputSpec, Resize, Triple
from saccade.predict.claiming import Said, claimed, values_of
from saccade.predict.evidence import Claim, Evidence, is_nchw, picture_port
from saccade.predict.framing import Framing
from saccade.predict.labels import clean, read_labels
from saccade.predict.metadata import Metadata
from saccade.predict.metadata_sources import sources_of
from saccade.predict.predictor import Predictor
from saccade.predict.tiles import framing_for
from saccade.predict.understanding import Understanding, Value

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user says of a network; it goes before all that is known otherwise.

    labels : class names, or a file of them. task : see `parser.Task`; head : name of a family.
    mean, scale, color, resize, pad : of the input, see `InputSpec`.
    threshold : least probability of an object. iou : overlap at which the weaker of two boxes goes.
    classes : names of the only classes that count. top : most objects or classes.
    tiles : auto, off, or columns and rows; empty: off.
    """

    labels: str | os.PathLike[str] | Sequence[str] | None = None
    task: str = ""
    head: str = ""
    mean: float | Sequence[float] | None = None
    scale: float | Sequence[float] | None = None
    color: Literal["", "bgr", "rgb"] = ""
    resize: Resize | Literal[""] = ""
    pad: int | None = None
    threshold: float | None = None
    iou: float | None = None
    classes: Iterable[str] | None = None
    top: int | None = None
    tiles: str = ""

    def __post_init__(self) -> None:
        for name in ("threshold", "iou"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name}: got {value}; expected a number from 0 to 1")
        if self.top is not None and self.top < 1:
            raise ConfigError(f"top: got {self.top}; expected a whole number of at least 1")
        for name, choices in (("color", ("bgr", "rgb")), ("resize", get_args(Resize))):
            if getattr(self, name) not in ("", *choices):
                raise ConfigError(f"{name}: got {getattr(self, name)!r}; expected {', '.join(choices)}")
        if self.pad is not None and not 0 <= self.pad <= 255:
            raise ConfigError(f"pad: got {self.pad}; expected a pixel value from 0 to 255")


def open_predictor(
    model: str | os.PathLike[str] | Network,
    *,
    labels: str | os.PathLike[str] | Sequence[str] | None = None,
    task: str = "",
    head: str = "",
    mean: float | Sequence[float] | None = None,
    scale: float | Sequence[float] | None = None,
    color: Literal["", "bgr", "rgb"] = "",
    resize: Resize | Literal[""] = "",
    pad: int | None = None,
    threshold: float | None = None,
    iou: float | None = None,
    classes: Iterable[str] | None = None,
    top: int | None = None,
    tiles: str = "",
    framing: Framing | None = None,
    networks: Networks | None = None,
    **options: Any,
) -> Predictor:
    """A network that says what it sees.

    model : a file, a catalogue name, the address of a server, or a network that is open.
    labels : class names, or a file of them. task, head : what the network is, where its outputs leave that open.
    mean, scale, color, resize, pad : the pixels it wants, where nobody else says so; see `InputSpec`.
    threshold : least probability of an object. iou : overlap at which the weaker of two boxes goes.
    classes : names of the only classes that count. top : most objects or classes.
    tiles : auto, off, or columns and rows as 3x2: the overlapping tiles in which it is shown a picture; see `tiles`.
    framing : which regions of a picture it is shown, in place of tiles. networks : where the network is opened, to be
    shared; None: it is opened for this predictor alone. options : as for `saccade.Model`, and tuned: False leaves aside
    what `saccade tune` has found out.

    Raises ModelError where the file cannot be read, UnsupportedError where its outputs are not understood, ConfigError
    where an option does not fit.
    """
    wishes = Wishes(
        labels=labels, task=task, head=head, mean=mean, scale=scale, color=color, resize=resize, pad=pad,
        threshold=threshold, iou=iou, classes=classes, top=top, tiles=tiles,
    )  # fmt: skip
    _refuse_unknown(options)
    if isinstance(model, (str, os.PathLike)):
        if not os.fspath(model):
            raise ConfigError("model: got an empty name; expected a file or a name from `saccade models list`")
        opened = open_network if networks is None else networks.open
        network = opened(model, for_parser=True, **{"batch": 1} | options)
        return understand(network, wishes, name=os.fspath(model), framing=framing)
    if not hasattr(model, "outputs"):
        raise ConfigError(f"model: got {type(model).__name__}; expected a file, a name, an address or an open Model")
    if options:
        raise ConfigError(f"{', '.join(sorted(options))}: options of a network that is open already; give its file")
    return understand(model, wishes, framing=framing)


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """Raises ConfigError for an option that nobody has, with the nearest that somebody does."""
    from saccade.networks.local import Model

    own = {field.name for field in fields(Wishes)} | {"framing", "tuned"}
    known = sorted(own | (signature(Model).parameters.keys() - {"path", "for_parser", "quantised"}))
    for name in sorted(options.keys() - {*known, "usual_threads"}):
        near = get_close_matches(name, known, 1, cutoff=0.5)
        wanted = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"{name}: saccade.open has no option of that name; {wanted}")


def understand(
    network: Network, wishes: Wishes, *, name: str = "", framing: Framing | None = None, raw: bool = False
) -> Predictor:
    """The predictor of an open network.

    name : what it was opened by, where that may be a catalogue name. raw : where the outputs are not understood, give a
    predictor that has raw outputs only instead of raising UnsupportedError.
    """
    given = wishes.labels or ()
    given = read_labels(given) if isinstance(given, (str, os.PathLike)) else tuple(clean(str(name)) for name in given)
    _refuse_batch(picture_port(network))  # without one picture to look at, the outputs do not matter
    said = Said(network, tuple(sources_of(network)), wishes.task, wishes.head, given)
    said, claim = claimed(said, raw=raw)
    spec, values = _input(said.evidence, claim, wishes, name)
    if wishes.tiles not in ("", "off") and claim.task != "detect":
        raise ConfigError(f"tiles {wishes.tiles}: {network.name} is to {claim.task}; tiles are for finding objects")
    metadata = said.evidence.metadata
    settings = claim.parser.defaults.but(score=metadata.score, iou=metadata.iou).but(
        score=wishes.threshold, iou=wishes.iou, top=wishes.top, classes=_classes(wishes.classes, claim, network.name)
    )
    wished = {"score": wishes.threshold is not None, "iou": wishes.iou is not None}
    profile: Profile | None = getattr(network, "profile", None)
    tiles, coarser = wishes.tiles or "off", 1
    if profile is not None and framing is None and profile.tiles_asked == tiles:
        tiles, coarser = profile.tiles, profile.decode
    if profile is not None and profile.pixels != repr(spec):
        _log.warning("%s: was tuned with other pixels (mean, scale, color, resize, pad); tune it again", network.name)
    return Predictor(
        network,
        spec,
        claim.parser,
        settings=settings,
        framing=framing or framing_for(tiles, spec),
        coarser=coarser,
        fixed=claim.fixed,
        understanding=Understanding(
            claim.family, claim.task, claim.why, values_of(said, claim, settings, wished) | values
        ),
    )


def _classes(wanted: Iterable[str] | None, claim: Claim, network: str) -> frozenset[str] | None:
    """Names of the classes that count; raises ConfigError where there is none of that name."""
    if isinstance(wanted, str):
        wanted = [wanted]
    chosen = frozenset(clean(str(name)) for name in wanted or ())
    names = claim.parser.names or getattr(claim.parser, "choices", ())
    count = getattr(claim.parser, "classes", None)
    numbers = frozenset(map(str, range(len(names), count))) if count else frozenset()
    unknown = sorted(name for name in chosen - frozenset(names) - numbers if names or not name.isdecimal())
    if not unknown:
        return chosen or None
    if not names:
        raise ConfigError(
            f"classes {', '.join(unknown)}: {network} has no names for its classes; give them with --labels, or say "
            "the classes by their numbers"
        )
    lower = {name.lower(): name for name in names}
    near = [lower[found] for name in unknown for found in get_close_matches(name.lower(), lower, cutoff=0.5)]
    shown = list(dict.fromkeys(near or names))
    more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    raise ConfigError(
        f"classes {', '.join(unknown)}: {network} has no class of that name; "
        f"{'did you mean' if near else 'it has'} {', '.join(shown[:12])}{more}{'?' if near else ''}"
    )


def _input(evidence: Evidence, claim: Claim, wishes: Wishes, name: str) -> tuple[InputSpec, dict[str, Value]]:
    """The pixels that the network wants: each value from the strongest that says anything about it."""
    network, metadata = evidence.network, evidence.metadata
    if network.spec is not None:
        return network.spec, {"input": Value(network.spec, "the server says so")}
    spec = port_spec(evidence.picture)
    if spec.dtype == "uint8" and spec.quantisation is None:
        # Bytes that stand for nothing else are pixels: what is to be done to their values is in the graph.
        metadata = replace(metadata, mean=None, scale=None)
        claim = replace(claim, input={k: v for k, v in claim.input.items() if k not in ("mean", "scale")})
    entry = next(iter(catalogue.find(name)), None) if name else None
    layers: list[tuple[str, Mapping[str, Any]]] = [
        (f"the family {claim.family}", claim.input),
        ("the catalogue", _of_spec(entry.spec) if entry is not None and entry.spec is not None else {}),
        ("", _of_metadata(metadata)),
        ("an option", _of_wishes(wishes)),
    ]
    changes: dict[str, Any] = {}
    origins = dict.fromkeys(("mean", "scale", "swap_rb", "resize", "pad"), "nobody says so: the usual")
    for origin, known in layers:
        changes |= known
        origins |= {key: origin or metadata.origins[_METADATA_NAMES.get(key, key)] for key in known}
    if changes.keys() & {"mean", "scale"}:  # what a quantised port guesses of itself goes together, or not at all
        changes = {"mean": (0.0,) * 3, "scale": (1.0,) * 3} | changes
    spec = replace(spec, **changes)
    _refuse_pixels(spec, origins)
    size = f"{spec.width}x{spec.height}, {spec.channels} channels, {spec.layout}, {spec.dtype}"
    values = {"input": Value(size, f"the input {evidence.picture.name}", "--input-shape")}
    shown = {"swap_rb": "rgb" if spec.swap_rb else "bgr"}
    for key, (title, option) in _SPEC_TITLES.items():
        values[title] = Value(shown.get(key, getattr(spec, key)), origins[key], option)
    return spec, values


_METADATA_NAMES = {"swap_rb": "color"}

_SPEC_TITLES = {
    "mean": ("mean", "--mean"), "scale": ("scale", "--scale"), "swap_rb": ("color", "--color"),
    "resize": ("resize", "--resize"), "pad": ("pad", "--pad"),
}  # fmt: skip


def _refuse_pixels(spec: InputSpec, origins: Mapping[str, str]) -> None:
    """Raise ConfigError where mean and scale, whoever says them, bring pixels to what is no number."""
    with np.errstate(all="ignore"):
        mean, scale = np.array(spec.mean, np.float32), np.array(spec.scale, np.float32)
        reached = np.concatenate([mean, scale, 1 / scale, -mean / scale, (255 - mean) / scale])
    if not np.isfinite(reached).all():
        raise ConfigError(
            f"mean {spec.mean} ({origins['mean']}) and scale {spec.scale} ({origins['scale']}) bring pixels to no "
            "finite numbers; say what the network wants: --mean, --scale"
        )


def _refuse_batch(port: Port) -> None:
    batch, *rest = port.shape
    if batch != 1:
        sizes = ",".join(map(str, rest))
        raise ConfigError(
            f"input {port.name} takes {batch} pictures at a time and pictures are given one by one; "
            f"open it with --input-shape {port.name}:1,{sizes} (batch=1 or input_shapes= in Python)"
        )


def port_spec(port: Port) -> InputSpec:
    """What the input port itself says: size, layout and type; raw BGR pixels, stretched, as most old networks."""
    dtype = port.dtype.name
    if dtype not in ("float32", "float16", "uint8", "int8"):
        raise ConfigError(f"input {port.name} takes {dtype}; pixels can be given as float32, float16, uint8 or int8")
    nchw = is_nchw(port.shape)
    _, a, b, c = port.shape
    height, width, channels = (b, c, a) if nchw else (a, b, c)
    spec = InputSpec(width, height, "nchw" if nchw else "nhwc", cast(Any, dtype), channels=channels)
    if port.quantisation is None:
        return spec
    low = -128 if dtype == "int8" else 0
    step, zero = port.quantisation
    least, span = (low - zero) * step, 255 * step
    # The pixel itself, as a real number: what a network whose maker says nothing more was calibrated for.
    scale = 255 / span
    mean = -least * scale
    return replace(spec, mean=(mean,) * 3, scale=(scale,) * 3, quantisation=port.quantisation)


def _of_spec(spec: InputSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in ("mean", "scale", "swap_rb", "resize", "pad")}


def _of_metadata(metadata: Metadata) -> dict[str, Any]:
    known: dict[str, Any] = {
        name: value for name in ("mean", "scale", "pad") if (value := getattr(metadata, name)) is not None
    }
    if metadata.color:
        known["swap_rb"] = metadata.color == "rgb"
    if metadata.resize:
        known["resize"] = metadata.resize
    return known


def _of_wishes(wishes: Wishes) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name in ("mean", "scale"):
        value = getattr(wishes, name)
        if value is not None and np.size(value):
            known[name] = _triple(name, value)
    if wishes.color:
        known["swap_rb"] = wishes.color == "rgb"
    if wishes.resize:
        known["resize"] = wishes.resize
    if wishes.pad is not None:
        known["pad"] = wishes.pad
    return known


def _triple(name: str, value: float | Sequence[float]) -> Triple:
    """One number a channel, from one number or three; raises ConfigError for anything else."""
    try:
        first, *others = map(float, np.ravel(value))
        second, third = others or (first, first)
    except ValueError:
        raise ConfigError(f"{name}: got {value!r}; expected one number, or one a channel (three)") from None
    return first, second, third
