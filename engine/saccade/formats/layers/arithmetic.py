"""What is computed element by element or over axes: activations, sums, normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset1, opset4, opset6, opset8, opset9

from saccade.errors import ModelError
from saccade.formats.layers.values import Ints, Value, along, constant, dims, ints


def affine(x: Value, scale: npt.ArrayLike | None, shift: npt.ArrayLike | None = None, axis: int = 1) -> Value:
    """`x * scale + shift` with vectors along `axis` (or single values); either may be None."""
    rank = len(dims(x))
    if scale is not None:
        x = opset1.multiply(x, constant(along(scale, rank, axis))).output(0)
    if shift is not None:
        x = opset1.add(x, constant(along(shift, rank, axis))).output(0)
    return x


def fold_batch_norm(
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    epsilon: float,
    gamma: npt.ArrayLike | None = None,
    beta: npt.ArrayLike | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return (scale, shift) of inference-time batch normalisation, for `affine`; computed in float64."""
    spread = np.asarray(variance, dtype=np.float64) + epsilon
    if not np.all(spread > 0):
        raise ModelError("has variances that are negative or no numbers; the weights are damaged or never trained")
    scale = 1.0 / np.sqrt(spread)
    if gamma is not None:
        scale = scale * np.asarray(gamma, dtype=np.float64)
    shift = -np.asarray(mean, dtype=np.float64) * scale
    if beta is not None:
        shift = shift + np.asarray(beta, dtype=np.float64)
    return scale.astype(np.float32), shift.astype(np.float32)


_UNARY: Mapping[str, Callable[[Value], ov.Node]] = {
    "relu": opset1.relu,
    "sigmoid": opset1.sigmoid,
    "tanh": opset1.tanh,
    "exp": opset1.exp,
    "abs": opset1.absolute,
    "log": opset1.log,
    "sqrt": opset1.sqrt,
    "neg": opset1.negative,
    "floor": opset1.floor,
    "ceil": opset1.ceiling,
    "sign": opset1.sign,
    "sin": opset1.sin,
    "cos": opset1.cos,
    "tan": opset1.tan,
    "asin": opset1.asin,
    "acos": opset1.acos,
    "atan": opset1.atan,
    "sinh": opset1.sinh,
    "cosh": opset1.cosh,
    "erf": opset1.erf,
    "asinh": opset4.asinh,
    "acosh": opset4.acosh,
    "atanh": opset4.atanh,
    "softplus": opset4.softplus,
    "softsign": opset9.softsign,
}


def unary(name: str, x: Value) -> Value:
    """Apply an element-wise function of one argument by its name (relu, sigmoid, tanh, exp, abs, log, ...)."""
    return _UNARY[name](x).output(0)


def leaky_relu(x: Value, slope: float = 0.0) -> Value:
    """`max(x, 0) + slope * min(x, 0)`."""
    if slope == 0:
        return unary("relu", x)
    return opset1.prelu(x, constant(np.array([slope], np.float32))).output(0)


def prelu(x: Value, slope: npt.ArrayLike) -> Value:
    """Leaky ReLU with one slope per channel (axis 1), or one for all."""
    return opset1.prelu(x, constant(along(slope, len(dims(x)), 1))).output(0)


def elu(x: Value, alpha: float = 1.0) -> Value:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    return opset1.elu(x, alpha).output(0)


def clamp(x: Value, low: float, high: float) -> Value:
    """Limit to [low, high]."""
    if low > high:
        raise ModelError(f"limits to {low:g} at least and {high:g} at most; expected the smaller number first")
    return opset1.clamp(x, low, high).output(0)


def power(x: Value, exponent: float = 1.0, scale: float = 1.0, shift: float = 0.0) -> Value:
    """`(scale * x + shift) ** exponent`."""
    if scale != 1:
        x = opset1.multiply(x, constant(np.float32(scale))).output(0)
    if shift != 0:
        x = opset1.add(x, constant(np.float32(shift))).output(0)
    if exponent != 1:
        x = opset1.power(x, constant(np.float32(exponent))).output(0)
    return x


def softmax(x: Value, axis: int = 1) -> Value:
    """Softmax along one axis."""
    return opset8.softmax(x, axis).output(0)


_BINARY: Mapping[str, Callable[[Value, Value], ov.Node]] = {
    "add": opset1.add,
    "sub": opset1.subtract,
    "mul": opset1.multiply,
    "div": opset1.divide,
    "max": opset1.maximum,
    "min": opset1.minimum,
    "pow": opset1.power,
    "squared_diff": opset1.squared_difference,
    "floor_mod": opset1.floor_mod,
    "equal": opset1.equal,
    "not_equal": opset1.not_equal,
    "less": opset1.less,
    "less_equal": opset1.less_equal,
    "greater": opset1.greater,
    "greater_equal": opset1.greater_equal,
    "logical_and": opset1.logical_and,
    "logical_or": opset1.logical_or,
    "logical_xor": opset1.logical_xor,
}


def binary(name: str, first: Value, *others: Value) -> Value:
    """Chain an element-wise function of two arguments (add, sub, mul, div, max, min, pow, equal, ...)."""
    for other in others:
        first = _BINARY[name](first, other).output(0)
    return first


def weighted_sum(values: Sequence[Value], coefficients: Sequence[float] = ()) -> Value:
    """Sum of the values, each times its coefficient (default 1)."""
    if coefficients and len(coefficients) != len(values):
        raise ModelError(f"a sum of {len(values)} inputs has {len(coefficients)} coefficients; expected one per input")
    factors = coefficients or [1.0] * len(values)
    return binary("add", *(power(v, scale=c) for v, c in zip(values, factors, strict=True)))


def normalize_l2(x: Value, *, axes: Ints, epsilon: float, scale: npt.ArrayLike | None = None) -> Value:
    """`x / sqrt(sum(x ** 2) + epsilon)` over the axes, times a scale per channel (or one for all)."""
    return affine(opset1.normalize_l2(x, ints(axes), epsilon, "add").output(0), scale)


def lrn(x: Value, *, size: int, alpha: float, beta: float, bias: float = 1.0, axes: Ints = (1,)) -> Value:
    """Local response normalisation: `x / (bias + alpha / n * sum(x ** 2)) ** beta`, n values in the window."""
    if size < 1:
        raise ModelError(f"normalises over {size} values; expected at least 1")
    return opset1.lrn(x, ints(axes), alpha, beta, bias, size).output(0)


def mvn(x: Value, *, axes: Ints, epsilon: float, normalize_variance: bool = True) -> Value:
    """Subtract the mean over the axes and divide by the deviation, `epsilon` inside the root."""
    return opset6.mvn(x, ints(axes), normalize_variance, epsilon, "inside_sqrt").output(0)
