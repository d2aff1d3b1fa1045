"""Caffe models: a `.prototxt` network and its `.caffemodel` weights, as an `ov.Model`.

`prototxt` parses the text, `caffemodel` the weights (both generations of each), `operators` holds what each layer
means. Only the TEST phase is built, without losses and accuracies, for one picture at a time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.caffe.caffemodel import read_caffemodel
from saccade.formats.caffe.operators import LAYERS, Layer, needs_weights
from saccade.formats.caffe.prototxt import PrototxtMessage, read_prototxt
from saccade.formats.importing import build, given_shapes, listed, naming, refuse_unknown, weights_beside
from saccade.formats.layers import Array
from saccade.formats.shapes import Shapes

__all__ = ["read"]

_log = logging.getLogger(__name__)

MAX_LAYERS = 50_000

_FIRST_GENERATION = (
    "None", "Accuracy", "BNLL", "Concat", "Convolution", "Data", "Dropout", "EuclideanLoss", "Flatten", "HDF5Data",
    "HDF5Output", "Im2col", "ImageData", "InfogainLoss", "InnerProduct", "LRN", "MultinomialLogisticLoss", "Pooling",
    "ReLU", "Sigmoid", "Softmax", "SoftmaxWithLoss", "Split", "TanH", "WindowData", "Eltwise", "Power",
    "SigmoidCrossEntropyLoss", "HingeLoss", "MemoryData", "ArgMax", "Threshold", "DummyData", "Slice", "MVN", "AbsVal",
    "Silence", "ContrastiveLoss", "Exp", "Deconvolution",
)  # fmt: skip
"""Layer types by the number that the first generation gave them."""

_ENUM_NAMES = {name.replace("_", "").lower(): name for name in _FIRST_GENERATION} | {"softmaxloss": "SoftmaxWithLoss"}
_DATA = frozenset({"Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "AnnotatedData", "DummyData"})
_DROPPED = frozenset({"Accuracy", "Silence", "HDF5Output", "DetectionEvaluate", "SoftmaxWithLoss", "None"})


def read(
    path: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    input_shapes: Shapes | None = None,
) -> ov.Model:
    """Read a network with its weights.

    weights : path of the .caffemodel; by default `NAME.caffemodel` beside `NAME.prototxt`, or the only one there.
    input_shapes : shape per input name, or the shape of the only input; by default the file's own, for one picture.

    Raises ModelError (a file is missing or damaged, or the two do not fit) or UnsupportedError (layers that saccade
    does not have; all of them are named).
    """
    path = Path(path)
    net = read_prototxt(path)
    with naming(path):
        description = _layers(net)
        refuse_unknown([(layer.kind, layer.name) for layer in description], LAYERS.keys() | _DATA | {"Input"})
    weights_path = weights_file(path) if weights is None else Path(weights)
    blobs = read_caffemodel(weights_path)
    with naming(path):
        missing = [layer.name for layer in description if needs_weights(layer) and layer.name not in blobs]
        if missing:
            raise ModelError(
                f"{len(missing)} layers have no weights in {weights_path.name} ({listed(missing)}); "
                "it belongs to another network"
            )
        inputs = _inputs(net, description, input_shapes)
        return _build(description, blobs, inputs, path.stem)


def weights_file(path: Path) -> Path:
    """The .caffemodel of a .prototxt: of the same name, else the only one in the folder."""
    with naming(path):
        return weights_beside(path.with_suffix(".caffemodel"), r".*\.caffemodel")


# ------------------------------------------------------------------------------------------------------ the description


def _layers(net: PrototxtMessage) -> list[Layer]:
    """The layers of the TEST phase, of both generations, without those that only training needs."""
    found = []
    first, second = net.messages("layers"), net.messages("layer")
    if len(first) + len(second) > MAX_LAYERS:
        raise ModelError(f"{len(first) + len(second)} layers are too many; at most {MAX_LAYERS} are read")
    for message in first + second:
        if "layer" in message:
            raise UnsupportedError(
                "is written in the form of 2013 (a layer within layers); upgrade it with Caffe's upgrade_net_proto_text"
            )
        kind = _kind(message)
        if _kept(message) and kind not in _DROPPED and not kind.endswith("Loss"):
            found.append(Layer(message, kind))
    if not found:
        raise ModelError("holds no layers; give the network's own prototxt, not the solver's")
    return found


def _kind(layer: PrototxtMessage) -> str:
    word = layer.text("type", "")[:80]
    if word.isdecimal() and len(word) < 10 and int(word) < len(_FIRST_GENERATION):
        return _FIRST_GENERATION[int(word)]
    return _ENUM_NAMES.get(word.replace("_", "").lower(), word) if word.isupper() else word


def _kept(layer: PrototxtMessage) -> bool:
    """Caffe's rules of inclusion for the phase TEST, level 0, no stages."""
    include, exclude = layer.messages("include"), layer.messages("exclude")
    if include:
        return any(map(_applies, include))
    return not any(map(_applies, exclude))


def _applies(rule: PrototxtMessage) -> bool:
    if "phase" in rule and rule.choice("phase", ("TRAIN", "TEST")) != "TEST":
        return False
    return rule.integer("min_level", 0) <= 0 <= rule.integer("max_level", 0) and "stage" not in rule


def _inputs(net: PrototxtMessage, description: list[Layer], given: Shapes | None) -> dict[str, tuple[int, ...]]:
    """Shape of each input by its blob's name."""
    shapes = _declared(net)
    for layer in description:
        if layer.kind == "Input":
            blocks = layer.options("input_param").messages("shape")
            for index, top in enumerate(layer.tops):
                block = blocks[min(index, len(blocks) - 1)] if blocks else None
                shapes[top] = block.integers("dim", ()) if block is not None else ()
        elif layer.kind in _DATA and layer.tops:
            # A second top holds labels, which only the layers that are left out have read.
            side = layer.options("transform_param").integer("crop_size", 0)
            shapes[layer.tops[0]] = (1, 3, side, side) if side else ()
    stated = given_shapes(given, list(shapes))
    shapes |= stated
    for name, shape in shapes.items():
        if not shape or min(shape) < 1:
            raise ModelError(f"does not say how large its input {name!r} is; give it in input_shapes")
        if len(shape) == 4 and shape[0] != 1 and name not in stated:
            _log.info("input %s: the file's batch of %d becomes 1", name, shape[0])
            shapes[name] = (1, *shape[1:])
        layers.check_size(shapes[name], f"input {name}")
    if not shapes:
        raise ModelError("has no input")
    return shapes


def _declared(net: PrototxtMessage) -> dict[str, tuple[int, ...]]:
    """Inputs in the net's own fields: `input` with `input_shape`, or four `input_dim` each."""
    names, blocks, sizes = net.texts("input"), net.messages("input_shape"), net.integers("input_dim", ())
    if (blocks and len(blocks) != len(names)) or (sizes and len(sizes) != 4 * len(names)):
        raise ModelError(f"declares {len(names)} inputs, {len(blocks)} input_shape and {len(sizes)} input_dim")
    if blocks:
        return {name: block.integers("dim", ()) for name, block in zip(names, blocks, strict=True)}
    return {name: sizes[4 * i : 4 * i + 4] for i, name in enumerate(names)}


# ------------------------------------------------------------------------------------------------------------ the graph


@np.errstate(all="ignore")  # absurd weights give absurd numbers, as they do in Caffe
def _build(
    description: list[Layer], weights: Mapping[str, list[Array]], inputs: Mapping[str, tuple[int, ...]], name: str
) -> ov.Model:
    parameters = {blob: layers.parameter(blob, shape) for blob, shape in inputs.items()}
    blobs = {blob: parameter.output(0) for blob, parameter in parameters.items()}
    unread: dict[str, str] = {}  # blob that nobody has read since it was written -> name of the output that it is
    for layer in description:
        if layer.kind not in LAYERS:
            continue
        bottoms = layer.message.texts("bottom")
        absent = [blob for blob in bottoms if blob not in blobs]
        if absent:
            raise ModelError(f"{layer} reads the blob {absent[0]!r}, which no layer before it writes")
        layer.inputs = [blobs[blob] for blob in bottoms]
        layer.blobs = weights.get(layer.name, [])
        values = build(layer, LAYERS[layer.kind])
        layer.check_all_read()
        for blob in bottoms:
            unread.pop(blob, None)
        for blob, value in zip(layer.tops, values, strict=False):
            blobs[blob] = value
            unread.pop(blob, None)
            unread[blob] = layer.name if len(layer.tops) == 1 else blob
    outputs = [(label, blobs[blob]) for blob, label in unread.items()]
    if not outputs:
        raise ModelError("has no output: every blob is read by some layer")
    # Every other blob can be asked for by its name too, with the value that was written last.
    named = {*inputs, *(label for label, _ in outputs)}
    results = [value for _, value in outputs]
    for blob, value in blobs.items():
        if blob not in named and not any(value == result for result in results):
            value.get_tensor().add_names({blob})
    read = {blob for layer in description if layer.kind in LAYERS for blob in layer.message.texts("bottom")}
    return layers.model(outputs, [parameter for blob, parameter in parameters.items() if blob in read], name)
