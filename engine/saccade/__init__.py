"""saccade: a frame-to-result inference engine for small x86 cameras and edge boxes.

Importing this package is cheap: OpenVINO, OpenCV and Numba are loaded only when something needs them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.archive import Archive
    from saccade.capture import Capture, open_source
    from saccade.errors import SaccadeError
    from saccade.frame import Frame
    from saccade.kernels import Preprocess, decode_anchors, decode_ssd, decode_yolo, nms
    from saccade.networks import Model
    from saccade.outputs.annotate import Annotator
    from saccade.outputs.events import EventWriter
    from saccade.pipeline import App, Output, Pipeline, PipelineStatistics, stream
    from saccade.predict import Predictor
    from saccade.predict import open_predictor as open
    from saccade.results import (
        Angles,
        Classification,
        Detections,
        Embedding,
        HeadPose,
        Heads,
        Landmarks,
        LifeEvent,
        Masks,
        Result,
        Segmentation,
        Sighting,
    )
    from saccade.tracking import Tracker

__version__ = "0.1.0"

# OpenVINO reports each of its imports to Google Analytics without having asked (openvino/tools/ovc/__init__.py,
# `enable_opt_in_dialog=False`), NNCF each quantisation. Where this module is not to be had, neither says anything.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

_HOMES = {
    "Annotator": "outputs.annotate",
    "App": "pipeline",
    "Archive": "archive",
    "Capture": "capture",
    "EventWriter": "outputs.events",
    "Frame": "frame",
    "Model": "networks",
    "Output": "pipeline",
    "Pipeline": "pipeline",
    "PipelineStatistics": "pipeline",
    "Predictor": "predict",
    "Preprocess": "kernels",
    "SaccadeError": "errors",
    "Tracker": "tracking",
    "decode_anchors": "kernels",
    "decode_ssd": "kernels",
    "decode_yolo": "kernels",
    "nms": "kernels",
    "open": "predict",
    "open_source": "capture",
    "stream": "pipeline",
    **dict.fromkeys(
        ("Angles", "Classification", "Detections", "Embedding", "HeadPose", "Heads", "Landmarks", "LifeEvent",
         "Masks", "Result", "Segmentation", "Sighting"),
        "results",
    ),
}  # fmt: skip

__all__ = [
    "Angles", "Annotator", "App", "Archive", "Capture", "Classification", "Detections", "Embedding", "EventWriter",
    "Frame", "HeadPose", "Heads", "Landmarks", "LifeEvent", "Masks", "Model", "Output", "Pipeline",
    "PipelineStatistics", "Predictor", "Preprocess", "Result", "SaccadeError", "Segmentation", "Sighting", "Tracker",
    "__version__", "decode_anchors", "decode_ssd", "decode_yolo", "nms", "open", "open_source", "stream",
]  # fmt: skip


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'saccade' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"saccade.{home}"), "open_predictor" if name == "open" else name)


def __dir__() -> list[str]:
    return sorted(__all__)
