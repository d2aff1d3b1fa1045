"""TensorFlow frozen graphs (`.pb`, `.pbtxt`) and SavedModels, read by OpenVINO's front end and made fit for saccade.

What the front end leaves open is settled here: weights that are stored in 8 bits, plain names, probabilities that are
read on within the graph, and the outputs of the Object Detection API, which become the one that all detectors have.
`load` makes the shapes static.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset1, opset8, opset13

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers, protobuf
from saccade.formats.core import core, refusal
from saccade.formats.importing import MOST_BYTES, naming, read_bytes

__all__ = ["read"]

MAX_TEXT = 1 << 30

_DETECTION = ("detection_boxes", "detection_scores", "detection_classes")


def read(path: str | os.PathLike[str]) -> ov.Model:
    """Read a frozen graph, or the SavedModel whose graph (`saved_model.pb`) the file is; inputs stay as the graph has
    them, channels last and as open as it leaves them.

    Raises ModelError (no graph, damaged, variables missing) or UnsupportedError (operations that OpenVINO does not
    have).
    """
    path = Path(path)
    try:
        with naming(path):
            model = _saved_model(path) if path.name == "saved_model.pb" else _frozen_graph(path)
    except (RuntimeError, ValueError, MemoryError) as error:
        advice = "freeze the graph for inference, without training or pre-processing in it"
        raise refusal(path, error, "this TensorFlow graph", advice) from error
    for port in (*model.inputs, *model.outputs):
        port.add_names({name.removesuffix(":0") for name in port.names})
    _add_probabilities(model)
    return _with_one_detection_output(model)


def _frozen_graph(path: Path) -> ov.Model:
    rewritten = _plain_text(path) if path.suffix == ".pbtxt" else _plain_weights(path)
    if rewritten is None:
        return core().read_model(str(path))
    with tempfile.TemporaryDirectory(prefix="saccade-") as work:
        copy = Path(work, path.name)
        copy.write_bytes(rewritten)
        return core().read_model(str(copy))


def _saved_model(path: Path) -> ov.Model:
    """The graph that serves: OpenVINO takes the folder."""
    index = path.with_name("variables") / "variables.index"
    graph = read_bytes(path, MOST_BYTES, "a graph")
    if not index.is_file() and re.search(rb"VarHandleOp|VariableV2", graph):
        raise ModelError(f"its variables are missing ({index}); copy the folder as a whole")
    return core().read_model(str(path.parent))


def _add_probabilities(model: ov.Model) -> None:
    """Make class probabilities an output even where another layer reads them too: only ends are outputs by default."""
    ends = {port.node.input_value(0).node.friendly_name for port in model.outputs}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Softmax" or node.friendly_name in ends:
            continue
        if node.get_output_partial_shape(0).rank == ov.Dimension(2):
            node.output(0).set_names({node.friendly_name})
            model.add_outputs(node.output(0))


def _with_one_detection_output(model: ov.Model) -> ov.Model:
    """Boxes, scores and classes of the Object Detection API as the one output that all detectors have.

    It is (1, 1, N, 7): image, label (from 1), score, x1, y1, x2, y2 in [0, 1]; image -1 ends the list. Ends of the
    graph that are left over beside it, such as those of its loops, are dropped. A graph that gives masks, too, stays as
    it is.
    """
    found = {name: port.node.input_value(0) for port in model.outputs for name in port.names if name in _DETECTION}
    if len(found) != len(_DETECTION) or any("detection_masks" in port.names for port in model.outputs):
        return model
    boxes, scores, classes = (layers.as_float(found[name]) for name in _DETECTION)
    if boxes.get_partial_shape().rank != ov.Dimension(3):
        raise ModelError(f"{model.friendly_name}: detection_boxes is {boxes.get_partial_shape()}; expected (1, N, 4)")
    column = layers.ints([2])
    score, label = (opset1.unsqueeze(value, column).output(0) for value in (scores, classes))
    # The rows that fill the list up have a score of 0.
    real = layers.binary("greater", score, layers.constant(np.zeros((1, 1, 1), np.float32)))
    image = layers.power(layers.as_float(real), shift=-1)
    corners = opset8.gather(boxes, layers.ints([1, 0, 3, 2]), column).output(0)
    rows = layers.concat([image, label, score, corners], 2)
    rows = opset1.unsqueeze(rows, layers.ints([0])).output(0)
    rows.get_node().set_friendly_name("detection_out")
    rows.get_tensor().set_names({"detection_out"})
    adapted = ov.Model([opset13.result(rows)], model.get_parameters(), model.friendly_name)
    adapted.set_rt_info("1", ["saccade", "label_base"])
    return adapted


# -------------------------------------------------------------------------------------------------- what is rewritten


def _plain_text(path: Path) -> bytes | None:
    """A text graph without the types that TensorFlow 2.9 and later add and that OpenVINO's parser does not know."""
    text = read_bytes(path, MAX_TEXT, "a graph in text").decode("utf-8", "replace")
    pieces, position = [], 0
    for start in re.finditer(r"\bexperimental_type\s*:?\s*\{", text):
        if start.start() < position:
            continue
        pieces.append(text[position : start.start()])
        depth, position = 1, start.end()
        for brace in re.compile(r"[{}]").finditer(text, position):
            depth += 1 if brace[0] == "{" else -1
            position = brace.end()
            if not depth:
                break
    return "".join([*pieces, text[position:]]).encode() if pieces else None


_FLOAT = 1
_QUANTIZED: dict[int, str] = {11: "<i1", 12: "<u1", 13: "<i4", 15: "<i2", 16: "<u2"}
"""TensorFlow's numbers of the types qint8, quint8, qint32, qint16 and quint16."""


@dataclass(slots=True)
class _Node:
    """A NodeDef. raw : its bytes."""

    raw: memoryview
    name: str = ""
    op: str = ""
    inputs: list[str] = field(default_factory=list)
    attributes: dict[str, memoryview] = field(default_factory=dict)


@np.errstate(all="ignore")  # absurd ranges give absurd numbers, as they do in TensorFlow
def _plain_weights(path: Path) -> bytes | None:
    """A binary graph whose 8-bit weights (a constant that goes through Dequantize) are floats; None: it has none."""
    data = read_bytes(path, MOST_BYTES, "a graph")
    if b"Dequantize" not in data:
        return None
    graph = list(protobuf.fields(memoryview(data)))
    nodes = {id(value): _node(value) for number, value in graph if number == 1 and isinstance(value, memoryview)}
    by_name = {node.name: node for node in nodes.values()}
    floats = {node.name: _dequantized(node, by_name) for node in nodes.values() if node.op == "Dequantize"}
    if not floats:
        return None
    read_on = {_source(name) for node in nodes.values() if node.name not in floats for name in node.inputs}
    unused = {_source(name) for name in floats for name in by_name[name].inputs} - read_on
    out = []
    for number, value in graph:
        node = nodes.get(id(value))
        if node is None:
            out.append(protobuf.encoded(number, value if isinstance(value, int) else bytes(value)))
        elif node.name in floats:
            out.append(protobuf.encoded(1, _constant(node.name, floats[node.name])))
        elif node.name not in unused:
            out.append(protobuf.encoded(1, bytes(node.raw)))
    return b"".join(out)


def _source(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


def _node(raw: memoryview) -> _Node:
    node = _Node(raw)
    for number, value in protobuf.fields(raw):
        if isinstance(value, int):
            continue
        if number == 1:
            node.name = bytes(value).decode("utf-8", "replace")
        elif number == 2:
            node.op = bytes(value).decode("utf-8", "replace")
        elif number == 3:
            node.inputs.append(bytes(value).decode("utf-8", "replace"))
        elif number == 5:
            entry = dict(protobuf.fields(value))
            key, content = entry.get(1), entry.get(2)
            if isinstance(key, memoryview) and isinstance(content, memoryview):
                node.attributes[bytes(key).decode("utf-8", "replace")] = content
    return node


def _dequantized(node: _Node, by_name: Mapping[str, _Node]) -> NDArray[np.float32]:
    """What a Dequantize node computes from constants, by the formulas of TensorFlow's `dequantize_op.cc`."""
    sources = [by_name.get(_source(name)) for name in node.inputs[:3]]
    if len(sources) != 3 or any(source is None or source.op != "Const" for source in sources):
        raise UnsupportedError(
            f"{node.name} (Dequantize) computes with 8-bit numbers while the network runs; only weights may be stored "
            "in 8 bits. Freeze the graph again from float weights"
        )
    values, low, high = (_tensor(source) for source in sources if source is not None)
    word = dict(protobuf.fields(node.attributes.get("mode", memoryview(b"")))).get(2, memoryview(b"MIN_COMBINED"))
    mode = "" if isinstance(word, int) else bytes(word).decode("ascii", "replace")
    if values.dtype.kind == "f" or low.size != 1 or high.size != 1:
        raise UnsupportedError(f"{node.name} (Dequantize) has a range for each channel; only one for all is supported")
    bounds = np.iinfo(values.dtype)
    least, most = float(low.reshape(-1)[0]), float(high.reshape(-1)[0])
    if not (math.isfinite(least) and math.isfinite(most) and least <= most):
        raise ModelError(f"{node.name} (Dequantize) goes from {least} to {most}; these are no bounds")
    steps = float(bounds.max) - float(bounds.min)
    exact = values.astype(np.float64)
    if mode == "MIN_COMBINED":
        result = least + (exact - bounds.min) * ((most - least) / steps)
    elif mode == "MIN_FIRST":
        scale = (most - least) / steps
        start = np.round(least / scale) * scale if scale else least
        result = start + (exact - bounds.min) * scale
    elif mode == "SCALED":
        narrow = dict(protobuf.fields(node.attributes.get("narrow_range", memoryview(b"")))).get(5) == 1
        below = least / (bounds.min + narrow) if bounds.min else 0.0
        result = exact * max(below, most / bounds.max)
    else:
        raise UnsupportedError(f"{node.name} (Dequantize) has the mode {mode!r}, which TensorFlow does not have")
    return result.astype(np.float32)


def _tensor(node: _Node) -> NDArray[Any]:
    """Value of a Const."""
    value = dict(protobuf.fields(node.attributes.get("value", memoryview(b"")))).get(8)
    if not isinstance(value, memoryview):
        raise ModelError(f"{node.name} (Const) has no value")
    kind, shape, content, numbers = 0, [], b"", []
    for number, part in protobuf.fields(value):
        if number == 1 and isinstance(part, int):
            kind = part
        elif number == 2 and isinstance(part, memoryview):
            sizes = (inner for n, inner in protobuf.fields(part) if n == 2 and isinstance(inner, memoryview))
            shape = [size for inner in sizes for n, size in protobuf.fields(inner) if n == 1 and isinstance(size, int)]
        elif number == 4 and isinstance(part, memoryview):
            content = bytes(part)
        elif number == 5 and isinstance(part, memoryview) and len(part) % 4 == 0:
            numbers += np.frombuffer(part, "<f4").tolist()
        elif number == 7:
            whole = [part] if isinstance(part, int) else protobuf.varints(part)
            numbers += [number - (1 << 64) if number >> 63 else number for number in whole]
    dtype = "<f4" if kind == _FLOAT else _QUANTIZED.get(kind, "")
    if not dtype:
        raise UnsupportedError(f"{node.name} (Const) has numbers of type {kind} where 8-bit weights should be")
    count = math.prod(shape)
    if content:
        if len(content) != count * np.dtype(dtype).itemsize:
            raise ModelError(f"{node.name} (Const) has {len(content)} bytes, but the shape {shape}")
        return np.frombuffer(content, dtype).reshape(shape)
    # A few numbers, or one that stands for all.
    if not numbers or count > layers.MAX_ELEMENTS or len(numbers) > count:
        raise ModelError(f"{node.name} (Const) has {len(numbers)} numbers, but the shape {shape}")
    filled = np.full(count, numbers[-1], np.float64)
    filled[: len(numbers)] = numbers
    return filled.astype(dtype).reshape(shape)


def _constant(name: str, values: NDArray[np.float32]) -> bytes:
    """A NodeDef of a float constant."""
    sizes = b"".join(protobuf.encoded(2, protobuf.encoded(1, size)) for size in values.shape)
    tensor = protobuf.encoded(1, _FLOAT) + protobuf.encoded(2, sizes) + protobuf.encoded(4, values.tobytes())
    attributes = {"dtype": protobuf.encoded(6, _FLOAT), "value": protobuf.encoded(8, tensor)}
    entries = (
        protobuf.encoded(5, protobuf.encoded(1, key.encode()) + protobuf.encoded(2, value))
        for key, value in attributes.items()
    )
    return protobuf.encoded(1, name.encode()) + protobuf.encoded(2, b"Const") + b"".join(entries)
