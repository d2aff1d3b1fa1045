"""The graph of a `-symbol.json` file, in every dialect that MXNet has written (0.5 to 1.9).

Operator attributes are called `param` up to 0.8 (where `attr` holds the user's own), `attr` up to 0.12 and `attrs`
since; their values are always strings. Files older than 0.9 do not list the running averages of a BatchNorm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.errors import ModelError
from saccade.formats.importing import naming, read_bytes

MAX_BYTES = 16 << 20
MAX_NODES = 200_000

_CANONICAL = {
    "BatchNorm_v1": "BatchNorm", "CuDNNBatchNorm": "BatchNorm", "SyncBatchNorm": "BatchNorm",
    "Convolution_v1": "Convolution", "Pooling_v1": "Pooling",
    "Softmax": "SoftmaxOutput",
    "Plus": "elemwise_add", "plus": "elemwise_add", "add": "elemwise_add", "broadcast_plus": "broadcast_add",
    "grad_add": "elemwise_add",
    "ElementWiseSum": "add_n", "element_wise_sum": "add_n", "elementwise_add": "elemwise_add",
    "Minus": "elemwise_sub", "minus": "elemwise_sub", "sub": "elemwise_sub", "broadcast_minus": "broadcast_sub",
    "Mul": "elemwise_mul", "mul": "elemwise_mul", "Div": "elemwise_div", "div": "elemwise_div",
    "Power": "broadcast_power", "power": "broadcast_power", "Maximum": "broadcast_maximum",
    "maximum": "broadcast_maximum", "Minimum": "broadcast_minimum", "minimum": "broadcast_minimum",
    "Mod": "broadcast_mod", "mod": "broadcast_mod", "hypot": "broadcast_hypot", "Hypot": "broadcast_hypot",
    "PlusScalar": "plus_scalar", "MinusScalar": "minus_scalar", "RMinusScalar": "rminus_scalar",
    "MulScalar": "mul_scalar", "DivScalar": "div_scalar", "RDivScalar": "rdiv_scalar",
    "PowerScalar": "power_scalar", "RPowerScalar": "rpower_scalar", "MaximumScalar": "maximum_scalar",
    "MinimumScalar": "minimum_scalar", "ModScalar": "mod_scalar", "RModScalar": "rmod_scalar",
    "Equal": "broadcast_equal", "equal": "broadcast_equal", "Not_Equal": "broadcast_not_equal",
    "not_equal": "broadcast_not_equal", "Greater": "broadcast_greater", "greater": "broadcast_greater",
    "Greater_Equal": "broadcast_greater_equal", "greater_equal": "broadcast_greater_equal",
    "Lesser": "broadcast_lesser", "lesser": "broadcast_lesser", "Lesser_Equal": "broadcast_lesser_equal",
    "lesser_equal": "broadcast_lesser_equal",
    "EqualScalar": "equal_scalar", "NotEqualScalar": "not_equal_scalar", "GreaterScalar": "greater_scalar",
    "GreaterEqualScalar": "greater_equal_scalar", "LesserScalar": "lesser_scalar",
    "LesserEqualScalar": "lesser_equal_scalar",
    "concat": "Concat", "pad": "Pad", "flatten": "Flatten", "reshape": "Reshape", "split": "SliceChannel",
    "swapaxes": "SwapAxis", "cast": "Cast", "crop": "slice", "identity": "copy", "stop_gradient": "BlockGrad",
    "make_loss": "MakeLoss", "sum_axis": "sum", "max_axis": "max", "min_axis": "min", "ROIPooling_v1": "ROIPooling",
    "Embedding_v1": "Embedding", "box_non_maximum_suppression": "box_nms",
    "lrn": "LRN",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, or a variable where `op` is `null`.

    inputs : (node number, output number) of each operand. attributes : as the file has them.
    """

    op: str
    name: str
    inputs: tuple[tuple[int, int], ...]
    attributes: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.name} ({self.op})"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A graph in topological order. heads : (node number, output number) of each output."""

    nodes: tuple[Node, ...]
    heads: tuple[tuple[int, int], ...]

    def needed(self) -> list[int]:
        """Numbers of the nodes that the heads need at inference, ascending; labels of loss layers are not."""
        wanted = {index for index, _ in self.heads}
        pending = list(wanted)
        while pending:
            for index, _ in inference_inputs(self.nodes[pending.pop()]):
                if index not in wanted:
                    wanted.add(index)
                    pending.append(index)
        return sorted(wanted)

    def deployed(self) -> Symbol:
        """The graph without its training part.

        An SSD that was saved for training has the loss layers and the detection side by side as heads; only the
        detection remains, with the layers above it that pass their input through. Other heads that are nothing but
        a label are dropped.
        """
        if any(node.op == "MultiBoxTarget" for node in self.nodes):
            detections = tuple((i, 0) for i, node in enumerate(self.nodes) if node.op == "MultiBoxDetection")
            if detections:
                return Symbol(self.nodes, detections)
        heads = tuple(head for head in self.heads if not self._is_label(head[0]))
        return Symbol(self.nodes, heads or self.heads)

    def _is_label(self, index: int) -> bool:
        node = self.nodes[index]
        while node.op in PASS_THROUGH and node.inputs:
            node = self.nodes[node.inputs[0][0]]
        return node.op == "null" and node.name.endswith("label")


PASS_THROUGH = frozenset({"Dropout", "BlockGrad", "MakeLoss", "copy", "IdentityAttachKLSparseReg", "CrossDeviceCopy"})
"""Operators that hand their first input on unchanged at inference."""

LOSSES = frozenset(
    {"SoftmaxOutput", "LinearRegressionOutput", "MAERegressionOutput", "LogisticRegressionOutput", "SVMOutput"}
)
"""Operators whose inputs after the first are labels."""


def inference_inputs(node: Node) -> tuple[tuple[int, int], ...]:
    """The operands that the node reads at inference."""
    return node.inputs[:1] if node.op in LOSSES or node.op in PASS_THROUGH else node.inputs


def canonical(op: str) -> str:
    """The operator's present name, without the prefixes that mark it as internal or contributed."""
    for prefix in ("_contrib_", "_"):
        op = op.removeprefix(prefix)
    return _CANONICAL.get(op, op)


def read_symbol(path: Path) -> Symbol:
    """The graph in the file.

    Raises
    ------
    ModelError
        The file is missing, too large, no symbol at all, or its graph is not in order.
    """
    with naming(path):
        data = read_bytes(path, MAX_BYTES, "a symbol file")
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"not a JSON file ({_short(error)}); export the model again") from error
        try:
            return _symbol(tree)
        except (KeyError, TypeError, IndexError, ValueError, OverflowError, AttributeError) as error:
            raise ModelError(
                f"not an MXNet symbol ({type(error).__name__}: {_short(error)}); "
                "expected nodes with op, name and inputs, and heads"
            ) from error


def _short(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]


def _symbol(tree: Any) -> Symbol:
    if not isinstance(tree, dict) or not isinstance(tree.get("nodes"), list):
        raise ModelError('not an MXNet symbol: it has no list "nodes"')
    if len(tree["nodes"]) > MAX_NODES:
        raise ModelError(f"{len(tree['nodes'])} nodes are too many; at most {MAX_NODES} are read")
    nodes = [_node(number, entry) for number, entry in enumerate(tree["nodes"])]
    heads = tuple(_reference(head, len(nodes), "a head") for head in tree.get("heads") or [])
    if not heads:
        raise ModelError("the symbol has no heads, so it computes nothing")
    for number, node in enumerate(nodes[:]):
        if node.op == "BatchNorm" and len(node.inputs) == 3:
            averages = tuple((len(nodes) + i, 0) for i in range(2))
            nodes += [_variable(f"{node.name}_moving_mean"), _variable(f"{node.name}_moving_var")]
            nodes[number] = Node(node.op, node.name, node.inputs + averages, node.attributes)
    return Symbol(tuple(nodes), heads)


def _variable(name: str) -> Node:
    return Node("null", name, (), {})


def _node(number: int, entry: Mapping[str, Any]) -> Node:
    op, name = entry["op"], entry["name"]
    if not isinstance(op, str) or not isinstance(name, str):
        raise ModelError(f"node {number} has no op or name in words")
    values: dict[str, str] = {}
    for key in ("attr", "attrs", "param"):
        values.update({str(k): str(v) for k, v in (entry.get(key) or {}).items()})
    inputs = tuple(_reference(item, number, f"node {number} ({name})") for item in entry.get("inputs") or [])
    return Node(op if op == "null" else canonical(op), name, inputs, values)


def _reference(item: Any, count: int, owner: str) -> tuple[int, int]:
    index, output = (int(v) for v in item[:2])
    if not 0 <= index < count or output < 0:
        raise ModelError(f"{owner} refers to output {output} of node {index}; only nodes 0 to {count - 1} come before")
    return index, output
