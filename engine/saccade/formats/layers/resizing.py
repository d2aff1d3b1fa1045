"""Pictures of another size."""

from __future__ import annotations

from openvino import opset1, opset2, opset11

from saccade.errors import ModelError
from saccade.formats.layers.values import Array, Ints, Value, constant, dims, floats, ints


def resize_linear(x: Value, size: tuple[int, int], coordinates: str = "half_pixel") -> Value:
    """Bilinear to `size` (height, width); coordinates: half_pixel, align_corners or asymmetric. No antialiasing."""
    return opset11.interpolate(
        x, ints(size), "linear_onnx", "sizes", coordinate_transformation_mode=coordinates, axes=ints([2, 3])
    ).output(0)


def resize_nearest(x: Value, size: Ints, coordinates: str = "asymmetric", rounding: str = "floor") -> Value:
    """Nearest neighbour to `size`, one number per spatial axis."""
    axes = ints(range(2, 2 + len(size)))
    return opset11.interpolate(
        x,
        ints(size),
        "nearest",
        "sizes",
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
        axes=axes,
    ).output(0)


def reorg(x: Value, stride: int) -> Value:
    """Move the pixels of each square of `stride` px into channels, as darknet's reorg layer does it."""
    shape = dims(x)
    if len(shape) != 4 or stride < 1 or shape[1] < stride**2 or shape[2] % stride or shape[3] % stride:
        raise ModelError(
            f"has stride {stride} for shape {shape}; expected a divisor of height and width, and its square of "
            "channels or more"
        )
    return opset2.reorg_yolo(x, [stride, stride]).output(0)


def upsample(x: Value, factor: int) -> Value:
    """Repeat every pixel `factor` times in both directions."""
    height, width = dims(x)[2:]
    return resize_nearest(x, (height * factor, width * factor))


def resize_matrices(x: Value, rows: Array, columns: Array) -> Value:
    """Resize separably: `rows` (out height, height) and `columns` (out width, width) hold the weights of each pixel."""
    x = opset1.matmul(x, constant(floats(columns)), False, True).output(0)
    return opset1.matmul(constant(floats(rows)), x, False, False).output(0)
