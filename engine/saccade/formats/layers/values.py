"""Graph values: their shapes, constants, and what moves numbers without computing any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset1, opset8
from openvino.op import Constant

from saccade.errors import ModelError

Value: TypeAlias = ov.Output
Array: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = Sequence[int]

BOOLEAN = ov.Type.boolean


MAX_ELEMENTS = 1 << 28
"""Most numbers that one value of a graph may have: 1 GiB in float32, far above any network of a camera."""


def check_size(shape: Ints, owner: str) -> None:
    """Refuse a value that no network has, before its memory is asked for."""
    if min(shape, default=0) < 0:
        raise ModelError(f"{owner} would have the shape {tuple(shape)}; expected no negative numbers")
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise ModelError(f"{owner} would have {count} numbers {tuple(shape)}; at most {MAX_ELEMENTS} are supported")


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front; raises ModelError where it is not there."""
    if not -rank <= axis < rank:
        raise ModelError(
            f"axis {axis} is not there; the input has {rank} axes, so that it can be {-rank} to {rank - 1}"
        )
    return axis % rank


def dims(value: Value) -> tuple[int, ...]:
    """Return the static shape of a graph value."""
    shape = value.get_shape()
    return tuple([shape[i] for i in range(len(shape))])  # its iterator takes ten times as long


def constant(array: npt.ArrayLike) -> Value:
    """Return a constant; float16 is kept as it is in memory and converted to float32 in the graph.

    The array's memory is shared, not copied, where it is contiguous, aligned and writable: the constant then keeps
    the array (and the file mapping behind it) alive.
    """
    values = np.asarray(array)
    shared = values.flags.c_contiguous and values.flags.aligned and values.flags.writeable and values.size > 0
    if not shared:
        values = np.array(values, order="C")
    node = Constant(values, shared_memory=shared and values.ndim > 0)
    if values.dtype == np.float16:
        widened = opset1.convert(node, "f32")
        widened.set_rt_info("", _DECOMPRESSION)
        return widened.output(0)
    return node.output(0)


_DECOMPRESSION = "decompression_0"
"""OpenVINO's mark of stored weights: they are widened while kernels are made, not into a second copy before."""


def floats(array: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return a float32 copy for arithmetic at import time."""
    return np.asarray(array, dtype=np.float32)


def ints(values: Sequence[int]) -> Value:
    """Return a constant of signed 64-bit indices (axes, shapes, orders)."""
    return Constant(np.asarray(values, dtype=np.int64)).output(0)


def along(array: npt.ArrayLike, rank: int, axis: int) -> Array:
    """Reshape a vector so that it broadcasts along one axis; a single value broadcasts everywhere."""
    vector = np.asarray(array).reshape(-1)
    if vector.dtype != np.float16:
        vector = floats(vector)
    if vector.size == 1:
        return vector.reshape((1,) * rank)
    shape = [1] * rank
    shape[axis] = vector.size
    return vector.reshape(shape)


def reshape(x: Value, shape: Ints) -> Value:
    """Give `x` another static shape; nothing is added when it has it already."""
    if dims(x) == tuple(shape):
        return x
    return opset1.reshape(x, ints(shape), False).output(0)


def transpose(x: Value, order: Ints) -> Value:
    """Permute the axes."""
    if sorted(order) != list(range(len(dims(x)))):
        raise ModelError(f"turns the axes of {dims(x)} into {tuple(order)}; expected each axis once")
    if list(order) == list(range(len(order))):
        return x
    return opset1.transpose(x, ints(order)).output(0)


def concat(values: Sequence[Value], axis: int) -> Value:
    """Join along one axis."""
    return values[0] if len(values) == 1 else opset1.concat(list(values), axis).output(0)


def split(x: Value, axis: int, sizes: Ints) -> list[Value]:
    """Cut into pieces of the given lengths along one axis."""
    if len(sizes) == 1:
        return [x]
    return list(opset1.variadic_split(x, whole_number(axis), ints(sizes)).outputs())


def whole_number(value: int) -> Value:
    """Return a constant of one signed 64-bit number (an axis, a count)."""
    return Constant(np.array(value, dtype=np.int64)).output(0)


def crop(x: Value, begin: Ints, size: Ints) -> Value:
    """Cut the box of `size` that starts at `begin`; both have one number per axis."""
    if tuple(size) == dims(x):
        return x
    stop = [b + s for b, s in zip(begin, size, strict=True)]
    axes = [axis for axis, (s, n) in enumerate(zip(size, dims(x), strict=True)) if s != n]
    return opset8.slice(
        x, ints([begin[a] for a in axes]), ints([stop[a] for a in axes]), ints([1] * len(axes)), ints(axes)
    ).output(0)


def pad(x: Value, begin: Ints, end: Ints, *, mode: str = "constant", value: float = 0.0) -> Value:
    """Pad each axis; mode is constant, edge, reflect or symmetric."""
    if not any(begin) and not any(end):
        return x
    check_size([n + b + e for n, b, e in zip(dims(x), begin, end, strict=True)], "a padded value")
    spare = {"reflect": 1, "symmetric": 0}.get(mode)
    if spare is not None and any(max(b, e) > n - spare for n, b, e in zip(dims(x), begin, end, strict=True)):
        raise ModelError(
            f"mirrors {tuple(begin)} and {tuple(end)} at the edges of {dims(x)}; expected no more than there is"
        )
    fill = constant(np.float32(value)) if mode == "constant" else None
    return opset1.pad(x, ints(begin), ints(end), mode, fill).output(0)


def gather(x: Value, indices: Value, axis: int = 0) -> Value:
    """Pick slices by index; float indices, which old files have, become integers."""
    if indices.get_element_type().is_real():
        indices = opset1.convert(indices, "i32").output(0)
    return opset1.gather(x, indices, whole_number(axis)).output(0)


def as_float(x: Value) -> Value:
    """Convert to float32 if it is anything else."""
    return x if x.get_element_type() == ov.Type.f32 else opset1.convert(x, "f32").output(0)
