"""Cuts graphs before OpenVINO's DetectionOutput layer, whose work the kernel `decode_ssd` does faster.

What is left gives the layer's own inputs, offsets and scores; the priors, which are constants of the graph, and what
the layer was told go to whoever calls the kernel. Forms that the kernel does not have keep their layer.
Format: OpenVINO's DetectionOutput-1 and -8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.passes import ConstantFolding, Manager

from saccade.formats.shapes import output_names

_CODE = "caffe.PriorBoxParameter.CENTER_SIZE"
_PASSED_ON = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Convert"})


@dataclass(frozen=True, slots=True, eq=False)
class SsdHead:
    """What a DetectionOutput layer was told, in the words of `decode_ssd`.

    priors : float32 (n, 4), corners in [0, 1].
    clip, clip_after : boxes are cut to [0, 1] before, or after, suppression.
    first_label : what the layer calls the kernel's label 0.
    """

    priors: NDArray[np.float32]
    variances: tuple[float, float, float, float]
    classes: int
    background: int | None
    score_threshold: float
    iou_threshold: float
    top_k: int
    keep_top_k: int
    best_class: bool
    clip: bool
    clip_after: bool
    first_label: int


def cut_detection_output(model: ov.Model) -> SsdHead | None:
    """Cut the layer off, if it is all that the model gives and the kernel can take its place.

    Changes the model: its outputs are then offsets, (1, n * 4), and scores, (1, n * classes), both named after what
    they make. Returns None, and leaves the model alone, where the layer stays.
    """
    if len(model.outputs) != 1:
        return None
    layer = model.outputs[0].node.input_value(0).node
    while layer.get_type_name() in _PASSED_ON:
        layer = layer.input_value(0).node
    if layer.get_type_name() != "DetectionOutput" or layer.get_input_size() != 3:
        return None
    head = _head_of(model, layer)
    if head is None:
        return None
    (name,) = output_names(model)
    (result,) = model.get_results()
    loc, conf = model.add_outputs([layer.input_value(0), layer.input_value(1)])
    model.remove_result(result)
    loc.set_names({f"{name}.loc"})
    conf.set_names({f"{name}.conf"})
    return head


def _head_of(model: ov.Model, layer: ov.Node) -> SsdHead | None:
    """What the layer was told, if the kernel can do it."""
    told = layer.get_attributes()
    mxnet = bool(told["decrease_label_id"])
    background = int(told["background_label_id"])
    fits = (
        told["code_type"] == _CODE
        and told["share_location"]
        and told["normalized"]
        and len(told["keep_top_k"]) == 1
        and (background == 0 or not mxnet)
    )
    priors = _folded(model, layer.input_value(2)) if fits else None
    shapes = [layer.input_value(i).partial_shape for i in range(2)]
    if priors is None or priors.ndim != 3 or len(priors) != 1 or any(shape.is_dynamic for shape in shapes):
        return None
    overlap = np.float32(told["nms_threshold"])
    variances = _variances(priors, encoded=bool(told["variance_encoded_in_target"]))
    count = priors.shape[2] // 4
    classes = int(np.prod(shapes[1].to_shape())) // max(1, count)
    sizes = [tuple(shape.to_shape()) for shape in shapes]
    if variances is None or sizes != [(1, count * 4), (1, count * classes)]:
        return None
    return SsdHead(
        priors=np.ascontiguousarray(priors[0, 0].reshape(-1, 4), np.float32),
        variances=variances,
        classes=classes,
        background=background if background >= 0 else None,
        score_threshold=float(told["confidence_threshold"]),
        # The kernel's best class is MXNet's, where an overlap equal to the threshold suppresses, too; here it does not.
        iou_threshold=float(np.nextafter(overlap, np.float32(2)) if mxnet else overlap),
        top_k=int(told["top_k"]),
        keep_top_k=int(told["keep_top_k"][0]),
        best_class=mxnet,
        clip=bool(told["clip_before_nms"]),
        clip_after=bool(told["clip_after_nms"]),
        first_label=-1 if mxnet else 0,
    )


def _variances(priors: NDArray[np.float32], *, encoded: bool) -> tuple[float, float, float, float] | None:
    """The variances that all priors share; None where they differ."""
    if encoded:
        return 1.0, 1.0, 1.0, 1.0
    if priors.shape[1] != 2:
        return None
    each = priors[0, 1].reshape(-1, 4)
    if not len(each) or not (each == each[0]).all():
        return None
    a, b, c, d = (float(v) for v in each[0])
    return a, b, c, d


def _folded(model: ov.Model, output: ov.Output) -> NDArray[np.float32] | None:
    """Value of an output that depends on shapes alone; None where it depends on what the network is shown."""
    if output.node.get_type_name() == "Constant":
        return np.array(output.node.data, np.float32)
    part = ov.Model([output], model.get_parameters()).clone()
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(part)
    end = part.get_results()[0].input_value(0).node
    return np.array(end.data, np.float32) if end.get_type_name() == "Constant" else None
