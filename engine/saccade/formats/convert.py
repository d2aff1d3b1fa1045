"""Keep any supported artifact as current OpenVINO IR."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov
from openvino import opset1
from openvino._offline_transformations import compress_model_transformation
from openvino.op import Constant
from openvino.utils import replace_node

from saccade.errors import ConfigError, ModelError
from saccade.formats import metadata
from saccade.formats.load import Artifact, ReadOptions, identify, read_with_metadata
from saccade.formats.shapes import Shapes
from saccade.storage import atomic

_WEIGHTED = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
)


def convert(
    path: str | os.PathLike[str] | Artifact,
    folder: str | os.PathLike[str],
    precision: Literal["f16", "f32"] = "f16",
    *,
    input_shapes: Shapes | None = None,
    options: ReadOptions | None = None,
    name: str = "",
) -> Path:
    """Write an artifact as current IR, its names and metadata kept, and return the path of the new .xml.

    folder : is made if it does not exist; the files appear in it complete or not at all.
    precision : how the weights of layers are stored; prior boxes and other small numbers stay float32.
    input_shapes, options : see `read_model` and `ReadOptions`. name : of the new files; by default the artifact's.
    """
    if precision not in ("f16", "f32"):
        raise ConfigError(f"precision {precision!r} cannot be stored; expected f16 or f32")
    artifact = path if isinstance(path, Artifact) else identify(path)
    target = Path(folder) / f"{name or artifact.name.removesuffix('-symbol')}.xml"
    if target.resolve() == artifact.path.resolve():
        raise ConfigError(f"{target} would overwrite the artifact itself; choose another folder")
    model, said = read_with_metadata(artifact, input_shapes, options)
    metadata.keep(model, said)
    save(model, target, precision)
    return target


def save(model: ov.Model, target: Path, precision: Literal["f16", "f32"]) -> None:
    """Write a model as `target` (.xml) and its .bin; at no moment does the .xml stand beside weights of another."""
    if precision == "f16":
        _compress(model)
        _mark(model)
    else:
        _expand(model)
    folder, stem = target.parent, target.stem
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".convert-") as work:
            ov.save_model(model, str(Path(work, f"{stem}.xml")), compress_to_fp16=False)
            target.unlink(missing_ok=True)
            atomic.move(Path(work, f"{stem}.bin"), target.with_suffix(".bin"))
            atomic.move(Path(work, f"{stem}.xml"), target)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror or error}; choose a writable folder") from error
    except RuntimeError as error:
        raise ModelError(f"{target.name}: OpenVINO cannot save this model: {error}") from error


def _compress(model: ov.Model) -> None:
    """Store the weights of layers as float16, except where that would overflow."""
    limit = float(np.finfo(np.float16).max)
    for node in model.get_ordered_ops():
        if node.get_type_name() not in _WEIGHTED or node.get_input_size() < 2:
            continue
        weights = node.input_value(1).get_node()
        if weights.get_type_name() == "Constant" and weights.get_element_type() == ov.Type.f32:
            values: Any = weights.data
            if not values.size or np.abs(values).max() < limit:
                half = opset1.convert(Constant(values.astype(np.float16)), "f32")
                half.set_friendly_name(weights.get_friendly_name())
                replace_node(weights, half)


def _mark(model: ov.Model) -> None:
    """Write OpenVINO's own mark on stored half-precision weights, so that loading them does not copy them twice.

    The mark in the file must be OpenVINO's attribute object, which Python cannot make: a small model gives one.
    """
    x = opset1.parameter([1, 16], np.float32)
    small = ov.Model([opset1.matmul(x, Constant(np.ones((16, 16), np.float32)), False, True)], [x], "small")
    compress_model_transformation(small)
    sample = next(node for node in small.get_ordered_ops() if node.get_type_name() == "Convert")
    for key, attribute in sample.get_rt_info().items():
        for node in model.get_ordered_ops():
            if _is_widening(node):
                node.set_rt_info(attribute, key)


def _expand(model: ov.Model) -> None:
    """Store float16 constants as float32."""
    for node in model.get_ordered_ops():
        if _is_widening(node):
            whole = Constant(node.input_value(0).get_node().data.astype(np.float32))
            whole.set_friendly_name(node.get_friendly_name())
            replace_node(node, whole)


def _is_widening(node: ov.Node) -> bool:
    """Tell whether a node turns a float16 constant into float32."""
    if node.get_type_name() != "Convert" or node.get_element_type() != ov.Type.f32:
        return False
    source = node.input_value(0).get_node()
    return bool(source.get_type_name() == "Constant" and source.get_element_type() == ov.Type.f16)
