"""What a preprocess plan is asked to do, checked once, and the arrays it is given, explained when they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PIXELS = ("bgr", "i420", "nv12")
LAYOUTS = ("nchw", "nhwc")
DTYPES = ("float32", "float16", "uint8", "int8")
LETTERBOXES = ("none", "centre", "top-left", "centre-down", "top-left-down")
# Weights of red and blue in luma.
MATRICES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # ITU-R BT.601-7 and BT.709-6

Planes = tuple[NDArray[np.uint8], ...]


class ToSource(NamedTuple):
    """From continuous target coordinates to those of the source: ``x_source = x * sx + tx``, the same for y, px."""

    sx: float
    sy: float
    tx: float
    ty: float


def _pair(value: Sequence[int], what: str) -> tuple[int, int]:
    height, width = (int(v) for v in value)
    if not (0 < height <= 65535 and 0 < width <= 65535):
        raise ValueError(f"{what} must be (height, width) between 1 and 65535; got ({height}, {width})")
    return height, width


def _one_of(value: str, choices: tuple[str, ...], what: str) -> int:
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}; got {value!r}")
    return choices.index(value)


def _name_of(dtype: Any) -> str:
    """NumPy's name of a dtype; of what is none, how it is written."""
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        return str(dtype)


def _colour(matrix: str, full_range: bool) -> tuple[int, int, int, int, int, int]:
    """Conversion from YUV as the kernels compute it, on values in 1/64: luma's zero and factor, then the factors of U
    in blue and green and of V in green and red. Factors are 1/32768 of twice the luma and of four times the chroma.
    """
    _one_of(matrix, tuple(MATRICES), "matrix")
    red, blue = MATRICES[matrix]
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    bu, rv = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma
    factors = bu, bu * blue / green, rv * red / green, rv
    first, second, third, fourth = (round(factor * 8192) for factor in factors)
    return (0 if full_range else 16 * 64), round(luma * 16384), first, second, third, fourth


def _three(value: float | Sequence[float], what: str) -> tuple[float, float, float]:
    values = np.broadcast_to(value, 3).tolist() if np.ndim(value) == 0 else list(value)  # type: ignore[arg-type]
    if len(values) != 3:
        raise ValueError(f"{what} needs 3 values, one per output channel; got {len(values)}")
    with np.errstate(over="ignore"):
        a, b, c = (float(np.float32(v)) for v in values)
    if not np.isfinite((a, b, c)).all():
        raise ValueError(f"{what} must be finite; got {values}")
    return a, b, c


class Spec:
    """The checked options of one `Preprocess`; its parameters are documented there."""

    __slots__ = (
        "colour", "divide", "dtype", "fill", "high", "inner", "layout", "letterbox", "low", "mean", "mirror", "pad",
        "pixels", "roi", "scale", "shape", "size", "source", "swap_rb", "tables", "to_source",
    )  # fmt: skip

    def __init__(
        self,
        source: Sequence[int],
        size: Sequence[int],
        *,
        pixels: str,
        roi: Sequence[int] | None,
        layout: str,
        dtype: Any,
        mean: float | Sequence[float],
        scale: float | Sequence[float],
        mirror: bool,
        swap_rb: bool,
        letterbox: bool | str,
        pad: int,
        full_range: bool,
        matrix: str,
    ) -> None:
        self.source = _pair(source, "source")
        self.size = _pair(size, "size")
        self.pixels = _one_of(pixels, PIXELS, "pixels")
        self.layout = _one_of(layout, LAYOUTS, "layout")
        self.dtype = _one_of(_name_of(dtype), DTYPES, "dtype")
        self.mean = _three(mean, "mean")
        self.scale = _three(scale, "scale")
        if 0 in self.scale:
            raise ValueError(f"scale must not be 0; got {self.scale}")
        self.mirror = bool(mirror)
        self.swap_rb = bool(swap_rb)
        if not isinstance(letterbox, str):
            letterbox = "centre" if letterbox else "none"
        self.letterbox = _one_of(letterbox, LETTERBOXES, "letterbox")
        self.colour = _colour(matrix, bool(full_range))
        self.pad = int(pad)
        if not 0 <= self.pad <= 255:
            raise ValueError(f"pad must be a pixel value from 0 to 255; got {pad}")
        height, width = self.source
        self.roi = self.region((0, 0, width, height) if roi is None else roi)
        self.inner = self._inner(self.roi)
        self.to_source = self._to_source()
        self.shape = (3, *self.size) if layout == "nchw" else (*self.size, 3)
        self._norm_tables()

    def region(self, roi: Sequence[int]) -> tuple[int, int, int, int]:
        """The region (x, y, width, height), px, if it holds pixels and lies inside the source."""
        x, y, w, h = (int(v) for v in roi)
        height, width = self.source
        if w < 1 or h < 1:
            raise ValueError(f"region must hold at least one pixel; got width {w} and height {h}")
        if x < 0 or y < 0 or x + w > width or y + h > height:
            raise ValueError(
                f"region x {x}..{x + w}, y {y}..{y + h} reaches over the source of width {width} and height {height}"
            )
        return x, y, w, h

    def _inner(self, roi: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Where the picture lies in the target: (x, y, width, height), px."""
        height, width = self.size
        if not self.letterbox:
            return 0, 0, width, height
        _, _, w, h = roi
        where = LETTERBOXES[self.letterbox]
        if where.endswith("-down"):
            inner_w, inner_h = max(1, min(width, w * height // h)), max(1, min(height, h * width // w))
        else:
            ratio = min(width / w, height / h)
            inner_w, inner_h = max(1, min(width, round(w * ratio))), max(1, min(height, round(h * ratio)))
        if where.startswith("top-left"):
            return 0, 0, inner_w, inner_h
        return (width - inner_w) // 2, (height - inner_h) // 2, inner_w, inner_h

    def _to_source(self) -> ToSource:
        x, y, w, h = self.roi
        left, top, inner_w, inner_h = self.inner
        sx, sy = w / inner_w, h / inner_h
        tx, ty = x - left * sx, y - top * sy
        if self.mirror:
            sx, tx = -sx, self.source[1] - tx
        return ToSource(sx, sy, tx, ty)

    def _norm_tables(self) -> None:
        """``(value - mean) / scale`` of all 256 pixel values as elements, and two factors that replace the division.

        ``v * high + v * low`` with ``high + low = 1 / scale``: `high` has few enough bits that the first product is
        exact for whole and half means, so the sum is rounded once, as the division is. Whether it gives the same
        bits is tried with all values; where it does not, the kernels divide.
        """
        values = np.arange(256, dtype=np.float32)
        mean, scale = np.array(self.mean, np.float32), np.array(self.scale, np.float32)
        with np.errstate(over="ignore"):
            centred = values[None, :] - mean[:, None]
            exact = centred / scale[:, None]
        reciprocal = 1.0 / scale.astype(np.float64)
        if not np.isfinite(exact).all() or abs(reciprocal).max() > np.finfo(np.float32).max:
            raise ValueError(f"mean {self.mean} and scale {self.scale} make numbers that float32 does not reach")
        high = (reciprocal.astype(np.float32).view(np.uint32) & np.uint32(0xFFFFC000)).view(np.float32)
        low = (reciprocal - high).astype(np.float32)
        product = centred * high[:, None] + centred * low[:, None]
        self.high, self.low = tuple(map(float, high)), tuple(map(float, low))
        self.divide = product.tobytes() != exact.tobytes()
        self.tables: NDArray[Any] = exact
        if DTYPES[self.dtype] in ("uint8", "int8"):
            range_ = np.iinfo(DTYPES[self.dtype])
            self.tables = np.clip(np.rint(exact), range_.min, range_.max).astype(range_.dtype)
        elif self.dtype == 1:
            with np.errstate(over="ignore"):
                self.tables = exact.astype(np.float16)
        self.fill = tuple(float(v) for v in exact[:, self.pad])

    @property
    def plain(self) -> bool:
        """True where the elements are the pixel values themselves."""
        return DTYPES[self.dtype] == "uint8" and not any(self.mean) and set(self.scale) == {1.0}

    def planes(self, frame: Any) -> Planes:
        """The picture's planes as arrays, or a ValueError that says what does not fit."""
        height, width = self.source
        if self.pixels == 0:
            picture = frame[0] if isinstance(frame, tuple) and len(frame) == 1 else frame
            return (_plane(picture, "frame", [(height, width, 3)]),)
        chroma = (height + 1) // 2, (width + 1) // 2
        name = PIXELS[self.pixels]
        if not isinstance(frame, (tuple, list)):
            if height % 2 or width % 2:
                raise ValueError(f"a packed {name} frame must have an even size; the source is {height}x{width}")
            packed = _plane(frame, "frame", [(height * 3 // 2, width)])
            if not packed.flags.c_contiguous:
                raise ValueError(f"a packed {name} frame must be contiguous; got strides {packed.strides}")
            flat = packed.reshape(-1)
            luma, rest = packed[:height], flat[height * width :]
            if self.pixels == 2:
                return luma, rest.reshape(*chroma, 2)
            return luma, rest[: rest.size // 2].reshape(chroma), rest[rest.size // 2 :].reshape(chroma)
        count = 2 if self.pixels == 2 else 3
        if len(frame) != count:
            raise ValueError(f"{name} has {count} planes; got {len(frame)}")
        luma = _plane(frame[0], "Y", [(height, width)])
        if self.pixels == 2:
            return luma, _plane(frame[1], "UV", [(*chroma, 2), (height, chroma[1], 2)])
        u = _plane(frame[1], "U", [chroma, (height, chroma[1])])
        return luma, u, _plane(frame[2], "V", [u.shape])

    def check_out(self, out: Any, count: int = 1) -> NDArray[Any]:
        """`out`, if elements can be written to it as it stands; `count`: pictures that it must hold."""
        want = self.shape if count == 1 else (count, *self.shape)
        if not isinstance(out, np.ndarray):
            raise ValueError(f"out must be a NumPy array; got {type(out).__name__}")
        shape = out.shape
        while len(shape) > len(want) and shape[0] == 1:
            shape = shape[1:]
        if shape != want:
            raise ValueError(f"out must have shape {want}, with or without a leading 1; got {out.shape}")
        if out.dtype != DTYPES[self.dtype]:
            raise ValueError(f"out must be {DTYPES[self.dtype]}; got {out.dtype}")
        if not out.flags.c_contiguous:
            raise ValueError(f"out must be contiguous; got strides {out.strides} for shape {out.shape}")
        if not out.flags.writeable:
            raise ValueError("out must be writable; got a read-only array")
        return out


def _plane(array: Any, what: str, shapes: list[tuple[int, ...]]) -> NDArray[np.uint8]:
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{what} must be a NumPy array; got {type(array).__name__}")
    if array.dtype != np.uint8:
        raise ValueError(f"{what} must be uint8; got {array.dtype}")
    if array.shape not in shapes:
        raise ValueError(f"{what} must have shape {' or '.join(map(str, shapes))}; got {array.shape}")
    inner = (array.shape[2], 1) if array.ndim == 3 else (1,)
    one = array.shape[1] == 1  # whose distance to the next says nothing
    if array.strides[1 + one :] != inner[one:]:
        got = " and ".join(map(str, array.strides[1:]))
        raise ValueError(f"pixels of a row of {what} must lie {inner[0]} bytes apart, their bytes together; got {got}")
    return array
