"""Element-wise layers, activations and normalisations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from openvino import opset1, opset5

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


@layer("ScaleShift")
def scale_shift(node: Node) -> Value:
    """Scale and shift per channel; either may be missing."""
    channels = node.dims()[1] if len(node.dims()) > 1 else node.dims()[0]
    count = 1 if node.integer("broadcast", 0) and _blob_size(node) == 1 else channels
    weights, biases = node.maybe_blob("weights", count), node.maybe_blob("biases", count)
    return layers.affine(node.input(0), weights, biases, axis=min(1, len(node.dims()) - 1))


def _blob_size(node: Node) -> int:
    return int(node.blob("weights" if "weights" in node.layer.blobs else "biases").size)


@layer("BatchNormalization")
def batch_normalization(node: Node) -> Value:
    """The blob `weights` is the variance and `biases` the mean; gamma and beta are a layer of their own."""
    channels = node.dims()[1]
    epsilon = node.number("epsilon", 1e-3)
    node.made(2 * channels)
    variance = node.blob("weights", channels).astype(np.float64)
    if not np.all(variance + epsilon > 0):
        raise node.fail("has a variance that is not positive; expected the weights that belong to this .xml")
    return layers.affine(node.input(0), *layers.fold_batch_norm(node.blob("biases", channels), variance, epsilon))


@layer("Power")
def power(node: Node) -> Value:
    """`(scale * x + shift) ** power`."""
    return layers.power(node.input(0), node.number("power", 1.0), node.number("scale", 1.0), node.number("shift", 0.0))


_OPERATIONS = {
    "": "add", "sum": "add", "mul": "mul", "prod": "mul", "max": "max", "sub": "sub", "div": "div", "min": "min",
    "squared_diff": "squared_diff", "pow": "pow", "floor_mod": "floor_mod", "equal": "equal",
    "not_equal": "not_equal", "less": "less", "less_equal": "less_equal", "greater": "greater",
    "greater_equal": "greater_equal", "logical_and": "logical_and", "logical_or": "logical_or",
    "logical_xor": "logical_xor",
}  # fmt: skip


@layer("Eltwise")
def eltwise(node: Node) -> Value:
    """Sum by default, also with `operation=""`; comparisons and logic give 0.0 and 1.0."""
    name = node.text("operation", "").lower()
    if name == "logical_not":
        return layers.as_float(layers.binary("equal", layers.as_float(node.input(0)), layers.constant(np.float32(0))))
    if name not in _OPERATIONS:
        raise node.unsupported(f"operation {name[:60]!r}; expected one of {', '.join(sorted(_OPERATIONS))[2:]}")
    operation = _OPERATIONS[name]
    values = [node.input(i) for i in range(len(node.inputs))] or [node.input(0)]
    if len({str(v.get_element_type()) for v in values}) > 1:
        values = [layers.as_float(v) for v in values]
    if operation.startswith("logical"):
        zero = layers.constant(np.float32(0))
        values = [layers.binary("not_equal", layers.as_float(v), zero) for v in values]
    if operation == "add":
        coefficients = node.floats("coeff", [])
        if coefficients and len(coefficients) != len(values):
            raise node.fail(f"has {len(values)} inputs and {len(coefficients)} coefficients; expected one per input")
        if any(c != 1 for c in coefficients):
            return layers.weighted_sum([layers.as_float(v) for v in values], coefficients)
    y = layers.binary(operation, *values)
    return layers.as_float(y) if y.get_element_type() == layers.BOOLEAN else y


_ACTIVATIONS: dict[str, Callable[[Node], Value]] = {}


def _activation(*types: str) -> Callable[[Callable[[Node], Value]], Callable[[Node], Value]]:
    """Register a layer type that is also a `type` of the layer Activation."""

    def register(builder: Callable[[Node], Value]) -> Callable[[Node], Value]:
        _ACTIVATIONS.update(dict.fromkeys((t.lower() for t in types), builder))
        layer(*types)(builder)
        return builder

    return register


@layer("Activation")
def activation(node: Node) -> Value:
    """Any activation, named by the attribute `type`."""
    return _ACTIVATIONS[node.choice("type", tuple(_ACTIVATIONS))](node)


@_activation("ReLU")
def relu(node: Node) -> Value:
    return layers.leaky_relu(node.input(0), node.number("negative_slope", 0.0))


@_activation("PReLU")
def prelu(node: Node) -> Value:
    dims = node.dims()
    count = 1 if node.flag("channel_shared", False) else dims[1] if len(dims) > 1 else dims[0]
    return layers.prelu(node.input(0), node.blob("weights", count))


@_activation("ELU")
def elu(node: Node) -> Value:
    return layers.elu(node.input(0), node.number("alpha", 1.0))


@_activation("Clamp")
def clamp(node: Node) -> Value:
    low, high = node.number("min", 0.0), node.number("max", 1.0)
    if low > high:
        raise node.fail(f"limits to {low} .. {high}; expected min <= max")
    return layers.clamp(node.input(0), low, high)


@_activation("ReLU6")
def relu6(node: Node) -> Value:
    return layers.clamp(node.input(0), 0.0, node.number("n", 6.0))


@_activation("Not")
def logical_not(node: Node) -> Value:
    return layers.as_float(layers.binary("equal", layers.as_float(node.input(0)), layers.constant(np.float32(0))))


@_activation("Reciprocal")
def reciprocal(node: Node) -> Value:
    return layers.power(layers.as_float(node.input(0)), -1.0)


@_activation("HardSigmoid")
def hard_sigmoid(node: Node) -> Value:
    x = layers.power(node.input(0), 1.0, node.number("alpha", 0.2), node.number("beta", 0.5))
    return layers.clamp(x, 0.0, 1.0)


@_activation("Selu")
def selu(node: Node) -> Value:
    alpha, gamma = node.number("alpha", 1.67326), node.number("gamma", 1.0507)
    return layers.power(layers.elu(node.input(0), alpha), scale=gamma)


def _simple(type_: str, function: str) -> None:
    @_activation(type_)
    def build(node: Node) -> Value:
        return layers.unary(function, layers.as_float(node.input(0)))


for _type, _function in {
    "Sigmoid": "sigmoid", "Logistic": "sigmoid", "TanH": "tanh", "Exp": "exp", "Abs": "abs", "Log": "log",
    "Sqrt": "sqrt", "Neg": "neg", "Floor": "floor", "Ceil": "ceil", "Ceiling": "ceil", "Sign": "sign", "Sin": "sin",
    "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh",
    "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh", "Erf": "erf", "Softplus": "softplus", "SoftPlus": "softplus",
    "Softsign": "softsign",
}.items():  # fmt: skip
    _simple(_type, _function)


@layer("SoftMax")
def softmax(node: Node) -> Value:
    return layers.softmax(node.input(0), node.axis("axis", min(1, len(node.dims()) - 1)))


@layer("LogSoftmax")
def log_softmax(node: Node) -> Value:
    return opset5.log_softmax(node.input(0), node.axis("axis", -1)).output(0)


@layer("Norm", "LRN")
def norm(node: Node) -> Value:
    """Alpha is divided by the number of values in the window, in both kinds."""
    size = node.integer("local-size", low=1) if node.has("local-size") else node.integer("local_size", low=1)
    if size > 65_535:
        raise node.fail(f"has a window of {size}; expected at most 65535")
    across = node.choice("region", ("across", "same"), "across") == "across"
    return layers.lrn(
        node.input(0),
        size=size,
        alpha=node.number("alpha"),
        beta=node.number("beta"),
        bias=float(node.integer("k", 1)),
        axes=(1,) if across else tuple(range(2, len(node.dims()))),
    )


@layer("Normalize")
def normalize(node: Node) -> Value:
    """`eps` is added inside the root."""
    dims = node.dims()
    across = node.flag("across_spatial", False)
    scale = node.maybe_blob("weights", 1 if node.flag("channel_shared", False) else dims[1])
    axes = range(1, len(dims)) if across else (1,)
    return layers.normalize_l2(node.input(0), axes=tuple(axes), epsilon=node.number("eps", 1e-10), scale=scale)


@layer("MVN")
def mvn(node: Node) -> Value:
    rank = len(node.dims())
    return layers.mvn(
        node.input(0),
        axes=tuple(range(1 if node.flag("across_channels", False) else 2, rank)),
        epsilon=node.number("eps", 1e-9),
        normalize_variance=node.flag("normalize_variance", True),
    )


@layer("GRN")
def grn(node: Node) -> Value:
    return opset1.grn(node.input(0), node.number("bias", 0.0)).output(0)


@layer("GEMM")
def gemm(node: Node) -> Value:
    """`alpha * a @ b + beta * c`, batches broadcast."""
    y = opset1.matmul(
        node.input(0), node.input(1), node.flag("transpose_a", False), node.flag("transpose_b", False)
    ).output(0)
    y = layers.power(y, scale=node.number("alpha", 1.0))
    if len(node.inputs) > 2:
        y = layers.binary("add", y, layers.power(node.input(2), scale=node.number("beta", 1.0)))
    return layers.reshape(y, node.out()) if math.prod(layers.dims(y)) == math.prod(node.out()) else y
