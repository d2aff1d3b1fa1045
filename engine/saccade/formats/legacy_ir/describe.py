"""What a legacy IR artifact is: where it came from, what it expects, and whether it runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from saccade.errors import ModelError
from saccade.formats.legacy_ir.build import all_layers, input_mean, inputs, is_supported
from saccade.formats.legacy_ir.graph import PlainGraph
from saccade.formats.legacy_ir.weights import Weights
from saccade.formats.legacy_ir.xml_reader import read_network

_TOOLS = {
    2: "model optimizer of 2017 to 2018 R3",
    3: "model optimizer of 2018 R4",
    4: "model optimizer of 2018 R5",
    5: "model optimizer of 2019 R1",
    6: "model optimizer of 2019 R2 or R3",
    7: "model optimizer of 2020 (deprecated IR v7)",
}


def describe(path: str | Path) -> dict[str, Any]:
    """Describe an artifact by what its XML says; nothing is built.

    Raises ModelError where the XML cannot be read.
    """
    path = Path(path)
    network = read_network(path)
    blobs = {blob for layer in all_layers(network) for blob in layer.blobs.values()}
    sizes: Counter[str] = Counter()
    for blob in blobs:
        sizes[blob.precision.lower()] += blob.size
    return {
        "path": str(path),
        "format": "OpenVINO IR",
        "version": network.version,
        "name": network.name,
        "origin": origin(network),
        "written_by": network.meta.get("MO_version") or _TOOLS[network.version],
        "weights": dict(sizes),
        "calibrated_for_int8": bool(network.statistics),
        "labels": label_text(network),
        "inputs": _inputs(network, path),
        "outputs": _outputs(network),
        "layers": dict(Counter(layer.type for layer in all_layers(network))),
        "unsupported": sorted({layer.type for layer in all_layers(network) if not is_supported(layer)}),
    }


def origin(network: PlainGraph) -> str:
    """Guess the framework that a model was trained in, from what the optimizer left in the file."""
    stated = network.meta.get("framework", "")
    if stated and not stated.startswith("DIR"):
        return {"tf": "TensorFlow", "mxnet": "MXNet", "caffe": "Caffe", "onnx": "ONNX"}.get(stated.lower(), stated)
    prefixed = sum(layer.name.startswith(f"{layer.type}_") for layer in network.layers.values())
    if network.version == 2 and prefixed * 2 > len(network.layers):
        return "MXNet (converter of 2017)"
    names = " ".join(layer.name for layer in network.layers.values())
    if "/Conv2D" in names or "FeatureExtractor/" in names or "/BiasAdd" in names:
        return "TensorFlow"
    if any(layer.blobs.keys() & {"weights"} and layer.name.endswith("_fwd") for layer in network.layers.values()):
        return "MXNet"
    return "not stated"


def label_base(network: PlainGraph) -> int | None:
    """Return the first label of an SSD head: 1 where 0 is the background; None without such a head."""
    for layer in network.layers.values():
        if layer.type.lower() == "detectionoutput":
            if layer.attributes.get("decrease_label_id", "0").lower() in ("1", "true"):
                return 0
            return 1 if layer.attributes.get("background_label_id", "0") == "0" else 0
    return None


def label_text(network: PlainGraph) -> str:
    """Say where an SSD head's labels start."""
    base = label_base(network)
    return "" if base is None else ["from 0", "from 1 (0 is the background)"][base]


def _inputs(network: PlainGraph, path: Path) -> list[dict[str, Any]]:
    rows = []
    for layer in inputs(network):
        row: dict[str, Any] = {"name": layer.name, "shape": list(layer.outputs[0].dims), "type": "f32"}
        try:
            mean = input_mean(network, layer, Weights(path.with_suffix(".bin")))
        except ModelError:
            mean = None  # told when the file is built
        if mean is not None:
            flat = mean.reshape(mean.shape[1], -1)
            row["mean"] = [round(float(v), 6) for v in flat.mean(axis=1)]
            row["mean_from"] = "a mean image, its average here" if flat.shape[1] > 1 else "the file; subtracted inside"
        rows.append(row)
    return rows


def _outputs(network: PlainGraph) -> list[dict[str, Any]]:
    read = set(network.sources.values())
    return [
        {
            "name": layer.name if len(layer.outputs) == 1 else f"{layer.name}.{index}",
            "shape": list(port.dims),
            "type": "f32",
        }
        for layer in network.layers.values()
        for index, port in enumerate(layer.outputs)
        if (layer.id, port.id) not in read
    ]
