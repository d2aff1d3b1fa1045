"""Element-wise layers, activations and normalisations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from openvino import opset1, opset5

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.table import LAYERS, Layer


@LAYERS.builds("ScaleShift")
def scale_shift(layer: Layer) -> Value:
    """Scale and shift per channel; either may be missing."""
    channels = layer.dims()[1] if len(layer.dims()) > 1 else layer.dims()[0]
    count = 1 if layer.integer("broadcast", 0) and _blob_size(layer) == 1 else channels
    weights, biases = layer.maybe_weights("weights", count), layer.maybe_weights("biases", count)
    return layers.affine(layer.input(), weights, biases, axis=min(1, len(layer.dims()) - 1))


def _blob_size(layer: Layer) -> int:
    return int(layer.weights("weights" if "weights" in layer.plain.blobs else "biases").size)


@LAYERS.builds("BatchNormalization")
def batch_normalization(layer: Layer) -> Value:
    """The blob `weights` is the variance and `biases` the mean; gamma and beta are a layer of their own."""
    channels = layer.dims()[1]
    epsilon = layer.number("epsilon", 1e-3)
    layer.made(2 * channels)
    mean, variance = layer.weights("biases", channels), layer.weights("weights", channels)
    return layers.affine(layer.input(), *layers.fold_batch_norm(mean, variance, epsilon))


@LAYERS.builds("Power")
def power(layer: Layer) -> Value:
    """`(scale * x + shift) ** power`."""
    return layers.power(
        layer.input(), layer.number("power", 1.0), layer.number("scale", 1.0), layer.number("shift", 0.0)
    )


_OPERATIONS = {
    "": "add", "sum": "add", "mul": "mul", "prod": "mul", "max": "max", "sub": "sub", "div": "div", "min": "min",
    "squared_diff": "squared_diff", "pow": "pow", "floor_mod": "floor_mod", "equal": "equal",
    "not_equal": "not_equal", "less": "less", "less_equal": "less_equal", "greater": "greater",
    "greater_equal": "greater_equal", "logical_and": "logical_and", "logical_or": "logical_or",
    "logical_xor": "logical_xor",
}  # fmt: skip


@LAYERS.builds("Eltwise")
def eltwise(layer: Layer) -> Value:
    """Sum by default, also with `operation=""`; comparisons and logic give 0.0 and 1.0."""
    name = layer.text("operation", "").lower()
    if name == "logical_not":
        return logical_not(layer)
    if name not in _OPERATIONS:
        raise UnsupportedError(f"operation {name[:60]!r}; expected one of {', '.join(sorted(_OPERATIONS))[2:]}")
    operation = _OPERATIONS[name]
    values = layer.values()
    if len({str(v.get_element_type()) for v in values}) > 1:
        values = [layers.as_float(v) for v in values]
    if operation.startswith("logical"):
        zero = layers.constant(np.float32(0))
        values = [layers.binary("not_equal", layers.as_float(v), zero) for v in values]
    if operation == "add":
        coefficients = layer.numbers("coeff", [])
        if coefficients and len(coefficients) != len(values):
            raise ModelError(f"has {len(values)} inputs and {len(coefficients)} coefficients; expected one per input")
        if any(c != 1 for c in coefficients):
            return layers.weighted_sum([layers.as_float(v) for v in values], coefficients)
    y = layers.binary(operation, *values)
    return layers.as_float(y) if y.get_element_type() == layers.BOOLEAN else y


_ACTIVATIONS: dict[str, Callable[[Layer], Value]] = {}


def _activation(*types: str) -> Callable[[Callable[[Layer], Value]], Callable[[Layer], Value]]:
    """Register a layer type that is also a `type` of the layer Activation."""

    def register(builder: Callable[[Layer], Value]) -> Callable[[Layer], Value]:
        _ACTIVATIONS.update(dict.fromkeys((t.lower() for t in types), builder))
        LAYERS.builds(*types)(builder)
        return builder

    return register


@LAYERS.builds("Activation")
def activation(layer: Layer) -> Value:
    """Any activation, named by the attribute `type`."""
    return _ACTIVATIONS[layer.choice("type", tuple(_ACTIVATIONS))](layer)


@_activation("ReLU")
def relu(layer: Layer) -> Value:
    return layers.leaky_relu(layer.input(), layer.number("negative_slope", 0.0))


@_activation("PReLU")
def prelu(layer: Layer) -> Value:
    dims = layer.dims()
    count = 1 if layer.boolean("channel_shared", False) else dims[1] if len(dims) > 1 else dims[0]
    return layers.prelu(layer.input(), layer.weights("weights", count))


@_activation("ELU")
def elu(layer: Layer) -> Value:
    return layers.elu(layer.input(), layer.number("alpha", 1.0))


@_activation("Clamp")
def clamp(layer: Layer) -> Value:
    return layers.clamp(layer.input(), layer.number("min", 0.0), layer.number("max", 1.0))


@_activation("ReLU6")
def relu6(layer: Layer) -> Value:
    return layers.clamp(layer.input(), 0.0, layer.number("n", 6.0))


@_activation("Not")
def logical_not(layer: Layer) -> Value:
    return layers.as_float(layers.binary("equal", layers.as_float(layer.input()), layers.constant(np.float32(0))))


@_activation("Reciprocal")
def reciprocal(layer: Layer) -> Value:
    return layers.power(layers.as_float(layer.input()), -1.0)


@_activation("HardSigmoid")
def hard_sigmoid(layer: Layer) -> Value:
    x = layers.power(layer.input(), 1.0, layer.number("alpha", 0.2), layer.number("beta", 0.5))
    return layers.clamp(x, 0.0, 1.0)


@_activation("Selu")
def selu(layer: Layer) -> Value:
    alpha, gamma = layer.number("alpha", 1.67326), layer.number("gamma", 1.0507)
    return layers.power(layers.elu(layer.input(), alpha), scale=gamma)


def _simple(type_: str, function: str) -> None:
    @_activation(type_)
    def build(layer: Layer) -> Value:
        return layers.unary(function, layers.as_float(layer.input()))


for _type, _function in {
    "Sigmoid": "sigmoid", "Logistic": "sigmoid", "TanH": "tanh", "Exp": "exp", "Abs": "abs", "Log": "log",
    "Sqrt": "sqrt", "Neg": "neg", "Floor": "floor", "Ceil": "ceil", "Ceiling": "ceil", "Sign": "sign", "Sin": "sin",
    "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh",
    "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh", "Erf": "erf", "Softplus": "softplus", "SoftPlus": "softplus",
    "Softsign": "softsign",
}.items():  # fmt: skip
    _simple(_type, _function)


@LAYERS.builds("SoftMax")
def softmax(layer: Layer) -> Value:
    return layers.softmax(layer.input(), layer.axis("axis", min(1, len(layer.dims()) - 1)))


@LAYERS.builds("LogSoftmax")
def log_softmax(layer: Layer) -> Value:
    return opset5.log_softmax(layer.input(), layer.axis("axis", -1)).output(0)


@LAYERS.builds("Norm", "LRN")
def norm(layer: Layer) -> Value:
    """Alpha is divided by the number of values in the window, in both kinds."""
    size = layer.integer("local-size", least=1) if "local-size" in layer else layer.integer("local_size", least=1)
    if size > 65_535:
        raise ModelError(f"has a window of {size}; expected at most 65535")
    across = layer.choice("region", ("across", "same"), "across") == "across"
    return layers.lrn(
        layer.input(),
        size=size,
        alpha=layer.number("alpha"),
        beta=layer.number("beta"),
        bias=float(layer.integer("k", 1)),
        axes=(1,) if across else tuple(range(2, len(layer.dims()))),
    )


@LAYERS.builds("Normalize")
def normalize(layer: Layer) -> Value:
    """`eps` is added inside the root."""
    dims = layer.dims()
    across = layer.boolean("across_spatial", False)
    scale = layer.maybe_weights("weights", 1 if layer.boolean("channel_shared", False) else dims[1])
    axes = range(1, len(dims)) if across else (1,)
    return layers.normalize_l2(layer.input(), axes=tuple(axes), epsilon=layer.number("eps", 1e-10), scale=scale)


@LAYERS.builds("MVN")
def mvn(layer: Layer) -> Value:
    rank = len(layer.dims())
    return layers.mvn(
        layer.input(),
        axes=tuple(range(1 if layer.boolean("across_channels", False) else 2, rank)),
        epsilon=layer.number("eps", 1e-9),
        normalize_variance=layer.boolean("normalize_variance", True),
    )


@LAYERS.builds("GRN")
def grn(layer: Layer) -> Value:
    return opset1.grn(layer.input(), layer.number("bias", 0.0)).output(0)


@LAYERS.builds("GEMM")
def gemm(layer: Layer) -> Value:
    """`alpha * a @ b + beta * c`, batches broadcast."""
    y = opset1.matmul(
        layer.input(), layer.input(1), layer.boolean("transpose_a", False), layer.boolean("transpose_b", False)
    ).output(0)
    y = layers.power(y, scale=layer.number("alpha", 1.0))
    if len(layer.inputs) > 2:
        y = layers.binary("add", y, layers.power(layer.input(2), scale=layer.number("beta", 1.0)))
    return layer.as_declared(y)
