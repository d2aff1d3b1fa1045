"""The single door for model files: by content and suffix to an `ov.Model` with static shapes.

OpenVINO reads IR v10 and later and ONNX; TFLite and TensorFlow graphs too, with what rooms of their own add; saccade's
importers read what OpenVINO has dropped (IR v2-v7, MXNet, Caffe). A file is looked at before any parser sees it, so
that the usual accidents (an HTML page saved as a model, a git-LFS pointer, a truncated download, weights left behind)
give one clear sentence.
"""

from __future__ import annotations

import logging
import mmap
import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import openvino as ov

from saccade.errors import ModelError, SaccadeError, UnsupportedError
from saccade.formats import ir, metadata, onnx, protobuf
from saccade.formats.core import core, refusal
from saccade.formats.files import read_head
from saccade.formats.shapes import Shapes, declare_output_names, make_static

Format = Literal["ir", "legacy-ir", "onnx", "tflite", "tensorflow", "saved-model", "mxnet", "caffe"]

SAVED_MODEL = "saved_model.pb"
"""What TensorFlow calls the graph in a SavedModel's folder."""

_log = logging.getLogger(__name__)

_MODERN_IR = 10

_FIRST_OF_SAVED_MODEL = 0x08
"""Its file begins with the version of its form; a frozen graph has no such field."""

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
    "saved-model": "tensorflow",
    "tflite": "tflite",
}

_TITLES: dict[Format, str] = {
    "ir": "OpenVINO IR",
    "legacy-ir": "OpenVINO IR",
    "onnx": "ONNX",
    "tflite": "TensorFlow Lite",
    "tensorflow": "TensorFlow frozen graph",
    "saved-model": "TensorFlow SavedModel",
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

    @property
    def name(self) -> str:
        """What the model is called: its file, or a SavedModel's folder, or the one above where that says nothing."""
        if self.format != "saved-model":
            return self.path.stem
        folder = self.path.resolve().parent
        return folder.parent.name if folder.name == "saved_model" else folder.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What may be said about the reading of a file; each option is of one format, and refused by the others.

    int8 : quantise by the calibration statistics that a legacy IR may carry.
    epoch : number in the name of the parameter file of an MXNet model; None: 0, or the only file there is.
    force_suppress : let SSD boxes suppress boxes of other classes where an MXNet symbol asks for it, as MXNet does;
        without it classes are kept apart, as on the device.
    weights : path of the .caffemodel of a Caffe model; None: the one beside it.
    """

    int8: bool = False
    epoch: int | None = None
    force_suppress: bool = False
    weights: Path | None = None


_ONLY: dict[str, tuple[Format, str]] = {
    "int8": (
        "legacy-ir",
        "precision int8 needs calibration, which this format has not got with it; `saccade tune MODEL --source S` "
        "calibrates it on your own frames",
    ),
    "epoch": ("mxnet", "has no epochs, of which only MXNet models have several; leave the epoch out"),
    "force_suppress": ("mxnet", "suppresses as it is: only MXNet symbols say more; leave force_suppress out"),
    "weights": ("caffe", "has its weights where its format wants them; leave their path out"),
}


def read_model(
    path: str | os.PathLike[str],
    input_shapes: Shapes | None = None,
    *,
    int8: bool = False,
    epoch: int | None = None,
    force_suppress: bool = False,
) -> ov.Model:
    """Read any supported model file.

    path : .xml (IR v2 and later, with its .bin beside it), .onnx, .tflite, .pb, .pbtxt, -symbol.json, .prototxt, or
        the folder of a TensorFlow SavedModel.
    input_shapes : replaces the shapes in the file. An open batch becomes 1 by itself, and a picture of open height and
        width takes the size that its metadata states, else a usual one; any other open dimension must be given here,
        because saccade runs static shapes only.
    int8, epoch, force_suppress : see `ReadOptions`.

    Raises ModelError (missing, damaged, not a model) or UnsupportedError (sound, but not supported).
    """
    options = ReadOptions(int8=int8, epoch=epoch, force_suppress=force_suppress)
    model, _ = read_with_metadata(path, input_shapes, options)
    return model


def read_with_metadata(
    path: str | os.PathLike[str] | Artifact,
    input_shapes: Shapes | None = None,
    options: ReadOptions | None = None,
    *,
    batch: int | None = None,
) -> tuple[ov.Model, metadata.Raw]:
    """A model as `read_model` gives it, and what its files say of it (see `formats.metadata`).

    batch : 1 makes a network that takes several pictures at a time take one, where its graph allows that.
    """
    artifact = path if isinstance(path, Artifact) else identify(path)
    model = read_as_is(artifact, input_shapes, options)
    with _as_one_error(artifact):
        said = metadata.read(artifact.path, artifact.format, model)
    size = metadata.picture_size(said)
    name = artifact.name if artifact.format == "saved-model" else artifact.path.name
    return make_static(model, name, input_shapes, size=size, batch=batch), said


def read_as_is(artifact: Artifact, input_shapes: Shapes | None = None, options: ReadOptions | None = None) -> ov.Model:
    """Read an artifact, leaving open dimensions open. `input_shapes` matters to MXNet and Caffe, whose importers
    compute with them.
    """
    given: dict[str, Any] = {}
    for name, (form, why) in _ONLY.items():
        value = getattr(options, name, None)
        if value is not None and value is not False:
            if artifact.format != form:
                raise UnsupportedError(f"{artifact.path}: {why}")
            given[name] = value
    if artifact.format in ("mxnet", "caffe"):
        given["input_shapes"] = input_shapes
    module = _importer(artifact)
    with _as_one_error(artifact):
        model = _read_openvino(artifact) if module is None else module.read(artifact.path, **given)
    assert isinstance(model, ov.Model)
    return model


def describe(artifact: Artifact) -> dict[str, Any]:
    """What the importer of an artifact's format says of it besides its graph: empty for most formats."""
    own = getattr(_importer(artifact), "describe", None)
    with _as_one_error(artifact):
        return dict(own(artifact.path)) if own is not None else {}


def _importer(artifact: Artifact) -> ModuleType | None:
    """The module that reads an artifact's format, or None where OpenVINO itself does."""
    name = _IMPORTERS.get(artifact.format)
    return None if name is None else import_module(f"saccade.formats.{name}")


# What code makes of values that its author did not think of: importers check, and this is the net below them.
_DAMAGE = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, AssertionError, RecursionError,
           MemoryError, EOFError, SyntaxError, RuntimeError, struct.error)  # fmt: skip


@contextmanager
def _as_one_error(artifact: Artifact) -> Iterator[None]:
    """Make one error that names the file of whatever its reading ends in."""
    try:
        yield
    except SaccadeError:
        raise
    except OSError as error:
        raise ModelError(f"cannot read {artifact.path}: {error.strerror or error}; check the path") from error
    except _DAMAGE as error:
        _log.debug("%s: an importer stumbled", artifact.path, exc_info=True)
        told = f"{type(error).__name__} {' '.join(str(error).split())}"[:200].rstrip()
        raise ModelError(f"{artifact.path}: is damaged, or holds what no {artifact.title} does: {told}") from error


def identify(path: str | os.PathLike[str]) -> Artifact:
    """Tell what a model file is from its first bytes and its suffix, without parsing it."""
    path = Path(path)
    try:
        return _identified(path / SAVED_MODEL if (path / SAVED_MODEL).is_file() else path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _identified(path: Path) -> Artifact:
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
            "give a .xml, .onnx, .tflite, .pb, .pbtxt, -symbol.json, .prototxt or the folder of a SavedModel"
        )
    if suffix == ".pb" and head[0] == _FIRST_OF_SAVED_MODEL:
        form = "saved-model"
    if not _plausible(form, suffix, head):
        raise ModelError(f"{path} does not hold what its name says ({_TITLES[form]}); get a fresh copy of the file")
    if suffix in (".onnx", ".pb"):
        _check_protobuf(path)
    if form == "saved-model" and path.name != SAVED_MODEL:
        raise ModelError(
            f"{path} is the graph of a TensorFlow SavedModel, which is a folder: call it {SAVED_MODEL}, put the folder "
            "`variables` beside it, and give the folder"
        )
    return Artifact(path, form)


def _refuse_wrong_paths(path: Path, suffix: str) -> None:
    if path.is_dir():
        files = (file.name for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
        models = sorted(name for name in files if not name.endswith(".json") or name.endswith("-symbol.json"))
        raise ModelError(f"{path} is a folder; give the model file in it{_such_as(models)}")
    if not path.exists():
        raise ModelError(f"no model file at {path}; give an existing file or a name from `saccade models list`")
    if not path.is_file():
        raise ModelError(f"{path} is no file, but a device, a pipe or a socket; give a model file")
    partner = {".bin": ".xml", ".params": "-symbol.json", ".caffemodel": ".prototxt"}.get(suffix)
    if partner is not None:
        raise ModelError(f"{path} holds weights only; give the {partner} file that belongs to it")


def _such_as(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])})" if names else ""


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
    if form == "saved-model":
        return True  # its first byte has told
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
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        for _ in protobuf.fields(data):
            pass
    except ModelError as error:
        raise ModelError(f"{path}: {error}; get a fresh copy of the file") from error


def _read_openvino(artifact: Artifact) -> ov.Model:
    path = artifact.path
    file = onnx.OnnxFile()
    if artifact.format == "ir":
        ir.check(path)
    elif artifact.format == "onnx":
        file = onnx.read(path)
        onnx.check_weights(path, file)
    try:
        model: ov.Model = core().read_model(str(path))
    except (RuntimeError, ValueError, MemoryError) as error:
        raise refusal(
            path,
            error,
            f"this {artifact.title}",
            "export it again without them, or with a standard opset",
            file.operator,
        ) from error
    if file.outputs:
        declare_output_names(model, file.outputs)
    return model
