"""TensorFlow frozen graphs (`.pb`, `.pbtxt`), read by OpenVINO's own front end and made fit for saccade.

What the front end leaves open is settled here: plain names, probabilities that are read on within the graph, and the
outputs of the Object Detection API, which become the one that all detectors have. `load` makes the shapes static.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset1, opset8, opset13

from saccade.errors import ModelError, UnsupportedError
from saccade.models import layers
from saccade.models.devices import core, reason

__all__ = ["read"]

_DETECTION = ("detection_boxes", "detection_scores", "detection_classes")


def read(path: str | os.PathLike[str]) -> ov.Model:
    """Read a frozen graph; inputs stay as the graph has them, channels last and as open as it leaves them.

    Raises ModelError (no graph, damaged) or UnsupportedError (operations that OpenVINO does not have).
    """
    path = Path(path)
    try:
        model = core().read_model(str(path))
    except (RuntimeError, ValueError, MemoryError) as error:
        raise _refusal(path, error) from error
    for port in (*model.inputs, *model.outputs):
        port.add_names({name.removesuffix(":0") for name in port.names})
    _add_probabilities(model)
    return _with_one_detection_output(model)


def _refusal(path: Path, error: Exception) -> ModelError:
    text = str(error)
    if "Dequantize" in text:
        return UnsupportedError(
            f"{path}: its weights are stored as 8-bit numbers (Dequantize), which OpenVINO cannot read; "
            "freeze the graph again from float weights"
        )
    if "No translator" in text or "not supported" in text.lower():
        return UnsupportedError(f"{path}: OpenVINO lacks an operation of this graph: {reason(error)}")
    return ModelError(f"{path}: OpenVINO cannot read this TensorFlow graph: {reason(error)}")


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
    """Boxes, scores, classes and their number as rows image, label (from 1), score, x1, y1, x2, y2.

    The rows are in the form that DetectionOutput has in all other formats: (1, 1, N, 7), image -1 ends the list.
    """
    found = {}
    for port in model.outputs:
        for name in port.names:
            if name in _DETECTION:
                found[name] = port.node.input_value(0)
    if len(found) != len(_DETECTION):
        return model
    boxes, scores, classes = (layers.as_float(found[name]) for name in _DETECTION)
    if boxes.get_partial_shape().rank != ov.Dimension(3):
        raise ModelError(f"{model.friendly_name}: detection_boxes is {boxes.get_partial_shape()}; expected (1, N, 4)")
    column = layers.ints([2])
    score, label = (opset1.unsqueeze(value, column).output(0) for value in (scores, classes))
    # The rows that fill the list up have a score of 0; image 0 for real ones, -1 for those.
    real = layers.binary("greater", score, layers.constant(np.zeros((1, 1, 1), np.float32)))
    image = layers.power(layers.as_float(real), shift=-1)
    corners = opset8.gather(boxes, layers.ints([1, 0, 3, 2]), layers.ints([2])).output(0)
    rows = layers.concat([image, label, score, corners], 2)
    rows = opset1.unsqueeze(rows, layers.ints([0])).output(0)
    rows.get_node().set_friendly_name("detection_out")
    rows.get_tensor().set_names({"detection_out"})
    result = opset13.result(rows)
    result.set_friendly_name("detection_out")
    others = [r for r in model.get_results() if r.input_value(0) not in found.values()]
    others = [r for r in others if not {"num_detections", *_EXTRAS} & set(r.input_value(0).get_names())]
    adapted = ov.Model([result, *others], model.get_parameters(), model.friendly_name)
    adapted.set_rt_info("1", ["saccade", "label_base"])
    return adapted


_EXTRAS = (
    "num_detections",
    "raw_detection_boxes",
    "raw_detection_scores",
    "detection_multiclass_scores",
    "detection_anchor_indices",
)
