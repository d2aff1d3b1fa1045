"""The single door for model files: by content and suffix to an `ov.Model` with static shapes.

OpenVINO reads IR v10 and later, ONNX, TFLite and TensorFlow graphs; saccade's own importers read what OpenVINO has
dropped (IR v2-v7, MXNet, Caffe). A file is looked at before any parser sees it, so that the usual accidents (an HTML
page saved as a model, a git-LFS pointer, a truncated download, weights left behind) give one clear sentence.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import openvino as ov

from saccade.errors import ModelError, UnsupportedError
from saccade.models import ir
from saccade.models.devices import core, reason
from saccade.models.files import read_head

Format = Literal["ir", "legacy-ir", "onnx", "tflite", "tensorflow", "mxnet", "caffe"]

Shapes = Mapping[str, Sequence[int]] | Sequence[int]
"""Input shapes by input name; a plain sequence of numbers stands for the only input."""

_MODERN_IR = 10

_SUFFIXES: dict[str, Format] = {
    ".xml": "ir",
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".pb": "tensorflow",
    ".pbtxt": "tensorflow",
    ".json": "mxnet",
    ".prototxt": "caffe",
}

_IMPORTERS: dict[Format, str] = {
    "legacy-ir": "legacy_ir",
    "mxnet": "mxnet",
    "caffe": "caffe",
    "tensorflow": "tensorflow",
}

_TITLES: dict[Format, str] = {
    "ir": "OpenVINO IR",
    "legacy-ir": "OpenVINO IR",
    "onnx": "ONNX",
    "tflite": "TensorFlow Lite",
    "tensorflow": "TensorFlow frozen graph",
    "mxnet": "MXNet symbol",
    "caffe": "Caffe network",
}


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a model file is: its format, and the version where the format has one (IR)."""

    path: Path
    format: Format
    version: int | None = None

    @property
    def title(self) -> str:
        """The format in words."""
        version = "" if self.version is None else f" v{self.version}"
        return _TITLES[self.format] + version


def read_model(path: str | os.PathLike[str], input_shapes: Shapes | None = None, *, int8: bool = False) -> ov.Model:
    """Read any supported model file.

    path : .xml (IR v2 and later, with its .bin beside it), .onnx, .tflite, .pb, .pbtxt, -symbol.json or .prototxt.
    input_shapes : replaces the shapes in the file. A dynamic batch becomes 1 by itself; other dynamic dimensions
        must be given here, because saccade runs static shapes only.
    int8 : quantise by the calibration statistics that a legacy IR may carry.

    Raises ModelError (missing, damaged, not a model) or UnsupportedError (sound, but not supported).
    """
    artifact = identify(path)
    return make_static(read_as_is(artifact, input_shapes, int8=int8), artifact.path.name, input_shapes)


def read_as_is(artifact: Artifact, input_shapes: Shapes | None = None, *, int8: bool = False) -> ov.Model:
    """Read an artifact, leaving open dimensions open. `input_shapes` matters to MXNet and Caffe, whose importers
    compute with them.
    """
    module = importer(artifact)
    if int8 and artifact.format != "legacy-ir":
        raise UnsupportedError(
            f"{artifact.path}: precision int8 needs the calibration statistics of a legacy IR, which this format has "
            "not got; choose auto, f32, bf16 or f16"
        )
    if module is None:
        return _read_openvino(artifact)
    options: dict[str, Any] = {}
    if artifact.format in ("mxnet", "caffe"):
        options["input_shapes"] = input_shapes
    if int8:
        options["int8"] = True
    model = module.read(artifact.path, **options)
    assert isinstance(model, ov.Model)
    return model


def importer(artifact: Artifact) -> Any:
    """The module that reads an artifact's format, or None where OpenVINO itself does."""
    name = _IMPORTERS.get(artifact.format)
    if name is None:
        return None
    try:
        return import_module(f"saccade.models.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("saccade."):
            raise
        raise UnsupportedError(f"{artifact.path}: saccade cannot read {artifact.title} here") from error


def identify(path: str | os.PathLike[str]) -> Artifact:
    """Tell what a model file is from its first bytes and its suffix, without parsing it."""
    path = Path(path)
    suffix = path.suffix.lower()
    _refuse_wrong_paths(path, suffix)
    head = read_head(path)
    if head[4:8] == b"TFL3":
        return Artifact(path, "tflite")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        version = _ir_version(path, head)
        return Artifact(path, "ir" if version >= _MODERN_IR else "legacy-ir", version)
    form = _SUFFIXES.get(suffix)
    if form is None:
        raise ModelError(
            f"{path} is no model file that saccade knows; "
            "give a .xml, .onnx, .tflite, .pb, .pbtxt, -symbol.json or .prototxt"
        )
    if not _plausible(form, suffix, head):
        raise ModelError(f"{path} does not hold what its name says ({_TITLES[form]}); get a fresh copy of the file")
    if suffix in (".onnx", ".pb"):
        _check_protobuf(path)
    return Artifact(path, form)


def make_static(model: ov.Model, name: str, input_shapes: Shapes | None = None) -> ov.Model:
    """Fix all input shapes: those given, and a dynamic batch to 1. Changes and returns `model`."""
    if not model.inputs or not model.outputs:
        raise ModelError(f"{name} has no {'outputs' if model.inputs else 'inputs'}, so there is nothing to run")
    wanted = _shapes_by_input(model, name, input_shapes)
    shapes: dict[ov.Output, ov.PartialShape] = {}
    unknown = []
    for index, port in enumerate(model.inputs):
        shape = wanted.get(index, port.partial_shape)
        if shape.rank.is_static and len(shape) > 1 and shape[0].is_dynamic:
            shape = ov.PartialShape(shape)
            shape[0] = 1
        if shape.is_dynamic:
            unknown.append(f"{input_name(port)} {shape}")
        shapes[port] = shape
    if unknown:
        raise ModelError(
            f"{name} leaves input sizes open ({'; '.join(unknown)}); "
            "give them with input_shapes={name: shape}, all dimensions as numbers"
        )
    if all(port.partial_shape == shape for port, shape in shapes.items()):
        return model
    try:
        model.reshape(shapes)
    except RuntimeError as error:
        sizes = ", ".join(f"{input_name(port)} {shape}" for port, shape in shapes.items())
        raise ModelError(f"{name} cannot take the input sizes {sizes}: {reason(error)}") from error
    return model


def input_name(port: Any) -> str:
    """Name of an `ov` input or output: its tensor name, else its node's name."""
    return str(port.any_name if port.names else port.node.friendly_name)


def _refuse_wrong_paths(path: Path, suffix: str) -> None:
    if path.is_dir():
        raise ModelError(f"{path} is a folder; give the model file in it")
    if not path.exists():
        raise ModelError(f"no model file at {path}; give an existing file or a name from `saccade models list`")
    partner = {".bin": ".xml", ".params": "-symbol.json", ".caffemodel": ".prototxt"}.get(suffix)
    if partner is not None:
        raise ModelError(f"{path} holds weights only; give the {partner} file that belongs to it")


def _ir_version(path: Path, head: bytes) -> int:
    """Version of an IR from its root element: a bounded look that expands nothing."""
    text = re.sub(rb"<!--.*?-->|<\?.*?\?>", b"", head, flags=re.DOTALL)
    root = re.search(rb"<\s*([!\w:.-]+)([^>]*)>", text)
    if root is None or root[1].lower() != b"net":
        what = "a document type" if root is not None and root[1].startswith(b"!") else "no <net> at its root"
        raise ModelError(f"{path} is XML with {what}, so it is not an OpenVINO IR; give the model's own .xml")
    version = re.search(rb"\bversion\s*=\s*[\"'](\d{1,4})[\"']", root[2])
    if version is None:
        raise ModelError(f"{path} does not state its IR version in <net>; the file is damaged")
    return int(version[1])


def _plausible(form: Format, suffix: str, head: bytes) -> bool:
    if form in ("ir", "tflite"):
        return False  # their content would have told already
    if form == "onnx":
        return head[0] in (0x08, 0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A, 0x42)  # a field tag of ModelProto, below 128
    if suffix == ".pb":
        return head[0] in (0x0A, 0x12, 0x18, 0x22)  # a field tag of GraphDef
    if b"\0" in head:
        return False  # the others are text
    if form == "mxnet":
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    return re.search(rb"\b(node|layers?|name|input)\b\s*[:{]", head) is not None


def _check_protobuf(path: Path) -> None:
    """Top-level fields must end exactly where the file ends: a truncated file is named before OpenVINO sees it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = len(data)
        at = 0
        while at < size:
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == 0:
                _, at = _varint(data, at)
            elif kind == 2:
                length, at = _varint(data, at)
                at += length
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            else:
                raise ModelError(f"{path} is damaged at byte {at}; get a fresh copy of the file")
    if at != size:
        raise ModelError(
            f"{path} is cut off: it has {size} bytes and needs at least {at}; get a fresh copy of the file"
        )


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A protobuf number and the position after it; past the end it counts as zero bits."""
    value = shift = 0
    while shift < 70:
        byte = data[at] if at < len(data) else 0
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return value, at


def _read_openvino(artifact: Artifact) -> ov.Model:
    path = artifact.path
    if artifact.format == "ir":
        ir.check(path)
    try:
        return core().read_model(str(path))
    except (RuntimeError, ValueError, MemoryError) as error:
        raise ModelError(f"{path}: OpenVINO cannot read this {artifact.title}: {reason(error)}") from error


def _shapes_by_input(model: ov.Model, name: str, shapes: Shapes | None) -> dict[int, ov.PartialShape]:
    if not shapes:
        return {}
    ports = model.inputs
    if not isinstance(shapes, Mapping):
        if len(ports) != 1:
            raise ModelError(f"{name} has {len(ports)} inputs; give input_shapes={{name: shape}}")
        return {0: ov.PartialShape([int(d) for d in shapes])}
    known = {alias: i for i, port in enumerate(ports) for alias in (*port.names, port.node.friendly_name)}
    unknown = [key for key in shapes if key not in known]
    if unknown:
        raise ModelError(f"{name} has no input {unknown[0]!r}; its inputs are {', '.join(map(input_name, ports))}")
    return {known[key]: ov.PartialShape([int(d) for d in shape]) for key, shape in shapes.items()}
