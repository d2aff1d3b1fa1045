"""What each MXNet operator computes at inference, as pieces of an `ov.Model` graph.

Defaults and corner cases are those of MXNet 1.9, which also hold for older symbols. Everything in the graph is
float32, as it is in MXNet for these networks: comparisons give 0 and 1, indices are floats until they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import openvino as ov
from openvino import opset1, opset4, opset5, opset7, opset8, opset9

from saccade.errors import ModelError, UnsupportedError
from saccade.models import layers
from saccade.models.layers import Array, Value, dims
from saccade.models.mxnet import detection
from saccade.models.mxnet.graph import Layer, Operator, axis_of, index_of, scalar
from saccade.models.mxnet.symbol import LOSSES, PASS_THROUGH, Attributes

# ----------------------------------------------------------------------------------------- convolution and its friends


def _window(layer: Layer, x: Value) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride, pad and dilation, one number for each spatial axis."""
    kernel = layer.attributes.integers("kernel")
    axes = len(kernel)
    if axes + 2 != len(dims(x)) or not 1 <= axes <= 3:
        raise ModelError(f"has a kernel of {axes} axes for an input of the shape {dims(x)}")
    if layer.attributes.text("layout", "NC")[:2] != "NC":
        raise UnsupportedError(f"has the layout {layer.attributes.text('layout')}; only channels-first is supported")
    stride = layer.attributes.integers("stride") or (1,) * axes
    pad = layer.attributes.integers("pad") or (0,) * axes
    dilate = layer.attributes.integers("dilate") or (1,) * axes
    if not len(stride) == len(pad) == len(dilate) == axes:
        raise ModelError(f"has kernel {kernel}, stride {stride}, pad {pad}, dilate {dilate}; expected {axes} of each")
    if min(kernel + stride + dilate) < 1 or min(pad) < 0 or max(kernel + stride + dilate + pad) > 1 << 20:
        raise ModelError(f"has kernel {kernel}, stride {stride}, pad {pad}, dilate {dilate}; these make no window")
    return kernel, stride, pad, dilate


def _check_weights(weights: Array, expected: tuple[int, ...]) -> None:
    if weights.shape != expected:
        raise ModelError(f"has weights of the shape {weights.shape}; expected {expected}")


def _bias(layer: Layer, count: int, *, no_bias: bool) -> Array | None:
    if layer.attributes.boolean("no_bias", no_bias):
        return None
    bias = layer.array(2)
    _check_weights(bias, (count,))
    return bias


def _convolution(layer: Layer) -> Value:
    x, weights = layer[0], layer.array(1)
    kernel, stride, pad, dilate = _window(layer, x)
    groups, filters = layer.attributes.integer("num_group", 1), layer.attributes.integer("num_filter", 0)
    channels = dims(x)[1]
    if groups < 1 or channels % groups or filters < 1 or filters % groups:
        raise ModelError(f"cannot split {channels} channels and {filters} filters into {groups} groups")
    _check_weights(weights, (filters, channels // groups, *kernel))
    bias = _bias(layer, filters, no_bias=False)
    return layers.convolution(
        x, weights, bias, strides=stride, pads_begin=pad, pads_end=pad, dilations=dilate, groups=groups
    )


def _deconvolution(layer: Layer) -> Value:
    x, weights = layer[0], layer.array(1)
    kernel, stride, pad, dilate = _window(layer, x)
    extra = layer.attributes.integers("adj") or (0,) * len(kernel)
    target = layer.attributes.integers("target_shape")
    if any(target):
        # The padding that gives the size asked for; the odd pixel goes to the end.
        total = [
            s * (n - 1) + d * (k - 1) + 1 - t
            for n, k, s, d, t in zip(dims(x)[2:], kernel, stride, dilate, target, strict=True)
        ]
        if min(total) < 0:
            raise ModelError(f"cannot reach the target shape {target} from {dims(x)[2:]}")
        pad, extra = tuple((t + 1) // 2 for t in total), tuple(t % 2 for t in total)
    if len(extra) != len(kernel):
        raise ModelError(f"has adj {extra}; expected {len(kernel)} numbers")
    groups, filters = layer.attributes.integer("num_group", 1), layer.attributes.integer("num_filter", 0)
    channels = dims(x)[1]
    if groups < 1 or channels % groups or filters < 1 or filters % groups:
        raise ModelError(f"cannot split {channels} channels and {filters} filters into {groups} groups")
    _check_weights(weights, (channels, filters // groups, *kernel))
    return layers.deconvolution(
        x,
        weights,
        _bias(layer, filters, no_bias=True),
        strides=stride,
        pads_begin=pad,
        pads_end=pad,
        dilations=dilate,
        groups=groups,
        output_padding=extra,
    )


def _fully_connected(layer: Layer) -> Value:
    x, weights = layer[0], layer.array(1)
    flatten = layer.attributes.boolean("flatten", True)
    count = math.prod(dims(x)[1:]) if flatten else dims(x)[-1]
    _check_weights(weights, (layer.attributes.integer("num_hidden", 0), count))
    return layers.linear(x, weights, _bias(layer, len(weights), no_bias=False), flatten=flatten)


def _batch_norm(layer: Layer) -> Value:
    x = layer[0]
    axis = axis_of(layer.attributes.integer("axis", 1), len(dims(x)))
    gamma, beta, mean, variance = (layer.array(slot) for slot in range(1, 5))
    for array in (gamma, beta, mean, variance):
        _check_weights(array, (dims(x)[axis],))
    # With fix_gamma the file's gamma is whatever training left there.
    scale, shift = layers.fold_batch_norm(
        mean,
        variance,
        layer.attributes.number("eps", 1e-3),
        None if layer.attributes.boolean("fix_gamma", True) else gamma,
        beta,
    )
    return layers.affine(x, scale, shift, axis)


def _instance_norm(layer: Layer) -> Value:
    x = layer[0]
    y = layers.mvn(x, axes=range(2, len(dims(x))), epsilon=layer.attributes.number("eps", 1e-3))
    return layers.affine(y, layer.array(1), layer.array(2))


def _layer_norm(layer: Layer) -> Value:
    x = layer[0]
    axis = axis_of(layer.attributes.integer("axis", -1), len(dims(x)))
    y = layers.mvn(x, axes=[axis], epsilon=layer.attributes.number("eps", 1e-5))
    return layers.affine(y, layer.array(1), layer.array(2), axis)


def _pooling(layer: Layer) -> Value:
    x, attributes = layer[0], layer.attributes
    method = attributes.choice("pool_type", "max", ("max", "avg", "sum"))
    if attributes.boolean("global_pool", False):
        return layers.global_pool(x, method)
    convention = attributes.choice("pooling_convention", "valid", ("valid", "full", "same"))
    kernel, stride, pad, _ = _window(layer, x)
    size = dims(x)[2:]
    if convention == "same":
        out = [-(-(n + 2 * p) // s) for n, s, p in zip(size, stride, pad, strict=True)]
    else:
        out = layers.window_counts(size, kernel, stride, pad, round_up=convention == "full")
    geometry = {"kernel": kernel, "strides": stride, "pads_begin": pad, "out": out}
    if method == "max":
        return layers.max_pool(x, **geometry)
    counted = attributes.boolean("count_include_pad", True)
    if method == "avg":
        return layers.avg_pool(x, **geometry, exclude_pad=not counted)
    # A sum has no divisor to correct, so padding of any kind may count.
    endless = [1 << 20] * len(size)
    mean = layers.avg_pool(x, **geometry, exclude_pad=False, counted_end=endless)
    return layers.power(mean, scale=math.prod(kernel))


def _adaptive_pooling(layer: Layer) -> Value:
    size = layer.attributes.integers("output_size") or (1,)
    size = size * 2 if len(size) == 1 else size
    return opset8.adaptive_avg_pool(layer[0], layers.ints(size)).output(0)


# ------------------------------------------------------------------------------------------------- element by element


def _activation(layer: Layer) -> Value:
    return _FUNCTIONS[layer.attributes.choice("act_type", "", _ACTIVATIONS)](layer[0])


_ACTIVATIONS = ("relu", "sigmoid", "tanh", "softrelu", "softsign", "log_sigmoid", "mish")


def _leaky_relu(layer: Layer) -> Value | list[Value]:
    x, attributes = layer[0], layer.attributes
    kind = attributes.choice("act_type", "leaky", ("leaky", "prelu", "elu", "selu", "gelu", "rrelu"))
    slope = attributes.number("slope", 0.25)
    if kind == "prelu":
        gamma = layer.array(1)
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
        slope = (attributes.number("lower_bound", 0.125) + attributes.number("upper_bound", 0.334)) / 2
        return [layers.leaky_relu(x, slope), layers.constant(np.zeros(dims(x), np.float32))]
    return layers.leaky_relu(x, slope)


def _unary(name: str) -> Operator:
    return lambda layer: _FUNCTIONS[name](layer[0])


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


def _binary(name: str) -> Operator:
    return lambda layer: _compute(name, layer[0], layer[1])


def _logical(name: str) -> Operator:
    def compute(layer: Layer) -> Value:
        left, right = (layers.binary("not_equal", layer[slot], scalar(0)) for slot in (0, 1))
        return layers.as_float(layers.binary(name, left, right))

    return compute


def _with_scalar(name: str, *, reverse: bool = False) -> Operator:
    def compute(layer: Layer) -> Value:
        x, number = layer[0], scalar(layer.attributes.number("scalar", 1.0))
        return _compute(name, number, x) if reverse else _compute(name, x, number)

    return compute


def _clip(layer: Layer) -> Value:
    infinity = float("inf")
    low, high = layer.attributes.number("a_min", -infinity), layer.attributes.number("a_max", infinity)
    return layers.clamp(layer[0], low, high)


def _hard_sigmoid(layer: Layer) -> Value:
    x = layers.power(layer[0], scale=layer.attributes.number("alpha", 0.2), shift=layer.attributes.number("beta", 0.5))
    return layers.clamp(x, 0, 1)


def _where(layer: Layer) -> Value:
    condition, yes, no = layer.values()
    if len(dims(condition)) == 1 < len(dims(yes)):
        condition = layers.reshape(condition, (-1, *(1,) * (len(dims(yes)) - 1)))
    return opset1.select(layers.binary("not_equal", condition, scalar(0)), yes, no).output(0)


def _cast(layer: Layer) -> Value:
    """Everything stays float32 in the graph; a cast to whole numbers cuts the fraction off."""
    kind = layer.attributes.text("dtype", "float32")
    if kind.startswith("float"):
        return layer[0]
    if kind == "bool":
        return layers.as_float(layers.binary("not_equal", layer[0], scalar(0)))
    return _FUNCTIONS["trunc"](layer[0])


# ------------------------------------------------------------------------------------------------------- normalisation


def _l2_normalization(layer: Layer) -> Value:
    x = layer[0]
    rank = len(dims(x))
    mode = layer.attributes.choice("mode", "instance", ("instance", "channel", "spatial"))
    axes = {"instance": range(1, rank), "channel": [1], "spatial": range(2, rank)}[mode]
    return layers.normalize_l2(x, axes=axes, epsilon=layer.attributes.number("eps", 1e-10))


def _lrn(layer: Layer) -> Value:
    attributes = layer.attributes
    return layers.lrn(
        layer[0],
        size=attributes.integer("nsize", 0),
        alpha=attributes.number("alpha", 1e-4),
        beta=attributes.number("beta", 0.75),
        bias=attributes.number("knorm", 2),
    )


def _flat_softmax(x: Value) -> Value:
    """Softmax over all of each picture; the shape stays."""
    shape = dims(x)
    return layers.reshape(layers.softmax(layers.reshape(x, (shape[0], math.prod(shape[1:])))), shape)


def _softmax_activation(layer: Layer) -> Value:
    channel = layer.attributes.choice("mode", "instance", ("instance", "channel")) == "channel"
    return layers.softmax(layer[0], 1) if channel else _flat_softmax(layer[0])


def _softmax_output(layer: Layer) -> Value:
    x = layer[0]
    if layer.attributes.boolean("multi_output", False):
        return layers.softmax(x, 1)
    if layer.attributes.boolean("preserve_shape", False):
        return layers.softmax(x, len(dims(x)) - 1)
    return _flat_softmax(x)


def _softmax(layer: Layer) -> Value:
    x = layer[0]
    temperature = layer.attributes.number("temperature", 1.0)
    if len(layer) > 1:
        raise UnsupportedError("masks by length; only a plain softmax is supported")
    axis = axis_of(layer.attributes.integer("axis", -1), len(dims(x)))
    return layers.softmax(layers.power(x, scale=1 / temperature), axis)


def _log_softmax(layer: Layer) -> Value:
    x = layer[0]
    return opset5.log_softmax(x, axis_of(layer.attributes.integer("axis", -1), len(dims(x)))).output(0)


def _reduced_axes(layer: Layer, rank: int) -> list[int]:
    axes = [axis_of(axis, rank) for axis in layer.attributes.integers("axis")]
    if layer.attributes.boolean("exclude", False):
        return [axis for axis in range(rank) if axis not in axes]
    return sorted(set(axes)) or list(range(rank))


def _reduction(build: Callable[..., ov.Node]) -> Operator:
    def compute(layer: Layer) -> Value:
        x = layer[0]
        axes, keep = _reduced_axes(layer, len(dims(x))), layer.attributes.boolean("keepdims", False)
        y = build(x, layers.ints(axes), keep).output(0)
        return y if dims(y) else layers.reshape(y, (1,))  # MXNet has no values without axes

    return compute


def _norm(layer: Layer) -> Value | Sequence[Value]:
    return _reduction(opset4.reduce_l1 if layer.attributes.integer("ord", 2) == 1 else opset4.reduce_l2)(layer)


def _arg(mode: str) -> Operator:
    def compute(layer: Layer) -> Value:
        x = layer[0]
        keep = layer.attributes.boolean("keepdims", False)
        if "axis" not in layer.attributes:
            x = layers.reshape(x, (math.prod(dims(x)),))
        axis = axis_of(layer.attributes.integer("axis", 0), len(dims(x)))
        _, indices = layers.top_k(x, 1, axis=axis, mode=mode)
        shape = [size for a, size in enumerate(dims(indices)) if keep or a != axis]
        return layers.reshape(layers.as_float(indices), shape or (1,))

    return compute


# --------------------------------------------------------------------------------------------------------- shape moves


def _flatten(layer: Layer) -> Value:
    x = layer[0]
    return layers.reshape(x, (dims(x)[0], math.prod(dims(x)[1:])))


def _reshape(layer: Layer) -> Value:
    x, attributes = layer[0], layer.attributes
    codes = attributes.integers("shape")
    if not codes:
        return layers.reshape(x, _old_target(dims(x), attributes))
    source = dims(x)
    if attributes.boolean("reverse", False):
        return layers.reshape(x, _coded_shape(source[::-1], codes[::-1], reverse=True)[::-1])
    return layers.reshape(x, _coded_shape(source, codes))


def _coded_shape(source: tuple[int, ...], codes: tuple[int, ...], *, reverse: bool = False) -> tuple[int, ...]:
    """Sizes from MXNet's codes: 0 keep, -1 the rest, -2 all that remain, -3 join two, -4 split into the next two."""
    shape: list[int] = []
    at, step = 0, 0
    codes_left = list(codes)
    while step < len(codes_left):
        code = codes_left[step]
        if (code == -4 and not reverse) or (reverse and step + 2 < len(codes_left) and codes_left[step + 2] == -4):
            # Read backwards, the two factors come before the code that announces them.
            pair = codes_left[step + 1 : step + 3] if not reverse else codes_left[step : step + 2]
            if len(pair) != 2 or at >= len(source):
                raise ModelError(f"cannot split by the shape {codes} from {source}")
            first, second = pair
            whole = source[at]
            first, second = whole // second if first == -1 else first, whole // first if second == -1 else second
            if first * second != whole:
                raise ModelError(f"cannot split {whole} into {first} times {second}")
            shape += [first, second]
            at, step = at + 1, step + 3
            continue
        step += 1
        if code == -2:
            shape += source[at:]
            at = len(source)
        elif code == -3:
            shape.append(math.prod(_part(source, at, 2, codes)))
            at += 2
        elif code == 0:
            shape += _part(source, at, 1, codes)
            at += 1
        elif code == -1 or code > 0:
            shape.append(code)
            at += 1
        else:
            raise ModelError(f"has the shape {codes}; {code} has no meaning there")
    if shape.count(-1) > 1:
        raise ModelError(f"has the shape {codes}; only one size can be left open")
    if -1 in shape:
        known = -math.prod(shape)
        if not known or math.prod(source) % known:
            raise ModelError(f"cannot turn {source} into {codes}")
        shape[shape.index(-1)] = math.prod(source) // known
    if math.prod(shape) != math.prod(source):
        raise ModelError(f"cannot turn {source} into {tuple(shape)}")
    return tuple(shape)


def _part(source: tuple[int, ...], at: int, count: int, codes: tuple[int, ...]) -> tuple[int, ...]:
    part = source[at : at + count]
    if len(part) != count:
        raise ModelError(f"has the shape {codes} for an input with the axes {source} only")
    return part


def _old_target(source: tuple[int, ...], attributes: Attributes) -> tuple[int, ...]:
    """`target_shape` of the first releases: 0 is the size left open."""
    target = list(attributes.integers("target_shape"))
    if not target:
        raise ModelError("has no shape")
    if attributes.boolean("keep_highest", False):
        target[0] = source[0]
    return _coded_shape(source, tuple(size or -1 for size in target))


def _reshape_like(layer: Layer) -> Value:
    if "lhs_begin" in layer.attributes or "rhs_begin" in layer.attributes:
        raise UnsupportedError("takes a part of the other's shape; only whole shapes are supported")
    return layers.reshape(layer[0], dims(layer[1]))


def _transpose(layer: Layer) -> Value:
    x = layer[0]
    rank = len(dims(x))
    order = [axis_of(axis, rank) for axis in layer.attributes.integers("axes")] or list(range(rank))[::-1]
    return layers.transpose(x, order)


def _swap_axis(layer: Layer) -> Value:
    x = layer[0]
    order = list(range(len(dims(x))))
    one, two = (axis_of(layer.attributes.integer(key, 0), len(order)) for key in ("dim1", "dim2"))
    order[one], order[two] = order[two], order[one]
    return layers.transpose(x, order)


def _concat(layer: Layer) -> Value:
    values = layer.values()
    return layers.concat(values, axis_of(layer.attributes.integer("dim", 1), len(dims(values[0]))))


def _stack(layer: Layer) -> Value:
    values = layer.values()
    axis = axis_of(layer.attributes.integer("axis", 0), len(dims(values[0])) + 1)
    shape = dims(values[0])
    shape = (*shape[:axis], 1, *shape[axis:])
    return layers.concat([layers.reshape(value, shape) for value in values], axis)


def _slice_channel(layer: Layer) -> list[Value]:
    x = layer[0]
    axis = axis_of(layer.attributes.integer("axis", 1), len(dims(x)))
    count = layer.attributes.integer("num_outputs", 0)
    if not 1 <= count <= dims(x)[axis] or dims(x)[axis] % count:
        raise ModelError(f"cannot cut {dims(x)[axis]} into {count} equal parts")
    parts = layers.split(x, axis, [dims(x)[axis] // count] * count)
    if not layer.attributes.boolean("squeeze_axis", False):
        return parts
    shape = tuple(size for a, size in enumerate(dims(parts[0])) if a != axis)
    return [layers.reshape(part, shape) for part in parts]


def _cut(x: Value, bounds: Mapping[int, tuple[int | None, int | None, int | None]]) -> Value:
    """Python's slices by axis."""
    begin, end, step = [], [], []
    for axis, bound in bounds.items():
        size = dims(x)[axis]
        first, last, stride = slice(*bound).indices(size)
        if not len(range(first, last, stride)):
            raise ModelError(f"cuts nothing out of axis {axis} of {dims(x)}")
        begin.append(first)
        # A backward slice down to index 0 ends at -1, which would count from the end.
        end.append(last if last >= 0 else -size - 1)
        step.append(stride)
    return opset8.slice(x, layers.ints(begin), layers.ints(end), layers.ints(step), layers.ints(list(bounds))).output(0)


def _slice_axis(layer: Layer) -> Value:
    x, attributes = layer[0], layer.attributes
    axis = axis_of(attributes.integer("axis", 0), len(dims(x)))
    end = attributes.integer("end", 0) if "end" in attributes else None
    return _cut(x, {axis: (attributes.integer("begin", 0), end, 1)})


def _slice(layer: Layer) -> Value:
    x = layer[0]
    begin, end = (layer.attributes.optional_integers(key) for key in ("begin", "end"))
    step = layer.attributes.optional_integers("step") or (None,) * len(begin)
    if len(begin) > len(dims(x)) or 0 in step:
        raise ModelError(f"has begin {begin} and step {step} for an input of the shape {dims(x)}")
    return _cut(x, dict(enumerate(zip(begin, end, step, strict=True))))


def _slice_like(layer: Layer) -> Value:
    x, like = layer[0], layer[1]
    axes = layer.attributes.integers("axes") or range(len(dims(x)))
    bounds = {axis_of(a, len(dims(x))): (0, dims(like)[axis_of(a, len(dims(like)))], 1) for a in axes}
    if any(dims(x)[axis] < (bound[1] or 0) for axis, bound in bounds.items()):
        raise ModelError(f"cannot cut {dims(like)} out of {dims(x)}")
    return _cut(x, bounds)


def _crop(layer: Layer) -> Value:
    x, attributes = layer[0], layer.attributes
    height, width = dims(x)[2:]
    size = attributes.integers("h_w") or (0, 0)
    if len(layer) > 1:
        size = dims(layer[1])[2:]
    offset = attributes.integers("offset") or (0, 0)
    if attributes.boolean("center_crop", False):
        offset = ((height - size[0]) // 2, (width - size[1]) // 2)
    if min(size) < 1 or min(offset) < 0 or offset[0] + size[0] > height or offset[1] + size[1] > width:
        raise ModelError(f"cannot crop {size} at {offset} out of {(height, width)}")
    return layers.crop(x, (0, 0, *offset), (*dims(x)[:2], *size))


def _pad(layer: Layer) -> Value:
    x, attributes = layer[0], layer.attributes
    width = attributes.integers("pad_width")
    if len(width) != 2 * len(dims(x)) or min(width) < 0:
        raise ModelError(f"has pad_width {width}; expected two numbers for each of {len(dims(x))} axes")
    mode = attributes.choice("mode", "constant", ("constant", "edge", "reflect"))
    return layers.pad(x, width[::2], width[1::2], mode=mode, value=attributes.number("constant_value", 0))


def _expand_dims(layer: Layer) -> Value:
    x = layer[0]
    axis = axis_of(layer.attributes.integer("axis", 0), len(dims(x)) + 1)
    return layers.reshape(x, (*dims(x)[:axis], 1, *dims(x)[axis:]))


def _squeeze(layer: Layer) -> Value:
    x = layer[0]
    axes = [axis_of(axis, len(dims(x))) for axis in layer.attributes.integers("axis")]
    if any(dims(x)[axis] != 1 for axis in axes):
        raise ModelError(f"cannot drop the axes {axes} of {dims(x)}; their size is not 1")
    kept = tuple(size for a, size in enumerate(dims(x)) if (a not in axes if axes else size != 1))
    return layers.reshape(x, kept or (1,))


def _tile(layer: Layer) -> Value:
    x = layer[0]
    repeats = layer.attributes.integers("reps") or (1,)
    shape = (1,) * (len(repeats) - len(dims(x))) + dims(x)
    repeats = (1,) * (len(shape) - len(repeats)) + repeats
    layers.check_size([size * count for size, count in zip(shape, repeats, strict=True)], "its result")
    if min(repeats) < 1:
        raise ModelError(f"has reps {repeats}; expected positive numbers")
    return opset1.tile(layers.reshape(x, shape), layers.ints(repeats)).output(0)


def _repeat(layer: Layer) -> Value:
    x, count = layer[0], layer.attributes.integer("repeats", 1)
    if "axis" not in layer.attributes:
        x = layers.reshape(x, (math.prod(dims(x)),))
    axis = axis_of(layer.attributes.integer("axis", 0), len(dims(x)))
    shape = dims(x)
    if count < 1:
        raise ModelError(f"has repeats={count}; expected a positive number")
    result = (*shape[:axis], shape[axis] * count, *shape[axis + 1 :])
    layers.check_size(result, "its result")
    wide = layers.reshape(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    tiled = opset1.tile(wide, layers.ints([count if a == axis + 1 else 1 for a in range(len(shape) + 1)]))
    return layers.reshape(tiled.output(0), result)


def _broadcast(x: Value, shape: Sequence[int]) -> Value:
    layers.check_size(shape, "its result")
    return opset1.broadcast(x, layers.ints(shape)).output(0)


def _broadcast_to(layer: Layer) -> Value:
    x = layer[0]
    shape = layer.attributes.integers("shape")
    if len(shape) != len(dims(x)):
        raise ModelError(f"cannot spread {dims(x)} to {shape}")
    return _broadcast(x, [size or own for size, own in zip(shape, dims(x), strict=True)])


def _broadcast_axis(layer: Layer) -> Value:
    x = layer[0]
    shape = list(dims(x))
    for axis, size in zip(layer.attributes.integers("axis"), layer.attributes.integers("size"), strict=True):
        shape[axis_of(axis, len(shape))] = size
    return _broadcast(x, shape)


def _broadcast_like(layer: Layer) -> Value:
    x, like = layer[0], layer[1]
    own, other = (layer.attributes.integers(key) for key in ("lhs_axes", "rhs_axes"))
    if not own and not other:
        return _broadcast(x, dims(like))
    shape = list(dims(x))
    for axis, source in zip(own, other, strict=True):
        shape[axis_of(axis, len(shape))] = dims(like)[axis_of(source, len(dims(like)))]
    return _broadcast(x, shape)


# ----------------------------------------------------------------------------------------------------- tables, indices


def _embedding(layer: Layer) -> Value:
    table = layer.array(1)
    return layers.gather(layers.constant(table), index_of(layer[0], len(table)))


def _take(layer: Layer) -> Value:
    x, indices, attributes = layer[0], layer[1], layer.attributes
    axis = axis_of(attributes.integer("axis", 0), len(dims(x)))
    size = dims(x)[axis]
    if attributes.choice("mode", "clip", ("clip", "wrap", "raise")) == "wrap":
        indices = layers.binary("floor_mod", indices, scalar(size))
    return layers.gather(x, index_of(indices, size), axis)


def _arange(layer: Layer) -> Value:
    attributes = layer.attributes
    start, step = attributes.number("start", 0), attributes.number("step", 1)
    repeat = attributes.integer("repeat", 1)
    if "stop" not in attributes and attributes.boolean("infer_range", False):
        raise UnsupportedError("has no end; only ranges of a known length are supported")
    stop = attributes.number("stop", 0)
    if "stop" not in attributes:
        start, stop = 0.0, start
    count = math.ceil((stop - start) / step) if step and math.isfinite((stop - start) / step) else 0
    if count < 1 or repeat < 1:
        raise ModelError(f"goes from {start} to {stop} by {step}, {repeat} times each: no numbers")
    layers.check_size([count, repeat], "its result")
    return layers.constant(np.repeat((start + step * np.arange(count)).astype(np.float32), repeat))


def _arange_like(layer: Layer) -> Value:
    x, attributes = layer[0], layer.attributes
    shape = dims(x)
    if "axis" in attributes:
        shape = (shape[axis_of(attributes.integer("axis", 0), len(shape))],)
    repeat = attributes.integer("repeat", 1)
    if repeat < 1:
        raise ModelError(f"has repeat={repeat}; expected a positive number")
    steps = np.arange(math.prod(shape)) // repeat
    numbers = attributes.number("start", 0) + attributes.number("step", 1) * steps
    return layers.constant(numbers.astype(np.float32).reshape(shape))


def _filled(value: float | None) -> Operator:
    def compute(layer: Layer) -> Value:
        shape = layer.attributes.integers("shape")
        if not shape or min(shape) < 1:
            raise ModelError(f"has the shape {shape}; expected positive sizes")
        layers.check_size(shape, "it")
        number = layer.attributes.number("value", 0) if value is None else value
        return layers.constant(np.full(shape, number, np.float32))

    return compute


# ------------------------------------------------------------------------------------------------------------- resizing


def _up_sampling(layer: Layer) -> Value:
    attributes = layer.attributes
    scale = attributes.integer("scale", 1)
    if not 1 <= scale <= 64:
        raise ModelError(f"has scale={scale}; expected 1 to 64")
    if attributes.choice("sample_type", "nearest", ("nearest", "bilinear")) == "bilinear":
        x, weights = layer[0], layer.array(1)
        kernel = 2 * scale - scale % 2
        pad = math.ceil((scale - 1) / 2)
        channels = dims(x)[1]
        _check_weights(weights, (channels, 1, kernel, kernel))
        pads = (pad, pad)
        return layers.deconvolution(x, weights, strides=(scale, scale), pads_begin=pads, pads_end=pads, groups=channels)
    values = layer.values()
    height = dims(values[0])[2] * scale
    if any(height % dims(value)[2] for value in values):
        raise ModelError(f"cannot bring its inputs {layer.shapes()} to the height {height}")
    grown = [layers.upsample(value, height // dims(value)[2]) for value in values]
    if attributes.choice("multi_input_mode", "concat", ("concat", "sum")) == "sum":
        return layers.binary("add", *grown)
    return layers.concat(grown, 1)


def _bilinear_resize(layer: Layer) -> Value:
    x, attributes = layer[0], layer.attributes
    height, width = dims(x)[2:]
    mode = attributes.text("mode", "size")
    align = "align_corners" if attributes.boolean("align_corners", True) else "half_pixel"
    scale = [attributes.number(key, 0) for key in ("scale_height", "scale_width")]
    if mode == "like":
        size = dims(layer[1])[2:]
    elif mode == "odd_scale":
        # Grows by the factor between pixel centres: an odd size stays odd.
        size = tuple(
            int(n * s) if not n % 2 else int((n - 1) * s) + 1 for n, s in zip((height, width), scale, strict=True)
        )
    elif mode == "size":
        given = (attributes.integer("height", 1), attributes.integer("width", 1))
        size = tuple(int(n * s) if s else g for n, s, g in zip((height, width), scale, given, strict=True))
    elif mode in ("to_even_down", "to_even_up", "to_odd_down", "to_odd_up"):
        odd, step = int("odd" in mode), 1 if mode.endswith("up") else -1
        size = tuple(n if n % 2 == odd else n + step for n in (height, width))
    else:
        raise ModelError(f"has mode={mode}, which MXNet does not have")
    if min(size) < 1:
        raise ModelError(f"has the size {size}; expected positive numbers")
    layers.check_size((*dims(x)[:2], *size), "its result")
    return layers.resize_linear(x, (size[0], size[1]), align)


OPERATORS: dict[str, Operator] = {
    **{name: lambda layer: layer[0] for name in PASS_THROUGH},
    **{name: lambda layer: layer[0] for name in LOSSES},
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
    "Activation": _activation,
    "AdaptiveAvgPooling2D": _adaptive_pooling,
    "BatchNorm": _batch_norm,
    "BilinearResize2D": _bilinear_resize,
    "Cast": _cast,
    "Concat": _concat,
    "Convolution": _convolution,
    "Crop": _crop,
    "Deconvolution": _deconvolution,
    "Embedding": _embedding,
    "Flatten": _flatten,
    "FullyConnected": _fully_connected,
    "InstanceNorm": _instance_norm,
    "L2Normalization": _l2_normalization,
    "LRN": _lrn,
    "LayerNorm": _layer_norm,
    "LeakyReLU": _leaky_relu,
    "LogisticRegressionOutput": _unary("sigmoid"),
    "MultiBoxDetection": detection.multi_box_detection,
    "MultiBoxPrior": detection.multi_box_prior,
    "Pad": _pad,
    "Pooling": _pooling,
    "ROIPooling": detection.roi_pooling,
    "Reshape": _reshape,
    "SliceChannel": _slice_channel,
    "SoftmaxActivation": _softmax_activation,
    "SoftmaxOutput": _softmax_output,
    "SwapAxis": _swap_axis,
    "UpSampling": _up_sampling,
    "Proposal": detection.proposal,
    "add_n": lambda layer: layers.binary("add", *layer.values()),
    "arange": _arange,
    "arange_like": _arange_like,
    "argmax": _arg("max"),
    "argmin": _arg("min"),
    "box_decode": detection.box_decode,
    "box_nms": detection.box_nms,
    "broadcast_axis": _broadcast_axis,
    "broadcast_like": _broadcast_like,
    "broadcast_to": _broadcast_to,
    "clip": _clip,
    "expand_dims": _expand_dims,
    "full": _filled(None),
    "hard_sigmoid": _hard_sigmoid,
    "log_softmax": _log_softmax,
    "max": _reduction(opset1.reduce_max),
    "mean": _reduction(opset1.reduce_mean),
    "min": _reduction(opset1.reduce_min),
    "norm": _norm,
    "ones": _filled(1),
    "prod": _reduction(opset1.reduce_prod),
    "repeat": _repeat,
    "reshape_like": _reshape_like,
    "slice": _slice,
    "slice_axis": _slice_axis,
    "slice_like": _slice_like,
    "softmax": _softmax,
    "squeeze": _squeeze,
    "stack": _stack,
    "sum": _reduction(opset1.reduce_sum),
    "take": _take,
    "tile": _tile,
    "transpose": _transpose,
    "where": _where,
    "zeros": _filled(0),
}
