"""TensorFlow Lite: a `.tflite` file as an `ov.Model` that says real numbers.

OpenVINO's front end reads the network; what it leaves open is settled here. `flatbuffer` reads the wire format, `graph`
the network as plain data, `hybrid` mends weights that are typed otherwise than they are meant, `postprocess` and
`transposed` are the operators that OpenVINO has not got, `metadata` is what a file says of itself.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13
from openvino.frontend import (
    FrontEndManager,
    GeneralFailure,
    InitializationFailure,
    NotImplementedFailure,
    OpConversionFailure,
    OpValidationFailure,
)

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.core import reason
from saccade.formats.importing import naming
from saccade.formats.tflite import postprocess, transposed
from saccade.formats.tflite.flatbuffer import Buffer
from saccade.formats.tflite.graph import Graph, Operator, Tensor, along_axis, read_graph
from saccade.formats.tflite.hybrid import signed_weights
from saccade.formats.tflite.metadata import metadata

__all__ = ["describe", "metadata", "read"]

MAX_BYTES = 1 << 32
"""Largest file that is read: 4 GiB, far above any network of a camera."""

_CORAL = "edgetpu-custom-op"


def read(path: str | os.PathLike[str]) -> ov.Model:
    """Read a TFLite file; inputs keep their type, names are those of the file's tensors.

    Integer outputs that stand for real numbers become these, by their own scale and zero point. Scale and zero point
    of an integer input are in the model's rt_info under `saccade/quantisation/NAME`, as "scale zero_point". What is
    known of the outputs of a TFLite_Detection_PostProcess is under `saccade/output/NAME`, as a JSON object.

    Raises ModelError (damaged) or UnsupportedError (operators that OpenVINO does not have; all of them are named).
    """
    path = Path(path)
    try:
        with naming(path):
            graph = read_graph(_mapped(path))
            _refuse_coral(graph)
            with _as_openvino_reads(path, graph) as file:
                model = _converted(file)
            _append_postprocess(model, graph)
            _insert_transposed(model, graph)
            _refuse_unknown(model, graph)
            _say_real_numbers(model, graph)
            _note_inputs(model, graph)
            model.validate_nodes_and_infer_types()
    except (*_FAILURES, RuntimeError, ValueError, MemoryError) as error:
        raise ModelError(f"{path}: OpenVINO cannot read this TensorFlow Lite file: {_in_words(error)}") from error
    return model


_FAILURES = (
    GeneralFailure, InitializationFailure, NotImplementedFailure, OpConversionFailure, OpValidationFailure,
)  # fmt: skip
"""What OpenVINO's front ends raise; they have no class in common."""


def _in_words(error: Exception) -> str:
    said = reason(error)
    if "FlatBuffer verification failed" in said:
        return "it is damaged or cut off; get a fresh copy of the file"
    return said.removeprefix("TensorFlow Lite Frontend: ")


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The operators of the file, by kind; raises ModelError where it is damaged."""
    path = Path(path)
    with naming(path):
        graph = read_graph(_mapped(path))
    return {"layers": dict(Counter(operator.name for operator in graph.operators).most_common())}


def _mapped(path: Path) -> Buffer:
    """A file's bytes, mapped, not read."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= MAX_BYTES:
            raise ModelError(f"has {size} bytes; from 1 to {MAX_BYTES} are read")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@cache
def _front_ends() -> FrontEndManager:
    """OpenVINO's readers, of which a process has one list."""
    return FrontEndManager()


def _converted(file: Path) -> ov.Model:
    """The network as OpenVINO reads it; operators that it does not have are left in it as they are."""
    reader = _front_ends().load_by_framework("tflite")
    return reader.convert_partially(reader.load(str(file)))


@contextmanager
def _as_openvino_reads(path: Path, graph: Graph) -> Iterator[Path]:
    """The file, or a copy in which weights are typed as they are meant."""
    mended = signed_weights(graph)
    if mended is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="saccade-") as work:
        copy = Path(work, "model.tflite")
        copy.write_bytes(mended)
        yield copy


def _refuse_coral(graph: Graph) -> None:
    if any(operator.custom == _CORAL for operator in graph.operators):
        raise UnsupportedError(
            "is compiled for a Coral Edge TPU (edgetpu-custom-op), and only that can run it; use the .tflite file that "
            "it was compiled from, the one without _edgetpu in its name"
        )


def _left_over(model: ov.Model, graph: Graph) -> list[tuple[Any, Operator]]:
    """Operators that OpenVINO does not have, with their nodes; it calls a node after its operator's number."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name().endswith("FrameworkNode")]
    return [(node, graph.operators[int(node.get_friendly_name())]) for node in nodes]


def _refuse_unknown(model: ov.Model, graph: Graph) -> None:
    kinds = Counter(operator.name for _, operator in _left_over(model, graph))
    if not kinds:
        return
    listed = ", ".join(name if count == 1 else f"{name} ({count} times)" for name, count in sorted(kinds.items()))
    advice = "export it again with TensorFlow Lite's own operators, or to ONNX"
    if any(name.startswith("Flex") for name in kinds):
        advice = "those that begin with Flex are TensorFlow's own (SELECT_TF_OPS): export it without them, or to ONNX"
    raise UnsupportedError(f"uses operators that OpenVINO does not have: {listed}; {advice}")


def _append_postprocess(model: ov.Model, graph: Graph) -> None:
    """Put the layers of a TFLite_Detection_PostProcess in its place; its outputs keep their names."""
    found = [(node, operator) for node, operator in _left_over(model, graph) if operator.custom == postprocess.NAME]
    if not found:
        return
    if len(found) > 1:
        raise UnsupportedError(f"has {len(found)} {postprocess.NAME}; one is supported")
    ((node, operator),) = found
    options = postprocess.read_options(operator)
    boxes, scores = (_real_input(model, graph, node, operator, slot) for slot in (0, 1))
    anchors = graph.values(graph.tensors[operator.inputs[2]])
    parts = postprocess.build(boxes, scores, anchors, options)
    for index, (part, name) in enumerate(zip(parts, postprocess.PARTS, strict=True)):
        tensor = graph.tensors[operator.outputs[index]]
        _replace(node.output(index), part, tensor.name)
        facts = {"op": postprocess.NAME, "part": name, "classes": options.num_classes, "per_box": options.per_box}
        model.set_rt_info(json.dumps(facts), ["saccade", "output", tensor.name])


def _insert_transposed(model: ov.Model, graph: Graph) -> None:
    """Put layers in the place of each Convolution2DTransposeBias."""
    for node, operator in _left_over(model, graph):
        if operator.custom == transposed.NAME:
            values = [_real_input(model, graph, node, operator, slot) for slot in range(len(operator.inputs))]
            made = transposed.build(values, graph, operator)
            name = graph.tensors[operator.outputs[0]].name
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(made)
            made.get_tensor().set_names({name})
            made.get_node().set_friendly_name(name)


def _real_input(model: ov.Model, graph: Graph, node: Any, operator: Operator, slot: int) -> Any:
    """What goes into an operator that OpenVINO does not have, as real numbers."""
    index = operator.inputs[slot]
    tensor = graph.tensors[index]
    # The integers of an input of the network that goes straight into it would be taken for real numbers already.
    return _real(model.input(tensor.name).node.output(0) if index in graph.inputs else node.input_value(slot), tensor)


def _replace(old: Any, new: Any, name: str) -> None:
    for reader in old.get_target_inputs():
        if reader.get_node().get_type_name() != "Result":
            raise UnsupportedError(f"works on with the boxes of {postprocess.NAME} inside the network")
        reader.replace_source_output(new)
    new.get_tensor().set_names({name})
    new.get_node().set_friendly_name(name)


def _say_real_numbers(model: ov.Model, graph: Graph) -> None:
    """Integer outputs that stand for real numbers become these."""
    tensors = {graph.tensors[index].name: graph.tensors[index] for index in graph.outputs}
    for port in model.outputs:
        tensor = next((tensors[name] for name in port.names if name in tensors), None)
        if tensor is None or not tensor.is_quantised or port.element_type.is_real():
            continue
        result = port.node
        source = result.input_value(0)
        if source.get_node().get_type_name() == "Parameter":
            continue  # an input that is an output, too, stays what it is
        names = source.get_tensor().get_names()
        source.get_tensor().set_names(set())
        real = _real(source, tensor)
        real.get_tensor().set_names(names)
        result.input(0).replace_source_output(real)


def _real(stored: Any, tensor: Tensor) -> Any:
    """(stored - zero_point) * scale, in float32, of integers that stand for real numbers; others as they are."""
    if not tensor.is_quantised or stored.get_element_type().is_real():
        return stored
    scales, zero_points = along_axis(tensor)
    value = layers.as_float(stored)
    if zero_points.any():
        value = opset13.subtract(value, opset13.constant(np.ascontiguousarray(zero_points))).output(0)
    return opset13.multiply(value, opset13.constant(scales)).output(0)


def _note_inputs(model: ov.Model, graph: Graph) -> None:
    """Scale and zero point of integer inputs, for whoever fills them."""
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.is_quantised and len(tensor.scales) == 1:
            value = f"{tensor.scales[0]!r} {tensor.zero_points[0]}"
            model.set_rt_info(value, ["saccade", "quantisation", tensor.name])
