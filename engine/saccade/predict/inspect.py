"""What a model file is, for `saccade inspect`.

`describe` opens the file through the same door as every run. A room that imports a format of its own may define
`describe(path) -> dict` beside its `read`: what that returns is added to, or replaces, what is said here (the layer
types of the old format, for one, which the imported graph no longer has).
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from saccade.config import RunConfig
from saccade.errors import SaccadeError
from saccade.formats import load
from saccade.formats.load import identify, read_as_is
from saccade.formats.parts import parts_of
from saccade.formats.shapes import Shapes, output_names, port_name
from saccade.networks.local import Model
from saccade.predict.evidence import picture_port
from saccade.predict.metadata import Metadata
from saccade.predict.metadata_sources import metadata_of
from saccade.predict.opening import Wishes, understand
from saccade.predict.predictor import Predictor
from saccade.predict.understanding import Value

_NO_LAYER = {"Constant", "Parameter", "Result"}

_RUNS = {
    "detect": "detect", "segment": "segment", "classify": "classify", "angles": "head-pose", "pan-tilt": "head-pose",
}  # fmt: skip
"""What `saccade run` calls the app for a task; for others there is `saccade infer`."""

_OPTIONS = {"--" + field.name.replace("_", "-") for field in dataclasses.fields(RunConfig)}


def describe(
    path: str | os.PathLike[str], input_shapes: Shapes | None = None, wishes: Wishes | None = None
) -> dict[str, Any]:
    """Format, version, ports, layers and weights of a model file, whether it runs, and what it is taken for.

    wishes : what the user says of it, see `saccade.open`.

    Returns JSON-like data: `path, format, version, bytes, inputs, outputs` (each `name, shape, type`; -1 for an open
    dimension), `layers` (count by type), `weights` (bytes by type), `runs` and, where it does not, `reason`.
    Of a network that runs: `task, family, because`, and `understood`, each value by name with `from` and the option
    that would `override` it; or `not_understood`, why not and what to say. `stated` is what its files say, likewise
    with `from`; `calls` the command and the Python call that say all of it.
    Raises ModelError where there is no model file to describe.
    """
    artifact = identify(path)
    facts: dict[str, Any] = {
        "path": str(artifact.path),
        "format": artifact.title,
        "version": artifact.version,
        "bytes": artifact.path.stat().st_size,
    }
    try:
        facts["bytes"] = sum(file.stat().st_size for file in parts_of(artifact).values())
        facts |= load.describe(artifact)
        facts = _of_graph(read_as_is(artifact, input_shapes)) | facts
        facts |= _of_run(artifact.path, input_shapes, wishes or Wishes())
        facts["runs"] = True
    except SaccadeError as error:
        facts["runs"] = False
        facts["reason"] = str(error)
    return facts


def _of_graph(model: ov.Model) -> dict[str, Any]:
    layers: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Constant":
            weights[node.get_element_type().get_type_name()] += node.get_byte_size()
        elif kind not in _NO_LAYER:
            layers[kind] += 1
    return {
        "inputs": [_port(port, port_name(port)) for port in model.inputs],
        "outputs": [_port(port, name) for port, name in zip(model.outputs, output_names(model), strict=True)],
        "layers": dict(layers.most_common()),
        "weights": dict(weights.most_common()),
    }


def _port(port: Any, name: str) -> dict[str, Any]:
    shape = port.partial_shape
    sizes = [d.get_length() if d.is_static else -1 for d in shape] if shape.rank.is_static else []
    return {"name": name, "shape": sizes, "type": port.element_type.get_type_name()}


def _of_run(path: Path, input_shapes: Shapes | None, wishes: Wishes) -> dict[str, Any]:
    """Run once on zeros: only a run shows that a model runs."""
    model = Model(path, precision="f32", input_shapes=input_shapes, batch=1)
    model.infer({port.name: np.zeros(port.shape, port.dtype) for port in model.inputs})
    stated = _of_metadata(metadata_of(model))
    try:
        predictor = understand(model, wishes, name=os.fspath(path))
    except SaccadeError as error:
        return {"task": None, "not_understood": str(error)} | stated
    return _of_predictor(predictor, path) | stated


def _of_metadata(metadata: Metadata) -> dict[str, Any]:
    stated = {name: {"value": getattr(metadata, name), "from": origin} for name, origin in metadata.origins.items()}
    return {"stated": stated} if stated else {}


def _of_predictor(predictor: Predictor, path: Path) -> dict[str, Any]:
    known = predictor.understanding
    assert known is not None
    return {
        "task": known.task,
        "family": known.family,
        "because": known.why,
        "understood": {
            name: {"value": value.value, "from": value.origin, "override": _override(name, value.option)}
            for name, value in known.values.items()
        },
        "calls": _calls(known.task, known.values, predictor, path),
    }


def _calls(task: str, values: Mapping[str, Value], predictor: Predictor, path: Path) -> dict[str, str]:
    """The command, and the Python call, that say all that is understood but the names of classes, and run as they are:
    whoever knows better changes them there.
    """
    spec = predictor.spec
    said = {name: as_option(value.value) for name, value in values.items() if name not in ("input", "labels")}
    said["input-shape"] = ",".join(map(str, picture_port(predictor.network).shape))
    words = [f"--{name} {shlex.quote(text)}" for name, text in said.items() if f"--{name}" in _OPTIONS and text]
    where = shlex.quote(str(path))
    arguments = {
        name: value.value
        for name, value in values.items()
        if name not in ("input", "labels") and value.value not in ("", None)
    }
    arguments["input_shapes"] = (spec.height, spec.width)
    written = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return {
        "command": f"{_command(task, where)} {' '.join(words)}",
        "python": f"saccade.open({str(path)!r}, {written})",
    }


def _command(task: str, model: str) -> str:
    """How a network for a task is run."""
    return f"saccade run {_RUNS[task]} --model {model}" if task in _RUNS else f"saccade infer --parsed {model} PICTURE"


def _override(name: str, option: str) -> str:
    """What sets a value: an option where the command line has one for it."""
    return option if option in _OPTIONS or not option else f"{name}= in Python"


def as_option(value: Any) -> str:
    """A value as it is typed on a command line."""
    if isinstance(value, (tuple, list)):
        texts = [as_option(part) for part in value]
        return texts[0] if len(set(texts)) == 1 else ",".join(texts)
    return f"{value:g}" if isinstance(value, float) else str(value)
