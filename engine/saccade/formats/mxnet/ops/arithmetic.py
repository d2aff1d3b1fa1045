"""Element by element: activations, arithmetic, comparisons, casts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from openvino import opset1, opset4, opset5, opset7, opset9

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.importing import Built
from saccade.formats.layers import Value, dims
from saccade.formats.mxnet.graph import LAYERS, Layer, scalar


@LAYERS.builds("Activation")
def _activation(layer: Layer) -> Value:
    return _FUNCTIONS[layer.choice("act_type", _ACTIVATIONS, "")](layer.input())


_ACTIVATIONS = ("relu", "sigmoid", "tanh", "softrelu", "softsign", "log_sigmoid", "mish")


@LAYERS.builds("LeakyReLU")
def _leaky_relu(layer: Layer) -> Value | list[Value]:
    x = layer.input()
    kind = layer.choice("act_type", ("leaky", "prelu", "elu", "selu", "gelu", "rrelu"), "leaky")
    slope = layer.number("slope", 0.25)
    if kind == "prelu":
        gamma = layer.weights(1)
        if gamma.size not in (1, dims(x)[1]):
            raise ModelError(f"has {gamma.size} slopes for {dims(x)[1]} channels")
        return layers.prelu(x, gamma)
    if kind == "elu":
        return layers.elu(x, slope)
    if kind == "selu":
        return opset1.selu(x, scalar(1.6732632423543772), scalar(1.0507009873554805)).output(0)
    if kind == "gelu":
        return opset7.gelu(x, "ERF").output(0)
    if kind == "rrelu":
        slope = (layer.number("lower_bound", 0.125) + layer.number("upper_bound", 0.334)) / 2
        return [layers.leaky_relu(x, slope), layers.constant(np.zeros(dims(x), np.float32))]
    return layers.leaky_relu(x, slope)


def _unary(name: str) -> Callable[[Layer], Built]:
    return lambda layer: _FUNCTIONS[name](layer.input())


def _named(name: str) -> Callable[[Value], Value]:
    return lambda x: layers.unary(name, x)


_FUNCTIONS: dict[str, Callable[[Value], Value]] = {
    **{name: _named(name) for name in ("relu", "sigmoid", "tanh", "exp", "abs", "log", "sqrt", "floor", "ceil")},
    **{name: _named(name) for name in ("sign", "sin", "cos", "tan", "erf")},
    "negative": _named("neg"),
    "arctan": _named("atan"),
    "softrelu": lambda x: opset4.softplus(x).output(0),
    "softsign": lambda x: opset9.softsign(x).output(0),
    "log_sigmoid": lambda x: layers.unary("neg", opset4.softplus(layers.unary("neg", x)).output(0)),
    "mish": lambda x: opset4.mish(x).output(0),
    "square": lambda x: layers.binary("mul", x, x),
    "rsqrt": lambda x: layers.power(x, -0.5),
    "reciprocal": lambda x: layers.power(x, -1),
    "round": lambda x: opset5.round(x, "half_away_from_zero").output(0),
    "rint": lambda x: opset5.round(x, "half_to_even").output(0),
    "trunc": lambda x: layers.as_float(opset1.convert(x, "i32").output(0)),
    "fix": lambda x: layers.as_float(opset1.convert(x, "i32").output(0)),
    "logical_not": lambda x: layers.as_float(layers.binary("equal", x, scalar(0))),
    "zeros_like": lambda x: layers.constant(np.zeros(dims(x), np.float32)),
    "ones_like": lambda x: layers.constant(np.ones(dims(x), np.float32)),
}

_COMPARISONS = {
    "equal": "equal", "not_equal": "not_equal", "greater": "greater", "greater_equal": "greater_equal",
    "lesser": "less", "lesser_equal": "less_equal",
}  # fmt: skip
_ARITHMETIC = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "power": "pow", "maximum": "max", "minimum": "min",
    "mod": "floor_mod",
}  # fmt: skip
_SCALAR_NAMES = {"add": "plus", "sub": "minus"}


def _compute(name: str, left: Value, right: Value) -> Value:
    if name in _COMPARISONS:
        return layers.as_float(layers.binary(_COMPARISONS[name], left, right))
    return layers.binary(_ARITHMETIC[name], left, right)


def _binary(name: str) -> Callable[[Layer], Built]:
    return lambda layer: _compute(name, layer.input(), layer.input(1))


def _logical(name: str) -> Callable[[Layer], Built]:
    def compute(layer: Layer) -> Value:
        left, right = (layers.binary("not_equal", layer.input(slot), scalar(0)) for slot in (0, 1))
        return layers.as_float(layers.binary(name, left, right))

    return compute


def _with_scalar(name: str, *, reverse: bool = False) -> Callable[[Layer], Built]:
    def compute(layer: Layer) -> Value:
        x, number = layer.input(), scalar(layer.number("scalar", 1.0))
        return _compute(name, number, x) if reverse else _compute(name, x, number)

    return compute


@LAYERS.builds("clip")
def _clip(layer: Layer) -> Value:
    infinity = float("inf")
    low, high = layer.number("a_min", -infinity), layer.number("a_max", infinity)
    return layers.clamp(layer.input(), low, high)


@LAYERS.builds("hard_sigmoid")
def _hard_sigmoid(layer: Layer) -> Value:
    x = layers.power(layer.input(), scale=layer.number("alpha", 0.2), shift=layer.number("beta", 0.5))
    return layers.clamp(x, 0, 1)


@LAYERS.builds("where")
def _where(layer: Layer) -> Value:
    condition, yes, no = layer.values()
    if len(dims(condition)) == 1 < len(dims(yes)):
        condition = layers.reshape(condition, (-1, *(1,) * (len(dims(yes)) - 1)))
    return opset1.select(layers.binary("not_equal", condition, scalar(0)), yes, no).output(0)


@LAYERS.builds("Cast")
def _cast(layer: Layer) -> Value:
    """Everything stays float32 in the graph; a cast to whole numbers cuts the fraction off."""
    kind = layer.text("dtype", "float32")
    if kind.startswith("float"):
        return layer.input()
    if kind == "bool":
        return layers.as_float(layers.binary("not_equal", layer.input(), scalar(0)))
    return _FUNCTIONS["trunc"](layer.input())


LAYERS |= {
    **{name: _unary(name) for name in _FUNCTIONS if name not in _ACTIVATIONS},
    **{name: _unary(name) for name in ("relu", "sigmoid", "tanh", "softsign")},
    **{f"broadcast_{name}": _binary(name) for name in (*_ARITHMETIC, *_COMPARISONS)},
    **{f"elemwise_{name}": _binary(name) for name in ("add", "sub", "mul", "div")},
    **{f"{_SCALAR_NAMES.get(name, name)}_scalar": _with_scalar(name) for name in (*_ARITHMETIC, *_COMPARISONS)},
    **{f"r{_SCALAR_NAMES.get(name, name)}_scalar": _with_scalar(name, reverse=True) for name in _ARITHMETIC},
    **{
        f"{kind}logical_{name}": _logical(f"logical_{name}")
        for name in ("and", "or", "xor")
        for kind in ("", "broadcast_")
    },
    "LogisticRegressionOutput": _unary("sigmoid"),
    "add_n": lambda layer: layers.binary("add", *layer.values()),
}
