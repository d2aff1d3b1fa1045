"""Normalisation, by stored statistics and by those of the values, and softmax."""

from __future__ import annotations

import math

from openvino import opset5

from saccade.errors import UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Value, dims
from saccade.formats.mxnet.graph import LAYERS, Layer


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


@LAYERS.builds("L2Normalization")
def _l2_normalization(layer: Layer) -> Value:
    x = layer.input()
    rank = len(dims(x))
    mode = layer.choice("mode", ("instance", "channel", "spatial"), "instance")
    axes = {"instance": range(1, rank), "channel": [1], "spatial": range(2, rank)}[mode]
    return layers.normalize_l2(x, axes=axes, epsilon=layer.number("eps", 1e-10))


@LAYERS.builds("LRN")
def _lrn(layer: Layer) -> Value:
    size = layer.integer("nsize")
    if size % 2 == 0:
        raise layer.error("nsize", "an odd number")
    return layers.lrn(
        layer.input(),
        size=size,
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


def _logits(layer: Layer) -> Value:
    """What a softmax is taken of."""
    temperature = layer.number("temperature", 1.0)
    if not temperature:
        raise layer.error("temperature", "a number other than 0")
    if len(layer) > 1:
        raise UnsupportedError("masks by length; only a plain softmax is supported")
    return layers.power(layer.input(), scale=1 / temperature)


@LAYERS.builds("softmax")
def _softmax(layer: Layer) -> Value:
    return layers.softmax(_logits(layer), layer.axis("axis", -1))


@LAYERS.builds("log_softmax")
def _log_softmax(layer: Layer) -> Value:
    return opset5.log_softmax(_logits(layer), layer.axis("axis", -1)).output(0)
