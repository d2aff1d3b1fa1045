"""What inputs and outputs are, by the names of the time: precision, shape, layout, and the memory that holds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ConfigError

Array = NDArray[Any]

_DTYPES: dict[str, Any] = {
    "FP32": np.float32, "FP16": np.float16, "FP64": np.float64, "U8": np.uint8, "I8": np.int8, "U16": np.uint16,
    "I16": np.int16, "I32": np.int32, "I64": np.int64, "BOOL": np.bool_,
}  # fmt: skip
PRECISIONS = {np.dtype(dtype): name for name, dtype in _DTYPES.items()} | {np.dtype(np.float16): "FP32"}
LAYOUTS = {0: "SCALAR", 1: "C", 2: "NC", 3: "CHW", 4: "NCHW", 5: "NCDHW"}


class ResizeAlgorithm(IntEnum):
    """How pictures of another size are brought to the input's."""

    NO_RESIZE = 0
    RESIZE_BILINEAR = 1
    RESIZE_AREA = 2


class ColorFormat(IntEnum):
    """Order of a picture's channels."""

    RAW = 0
    RGB = 1
    BGR = 2


@dataclass
class TensorDesc:
    """Precision, dimensions and layout of a blob."""

    precision: str
    dims: tuple[int, ...]
    layout: str = "NCHW"


class Blob:
    """Memory of one input or output. buffer : the array itself."""

    def __init__(self, tensor_desc: TensorDesc, array: Array | None = None) -> None:
        self.tensor_desc = tensor_desc
        dtype = dtype_of(tensor_desc.precision)
        self.buffer: Array = np.zeros(tensor_desc.dims, dtype) if array is None else np.asarray(array, dtype)

    def reshape(self, dims: Iterable[int]) -> None:
        """Give the array another shape of as many elements."""
        self.buffer = self.buffer.reshape(tuple(dims))
        self.tensor_desc.dims = self.buffer.shape


@dataclass
class PreProcessInfo:
    """What is done with pictures that are set as blobs."""

    resize_algorithm: ResizeAlgorithm = ResizeAlgorithm.NO_RESIZE
    color_format: ColorFormat = ColorFormat.RAW


class DataPtr:
    """An output, or what an input wants. precision, layout : may be set before the network is loaded."""

    def __init__(self, name: str, shape: Iterable[int], precision: str) -> None:
        self.name, self.shape = name, [int(d) for d in shape]
        self._precision = precision
        self.layout = LAYOUTS.get(len(self.shape), "BLOCKED")
        self.initialized = True

    @property
    def precision(self) -> str:
        """One of FP32, FP16, U8, I8, U16, I16, I32, I64."""
        return self._precision

    @precision.setter
    def precision(self, name: str) -> None:
        dtype_of(name)
        self._precision = name

    @property
    def dims(self) -> list[int]:
        """The shape."""
        return self.shape


class InputInfo(DataPtr):
    """An input, as `net.inputs` (its shape directly) and `net.input_info` (below `input_data`) gave it."""

    def __init__(self, name: str, shape: Iterable[int], precision: str) -> None:
        super().__init__(name, shape, precision)
        self.preprocess_info = PreProcessInfo()

    @property
    def input_data(self) -> DataPtr:
        """The same, as it was called from 2020 on."""
        return self

    @property
    def tensor_desc(self) -> TensorDesc:
        """Precision, dimensions in the order of the layout, and layout."""
        return TensorDesc(self.precision, in_layout(tuple(self.shape), self.layout), self.layout)


def dtype_of(precision: str) -> np.dtype[Any]:
    """Of a precision's name; ConfigError where there is none of that name."""
    if precision not in _DTYPES:
        raise ConfigError(f"precision {precision!r} is not known; choose {', '.join(_DTYPES)}")
    dtype: np.dtype[Any] = np.dtype(_DTYPES[precision])
    return dtype


def precision_of(port: Any) -> str:
    """Name of a port's precision, which was FP32 where networks are FP16."""
    return PRECISIONS.get(np.dtype(port.element_type.to_dtype()), "FP32")


def shape_of(port: Any) -> list[int]:
    """-1 for what is open."""
    shape = port.partial_shape
    return [d.get_length() if d.is_static else -1 for d in shape] if shape.rank.is_static else []


def in_layout(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """A shape in NCHW as a layout orders it."""
    return (shape[0], *shape[2:], shape[1]) if layout == "NHWC" and len(shape) == 4 else shape
