"""What each MXNet operator computes at inference, as pieces of an `ov.Model` graph.

Defaults and corner cases are those of MXNet 1.9, which also hold for older symbols. Everything in the graph is
float32, as it is in MXNet for these networks: comparisons give 0 and 1, indices are floats until they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import openvino as ov
from openvino import opset1, opset4, opset5, opset7, opset8, opset9

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.importing import Built
from saccade.formats.layers import Array, Value, Window, axis_of, dims
from saccade.formats.mxnet.graph import LAYERS, Layer, index_of, scalar
from saccade.formats.mxnet.symbol import LOSSES, PASS_THROUGH

# ----------------------------------------------------------------------------------------- convolution and its friends


def _window(layer: Layer) -> Window:
    kernel = layer.integers("kernel")
    axes = len(kernel)
    if axes + 2 != len(layer.dims()) or not 1 <= axes <= 3:
        raise ModelError(f"has a kernel of {axes} axes for an input of the shape {layer.dims()}")
    if layer.text("layout", "NC")[:2] != "NC":
        raise UnsupportedError(f"has the layout {layer.text('layout')}; only channels-first is supported")
    stride, pad, dilate = (
        layer.integers(key, ()) or (usual,) * axes for key, usual in (("stride", 1), ("pad", 0), ("dilate", 1))
    )
    return Window(kernel, stride, pad, dilate)


def _bias(layer: Layer, count: int, *, no_bias: bool) -> Array | None:
    return None if layer.boolean("no_bias", no_bias) else layer.weights(2, count)


def _kernels(layer: Layer, window: Window, *, transposed: bool) -> tuple[Array, Array | None, int]:
    """Weights, bias and number of groups."""
    groups, filters = layer.integer("num_group", 1), layer.integer("num_filter", 0)
    shape = layers.kernel_shape(layer.dims()[1], filters, groups, window.kernel, transposed=transposed)
    return layer.weights(1, *shape), _bias(layer, filters, no_bias=transposed), groups


@LAYERS.builds("Convolution")
def _convolution(layer: Layer) -> Value:
    window = _window(layer)
    weights, bias, groups = _kernels(layer, window, transposed=False)
    return layers.convolution(layer.input(), weights, bias, window, groups=groups)


@LAYERS.builds("Deconvolution")
def _deconvolution(layer: Layer) -> Value:
    window, size = _window(layer), layer.dims()[2:]
    extra = layer.integers("adj", ()) or (0,) * len(size)
    target = layer.integers("target_shape", ())
    if any(target):
        # The padding that gives the size asked for; the odd pixel goes to the end.
        total = replace(window, pads=(0,) * len(size)).ends(target, size)
        if min(total) < 0:
            raise ModelError(f"cannot reach the target shape {target} from {size}")
        window, extra = replace(window, pads=tuple((t + 1) // 2 for t in total)), tuple(t % 2 for t in total)
    if len(extra) != len(size):
        raise ModelError(f"has adj {extra}; expected {len(size)} numbers")
    weights, bias, groups = _kernels(layer, window, transposed=True)
    return layers.deconvolution(layer.input(), weights, bias, window, groups=groups, output_padding=extra)


@LAYERS.builds("FullyConnected")
def _fully_connected(layer: Layer) -> Value:
    x, hidden = layer.input(), layer.integer("num_hidden", 0)
    flatten = layer.boolean("flatten", True)
    weights = layer.weights(1, hidden, math.prod(dims(x)[1:]) if flatten else dims(x)[-1])
    return layers.linear(x, weights, _bias(layer, hidden, no_bias=False), flatten=flatten)


@LAYERS.builds("BatchNorm")
def _batch_norm(layer: Layer) -> Value:
    x = layer.input()
    axis = layer.axis("axis", 1)
    gamma, beta, mean, variance = (layer.weights(slot, dims(x)[axis]) for slot in range(1, 5))
    # With fix_gamma the file's gamma is whatever training left there.
    scale, shift = layers.fold_batch_norm(
        mean,
        variance,
        layer.number("eps", 1e-3),
        None if layer.boolean("fix_gamma", True) else gamma,
        beta,
    )
    return layers.affine(x, scale, shift, axis)


@LAYERS.builds("InstanceNorm")
def _instance_norm(layer: Layer) -> Value:
    x = layer.input()
    y = layers.mvn(x, axes=range(2, len(dims(x))), epsilon=layer.number("eps", 1e-3))
    return layers.affine(y, layer.weights(1), layer.weights(2))


@LAYERS.builds("LayerNorm")
def _layer_norm(layer: Layer) -> Value:
    x = layer.input()
    axis = layer.axis("axis", -1)
    y = layers.mvn(x, axes=[axis], epsilon=layer.number("eps", 1e-5))
    return layers.affine(y, layer.weights(1), layer.weights(2), axis)


@LAYERS.builds("Pooling")
def _pooling(layer: Layer) -> Value:
    x = layer.input()
    method = layer.choice("pool_type", ("max", "avg", "sum"), "max")
    if layer.boolean("global_pool", False):
        return layers.global_pool(x, method)
    convention = layer.choice("pooling_convention", ("valid", "full", "same"), "valid")
    window, size = _window(layer), dims(x)[2:]
    if convention == "same":
        out = [-(-(n + 2 * p) // s) for n, s, p in zip(size, window.strides, window.pads, strict=True)]
    else:
        out = window.positions(size, round_up=convention == "full")
    if method == "max":
        return layers.max_pool(x, window, out)
    counted = layer.boolean("count_include_pad", True)
    if method == "avg":
        return layers.avg_pool(x, window, out, exclude_pad=not counted)
    # A sum has no divisor to correct, so padding of any kind may count.
    endless = [1 << 20] * len(size)
    mean = layers.avg_pool(x, window, out, exclude_pad=False, counted_end=endless)
    return layers.power(mean, scale=math.prod(window.kernel))


@LAYERS.builds("AdaptiveAvgPooling2D")
def _adaptive_pooling(layer: Layer) -> Value:
    size = layer.integers("output_size", ()) or (1,)
    size = size * 2 if len(size) == 1 else size
    return opset8.adaptive_avg_pool(layer.input(), layers.ints(size)).output(0)


# ------------------------------------------------------------------------------------------------- element by element


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


# ------------------------------------------------------------------------------------------------------- normalisation


@LAYERS.builds("L2Normalization")
def _l2_normalization(layer: Layer) -> Value:
    x = layer.input()
    rank = len(dims(x))
    mode = layer.choice("mode", ("instance", "channel", "spatial"), "instance")
    axes = {"instance": range(1, rank), "channel": [1], "spatial": range(2, rank)}[mode]
    return layers.normalize_l2(x, axes=axes, epsilon=layer.number("eps", 1e-10))


@LAYERS.builds("LRN")
def _lrn(layer: Layer) -> Value:
    return layers.lrn(
        layer.input(),
        size=layer.integer("nsize", 0),
        alpha=layer.number("alpha", 1e-4),
        beta=layer.number("beta", 0.75),
        bias=layer.number("knorm", 2),
    )


def _flat_softmax(x: Value) -> Value:
    """Softmax over all of each picture; the shape stays."""
    shape = dims(x)
    return layers.reshape(layers.softmax(layers.reshape(x, (shape[0], math.prod(shape[1:])))), shape)


@LAYERS.builds("SoftmaxActivation")
def _softmax_activation(layer: Layer) -> Value:
    channel = layer.choice("mode", ("instance", "channel"), "instance") == "channel"
    return layers.softmax(layer.input(), 1) if channel else _flat_softmax(layer.input())


@LAYERS.builds("SoftmaxOutput")
def _softmax_output(layer: Layer) -> Value:
    x = layer.input()
    if layer.boolean("multi_output", False):
        return layers.softmax(x, 1)
    if layer.boolean("preserve_shape", False):
        return layers.softmax(x, len(dims(x)) - 1)
    return _flat_softmax(x)


@LAYERS.builds("softmax")
def _softmax(layer: Layer) -> Value:
    x = layer.input()
    temperature = layer.number("temperature", 1.0)
    if len(layer) > 1:
        raise UnsupportedError("masks by length; only a plain softmax is supported")
    axis = layer.axis("axis", -1)
    return layers.softmax(layers.power(x, scale=1 / temperature), axis)


@LAYERS.builds("log_softmax")
def _log_softmax(layer: Layer) -> Value:
    x = layer.input()
    return opset5.log_softmax(x, layer.axis("axis", -1)).output(0)


def _reduced_axes(layer: Layer, rank: int) -> list[int]:
    axes = [axis_of(axis, rank) for axis in layer.integers("axis", ())]
    if layer.boolean("exclude", False):
        return [axis for axis in range(rank) if axis not in axes]
    return sorted(set(axes)) or list(range(rank))


def _reduction(build: Callable[..., ov.Node]) -> Callable[[Layer], Built]:
    def compute(layer: Layer) -> Value:
        x = layer.input()
        axes, keep = _reduced_axes(layer, len(dims(x))), layer.boolean("keepdims", False)
        y = build(x, layers.ints(axes), keep).output(0)
        return y if dims(y) else layers.reshape(y, (1,))  # MXNet has no values without axes

    return compute


@LAYERS.builds("norm")
def _norm(layer: Layer) -> Value | Sequence[Value]:
    return _reduction(opset4.reduce_l1 if layer.integer("ord", 2) == 1 else opset4.reduce_l2)(layer)


def _arg(mode: str) -> Callable[[Layer], Built]:
    def compute(layer: Layer) -> Value:
        x = layer.input()
        keep = layer.boolean("keepdims", False)
        if "axis" not in layer:
            x = layers.reshape(x, (math.prod(dims(x)),))
        axis = layer.axis("axis", 0)
        _, indices = layers.top_k(x, 1, axis=axis, mode=mode)
        shape = [size for a, size in enumerate(dims(indices)) if keep or a != axis]
        return layers.reshape(layers.as_float(indices), shape or (1,))

    return compute


# --------------------------------------------------------------------------------------------------------- shape moves


@LAYERS.builds("Flatten")
def _flatten(layer: Layer) -> Value:
    x = layer.input()
    return layers.reshape(x, (dims(x)[0], math.prod(dims(x)[1:])))


@LAYERS.builds("Reshape")
def _reshape(layer: Layer) -> Value:
    x = layer.input()
    codes = layer.integers("shape", ())
    if not codes:
        return layers.reshape(x, _old_target(layer))
    source = dims(x)
    if layer.boolean("reverse", False):
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


def _old_target(layer: Layer) -> tuple[int, ...]:
    """`target_shape` of the first releases: 0 is the size left open."""
    source = layer.dims()
    target = list(layer.integers("target_shape", ()))
    if not target:
        raise ModelError("has no shape")
    if layer.boolean("keep_highest", False):
        target[0] = source[0]
    return _coded_shape(source, tuple(size or -1 for size in target))


@LAYERS.builds("reshape_like")
def _reshape_like(layer: Layer) -> Value:
    if "lhs_begin" in layer or "rhs_begin" in layer:
        raise UnsupportedError("takes a part of the other's shape; only whole shapes are supported")
    return layers.reshape(layer.input(), layer.dims(1))


@LAYERS.builds("transpose")
def _transpose(layer: Layer) -> Value:
    x = layer.input()
    rank = len(dims(x))
    order = [axis_of(axis, rank) for axis in layer.integers("axes", ())] or list(range(rank))[::-1]
    return layers.transpose(x, order)


@LAYERS.builds("SwapAxis")
def _swap_axis(layer: Layer) -> Value:
    x = layer.input()
    order = list(range(len(dims(x))))
    one, two = (axis_of(layer.integer(key, 0), len(order)) for key in ("dim1", "dim2"))
    order[one], order[two] = order[two], order[one]
    return layers.transpose(x, order)


@LAYERS.builds("Concat")
def _concat(layer: Layer) -> Value:
    values = layer.values()
    return layers.concat(values, axis_of(layer.integer("dim", 1), len(dims(values[0]))))


@LAYERS.builds("stack")
def _stack(layer: Layer) -> Value:
    values = layer.values()
    axis = axis_of(layer.integer("axis", 0), len(dims(values[0])) + 1)
    shape = dims(values[0])
    shape = (*shape[:axis], 1, *shape[axis:])
    return layers.concat([layers.reshape(value, shape) for value in values], axis)


@LAYERS.builds("SliceChannel")
def _slice_channel(layer: Layer) -> list[Value]:
    x = layer.input()
    axis = layer.axis("axis", 1)
    count = layer.integer("num_outputs", 0)
    if not 1 <= count <= dims(x)[axis] or dims(x)[axis] % count:
        raise ModelError(f"cannot cut {dims(x)[axis]} into {count} equal parts")
    parts = layers.split(x, axis, [dims(x)[axis] // count] * count)
    if not layer.boolean("squeeze_axis", False):
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


@LAYERS.builds("slice_axis")
def _slice_axis(layer: Layer) -> Value:
    x = layer.input()
    axis = layer.axis("axis", 0)
    end = layer.integer("end", 0) if "end" in layer else None
    return _cut(x, {axis: (layer.integer("begin", 0), end, 1)})


@LAYERS.builds("slice")
def _slice(layer: Layer) -> Value:
    x = layer.input()
    begin, end = (layer.optional_integers(key) for key in ("begin", "end"))
    step = layer.optional_integers("step") or (None,) * len(begin)
    if len(begin) > len(dims(x)) or 0 in step:
        raise ModelError(f"has begin {begin} and step {step} for an input of the shape {dims(x)}")
    return _cut(x, dict(enumerate(zip(begin, end, step, strict=True))))


@LAYERS.builds("slice_like")
def _slice_like(layer: Layer) -> Value:
    x, like = layer.input(), layer.input(1)
    axes = layer.integers("axes", ()) or range(len(dims(x)))
    bounds = {axis_of(a, len(dims(x))): (0, dims(like)[axis_of(a, len(dims(like)))], 1) for a in axes}
    if any(dims(x)[axis] < (bound[1] or 0) for axis, bound in bounds.items()):
        raise ModelError(f"cannot cut {dims(like)} out of {dims(x)}")
    return _cut(x, bounds)


@LAYERS.builds("Crop")
def _crop(layer: Layer) -> Value:
    x = layer.input()
    height, width = dims(x)[2:]
    size = layer.integers("h_w", ()) or (0, 0)
    if len(layer) > 1:
        size = layer.dims(1)[2:]
    offset = layer.integers("offset", ()) or (0, 0)
    if layer.boolean("center_crop", False):
        offset = ((height - size[0]) // 2, (width - size[1]) // 2)
    if min(size) < 1 or min(offset) < 0 or offset[0] + size[0] > height or offset[1] + size[1] > width:
        raise ModelError(f"cannot crop {size} at {offset} out of {(height, width)}")
    return layers.crop(x, (0, 0, *offset), (*dims(x)[:2], *size))


@LAYERS.builds("Pad")
def _pad(layer: Layer) -> Value:
    x = layer.input()
    width = layer.integers("pad_width", ())
    if len(width) != 2 * len(dims(x)) or min(width) < 0:
        raise ModelError(f"has pad_width {width}; expected two numbers for each of {len(dims(x))} axes")
    mode = layer.choice("mode", ("constant", "edge", "reflect"), "constant")
    return layers.pad(x, width[::2], width[1::2], mode=mode, value=layer.number("constant_value", 0))


@LAYERS.builds("expand_dims")
def _expand_dims(layer: Layer) -> Value:
    x = layer.input()
    axis = axis_of(layer.integer("axis", 0), len(dims(x)) + 1)
    return layers.reshape(x, (*dims(x)[:axis], 1, *dims(x)[axis:]))


@LAYERS.builds("squeeze")
def _squeeze(layer: Layer) -> Value:
    x = layer.input()
    axes = [axis_of(axis, len(dims(x))) for axis in layer.integers("axis", ())]
    if any(dims(x)[axis] != 1 for axis in axes):
        raise ModelError(f"cannot drop the axes {axes} of {dims(x)}; their size is not 1")
    kept = tuple(size for a, size in enumerate(dims(x)) if (a not in axes if axes else size != 1))
    return layers.reshape(x, kept or (1,))


@LAYERS.builds("tile")
def _tile(layer: Layer) -> Value:
    x = layer.input()
    repeats = layer.integers("reps", ()) or (1,)
    shape = (1,) * (len(repeats) - len(dims(x))) + dims(x)
    repeats = (1,) * (len(shape) - len(repeats)) + repeats
    layers.check_size([size * count for size, count in zip(shape, repeats, strict=True)], "its result")
    if min(repeats) < 1:
        raise ModelError(f"has reps {repeats}; expected positive numbers")
    return opset1.tile(layers.reshape(x, shape), layers.ints(repeats)).output(0)


@LAYERS.builds("repeat")
def _repeat(layer: Layer) -> Value:
    x, count = layer.input(), layer.integer("repeats", 1)
    if "axis" not in layer:
        x = layers.reshape(x, (math.prod(dims(x)),))
    axis = layer.axis("axis", 0)
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


@LAYERS.builds("broadcast_to")
def _broadcast_to(layer: Layer) -> Value:
    x = layer.input()
    shape = layer.integers("shape", ())
    if len(shape) != len(dims(x)):
        raise ModelError(f"cannot spread {dims(x)} to {shape}")
    return _broadcast(x, [size or own for size, own in zip(shape, dims(x), strict=True)])


@LAYERS.builds("broadcast_axis")
def _broadcast_axis(layer: Layer) -> Value:
    x = layer.input()
    shape = list(dims(x))
    for axis, size in zip(layer.integers("axis", ()), layer.integers("size", ()), strict=True):
        shape[axis_of(axis, len(shape))] = size
    return _broadcast(x, shape)


@LAYERS.builds("broadcast_like")
def _broadcast_like(layer: Layer) -> Value:
    x, like = layer.input(), layer.input(1)
    own, other = (layer.integers(key, ()) for key in ("lhs_axes", "rhs_axes"))
    if not own and not other:
        return _broadcast(x, dims(like))
    shape = list(dims(x))
    for axis, source in zip(own, other, strict=True):
        shape[axis_of(axis, len(shape))] = dims(like)[axis_of(source, len(dims(like)))]
    return _broadcast(x, shape)


# ----------------------------------------------------------------------------------------------------- tables, indices


@LAYERS.builds("Embedding")
def _embedding(layer: Layer) -> Value:
    table = layer.weights(1)
    return layers.gather(layers.constant(table), index_of(layer.input(), len(table)))


@LAYERS.builds("take")
def _take(layer: Layer) -> Value:
    x, indices = layer.input(), layer.input(1)
    axis = layer.axis("axis", 0)
    size = dims(x)[axis]
    if layer.choice("mode", ("clip", "wrap", "raise"), "clip") == "wrap":
        indices = layers.binary("floor_mod", indices, scalar(size))
    return layers.gather(x, index_of(indices, size), axis)


@LAYERS.builds("arange")
def _arange(layer: Layer) -> Value:
    start, step = layer.number("start", 0), layer.number("step", 1)
    repeat = layer.integer("repeat", 1)
    if "stop" not in layer and layer.boolean("infer_range", False):
        raise UnsupportedError("has no end; only ranges of a known length are supported")
    stop = layer.number("stop", 0)
    if "stop" not in layer:
        start, stop = 0.0, start
    count = math.ceil((stop - start) / step) if step and math.isfinite((stop - start) / step) else 0
    if count < 1 or repeat < 1:
        raise ModelError(f"goes from {start} to {stop} by {step}, {repeat} times each: no numbers")
    layers.check_size([count, repeat], "its result")
    return layers.constant(np.repeat((start + step * np.arange(count)).astype(np.float32), repeat))


@LAYERS.builds("arange_like")
def _arange_like(layer: Layer) -> Value:
    x = layer.input()
    shape = dims(x)
    if "axis" in layer:
        shape = (shape[axis_of(layer.integer("axis", 0), len(shape))],)
    repeat = layer.integer("repeat", 1)
    if repeat < 1:
        raise ModelError(f"has repeat={repeat}; expected a positive number")
    steps = np.arange(math.prod(shape)) // repeat
    numbers = layer.number("start", 0) + layer.number("step", 1) * steps
    return layers.constant(numbers.astype(np.float32).reshape(shape))


def _filled(value: float | None) -> Callable[[Layer], Built]:
    def compute(layer: Layer) -> Value:
        shape = layer.integers("shape", ())
        if not shape or min(shape) < 1:
            raise ModelError(f"has the shape {shape}; expected positive sizes")
        layers.check_size(shape, "it")
        number = layer.number("value", 0) if value is None else value
        return layers.constant(np.full(shape, number, np.float32))

    return compute


# ------------------------------------------------------------------------------------------------------------- resizing


@LAYERS.builds("UpSampling")
def _up_sampling(layer: Layer) -> Value:
    scale = layer.integer("scale", 1)
    if not 1 <= scale <= 64:
        raise ModelError(f"has scale={scale}; expected 1 to 64")
    if layer.choice("sample_type", ("nearest", "bilinear"), "nearest") == "bilinear":
        channels, kernel, pad = layer.dims()[1], 2 * scale - scale % 2, math.ceil((scale - 1) / 2)
        window = Window(*((number,) * 2 for number in (kernel, scale, pad, 1)))
        weights = layer.weights(1, channels, 1, kernel, kernel)
        return layers.deconvolution(layer.input(), weights, None, window, groups=channels)
    values = layer.values()
    height = dims(values[0])[2] * scale
    if any(height % dims(value)[2] for value in values):
        raise ModelError(f"cannot bring its inputs {layer.shapes()} to the height {height}")
    grown = [layers.upsample(value, height // dims(value)[2]) for value in values]
    if layer.choice("multi_input_mode", ("concat", "sum"), "concat") == "sum":
        return layers.binary("add", *grown)
    return layers.concat(grown, 1)


@LAYERS.builds("BilinearResize2D")
def _bilinear_resize(layer: Layer) -> Value:
    x = layer.input()
    height, width = dims(x)[2:]
    mode = layer.text("mode", "size")
    align = "align_corners" if layer.boolean("align_corners", True) else "half_pixel"
    scale = [layer.number(key, 0) for key in ("scale_height", "scale_width")]
    if mode == "like":
        size = layer.dims(1)[2:]
    elif mode == "odd_scale":
        # Grows by the factor between pixel centres: an odd size stays odd.
        size = tuple(
            int(n * s) if not n % 2 else int((n - 1) * s) + 1 for n, s in zip((height, width), scale, strict=True)
        )
    elif mode == "size":
        given = (layer.integer("height", 1), layer.integer("width", 1))
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


LAYERS |= {
    **{name: lambda layer: layer.input() for name in (PASS_THROUGH | LOSSES) - LAYERS.keys()},
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
    "argmax": _arg("max"),
    "argmin": _arg("min"),
    "full": _filled(None),
    "max": _reduction(opset1.reduce_max),
    "mean": _reduction(opset1.reduce_mean),
    "min": _reduction(opset1.reduce_min),
    "ones": _filled(1),
    "prod": _reduction(opset1.reduce_prod),
    "sum": _reduction(opset1.reduce_sum),
    "zeros": _filled(0),
}
