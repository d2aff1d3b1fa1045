"""MXNet models: a `-symbol.json` graph and its `.params` weights, as an `ov.Model`.

`symbol` reads the graph, `params` the weights, `ops` holds what each operator means. A symbol does not say how
large its input is: it comes from the caller, from the file where that says so, or from the number that the file's
name ends with.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.importing import Attributes, given_shapes, listed, naming, refuse_unknown, weights_beside
from saccade.formats.mxnet import ops  # noqa: F401  (it fills the table)
from saccade.formats.mxnet.graph import LAYERS, GraphBuilder, Options, is_weight
from saccade.formats.mxnet.params import Array, read_params
from saccade.formats.mxnet.symbol import Node, Symbol, inference_inputs, read_symbol
from saccade.formats.shapes import Shapes

__all__ = ["read"]

_log = logging.getLogger(__name__)

DEFAULT_SIZE = 224
_SHAPE_KEEPING = frozenset({"BatchNorm", "copy", "Cast", "Dropout", "Activation", "identity"})
_WEIGHT_NAME = re.compile(r"_(weight|bias|gamma|beta|moving_mean|moving_var|running_mean|running_var)$")


def read(
    path: str | os.PathLike[str],
    epoch: int | None = None,
    *,
    input_shapes: Shapes | None = None,
    force_suppress: bool = False,
) -> ov.Model:
    """Read `NAME-symbol.json` with `NAME-0000.params` beside it.

    epoch : number in the name of the parameter file; None: 0, or the only file there is.
    input_shapes : shape per input name, or the shape of the only input.
    force_suppress : let SSD boxes suppress boxes of other classes where the symbol asks for it, as MXNet does.
        Without it classes are kept apart, as on the device.

    Raises ModelError (a file is missing or damaged, or the two do not fit) or UnsupportedError (operators that
    saccade does not have; all of them are named).
    """
    path = Path(path)
    symbol = read_symbol(path).deployed()
    needed = symbol.needed()
    with naming(path):
        _refuse_unknown(symbol, needed)
    weights_path = parameter_file(path, epoch)
    weights = read_params(weights_path)
    with naming(path):
        inputs = _inputs(symbol, needed, weights, weights_path.name)
        shapes, assumed = _shapes(symbol, needed, weights, inputs, input_shapes, stem(path))
        try:
            return _build(symbol, needed, weights, shapes, Options(force_suppress), stem(path))
        except UnsupportedError:
            raise
        except ModelError as error:
            if not assumed:
                raise
            hint = "; ".join(f"{name} {shapes[name]}" for name in assumed)
            raise ModelError(f"{error} (the input size was not given and taken as {hint}: set input_shapes)") from error


def stem(path: Path) -> str:
    """NAME of `NAME-symbol.json`."""
    return path.name.removesuffix(".json").removesuffix("-symbol")


def parameter_file(path: Path, epoch: int | None = None) -> Path:
    """The parameter file of a symbol: that of the epoch, else that of epoch 0, else the only one there is."""
    wanted = path.with_name(f"{stem(path)}-{epoch or 0:04d}.params")
    if epoch is not None:
        return wanted
    with naming(path):
        return weights_beside(wanted, re.escape(stem(path)) + r"(-\d{4,})?\.params", ", or say which epoch")


def _refuse_unknown(symbol: Symbol, needed: list[int]) -> None:
    nodes = [symbol.nodes[index] for index in needed]
    refuse_unknown([(node.op, node.name) for node in nodes if node.op != "null"], LAYERS)
    for node in nodes:
        sources = inference_inputs(node)
        if len(sources) > 1 and any(symbol.nodes[source].op == "MultiBoxDetection" for source, _ in sources):
            raise UnsupportedError(f"{node} works on detections inside the network; only outputs can be detections")


def _inputs(symbol: Symbol, needed: list[int], weights: Mapping[str, Array], file: str) -> list[Node]:
    """The variables that have no weights: what the caller feeds. Weights that are missing are all named at once."""
    weight_slots = {
        source
        for index in needed
        for slot, (source, _) in enumerate(inference_inputs(symbol.nodes[index]))
        if is_weight(symbol.nodes[index], slot)
    }
    open_ones = [i for i in needed if symbol.nodes[i].op == "null" and symbol.nodes[i].name not in weights]
    names = [symbol.nodes[i].name for i in open_ones]
    missing = [name for i, name in zip(open_ones, names, strict=True) if i in weight_slots or _WEIGHT_NAME.search(name)]
    if missing:
        raise ModelError(
            f"{len(missing)} parameters are missing in {file} ({listed(missing)}); "
            "it belongs to another symbol or was saved incompletely"
        )
    if not open_ones:
        raise ModelError("has no input: every variable has a value in the parameter file")
    return [symbol.nodes[i] for i in open_ones]


def _shapes(
    symbol: Symbol,
    needed: list[int],
    weights: Mapping[str, Array],
    inputs: list[Node],
    given: Shapes | None,
    name: str,
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Shape of each input, and the names of those whose size is no more than a guess."""
    stated = given_shapes(given, [node.name for node in inputs])
    shapes: dict[str, tuple[int, ...]] = {}
    assumed = []
    for node in inputs:
        shape = stated.get(node.name, ()) or Attributes(node.attributes).integers("__shape__", ())
        if len(shape) > 1 and min(shape[1:]) > 0:
            shape = (shape[0] or 1, *shape[1:])  # 0 stands for a batch of any size
        if not shape or min(shape) <= 0:
            if len(inputs) > 1 and node.name != "data":
                raise ModelError(f"does not say how large its input {node.name!r} is; give it in input_shapes")
            shape = _guessed(symbol, needed, weights, node, name)
            assumed.append(node.name)
            _log.info("%s: the size of input %s is not in the file, %s is taken", name, node.name, shape)
        shapes[node.name] = shape
    return shapes, assumed


def _guessed(symbol: Symbol, needed: list[int], weights: Mapping[str, Array], data: Node, name: str) -> tuple[int, ...]:
    """(1, channels, size, size): channels of the first convolution, size as the model's name ends."""
    number = re.search(r"(\d+)\D*$", name)
    size = int(number[1]) if number and 32 <= int(number[1]) <= 1024 else DEFAULT_SIZE
    reached = {index for index in needed if symbol.nodes[index] is data}
    for index in needed:
        node = symbol.nodes[index]
        if not node.inputs or node.inputs[0][0] not in reached:
            continue
        weight = weights.get(symbol.nodes[node.inputs[1][0]].name) if len(node.inputs) > 1 else None
        if node.op == "Convolution" and weight is not None and weight.ndim == 4:
            return (1, int(weight.shape[1]) * Attributes(node.attributes).integer("num_group", 1, least=1), size, size)
        if node.op == "FullyConnected" and weight is not None and weight.ndim == 2:
            return (1, int(weight.shape[1]))
        if node.op in _SHAPE_KEEPING or node.op.endswith("_scalar"):
            reached.add(index)
    return (1, 3, size, size)


@np.errstate(all="ignore")  # absurd weights give absurd numbers, as they do in MXNet
def _build(
    symbol: Symbol,
    needed: list[int],
    weights: Mapping[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
    options: Options,
    name: str,
) -> ov.Model:
    graph = GraphBuilder(symbol, weights, shapes, options)
    for index in needed:
        graph.build(index)
    outputs: dict[str, layers.Value] = {}
    for index, output in symbol.heads:
        node = symbol.nodes[index]
        several = sum(1 for head, other in symbol.heads if head == index and other != output)
        outputs[f"{node.name}.{output}" if several else node.name] = graph.value((index, output))
    return layers.model(list(outputs.items()), graph.parameters, name)
