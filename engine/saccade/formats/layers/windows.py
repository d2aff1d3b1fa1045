"""Sliding windows: convolution, full connection, pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from openvino import opset1

from saccade.errors import ModelError, UnsupportedError
from saccade.formats.layers.arithmetic import affine
from saccade.formats.layers.values import Array, Ints, Value, check_size, constant, dims, ints, pad, reshape


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window: one number for each spatial axis, outermost first. `pads` : in front of each axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]

    def __post_init__(self) -> None:
        counts = {len(self.kernel), len(self.strides), len(self.pads), len(self.dilations)}
        numbers = (*self.kernel, *self.strides, *self.dilations)
        if len(counts) > 1 or min(numbers, default=0) < 1 or min(self.pads) < 0 or max(numbers + self.pads) > _WIDEST:
            raise ModelError(
                f"has kernel {self.kernel}, strides {self.strides}, pads {self.pads}, dilations {self.dilations}; "
                f"these make no window: expected as many of each, at most {_WIDEST}"
            )

    def ends(self, size: Ints, out: Ints) -> list[int]:
        """Padding behind each axis that makes the window have `out` positions; negative: a remainder.

        A transposed convolution swaps the two, and a negative end is output padding. Old files declare output sizes,
        and their rounding attribute may contradict them: the sizes are the truth.
        """
        places = zip(size, out, self.reaches, self.strides, self.pads, strict=True)
        return [(o - 1) * s + k - n - p for n, o, k, s, p in places]

    @property
    def reaches(self) -> tuple[int, ...]:
        """What the kernel covers on each axis, gaps included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def check_fits(self, padded: Ints) -> None:
        """Raise ModelError where the kernel is larger than the input with its padding."""
        if any(k > n for k, n in zip(self.reaches, padded, strict=True)):
            gaps = f" with dilations {self.dilations}" if max(self.dilations) > 1 else ""
            raise ModelError(f"has a kernel {self.kernel}{gaps} larger than its input with padding, {tuple(padded)}")

    def positions(self, size: Ints, *, round_up: bool, clip: bool = False) -> list[int]:
        """How many positions the window has on each axis, `pads` on both sides.

        With `round_up` a last window may overhang; with `clip`, which is Caffe's rule for padded pooling, only if it
        starts before the padding at the end.
        """
        spare = [n + 2 * p - k for n, k, p in zip(size, self.kernel, self.pads, strict=True)]
        if min(spare) < 0:
            raise ModelError(f"has a kernel {self.kernel} larger than its input {tuple(size)} with padding {self.pads}")
        counts = [(-(-n // s) if round_up else n // s) + 1 for n, s in zip(spare, self.strides, strict=True)]
        if clip:
            places = zip(counts, size, self.strides, self.pads, strict=True)
            counts = [c - 1 if (c - 1) * s >= n + p else c for c, n, s, p in places]
        return counts

    def is_hollow(self, size: Ints, out: Ints) -> bool:
        """Whether a position lies in padding alone: real files have such, and OpenVINO's pooling refuses them."""
        places = zip(size, self.kernel, self.strides, self.pads, out, strict=True)
        return any((o - 1) * s - p >= n or k <= p for n, k, s, p, o in places)


_WIDEST = 1 << 16


def kernel_shape(
    channels: int, filters: int, groups: int, kernel: tuple[int, ...], *, transposed: bool = False
) -> tuple[int, ...]:
    """Shape of a convolution's weights: (filters, channels / groups, kernel...); transposed: channels first."""
    if groups < 1 or filters < 1 or channels % groups or filters % groups:
        raise ModelError(
            f"cannot split {channels} channels and {filters} filters into {groups} groups; expected a divisor of both"
        )
    first, second = (channels, filters) if transposed else (filters, channels)
    return (first, second // groups, *kernel)


def convolution(
    x: Value, weights: Array, bias: Array | None, window: Window, *, ends: Ints | None = None, groups: int = 1
) -> Value:
    """Convolve `x` (N, I, ...) with `weights` (O, I / groups, kernel...); bias (O,).

    ends : padding behind each axis; None: as much as in front.
    """
    behind = [max(0, e) for e in (window.pads if ends is None else ends)]
    window.check_fits([n + p + e for n, p, e in zip(dims(x)[2:], window.pads, behind, strict=True)])
    geometry = (list(window.strides), list(window.pads), behind, list(window.dilations))
    if groups == 1:
        y = opset1.convolution(x, constant(weights), *geometry).output(0)
    else:
        y = opset1.group_convolution(x, constant(_grouped(weights, groups)), *geometry).output(0)
    return affine(y, None, bias)


def deconvolution(
    x: Value,
    weights: Array,
    bias: Array | None,
    window: Window,
    *,
    ends: Ints | None = None,
    groups: int = 1,
    output_padding: Ints | None = None,
) -> Value:
    """Transposed convolution of `x` (N, I, ...) with `weights` (I, O / groups, kernel...); bias (O,).

    ends : padding behind each axis; None: as much as in front. Negative means extra rows at the end and is the same as
    output padding.
    """
    behind = window.pads if ends is None else ends
    extra = [0] * len(behind) if output_padding is None else output_padding
    options: dict[str, Any] = {
        "strides": list(window.strides),
        "pads_begin": list(window.pads),
        "pads_end": [max(0, p) for p in behind],
        "dilations": list(window.dilations),
        "auto_pad": "explicit",
        "output_padding": [e + max(0, -p) for e, p in zip(extra, behind, strict=True)],
    }
    places = zip(dims(x)[2:], window.strides, window.reaches, window.pads, behind, extra, strict=True)
    size = [(n - 1) * s + k - p - e + more for n, s, k, p, e, more in places]
    if min(size) < 1 or min(extra) < 0:
        raise ModelError(
            f"has pads {window.pads} and output padding {tuple(extra)} that leave {tuple(size)} of its result"
        )
    if groups == 1:  # the grouped op with one group does not compile on the CPU
        y = opset1.convolution_backprop_data(x, constant(weights), **options).output(0)
    else:
        y = opset1.group_convolution_backprop_data(x, constant(_grouped(weights, groups)), **options).output(0)
    return affine(y, None, bias)


def _grouped(weights: Array, groups: int) -> Array:
    first, *rest = weights.shape
    return weights.reshape(groups, first // groups, *rest)


def linear(x: Value, weights: Array, bias: Array | None = None, *, flatten: bool = True) -> Value:
    """Fully connected layer: `weights` (out, in); with `flatten`, all axes but the first become one."""
    if flatten and len(dims(x)) != 2:
        x = reshape(x, (dims(x)[0], int(np.prod(dims(x)[1:]))))
    y = opset1.matmul(x, constant(weights), False, True).output(0)
    return affine(y, None, bias, axis=-1)


def _check_pooling(x: Value, window: Window, out: Ints) -> None:
    if set(window.dilations) != {1}:
        raise UnsupportedError(f"pools with dilation {window.dilations}; only dilation 1 is supported")
    check_size((*dims(x)[:2], *out), "a pooling layer")


def max_pool(x: Value, window: Window, out: Ints) -> Value:
    """Maximum over windows; `out` is the number of window positions per spatial axis.

    The padding at the end follows from `out`; windows that overhang see nothing there (padding never wins).
    """
    _check_pooling(x, window, out)
    size, begin = dims(x)[2:], list(window.pads)
    ends = [max(0, e) for e in window.ends(size, out)]  # rounding down ignores a remainder by itself
    if window.is_hollow(size, out):
        lowest = float(np.finfo(np.float32).min)  # what the frameworks leave where a window has no pixel
        x = pad(x, (0, 0, *begin), (0, 0, *ends), value=lowest)
        begin = ends = [0] * len(ends)
    return opset1.max_pool(x, list(window.strides), begin, ends, list(window.kernel), "floor").output(0)


def avg_pool(x: Value, window: Window, out: Ints, *, exclude_pad: bool, counted_end: Ints | None = None) -> Value:
    """Mean over windows; `out` is the number of window positions per spatial axis.

    With `exclude_pad` the divisor counts real pixels only. Otherwise it counts the part of the window that lies
    within the declared padding, `counted_end` behind each axis (default: as much as in front): positions beyond,
    which exist only because sizes were rounded up, are in neither the sum nor the divisor.
    """
    _check_pooling(x, window, out)
    size, begin = dims(x)[2:], list(window.pads)
    ends = [max(0, e) for e in window.ends(size, out)]
    counted = list(window.pads if counted_end is None else counted_end)
    hollow = window.is_hollow(size, out)
    masked = exclude_pad and not hollow and any((*begin, *ends))
    if hollow:
        x = pad(x, (0, 0, *begin), (0, 0, *ends))
        begin, behind = [0] * len(ends), [0] * len(ends)
    else:
        behind = ends
    y = opset1.avg_pool(x, list(window.strides), begin, behind, list(window.kernel), masked, "floor").output(0)
    if not hollow and (exclude_pad or all(e <= c for e, c in zip(ends, counted, strict=True))):
        return y
    correction = np.ones(tuple(out), dtype=np.float32)
    places = zip(size, out, window.kernel, window.strides, window.pads, counted, strict=True)
    for axis, (n, o, k, s, b, c) in enumerate(places):
        start = np.arange(o) * s - b
        if exclude_pad:
            inside = np.minimum(start + k, n) - np.maximum(start, 0)
        else:
            inside = np.minimum(start + k, n + c) - start
        ratio = k / np.maximum(inside, 1)
        correction *= ratio.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(len(size))])
    return opset1.multiply(y, constant(correction[None, None])).output(0)


def global_pool(x: Value, method: str) -> Value:
    """Pool each channel to one value; `method` is max, avg or sum."""
    axes = ints(range(2, len(dims(x))))
    reduce = {"max": opset1.reduce_max, "avg": opset1.reduce_mean, "sum": opset1.reduce_sum}[method]
    return reduce(x, axes, True).output(0)
