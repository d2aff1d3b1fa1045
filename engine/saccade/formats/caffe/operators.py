"""What each Caffe layer computes in the TEST phase, as pieces of an `ov.Model` graph.

Defaults are those of `caffe.proto` of BVLC and of the SSD branch (PriorBox, DetectionOutput, Permute, Normalize).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from openvino import opset1, opset3, opset4, opset6

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import importing, layers
from saccade.formats.caffe.prototxt import PrototxtMessage
from saccade.formats.importing import Built, LayerTable
from saccade.formats.layers import Array, Value, Window, axis_of, dims

_FLOAT_MAX = float(np.finfo(np.float32).max)


class Layer(importing.Layer):
    """One layer with what it works on; `message` is the file's own."""

    __slots__ = ("_read", "blobs", "message", "tops")

    def __init__(self, message: PrototxtMessage, kind: str) -> None:
        super().__init__(kind, message.text("name", ""), {})
        self.message = message
        self.tops = message.texts("top")
        self.blobs: list[Array] = []
        self._read = 0

    def options(self, kind: str) -> PrototxtMessage:
        """The layer's parameter block of that name."""
        return self.message.message(kind)

    def weights(self, index: int, *shape: int) -> Array:
        """A blob of weights in the shape that it must have; old files put ones in front of it."""
        if index >= len(self.blobs):
            raise ModelError(f"has {len(self.blobs)} blobs of weights; expected at least {index + 1}")
        self._read = max(self._read, index + 1)
        return importing.fitted(self.blobs[index], shape)

    def check_all_read(self) -> None:
        """Refuse weights that a builder has left: a fork of Caffe computes more with them than Caffe does."""
        if 0 < self._read < len(self.blobs):
            raise UnsupportedError(
                f"{self} has {len(self.blobs)} blobs of weights, of which such a layer has {self._read} in Caffe; "
                "expected a network without extensions of other Caffes"
            )


LAYERS: LayerTable[Layer] = LayerTable()

_WITH_WEIGHTS = frozenset(
    {
        "Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "Deconvolution", "InnerProduct", "BatchNorm",
        "PReLU", "Normalize",
    }
)  # fmt: skip


def needs_weights(layer: Layer) -> bool:
    """True where a layer is nothing without its blobs."""
    if layer.kind in ("Scale", "Bias"):
        return len(layer.message.texts("bottom")) < 2
    return layer.kind in _WITH_WEIGHTS


# ----------------------------------------------------------------------------------------- convolution and its friends


def _pair(options: PrototxtMessage, name: str, short: str, default: int, axes: int) -> tuple[int, ...]:
    """A window's numbers for each axis: repeated, one for all, or `_h` and `_w`."""
    if f"{short}_h" in options or f"{short}_w" in options:
        return (options.integer(f"{short}_h", default), options.integer(f"{short}_w", default))
    values = options.integers(name, ()) or [default]
    if len(values) not in (1, axes):
        raise ModelError(f"has {len(values)} numbers for {name}; expected 1 or {axes}")
    return tuple(values * axes if len(values) == 1 else values)


def _window(options: PrototxtMessage, axes: int) -> Window:
    return Window(
        _pair(options, "kernel_size", "kernel", 0, axes),
        _pair(options, "stride", "stride", 1, axes),
        _pair(options, "pad", "pad", 0, axes),
        _pair(options, "dilation", "dilation", 1, axes),
    )


@LAYERS.builds("Convolution", "ConvolutionDepthwise", "Deconvolution", "DepthwiseConvolution")
def _convolution(layer: Layer) -> Value:
    options, channels = layer.options("convolution_param"), layer.dims()[1]
    window, filters = _window(options, len(layer.dims()) - 2), options.integer("num_output", 0)
    depthwise = layer.kind in ("DepthwiseConvolution", "ConvolutionDepthwise")
    groups = options.integer("group", channels if depthwise else 1)
    transposed = layer.kind == "Deconvolution"
    shape = layers.kernel_shape(channels, filters, groups, window.kernel, transposed=transposed)
    weights = layer.weights(0, *shape)
    bias = layer.weights(1, filters) if options.boolean("bias_term", True) else None
    make = layers.deconvolution if transposed else layers.convolution
    return make(layer.input(), weights, bias, window, groups=groups)


@LAYERS.builds("InnerProduct")
def _inner_product(layer: Layer) -> Value:
    options, x = layer.options("inner_product_param"), layer.input()
    shape = dims(x)
    axis = axis_of(options.integer("axis", 1), len(shape))
    inputs, outputs = math.prod(shape[axis:]), options.integer("num_output", 0)
    if options.boolean("transpose", False):
        weights = np.ascontiguousarray(layer.weights(0, inputs, outputs).T)
    else:
        weights = layer.weights(0, outputs, inputs)
    bias = layer.weights(1, outputs) if options.boolean("bias_term", True) else None
    y = layers.linear(layers.reshape(x, (math.prod(shape[:axis]), inputs)), weights, bias)
    return layers.reshape(y, (*shape[:axis], outputs))


@LAYERS.builds("BatchNorm")
def _batch_norm(layer: Layer) -> Value:
    options, x = layer.options("batch_norm_param"), layer.input()
    epsilon = options.number("eps", 1e-5)
    if not options.boolean("use_global_stats", True):
        axes = [axis for axis in range(len(dims(x))) if axis != 1]
        return layers.mvn(x, axes=axes, epsilon=epsilon)
    channels = dims(x)[1]
    weight = float(layer.weights(2, 1)[0])
    factor = 1 / weight if weight else 0.0  # the sums are those of as many batches
    mean, variance = (layers.floats(layer.weights(index, channels)) * np.float32(factor) for index in range(2))
    return layers.affine(x, *layers.fold_batch_norm(mean, variance, epsilon))


@LAYERS.builds("Pooling")
def _pooling(layer: Layer) -> Value:
    options, x = layer.options("pooling_param"), layer.input()
    method = options.choice("pool", ("MAX", "AVE", "STOCHASTIC"))
    if method == "STOCHASTIC":
        raise UnsupportedError("pools at random; only MAX and AVE are supported")
    if options.boolean("global_pooling", False):
        return layers.global_pool(x, "max" if method == "MAX" else "avg")
    window = _window(options, len(dims(x)) - 2)
    up = options.boolean("ceil_mode", True) and options.choice("round_mode", ("CEIL", "FLOOR")) == "CEIL"
    out = window.positions(dims(x)[2:], round_up=up, clip=any(window.pads))
    if method == "MAX":
        return layers.max_pool(x, window, out)
    return layers.avg_pool(x, window, out, exclude_pad=False)


# ------------------------------------------------------------------------------------------------- element by element


def _placed(values: Value, whole: tuple[int, ...], axis: int) -> Value:
    """Ones around a shape, so that it lies at `axis` of another one."""
    shape = dims(values)
    if whole[axis : axis + len(shape)] != shape:
        raise ModelError(f"cannot lay {shape} at axis {axis} of {whole}")
    return layers.reshape(values, (1,) * axis + shape + (1,) * (len(whole) - axis - len(shape)))


def _factor(layer: Layer, options: PrototxtMessage, index: int) -> Value:
    """What a Scale or Bias layer multiplies by or adds: its second bottom, or its blob."""
    whole = layer.dims()
    axis = axis_of(options.integer("axis", 1), len(whole))
    if len(layer.inputs) > 1 and index == 0:
        return _placed(layer.input(1), whole, axis)
    count = options.integer("num_axes", 1, least=-1)
    if len(layer.inputs) > 1:
        count = len(layer.dims(1))
    shape = whole[axis:] if count == -1 else whole[axis : axis + count]
    # With a second bottom the blobs begin with the bias.
    blob = layer.weights(index - 1 if len(layer.inputs) > 1 else index, *shape)
    return _placed(layers.constant(layers.floats(blob)), whole, axis)


@LAYERS.builds("Scale")
def _scale(layer: Layer) -> Value:
    options = layer.options("scale_param")
    y = layers.binary("mul", layer.input(), _factor(layer, options, 0))
    if options.boolean("bias_term", False):
        y = layers.binary("add", y, _factor(layer, options, 1))
    return y


@LAYERS.builds("Bias")
def _bias(layer: Layer) -> Value:
    return layers.binary("add", layer.input(), _factor(layer, layer.options("bias_param"), 0))


@LAYERS.builds("ReLU")
def _relu(layer: Layer) -> Value:
    return layers.leaky_relu(layer.input(), layer.options("relu_param").number("negative_slope", 0))


@LAYERS.builds("PReLU")
def _prelu(layer: Layer) -> Value:
    shared = layer.options("prelu_param").boolean("channel_shared", False)
    return layers.prelu(layer.input(), layer.weights(0, 1 if shared else layer.dims()[1]))


@LAYERS.builds("ELU")
def _elu(layer: Layer) -> Value:
    return layers.elu(layer.input(), layer.options("elu_param").number("alpha", 1))


def _unary(name: str) -> Callable[[Layer], Built]:
    return lambda layer: layers.unary(name, layer.input())


@LAYERS.builds("Power")
def _power(layer: Layer) -> Value:
    options = layer.options("power_param")
    return layers.power(
        layer.input(), options.number("power", 1), options.number("scale", 1), options.number("shift", 0)
    )


def _inner(layer: Layer, options: PrototxtMessage) -> tuple[Value, float]:
    """`shift + scale * x`, and the logarithm of the base (e where it is -1)."""
    base = options.number("base", -1)
    if base != -1 and (base <= 0 or base == 1):
        raise ModelError(f"has base {base}; expected a positive number, or -1 for e")
    x = layers.power(layer.input(), scale=options.number("scale", 1), shift=options.number("shift", 0))
    return x, 1.0 if base == -1 else math.log(base)


@LAYERS.builds("Exp")
def _exp(layer: Layer) -> Value:
    x, logarithm = _inner(layer, layer.options("exp_param"))
    return layers.unary("exp", layers.power(x, scale=logarithm))


@LAYERS.builds("Log")
def _log(layer: Layer) -> Value:
    x, logarithm = _inner(layer, layer.options("log_param"))
    return layers.power(layers.unary("log", x), scale=1 / logarithm)


@LAYERS.builds("Eltwise")
def _eltwise(layer: Layer) -> Value:
    options = layer.options("eltwise_param")
    operation = options.choice("operation", ("PROD", "SUM", "MAX"), "SUM")
    layer.input()
    if operation == "SUM":
        return layers.weighted_sum(layer.inputs, options.numbers("coeff", ()))
    return layers.binary("mul" if operation == "PROD" else "max", *layer.inputs)


# ------------------------------------------------------------------------------------------------------- normalisation


@LAYERS.builds("LRN")
def _lrn(layer: Layer) -> Value:
    options = layer.options("lrn_param")
    within = options.choice("norm_region", ("ACROSS_CHANNELS", "WITHIN_CHANNEL")) == "WITHIN_CHANNEL"
    size = options.integer("local_size", 5)
    if size % 2 == 0:
        raise options.error("local_size", "an odd number")
    return layers.lrn(
        layer.input(),
        size=size,
        alpha=options.number("alpha", 1),
        beta=options.number("beta", 0.75),
        bias=1 if within else options.number("k", 1),
        axes=(2, 3) if within else (1,),
    )


@LAYERS.builds("MVN")
def _mvn(layer: Layer) -> Value:
    options, x = layer.options("mvn_param"), layer.input()
    axes = range(1 if options.boolean("across_channels", False) else 2, len(dims(x)))
    variance = options.boolean("normalize_variance", True)
    return opset6.mvn(x, layers.ints(axes), variance, options.number("eps", 1e-9), "outside_sqrt").output(0)


@LAYERS.builds("Normalize")
def _normalize(layer: Layer) -> Value:
    options, x = layer.options("norm_param"), layer.input()
    axes = range(1, len(dims(x))) if options.boolean("across_spatial", True) else [1]
    shape = (1,) if options.boolean("channel_shared", True) else (dims(x)[1],)
    return layers.normalize_l2(x, axes=axes, epsilon=options.number("eps", 1e-10), scale=layer.weights(0, *shape))


@LAYERS.builds("Softmax")
def _softmax(layer: Layer) -> Value:
    return layers.softmax(layer.input(), axis_of(layer.options("softmax_param").integer("axis", 1), len(layer.dims())))


# --------------------------------------------------------------------------------------------------------- shape moves


@LAYERS.builds("Concat")
def _concat(layer: Layer) -> Value:
    options = layer.options("concat_param")
    axis = options.integer("axis", options.integer("concat_dim", 1))
    return layers.concat(layer.inputs, axis_of(axis, len(layer.dims())))


@LAYERS.builds("Slice")
def _slice(layer: Layer) -> list[Value]:
    options, x = layer.options("slice_param"), layer.input()
    axis = axis_of(options.integer("axis", options.integer("slice_dim", 1)), len(dims(x)))
    size, count = dims(x)[axis], len(layer.tops)
    points = options.integers("slice_point", ())
    if not points and count and size % count == 0:
        points = tuple(size // count * i for i in range(1, count))
    edges = [0, *points, size]
    if len(edges) != count + 1 or any(a >= b for a, b in pairwise(edges)):
        raise ModelError(f"cannot cut {size} at {points} into {count} parts")
    return layers.split(x, axis, [b - a for a, b in pairwise(edges)])


@LAYERS.builds("Split")
def _split(layer: Layer) -> list[Value]:
    return [layer.input()] * len(layer.tops)


@LAYERS.builds("Flatten")
def _flatten(layer: Layer) -> Value:
    options, shape = layer.options("flatten_param"), layer.dims()
    start, end = (
        axis_of(options.integer("axis", 1), len(shape)),
        axis_of(options.integer("end_axis", -1), len(shape)),
    )
    return layers.reshape(layer.input(), (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


@LAYERS.builds("Reshape")
def _reshape(layer: Layer) -> Value:
    options, source = layer.options("reshape_param"), layer.dims()
    start = options.integer("axis", 0)
    start = start if start >= 0 else start + len(source) + 1
    count = options.integer("num_axes", -1)
    end = len(source) if count == -1 else start + count
    if not 0 <= start <= end <= len(source):
        raise ModelError(f"reshapes the axes {start} to {end} of {source}")
    middle = list(source[start:end])
    sizes = options.message("shape").integers("dim", ())
    if any(size == 0 for size in sizes[len(middle) :]):
        raise ModelError(f"keeps the size of an axis that {tuple(middle)} does not have: {sizes}")
    target = [middle[i] if size == 0 else size for i, size in enumerate(sizes)]
    if target.count(-1) > 1 or any(size < -1 for size in target):
        raise ModelError(f"has the shape {target}; only one size can be left open")
    if -1 in target:
        known = -math.prod(target)
        if math.prod(middle) % known:
            raise ModelError(f"cannot turn {tuple(middle)} into {target}")
        target[target.index(-1)] = math.prod(middle) // known
    if math.prod(target) != math.prod(middle):
        raise ModelError(f"cannot turn {tuple(middle)} into {target}")
    return layers.reshape(layer.input(), (*source[:start], *target, *source[end:]))


@LAYERS.builds("Permute")
def _permute(layer: Layer) -> Value:
    rank = len(layer.dims())
    order = [axis_of(axis, rank) for axis in layer.options("permute_param").integers("order", ())]
    if len(set(order)) != len(order):
        raise ModelError(f"has the order {order}, which names an axis twice")
    return layers.transpose(layer.input(), order + [axis for axis in range(rank) if axis not in order])


@LAYERS.builds("Crop")
def _crop(layer: Layer) -> Value:
    options, x, like = layer.options("crop_param"), layer.input(), layer.input(1)
    rank = len(dims(x))
    axis, offsets = axis_of(options.integer("axis", 2), rank), options.integers("offset", ()) or (0,)
    if len(offsets) not in (1, rank - axis) or len(dims(like)) != rank:
        raise ModelError(f"has offsets {offsets} to crop {dims(x)} to {dims(like)} from axis {axis}")
    begin = (0,) * axis + (offsets * (rank - axis) if len(offsets) == 1 else offsets)
    size = [*dims(x)[:axis], *dims(like)[axis:]]
    if any(b < 0 or b + s > n for b, s, n in zip(begin, size, dims(x), strict=True)):
        raise ModelError(f"cannot crop {tuple(size)} at {begin} out of {dims(x)}")
    return layers.crop(x, begin, size)


@LAYERS.builds("Tile")
def _tile(layer: Layer) -> Value:
    options, x = layer.options("tile_param"), layer.input()
    axis, count = axis_of(options.integer("axis", 1), len(dims(x))), options.integer("tiles", 0)
    if count < 1:
        raise ModelError(f"has tiles={count}; expected a positive number")
    layers.check_size((*dims(x), count), str(layer))
    return opset1.tile(x, layers.ints([count if a == axis else 1 for a in range(len(dims(x)))])).output(0)


@LAYERS.builds("ArgMax")
def _arg_max(layer: Layer) -> Value:
    options, x = layer.options("argmax_param"), layer.input()
    count, with_value = options.integer("top_k", 1), options.boolean("out_max_val", False)
    if "axis" in options:
        axis = axis_of(options.integer("axis", 0), len(dims(x)))
        values, indices = layers.top_k(x, count, axis=axis)
        return values if with_value else layers.as_float(indices)
    batch, *rest = dims(x)
    values, indices = layers.top_k(layers.reshape(x, (batch, math.prod(rest))), count, axis=1)
    shape = (batch, 1, count, *(1 for _ in rest[2:]))
    rows = [layers.reshape(layers.as_float(part), shape) for part in (indices, values)]
    return layers.concat(rows if with_value else rows[:1], 1)


# ------------------------------------------------------------------------------------------------------------- resizing


@LAYERS.builds("Interp")
def _interp(layer: Layer) -> Value:
    options, x = layer.options("interp_param"), layer.input()
    before, after = options.integer("pad_beg", 0), options.integer("pad_end", 0)
    if max(before, after) > 0:
        raise UnsupportedError("pads before it resizes; only cropping (negative padding) is supported")
    size = [n + before + after for n in dims(x)[2:]]
    if len(size) != 2 or min(size) < 1:
        raise ModelError(f"cannot crop {-before} and {-after} px from {dims(x)}")
    x = layers.crop(x, (0, 0, -before, -before), (*dims(x)[:2], *size))
    shrink, zoom = options.integer("shrink_factor", 1), options.integer("zoom_factor", 1)
    if "height" in options or "width" in options:
        size = [options.integer("height", size[0]), options.integer("width", size[1])]
    elif len(layer.inputs) > 1:
        size = list(layer.dims(1)[2:])
    else:
        size = [(n - 1) // max(1, shrink) + 1 for n in size]
        size = [n + (n - 1) * (zoom - 1) for n in size]
    if len(size) != 2 or min(*size, shrink, zoom) < 1:
        raise ModelError(f"resizes to {size} with shrink_factor {shrink} and zoom_factor {zoom}")
    layers.check_size((*dims(x)[:2], *size), str(layer))
    return layers.resize_linear(x, (size[0], size[1]), "align_corners")


@LAYERS.builds("Upsample")
def _upsample(layer: Layer) -> Value:
    options = layer.options("upsample_param")
    if len(layer.inputs) > 1:
        raise UnsupportedError("puts maxima back where pooling found them; only repeated pixels are supported")
    scale = options.integer("scale", 2)
    factors = (options.integer("scale_h", scale), options.integer("scale_w", scale))
    if not all(1 <= factor <= 64 for factor in factors):
        raise ModelError(f"has the scale {factors}; expected 1 to 64")
    size = [n * factor for n, factor in zip(layer.dims()[2:], factors, strict=True)]
    return layers.resize_nearest(layer.input(), size)


@LAYERS.builds("Reorg")
def _reorg(layer: Layer) -> Value:
    options = layer.options("reorg_param")
    if options.boolean("reverse", False):
        raise UnsupportedError("moves channels back into space; only the forward direction is supported")
    return layers.reorg(layer.input(), options.integer("stride", 2))


@LAYERS.builds("ShuffleChannel")
def _shuffle_channel(layer: Layer) -> Value:
    groups = layer.options("shuffle_channel_param").integer("group", 1)
    if groups < 1 or layer.dims()[1] % groups:
        raise ModelError(f"cannot shuffle {layer.dims()[1]} channels in {groups} groups")
    return opset3.shuffle_channels(layer.input(), 1, groups).output(0)


# ----------------------------------------------------------------------------------------------- detectors and regions


@LAYERS.builds("PriorBox")
def _prior_box(layer: Layer) -> Value:
    options = layer.options("prior_box_param")
    feature, picture = layer.dims()[2:], layer.dims(1)[2:]
    image = _height_width(options, "img", "img_size", picture)
    step = _height_width(options, "step", "step", (0, 0))
    step = (step[0] or image[0] / feature[0], step[1] or image[1] / feature[1])
    ratios = layers.distinct_ratios(options.numbers("aspect_ratio", ()), flip=options.boolean("flip", True))
    low, high = options.numbers("min_size", ()), options.numbers("max_size", ())
    paired = len(high) in (0, len(low)) and all(a < b for a, b in zip(low, high, strict=False))
    if not low or min(low) <= 0 or not paired:
        raise ModelError(
            f"has min_size {low} and max_size {high}; expected positive numbers, and as many larger ones or none"
        )
    boxes = layers.ssd_box_sizes(low, high, ratios)
    layers.check_size((*feature, len(boxes), 8), str(layer))
    priors = layers.prior_boxes(
        boxes,
        feature=(feature[0], feature[1]),
        image=(int(image[0]), int(image[1])),
        step=step,
        offset=options.number("offset", 0.5),
        clip=options.boolean("clip", False),
        variances=options.numbers("variance", ()) or (0.1,),
    )
    return layers.constant(priors[None])


def _height_width(options: PrototxtMessage, stem: str, both: str, default: Sequence[float]) -> tuple[float, float]:
    if f"{stem}_h" in options or f"{stem}_w" in options:
        return options.number(f"{stem}_h", default[0]), options.number(f"{stem}_w", default[1])
    return options.number(both, default[0]), options.number(both, default[1])


@LAYERS.builds("DetectionOutput")
def _detection_output(layer: Layer) -> Value:
    options = layer.options("detection_output_param")
    nms = options.message("nms_param")
    if nms.number("eta", 1) != 1:
        raise UnsupportedError("lowers its overlap threshold from box to box (eta); only a fixed one is supported")
    classes, best, keep = options.integer("num_classes", 0), nms.integer("top_k", -1), options.integer("keep_top_k", -1)
    loc, conf, priors = layer.input(), layer.input(1), layer.input(2)
    batch, boxes = dims(loc)[0], dims(priors)[2] // 4
    share = options.boolean("share_location", True)
    expected = (batch * boxes * 4 * (1 if share else classes), batch * boxes * classes)
    if classes < 1 or (math.prod(dims(loc)), math.prod(dims(conf))) != expected:
        raise ModelError(f"has {classes} classes and inputs that do not fit: {dims(loc)}, {dims(conf)}, {dims(priors)}")
    most = classes * (min(best, boxes) if best > 0 else boxes)
    return layers.detection_output(
        layers.reshape(loc, (batch, expected[0] // batch)),
        layers.reshape(conf, (batch, expected[1] // batch)),
        priors,
        num_classes=classes,
        background_label=options.integer("background_label_id", 0),
        top_k=best,
        keep_top_k=min(keep, most) if keep > 0 else most,
        nms_threshold=nms.number("nms_threshold", 0.3),
        confidence_threshold=options.number("confidence_threshold", -_FLOAT_MAX),
        code_type=options.choice("code_type", ("", "CORNER", "CENTER_SIZE", "CORNER_SIZE"), "CORNER"),
        share_location=share,
        variance_encoded_in_target=options.boolean("variance_encoded_in_target", False),
    )


@LAYERS.builds("ROIPooling")
def _roi_pooling(layer: Layer) -> Value:
    options = layer.options("roi_pooling_param")
    size = (options.integer("pooled_h", 0), options.integer("pooled_w", 0))
    return layers.roi_pooling(
        layer.input(), layer.input(1), size=size, spatial_scale=options.number("spatial_scale", 1)
    )


LAYERS |= {
    "AbsVal": _unary("abs"),
    "BNLL": lambda layer: opset4.softplus(layer.input()).output(0),
    "Dropout": lambda layer: layer.input(),
    "ReLU6": lambda layer: layers.clamp(layer.input(), 0, 6),
    "Sigmoid": _unary("sigmoid"),
    "TanH": _unary("tanh"),
}
