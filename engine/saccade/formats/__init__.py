"""Formats: any model file to an `ov.Model`.

`load` is the single door. OpenVINO itself reads IR v10 and later and ONNX; rooms of their own read what it has dropped
(`legacy_ir`, `mxnet`, `caffe`), and what it reads in part (`tensorflow`, `tflite`). Nothing here imports OpenVINO until
a file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.formats.load import read_model

__all__ = ["read_model"]


def __getattr__(name: str) -> object:
    if name != "read_model":
        raise AttributeError(f"module 'saccade.formats' has no attribute {name!r}")
    from saccade.formats.load import read_model

    return read_model
