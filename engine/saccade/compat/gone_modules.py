"""Modules that old scripts import and that are no more: what stands for them, or what to do instead."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from saccade.compat import device

_SHIMS = {"openvino.inference_engine": "saccade.compat.inference_engine"}

_LOAD = "load the model with awscam.Model, which reads"
_WAYS_OUT = {
    "mxnet": f"MXNet has ended; {_LOAD} its -symbol.json with the .params beside it",
    "gluoncv": f"GluonCV has ended with MXNet; {_LOAD} the exported -symbol.json",
    "tensorflow": f"{_LOAD} frozen graphs (.pb) and .tflite, or install TensorFlow into this Python",
    "tflite_runtime": f"{_LOAD} .tflite",
    "keras": f"{_LOAD} frozen graphs (.pb), or install Keras into this Python",
    "caffe": f"{_LOAD} .prototxt with the .caffemodel beside it",
    "dlr": "models compiled by SageMaker Neo hold code for the DeepLens runtime only; load the model that they were "
    "compiled from with awscam.Model",
    "mvnc": f"the Neural Compute SDK has ended; {_LOAD} the .prototxt or .xml that the graph was made from",
    "ngraph": "nGraph is part of OpenVINO now; IENetwork.layers has the layers",
    "greengrass_machine_learning_sdk": "Greengrass ML connectors have ended; load the model with awscam.Model",
    "greengrass_ml": "Greengrass ML connectors have ended; load the model with awscam.Model",
    "greengrass_common": "it is part of a Greengrass core; greengrasssdk.client('iot-data') is here",
    "scipy": "install scipy into this Python; what scipy.misc did with pictures cv2 does (imresize: cv2.resize)",
    "skimage": "install scikit-image into this Python",
    "sklearn": "install scikit-learn into this Python",
    "dlib": "install dlib into this Python, or find faces and landmarks with a network",
    "face_recognition": "install face_recognition into this Python, or find faces with a network",
    "imutils": "install imutils into this Python",
    "PIL": "install pillow into this Python",
    "picamera": "it is for Raspberry Pi; awscam.getLastFrame() gives the frames of --source",
    "RPi": "it is for Raspberry Pi: this machine has no such pins",
}


class Shims(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of today that stand for old ones."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """The spec of a stand-in, or None."""
        return importlib.machinery.ModuleSpec(name, self) if name in _SHIMS else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The stand-in under its old name."""
        made = ModuleType(spec.name)
        made.__dict__.update(vars(importlib.import_module(_SHIMS[spec.name])))
        return made

    def exec_module(self, module: ModuleType) -> None:
        """It is complete."""


class Absent(importlib.abc.MetaPathFinder):
    """Names the way out where a script imports what is not installed. Asked last.

    owns : whether a file belongs to the script; libraries that look what is there get their plain answer.
    """

    def __init__(self, owns: Callable[[str], bool]) -> None:
        self._owns = owns

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """None, or ModuleNotFoundError with what to do."""
        way = _WAYS_OUT.get(name.partition(".")[0])
        if way is not None and path is None and self._owns(_importer()):
            raise ModuleNotFoundError(f"No module named {name!r}; {way}", name=name)
        return None


def _importer() -> str:
    """File of the code whose import this is."""
    frame = device.script_frame()
    return frame.f_code.co_filename if frame is not None else ""


_RENAMED = {
    "im_true": "image_true", "im_test": "image_test", "dynamic_range": "data_range", "X": "im1", "Y": "im2",
    "norm_type": "normalization",
}  # fmt: skip
_MOVED = {
    "compare_ssim": "structural_similarity", "structural_similarity": "structural_similarity",
    "compare_psnr": "peak_signal_noise_ratio", "compare_mse": "mean_squared_error",
    "compare_nrmse": "normalized_root_mse",
}  # fmt: skip
_FLOATS = (np.float16, np.float32, np.float64)
_RANGED = ("structural_similarity", "peak_signal_noise_ratio")
"""They want the range of floats told; it was taken to be -1 to 1."""


def restore_skimage(note: Callable[[str], None]) -> None:
    """`skimage.measure.compare_ssim` and its kin, which scikit-image has moved to `skimage.metrics`; if installed."""
    if importlib.util.find_spec("skimage") is None:
        return
    measure, metrics = importlib.import_module("skimage.measure"), importlib.import_module("skimage.metrics")

    def moved(old: str, new: str) -> Callable[..., Any]:
        function = getattr(metrics, new)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            note(f"skimage.measure.{old} is skimage.metrics.{new} now")
            if options.pop("multichannel", False):
                options["channel_axis"] = -1
            options = {_RENAMED.get(name, name): value for name, value in options.items()}
            first: Any = arguments[0] if arguments else options.get("im1", options.get("image_true"))
            if new in _RANGED and options.get("data_range") is None and getattr(first, "dtype", None) in _FLOATS:
                # Pictures without negative numbers had half the range for this one measure.
                options["data_range"] = 1 if new == "peak_signal_noise_ratio" and first.min() >= 0 else 2
            return function(*arguments, **options)

        return wrapped

    for old, new in _MOVED.items():
        if not hasattr(measure, old):
            setattr(measure, old, moved(old, new))
