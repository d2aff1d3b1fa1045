"""Which files a model is: the one that is named, and those that hold its weights."""

from __future__ import annotations

from pathlib import Path

from saccade.formats import caffe, mxnet, onnx
from saccade.formats.load import Artifact


def parts_of(artifact: Artifact) -> dict[str, Path]:
    """The files of an artifact by their names from its folder, the named one among them.

    Raises ModelError where weights cannot be told or, of ONNX, are not there; a .bin that is missing is left out, since
    a network may have no weights.
    """
    path = artifact.path
    if artifact.format == "saved-model":
        return {file.relative_to(path.parent).as_posix(): file for file in path.parent.rglob("*") if file.is_file()}
    files = {path.name: path}
    if artifact.format == "onnx":
        found = onnx.read(path)
        onnx.check_weights(path, found)
        return files | {Path(name).as_posix(): path.parent / name for name in found.weights}  # ./NAME is NAME
    weights = None
    if artifact.format in ("ir", "legacy-ir"):
        weights = path.with_suffix(".bin")
    elif artifact.format == "mxnet":
        weights = mxnet.parameter_file(path)
    elif artifact.format == "caffe":
        weights = caffe.weights_file(path)
    return files if weights is None or not weights.is_file() else files | {weights.name: weights}
