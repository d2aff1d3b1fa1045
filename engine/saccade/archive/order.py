"""What is asked of an archive's items, and what makes one such order differ from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.archive import schema
from saccade.errors import ConfigError
from saccade.networks.digest import model_digest

if TYPE_CHECKING:
    from saccade.predict.predictor import Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How to look at an item.

    model : artifact or catalogue name. app : detect, faces, segment or classify, as in `saccade run`; "": whatever the
    network is for. rate : frames a second of a video to look at; None: all. keys : key frames only. crops : keep a
    JPEG picture of each object. options : further options of `saccade.open`, of plain values.
    """

    model: str = ""
    app: str = ""
    rate: float | None = None
    keys: bool = False
    crops: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= 1000:
            raise ConfigError(f"rate: got {self.rate:g}; expected frames a second, above 0 and up to 1000")

    def open(self) -> Predictor:
        """The network: one stream and one thread, as each worker has a core.

        The device is the CPU and the precision f32 unless told otherwise, so that every machine finds the same.
        """
        from saccade.apps import make_app
        from saccade.config import RunConfig
        from saccade.predict.opening import open_predictor

        common: dict[str, Any] = {"precision": "f32", "device": "CPU", "threads": 1}
        if not self.app:
            return open_predictor(self.model, **common | dict(self.options))
        config = RunConfig(model=self.model, **common | {k: _frozen(v) for k, v in self.options.items()})
        return make_app(self.app, config).predictor

    def plain(self) -> dict[str, Any]:
        """For JSON; `Order(**plain)` is the same again."""
        return asdict(self) | {"options": dict(self.options)}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def digest_of(order: Order, predictor: Predictor) -> str:
    """What goes into the names of parts: the model's files, what they were taken for, and the options."""
    said = {
        "results": schema.VERSION,
        "rate": order.rate, "keys": order.keys, "crops": order.crops, "app": order.app,
        "options": {name: value for name, value in sorted(order.options.items()) if name != "labels"},
        "model": _model_digest(predictor), "names": list(getattr(predictor.parser, "names", ())),
        "spec": repr(predictor.spec), "settings": _sorted(predictor.settings), "task": predictor.task,
        "parser": type(predictor.parser).__name__,
    }  # fmt: skip
    profile = getattr(predictor.network, "profile", None)
    if profile is not None:
        said["tuned"] = profile.as_json()
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _sorted(settings: Any) -> dict[str, Any]:
    known = asdict(settings)
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in known.items()}


def _model_digest(predictor: Predictor) -> str:
    path = getattr(predictor.network, "path", None)
    return predictor.name if path is None else model_digest(Path(path))
