"""What a model file is, for `saccade inspect`.

`describe` opens the file through the same door as every run. A room that imports a format of its own may define
`describe(path) -> dict` beside its `read`: what that returns is added to, or replaces, what is said here (the layer
types of the old format, for one, which the imported graph no longer has).
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from saccade.errors import ModelError, SaccadeError
from saccade.models.load import Artifact, Shapes, identify, importer, input_name, make_static, read_as_is
from saccade.models.runner import Model

_NO_LAYER = {"Constant", "Parameter", "Result"}


def describe(path: str | os.PathLike[str], input_shapes: Shapes | None = None) -> dict[str, Any]:
    """Format, version, ports, layers and weights of a model file, and whether it runs.

    Returns JSON-like data: `path, format, version, bytes, inputs, outputs` (each `name, shape, type`; -1 for an open
    dimension), `layers` (count by type), `weights` (bytes by type), `task`, `runs` and, where it does not, `reason`.
    Raises ModelError where there is no model file to describe.
    """
    artifact = identify(path)
    facts: dict[str, Any] = {
        "path": str(artifact.path),
        "format": artifact.title,
        "version": artifact.version,
        "bytes": artifact.path.stat().st_size + _weights_size(artifact.path),
    }
    try:
        facts |= _of_importer(artifact)
        graph = read_as_is(artifact, input_shapes)
        facts = _of_graph(graph) | facts
        facts |= _of_run(make_static(graph, artifact.path.name, input_shapes), artifact.path.stem)
        facts["runs"] = True
    except SaccadeError as error:
        facts["runs"] = False
        facts["reason"] = str(error)
    return facts


def _weights_size(path: Path) -> int:
    weights = path.with_suffix(".bin" if path.suffix.lower() == ".xml" else ".caffemodel")
    return weights.stat().st_size if path.suffix.lower() in (".xml", ".prototxt") and weights.is_file() else 0


def _of_importer(artifact: Artifact) -> dict[str, Any]:
    own = getattr(importer(artifact), "describe", None)
    return dict(own(artifact.path)) if own is not None else {}


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
        "inputs": [_port(port) for port in model.inputs],
        "outputs": [_port(port) for port in model.outputs],
        "layers": dict(layers.most_common()),
        "weights": dict(weights.most_common()),
    }


def _port(port: Any) -> dict[str, Any]:
    shape = port.partial_shape
    sizes = [d.get_length() if d.is_static else -1 for d in shape] if shape.rank.is_static else []
    return {"name": input_name(port), "shape": sizes, "type": port.element_type.get_type_name()}


def _of_run(graph: ov.Model, name: str) -> dict[str, Any]:
    """Run once on zeros: only a run shows that a model runs."""
    from saccade.models.tasks import task_for

    model = Model(graph, precision="f32")
    model.name = name
    model.infer({port.name: np.zeros(port.shape, port.dtype) for port in model.inputs})
    try:
        return {"task": task_for(model).kind}
    except ModelError:
        return {"task": None}
