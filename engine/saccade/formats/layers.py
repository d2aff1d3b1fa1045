"""Pieces of `ov.Model` graphs with the semantics of the frameworks of 2017 to 2020.

The importers (legacy IR, MXNet, Caffe) build their graphs from these functions, so that each rule of the old
formats (pooling windows that overhang, batch-norm folding, prior boxes, SSD decoding) is written once. Graph
values are `ov.Output`; weights are NumPy arrays, which may be views of a memory-mapped file: float32 and float16
arrays in a writable mapping (`mmap.ACCESS_COPY`) become constants without a copy, float16 stays float16 with a
conversion behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset1, opset2, opset4, opset6, opset8, opset9, opset11, opset13
from openvino.op import Constant

from saccade.errors import ModelError, UnsupportedError

Value: TypeAlias = ov.Output
Array: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = Sequence[int]

BOOLEAN = ov.Type.boolean


MAX_ELEMENTS = 1 << 28
"""Most numbers that one value of a graph may have: 1 GiB in float32, far above any network of a camera."""


def check_size(shape: Ints, owner: str) -> None:
    """Refuse a value that no network has, before its memory is asked for."""
    if min(shape, default=0) < 0:
        raise ModelError(f"{owner} would have the shape {tuple(shape)}; expected no negative numbers")
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise ModelError(f"{owner} would have {count} numbers {tuple(shape)}; at most {MAX_ELEMENTS} are supported")


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front; raises ModelError where it is not there."""
    if not -rank <= axis < rank:
        raise ModelError(
            f"axis {axis} is not there; the input has {rank} axes, so that it can be {-rank} to {rank - 1}"
        )
    return axis % rank


def dims(value: Value) -> tuple[int, ...]:
    """Return the static shape of a graph value."""
    shape = value.get_shape()
    return tuple([shape[i] for i in range(len(shape))])  # its iterator takes ten times as long


# --------------------------------------------------------------------------------------------------------- constants


def constant(array: npt.ArrayLike) -> Value:
    """Return a constant; float16 is kept as it is in memory and converted to float32 in the graph.

    The array's memory is shared, not copied, where it is contiguous, aligned and writable: the constant then keeps
    the array (and the file mapping behind it) alive.
    """
    values = np.asarray(array)
    shared = values.flags.c_contiguous and values.flags.aligned and values.flags.writeable and values.size > 0
    if not shared:
        values = np.array(values, order="C")
    node = Constant(values, shared_memory=shared and values.ndim > 0)
    if values.dtype == np.float16:
        widened = opset1.convert(node, "f32")
        widened.set_rt_info("", _DECOMPRESSION)
        return widened.output(0)
    return node.output(0)


_DECOMPRESSION = "decompression_0"
"""OpenVINO's mark of stored weights: they are widened while kernels are made, not into a second copy before."""


def floats(array: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return a float32 copy for arithmetic at import time."""
    return np.asarray(array, dtype=np.float32)


def ints(values: Sequence[int]) -> Value:
    """Return a constant of signed 64-bit indices (axes, shapes, orders)."""
    return Constant(np.asarray(values, dtype=np.int64)).output(0)


def _along(array: npt.ArrayLike, rank: int, axis: int) -> Array:
    """Reshape a vector so that it broadcasts along one axis; a single value broadcasts everywhere."""
    vector = np.asarray(array).reshape(-1)
    if vector.dtype != np.float16:
        vector = floats(vector)
    if vector.size == 1:
        return vector.reshape((1,) * rank)
    shape = [1] * rank
    shape[axis] = vector.size
    return vector.reshape(shape)


# ------------------------------------------------------------------------------------------------------ shape moves


def reshape(x: Value, shape: Ints) -> Value:
    """Give `x` another static shape; nothing is added when it has it already."""
    if dims(x) == tuple(shape):
        return x
    return opset1.reshape(x, ints(shape), False).output(0)


def transpose(x: Value, order: Ints) -> Value:
    """Permute the axes."""
    if sorted(order) != list(range(len(dims(x)))):
        raise ModelError(f"turns the axes of {dims(x)} into {tuple(order)}; expected each axis once")
    if list(order) == list(range(len(order))):
        return x
    return opset1.transpose(x, ints(order)).output(0)


def concat(values: Sequence[Value], axis: int) -> Value:
    """Join along one axis."""
    return values[0] if len(values) == 1 else opset1.concat(list(values), axis).output(0)


def split(x: Value, axis: int, sizes: Ints) -> list[Value]:
    """Cut into pieces of the given lengths along one axis."""
    if len(sizes) == 1:
        return [x]
    return list(opset1.variadic_split(x, _scalar(axis), ints(sizes)).outputs())


def _scalar(value: int) -> Value:
    return Constant(np.array(value, dtype=np.int64)).output(0)


def crop(x: Value, begin: Ints, size: Ints) -> Value:
    """Cut the box of `size` that starts at `begin`; both have one number per axis."""
    if tuple(size) == dims(x):
        return x
    stop = [b + s for b, s in zip(begin, size, strict=True)]
    axes = [axis for axis, (s, n) in enumerate(zip(size, dims(x), strict=True)) if s != n]
    return opset8.slice(
        x, ints([begin[a] for a in axes]), ints([stop[a] for a in axes]), ints([1] * len(axes)), ints(axes)
    ).output(0)


def pad(x: Value, begin: Ints, end: Ints, *, mode: str = "constant", value: float = 0.0) -> Value:
    """Pad each axis; mode is constant, edge, reflect or symmetric."""
    if not any(begin) and not any(end):
        return x
    check_size([n + b + e for n, b, e in zip(dims(x), begin, end, strict=True)], "a padded value")
    spare = {"reflect": 1, "symmetric": 0}.get(mode)
    if spare is not None and any(max(b, e) > n - spare for n, b, e in zip(dims(x), begin, end, strict=True)):
        raise ModelError(
            f"mirrors {tuple(begin)} and {tuple(end)} at the edges of {dims(x)}; expected no more than there is"
        )
    fill = constant(np.float32(value)) if mode == "constant" else None
    return opset1.pad(x, ints(begin), ints(end), mode, fill).output(0)


# --------------------------------------------------------------------------------------- convolution and its friends


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window: one number for each spatial axis, outermost first. `pads` : in front of each axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]

    def __post_init__(self) -> None:
        counts = {len(self.kernel), len(self.strides), len(self.pads), len(self.dilations)}
        numbers = (*self.kernel, *self.strides, *self.dilations)
        if len(counts) > 1 or min(numbers, default=0) < 1 or min(self.pads) < 0 or max(numbers + self.pads) > _WIDEST:
            raise ModelError(
                f"has kernel {self.kernel}, strides {self.strides}, pads {self.pads}, dilations {self.dilations}; "
                f"these make no window: expected as many of each, at most {_WIDEST}"
            )

    def ends(self, size: Ints, out: Ints) -> list[int]:
        """Padding behind each axis that makes the window have `out` positions; negative: a remainder.

        A transposed convolution swaps the two, and a negative end is output padding. Old files declare output sizes,
        and their rounding attribute may contradict them: the sizes are the truth.
        """
        places = zip(size, out, self.reaches, self.strides, self.pads, strict=True)
        return [(o - 1) * s + k - n - p for n, o, k, s, p in places]

    @property
    def reaches(self) -> tuple[int, ...]:
        """What the kernel covers on each axis, gaps included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def check_fits(self, padded: Ints) -> None:
        """Raise ModelError where the kernel is larger than the input with its padding."""
        if any(k > n for k, n in zip(self.reaches, padded, strict=True)):
            gaps = f" with dilations {self.dilations}" if max(self.dilations) > 1 else ""
            raise ModelError(f"has a kernel {self.kernel}{gaps} larger than its input with padding, {tuple(padded)}")

    def positions(self, size: Ints, *, round_up: bool, clip: bool = False) -> list[int]:
        """How many positions the window has on each axis, `pads` on both sides.

        With `round_up` a last window may overhang; with `clip`, which is Caffe's rule for padded pooling, only if it
        starts before the padding at the end.
        """
        spare = [n + 2 * p - k for n, k, p in zip(size, self.kernel, self.pads, strict=True)]
        if min(spare) < 0:
            raise ModelError(f"has a kernel {self.kernel} larger than its input {tuple(size)} with padding {self.pads}")
        counts = [(-(-n // s) if round_up else n // s) + 1 for n, s in zip(spare, self.strides, strict=True)]
        if clip:
            places = zip(counts, size, self.strides, self.pads, strict=True)
            counts = [c - 1 if (c - 1) * s >= n + p else c for c, n, s, p in places]
        return counts

    def is_hollow(self, size: Ints, out: Ints) -> bool:
        """Whether a position lies in padding alone: real files have such, and OpenVINO's pooling refuses them."""
        places = zip(size, self.kernel, self.strides, self.pads, out, strict=True)
        return any((o - 1) * s - p >= n or k <= p for n, k, s, p, o in places)


_WIDEST = 1 << 16


def kernel_shape(
    channels: int, filters: int, groups: int, kernel: tuple[int, ...], *, transposed: bool = False
) -> tuple[int, ...]:
    """Shape of a convolution's weights: (filters, channels / groups, kernel...); transposed: channels first."""
    if groups < 1 or filters < 1 or channels % groups or filters % groups:
        raise ModelError(
            f"cannot split {channels} channels and {filters} filters into {groups} groups; expected a divisor of both"
        )
    first, second = (channels, filters) if transposed else (filters, channels)
    return (first, second // groups, *kernel)


def convolution(
    x: Value, weights: Array, bias: Array | None, window: Window, *, ends: Ints | None = None, groups: int = 1
) -> Value:
    """Convolve `x` (N, I, ...) with `weights` (O, I / groups, kernel...); bias (O,).

    ends : padding behind each axis; None: as much as in front.
    """
    behind = [max(0, e) for e in (window.pads if ends is None else ends)]
    window.check_fits([n + p + e for n, p, e in zip(dims(x)[2:], window.pads, behind, strict=True)])
    geometry = (list(window.strides), list(window.pads), behind, list(window.dilations))
    if groups == 1:
        y = opset1.convolution(x, constant(weights), *geometry).output(0)
    else:
        y = opset1.group_convolution(x, constant(_grouped(weights, groups)), *geometry).output(0)
    return affine(y, None, bias)


def deconvolution(
    x: Value,
    weights: Array,
    bias: Array | None,
    window: Window,
    *,
    ends: Ints | None = None,
    groups: int = 1,
    output_padding: Ints | None = None,
) -> Value:
    """Transposed convolution of `x` (N, I, ...) with `weights` (I, O / groups, kernel...); bias (O,).

    ends : padding behind each axis; None: as much as in front. Negative means extra rows at the end and is the same as
    output padding.
    """
    behind = window.pads if ends is None else ends
    extra = [0] * len(behind) if output_padding is None else output_padding
    options: dict[str, Any] = {
        "strides": list(window.strides),
        "pads_begin": list(window.pads),
        "pads_end": [max(0, p) for p in behind],
        "dilations": list(window.dilations),
        "auto_pad": "explicit",
        "output_padding": [e + max(0, -p) for e, p in zip(extra, behind, strict=True)],
    }
    places = zip(dims(x)[2:], window.strides, window.reaches, window.pads, behind, extra, strict=True)
    size = [(n - 1) * s + k - p - e + more for n, s, k, p, e, more in places]
    if min(size) < 1 or min(extra) < 0:
        raise ModelError(
            f"has pads {window.pads} and output padding {tuple(extra)} that leave {tuple(size)} of its result"
        )
    if groups == 1:  # the grouped op with one group does not compile on the CPU
        y = opset1.convolution_backprop_data(x, constant(weights), **options).output(0)
    else:
        y = opset1.group_convolution_backprop_data(x, constant(_grouped(weights, groups)), **options).output(0)
    return affine(y, None, bias)


def _grouped(weights: Array, groups: int) -> Array:
    first, *rest = weights.shape
    return weights.reshape(groups, first // groups, *rest)


def linear(x: Value, weights: Array, bias: Array | None = None, *, flatten: bool = True) -> Value:
    """Fully connected layer: `weights` (out, in); with `flatten`, all axes but the first become one."""
    if flatten and len(dims(x)) != 2:
        x = reshape(x, (dims(x)[0], int(np.prod(dims(x)[1:]))))
    y = opset1.matmul(x, constant(weights), False, True).output(0)
    return affine(y, None, bias, axis=-1)


def affine(x: Value, scale: npt.ArrayLike | None, shift: npt.ArrayLike | None = None, axis: int = 1) -> Value:
    """`x * scale + shift` with vectors along `axis` (or single values); either may be None."""
    rank = len(dims(x))
    if scale is not None:
        x = opset1.multiply(x, constant(_along(scale, rank, axis))).output(0)
    if shift is not None:
        x = opset1.add(x, constant(_along(shift, rank, axis))).output(0)
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


# ----------------------------------------------------------------------------------------------------------- pooling


def _check_pooling(x: Value, window: Window, out: Ints) -> None:
    if set(window.dilations) != {1}:
        raise UnsupportedError(f"pools with dilation {window.dilations}; only dilation 1 is supported")
    check_size((*dims(x)[:2], *out), "a pooling layer")


def max_pool(x: Value, window: Window, out: Ints) -> Value:
    """Maximum over windows; `out` is the number of window positions per spatial axis.

    The padding at the end follows from `out`; windows that overhang see nothing there (padding never wins).
    """
    _check_pooling(x, window, out)
    size, begin = dims(x)[2:], list(window.pads)
    ends = [max(0, e) for e in window.ends(size, out)]  # rounding down ignores a remainder by itself
    if window.is_hollow(size, out):
        lowest = float(np.finfo(np.float32).min)  # what the frameworks leave where a window has no pixel
        x = pad(x, (0, 0, *begin), (0, 0, *ends), value=lowest)
        begin = ends = [0] * len(ends)
    return opset1.max_pool(x, list(window.strides), begin, ends, list(window.kernel), "floor").output(0)


def avg_pool(x: Value, window: Window, out: Ints, *, exclude_pad: bool, counted_end: Ints | None = None) -> Value:
    """Mean over windows; `out` is the number of window positions per spatial axis.

    With `exclude_pad` the divisor counts real pixels only. Otherwise it counts the part of the window that lies
    within the declared padding, `counted_end` behind each axis (default: as much as in front): positions beyond,
    which exist only because sizes were rounded up, are in neither the sum nor the divisor.
    """
    _check_pooling(x, window, out)
    size, begin = dims(x)[2:], list(window.pads)
    ends = [max(0, e) for e in window.ends(size, out)]
    counted = list(window.pads if counted_end is None else counted_end)
    hollow = window.is_hollow(size, out)
    masked = exclude_pad and not hollow and any((*begin, *ends))
    if hollow:
        x = pad(x, (0, 0, *begin), (0, 0, *ends))
        begin, behind = [0] * len(ends), [0] * len(ends)
    else:
        behind = ends
    y = opset1.avg_pool(x, list(window.strides), begin, behind, list(window.kernel), masked, "floor").output(0)
    if not hollow and (exclude_pad or all(e <= c for e, c in zip(ends, counted, strict=True))):
        return y
    correction = np.ones(tuple(out), dtype=np.float32)
    places = zip(size, out, window.kernel, window.strides, window.pads, counted, strict=True)
    for axis, (n, o, k, s, b, c) in enumerate(places):
        start = np.arange(o) * s - b
        if exclude_pad:
            inside = np.minimum(start + k, n) - np.maximum(start, 0)
        else:
            inside = np.minimum(start + k, n + c) - start
        ratio = k / np.maximum(inside, 1)
        correction *= ratio.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(len(size))])
    return opset1.multiply(y, constant(correction[None, None])).output(0)


def global_pool(x: Value, method: str) -> Value:
    """Pool each channel to one value; `method` is max, avg or sum."""
    axes = ints(range(2, len(dims(x))))
    reduce = {"max": opset1.reduce_max, "avg": opset1.reduce_mean, "sum": opset1.reduce_sum}[method]
    return reduce(x, axes, True).output(0)


# ------------------------------------------------------------------------------------------------------- activations

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
    return opset1.prelu(x, constant(_along(slope, len(dims(x)), 1))).output(0)


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


# ----------------------------------------------------------------------------------------------------- normalisation


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


# ---------------------------------------------------------------------------------------------------------- resizing


def resize_linear(x: Value, size: tuple[int, int], coordinates: str = "half_pixel") -> Value:
    """Bilinear to `size` (height, width); coordinates: half_pixel, align_corners or asymmetric. No antialiasing."""
    return opset11.interpolate(
        x, ints(size), "linear_onnx", "sizes", coordinate_transformation_mode=coordinates, axes=ints([2, 3])
    ).output(0)


def resize_nearest(x: Value, size: Ints, coordinates: str = "asymmetric", rounding: str = "floor") -> Value:
    """Nearest neighbour to `size`, one number per spatial axis."""
    axes = ints(range(2, 2 + len(size)))
    return opset11.interpolate(
        x,
        ints(size),
        "nearest",
        "sizes",
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
        axes=axes,
    ).output(0)


def reorg(x: Value, stride: int) -> Value:
    """Move the pixels of each square of `stride` px into channels, as darknet's reorg layer does it."""
    shape = dims(x)
    if len(shape) != 4 or stride < 1 or shape[1] < stride**2 or shape[2] % stride or shape[3] % stride:
        raise ModelError(
            f"has stride {stride} for shape {shape}; expected a divisor of height and width, and its square of channels "
            "or more"
        )
    return opset2.reorg_yolo(x, [stride, stride]).output(0)


def upsample(x: Value, factor: int) -> Value:
    """Repeat every pixel `factor` times in both directions."""
    height, width = dims(x)[2:]
    return resize_nearest(x, (height * factor, width * factor))


def resize_matrices(x: Value, rows: Array, columns: Array) -> Value:
    """Resize separably: `rows` (out height, height) and `columns` (out width, width) hold the weights of each pixel."""
    x = opset1.matmul(x, constant(floats(columns)), False, True).output(0)
    return opset1.matmul(constant(floats(rows)), x, False, False).output(0)


# ------------------------------------------------------------------------------------------------------- SSD and kin


def distinct_ratios(ratios: Sequence[float], *, flip: bool) -> list[float]:
    """Return 1 and the aspect ratios in file order without repeats (within 1e-6), each followed by its inverse."""
    kept = [1.0]
    for ratio in ratios:
        if not 0 < ratio < math.inf:
            raise ModelError(f"aspect ratio {ratio} is not usable; expected a positive number")
        if any(abs(ratio - k) < 1e-6 for k in kept):
            continue
        kept += [ratio, 1.0 / ratio] if flip else [ratio]
    return kept


def ssd_box_sizes(
    min_sizes: Sequence[float], max_sizes: Sequence[float], ratios: Sequence[float], *, scale_all_sizes: bool = True
) -> list[tuple[float, float]]:
    """Return (width, height) in px of the boxes of one cell, in Caffe's order: min, sqrt(min * max), other ratios.

    `ratios` is the result of `distinct_ratios`. Without `scale_all_sizes` only the first minimum size gets the
    other ratios, after all squares.
    """
    boxes: list[tuple[float, float]] = []
    for index, low in enumerate(min_sizes):
        boxes.append((low, low))
        if index < len(max_sizes):
            boxes.append((float(np.sqrt(low * max_sizes[index])),) * 2)
        if scale_all_sizes or index == len(min_sizes) - 1:
            base = low if scale_all_sizes else min_sizes[0]
            boxes += [(base * r**0.5, base / r**0.5) for r in ratios if abs(r - 1) >= 1e-6]
    return boxes


def prior_boxes(
    sizes: Sequence[tuple[float, float]],
    *,
    feature: tuple[int, int],
    image: tuple[int, int],
    step: tuple[float, float],
    offset: float = 0.5,
    shifts: Sequence[tuple[float, float]] | None = None,
    clip: bool = False,
    variances: Sequence[float] = (0.1,),
) -> npt.NDArray[np.float32]:
    """Return SSD prior boxes, float32 (2, height * width * boxes * 4): corners x1, y1, x2, y2, then the variances.

    `sizes` holds (width, height) of each box of a cell in px of the image, `shifts` the (x, y) px by which each
    box's centre is moved; `feature` and `image` are (height, width); `step` is the (y, x) distance of cells in px;
    `offset` the place of the centre in a cell, in steps; `variances` 1 or 4 numbers. Corners are in [0, 1].
    """
    if len(variances) not in (1, 4):
        raise ModelError(f"prior boxes have {len(variances)} variances; expected 1 or 4")
    if min(image) <= 0:
        raise ModelError(f"prior boxes are those of a picture of {image[1]}x{image[0]} px; expected positive numbers")
    box = np.asarray(sizes, dtype=np.float64).reshape(-1, 2) / 2
    move = np.zeros_like(box) if shifts is None else np.asarray(shifts, dtype=np.float64).reshape(-1, 2)
    y = (np.arange(feature[0], dtype=np.float64) + offset)[:, None, None] * step[0] + move[:, 1]
    x = (np.arange(feature[1], dtype=np.float64) + offset)[None, :, None] * step[1] + move[:, 0]
    corners = np.empty((*feature, len(box), 4), dtype=np.float64)
    corners[..., 0] = (x - box[:, 0]) / image[1]
    corners[..., 1] = (y - box[:, 1]) / image[0]
    corners[..., 2] = (x + box[:, 0]) / image[1]
    corners[..., 3] = (y + box[:, 1]) / image[0]
    if clip:
        np.clip(corners, 0, 1, out=corners)
    result = np.empty((2, corners.size), dtype=np.float32)
    result[0] = corners.reshape(-1)
    result[1] = np.resize(np.asarray(variances, dtype=np.float32), corners.size)
    return result


def detection_output(
    loc: Value,
    conf: Value,
    priors: Value,
    *,
    num_classes: int,
    nms_threshold: float,
    confidence_threshold: float,
    keep_top_k: int,
    top_k: int = -1,
    background_label: int = 0,
    code_type: str = "CORNER",
    share_location: bool = True,
    variance_encoded_in_target: bool = False,
    normalized: bool = True,
    input_size: tuple[int, int] = (1, 1),
    clip_before_nms: bool = False,
    clip_after_nms: bool = False,
    decrease_label_id: bool = False,
    aux_conf: Value | None = None,
    aux_loc: Value | None = None,
    objectness_score: float = 0.0,
) -> Value:
    """Decode SSD heads: loc (N, priors * 4), conf (N, priors * classes), priors (1, 2, priors * 4).

    Returns (1, 1, N * keep_top_k, 7): image, label, score, x1, y1, x2, y2; the first image id of -1 ends the list.
    `decrease_label_id` selects MXNet's algorithm (best class per prior, labels from 0) instead of Caffe's.
    """
    if code_type not in ("CORNER", "CENTER_SIZE"):
        raise UnsupportedError(f"detection output with code type {code_type!r}; expected CORNER or CENTER_SIZE")
    if variance_encoded_in_target and dims(priors)[1] == 2:
        priors = crop(priors, (0, 0, 0), (1, 1, dims(priors)[2]))  # the op refuses variances that it will not use
    attributes = {
        "num_classes": num_classes,
        "background_label_id": background_label,
        "top_k": top_k,
        "variance_encoded_in_target": variance_encoded_in_target,
        "keep_top_k": [keep_top_k],
        "code_type": f"caffe.PriorBoxParameter.{code_type}",
        "share_location": share_location,
        "nms_threshold": nms_threshold,
        "confidence_threshold": confidence_threshold,
        "clip_after_nms": clip_after_nms,
        "clip_before_nms": clip_before_nms,
        "decrease_label_id": decrease_label_id,
        "normalized": normalized,
        "input_height": input_size[0],
        "input_width": input_size[1],
    }
    if aux_conf is None or aux_loc is None:
        return opset1.detection_output(loc, conf, priors, attributes).output(0)
    attributes["objectness_score"] = objectness_score
    return opset1.detection_output(loc, conf, priors, attributes, aux_conf, aux_loc).output(0)


def roi_pooling(x: Value, rois: Value, *, size: tuple[int, int], spatial_scale: float, method: str = "max") -> Value:
    """Pool regions; `rois` (n, 5): image, x1, y1, x2, y2 in px of the network's input; `method` max or bilinear."""
    if min(size) < 1 or not 0 < spatial_scale < math.inf:
        raise ModelError(f"pools regions to {size} at the scale {spatial_scale:g}; expected positive numbers")
    return opset2.roi_pooling(x, rois, list(size), spatial_scale, method).output(0)


def gather(x: Value, indices: Value, axis: int = 0) -> Value:
    """Pick slices by index; float indices, which old files have, become integers."""
    if indices.get_element_type().is_real():
        indices = opset1.convert(indices, "i32").output(0)
    return opset1.gather(x, indices, _scalar(axis)).output(0)


def top_k(x: Value, k: int, *, axis: int, mode: str = "max", sort: str = "value") -> tuple[Value, Value]:
    """Return the k best values along an axis and their indices (int32)."""
    if not 1 <= k <= dims(x)[axis]:
        raise ModelError(f"picks the best {k} of {dims(x)[axis]} values; expected 1 to {dims(x)[axis]}")
    node = opset11.topk(x, _scalar(k), axis, mode, sort, index_element_type="i32")
    return node.output(0), node.output(1)


def as_float(x: Value) -> Value:
    """Convert to float32 if it is anything else."""
    return x if x.get_element_type() == ov.Type.f32 else opset1.convert(x, "f32").output(0)


# -------------------------------------------------------------------------------------------------------- the model


def parameter(name: str, shape: Ints, dtype: ov.Type = ov.Type.f32) -> ov.op.Parameter:
    """Return a network input of that name."""
    node = ov.op.Parameter(dtype, ov.Shape(list(shape)))
    node.set_friendly_name(name)
    node.output(0).get_tensor().set_names({name})
    return node


def model(
    outputs: Sequence[tuple[str, Value]],
    parameters: Sequence[ov.op.Parameter],
    name: str,
    sinks: Sequence[ov.Node] = (),
) -> ov.Model:
    """Wrap up a graph; each output carries its given name, also where one value is several outputs."""
    results = []
    taken: set[tuple[str, int]] = set()
    for label, value in outputs:
        key = (value.get_node().get_name(), value.get_index())
        if key in taken or isinstance(value.get_node(), ov.op.Parameter):
            # a tensor can be known by one output name only: give the second output a tensor of its own
            value = opset13.reshape(value, ints(dims(value)), False).output(0)
        key = (value.get_node().get_name(), value.get_index())
        taken.add(key)
        value.get_tensor().set_names({label})
        result = opset13.result(value)
        result.set_friendly_name(label)
        results.append(result)
    if sinks:
        return ov.Model(results, list(sinks), list(parameters), name)
    return ov.Model(results, list(parameters), name)
