"""The kernels in Numba: same signatures as the compiled ones, same results.

For machines without a compiler, and the place to try an idea before it is written in C. The arithmetic is explained
there (ext/preprocess.inc.h, ext/decode.inc.h, ext/yolo.inc.h); here it is written as plainly as possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from saccade.kernels.arguments import anchor_arguments, room_for, ssd_arguments
from saccade.kernels.spec import DTYPES, LAYOUTS, PIXELS, Spec, ToSource
from saccade.kernels.yolo import CODINGS, Head, Objects, arrange


def variants_here() -> tuple[str, ...]:
    """There is one."""
    return ("numba",)


def variant() -> str:
    """Name of the variant in use."""
    return "numba"


def _check_variant(variant: str | None) -> None:
    if variant not in (None, "numba"):
        raise ValueError(f"no variant {variant!r} without the compiled kernels; there is numba")


def _compiled(function: Any) -> Any:
    """Compiled at its first call, and kept on disk where this user has a place for it."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


# ---- preprocess ------------------------------------------------------------------------------------------------------

_Axis = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]


def _axis(n: int, start: int, length: int, extent: int, *, mirror: bool, columns: bool) -> _Axis:
    """First and second sample of each output and their weights in 1/2048, as cv2.resize(INTER_LINEAR) has them."""
    scale = 1.0 / (n / length)
    position = ((np.arange(n) + 0.5) * scale - 0.5).astype(np.float32)
    sample = np.floor(position).astype(np.int32)
    fraction = position - sample.astype(np.float32)
    if columns:
        fraction[(sample < 0) | (sample >= length - 1)] = 0
        sample = sample.clip(0, length - 1)
    second_weight = np.rint(fraction * np.float32(2048)).astype(np.int32)
    first_weight = np.rint((np.float32(1) - fraction) * np.float32(2048)).astype(np.int32)
    first = start + sample.clip(0, length - 1)
    second = start + (sample + 1).clip(0, length - 1)
    if mirror:
        first, second = extent - 1 - first, extent - 1 - second
    return first, second, first_weight, second_weight


def _chroma_axis(n: int, start: int, length: int, extent: int, step: int, *, mirror: bool) -> _Axis:
    """The same for chroma samples, which lie in the centre of the `step` luma samples they colour."""
    low, high = (extent - start - length, extent - start - 1) if mirror else (start, start + length - 1)
    place = start + (np.arange(n) + 0.5) * (length / n)
    if mirror:
        place = extent - place
    position = (place / step - 0.5).clip(low // step, high // step)
    first = np.floor(position).astype(np.int32)
    weight = np.rint((position - first) * 2048).astype(np.int32)
    return first, np.minimum(first + 1, (extent + step - 1) // step - 1), 2048 - weight, weight


@_compiled
def _resize_bgr(frame, columns, rows, table, swap_rb, out):  # type: ignore[no-untyped-def]
    x0, x1, u0, u1 = columns
    y0, y1, v0, v1 = rows
    for y in range(len(y0)):
        a, b, wa, wb = y0[y], y1[y], v0[y], v1[y]
        for x in range(len(x0)):
            left, right, wl, wr = x0[x], x1[x], u0[x], u1[x]
            for c in range(3):
                above = (frame[a, left, c] * wl + frame[a, right, c] * wr) >> 4
                below = (frame[b, left, c] * wl + frame[b, right, c] * wr) >> 4
                to = 2 - c if swap_rb else c
                out[to, y, x] = table[to, (((above * wa) >> 16) + ((below * wb) >> 16) + 2) >> 2]


@njit(nogil=True)
def _scaled(a, b):  # type: ignore[no-untyped-def]
    return (a * b + (1 << 14)) >> 15


@njit(nogil=True)
def _fine(plane, columns, rows, x, y):  # type: ignore[no-untyped-def]
    x0, x1, u0, u1 = columns
    y0, y1, v0, v1 = rows
    above = (plane[y0[y], x0[x]] * u0[x] + plane[y0[y], x1[x]] * u1[x]) >> 4
    below = (plane[y1[y], x0[x]] * u0[x] + plane[y1[y], x1[x]] * u1[x]) >> 4
    return _scaled(above, v0[y] * 8) + _scaled(below, v1[y] * 8)


@njit(nogil=True)
def _byte(fine):  # type: ignore[no-untyped-def]
    return min(max((fine + 32) >> 6, 0), 255)


@_compiled
def _resize_yuv(luma, u, v, columns, rows, chroma_columns, chroma_rows, colour, table, swap_rb, out):  # type: ignore[no-untyped-def]
    zero, y_scale, bu, gu, gv, rv = colour
    blue, red = (2, 0) if swap_rb else (0, 2)
    for y in range(len(rows[0])):
        for x in range(len(columns[0])):
            light = _scaled((_fine(luma, columns, rows, x, y) - zero) * 2, y_scale)
            cu = (_fine(u, chroma_columns, chroma_rows, x, y) - 128 * 64) * 4
            cv = (_fine(v, chroma_columns, chroma_rows, x, y) - 128 * 64) * 4
            out[blue, y, x] = table[blue, _byte(light + _scaled(cu, bu))]
            out[1, y, x] = table[1, _byte(light - _scaled(cu, gu) - _scaled(cv, gv))]
            out[red, y, x] = table[red, _byte(light + _scaled(cv, rv))]


class Preprocess:
    """The Numba counterpart of the compiled `Preprocess`; see there."""

    def __init__(
        self,
        source: Sequence[int],
        size: Sequence[int],
        *,
        pixels: str = "bgr",
        roi: Sequence[int] | None = None,
        layout: str = "nchw",
        dtype: Any = "float32",
        mean: float | Sequence[float] = (0, 0, 0),
        scale: float | Sequence[float] = (1, 1, 1),
        mirror: bool = False,
        swap_rb: bool = False,
        letterbox: bool | str = False,
        pad: int = 0,
        full_range: bool = False,
        matrix: str = "bt601",
        variant: str | None = None,
    ) -> None:
        _check_variant(variant)
        self.spec = Spec(
            source, size, pixels=pixels, roi=roi, layout=layout, dtype=dtype, mean=mean, scale=scale, mirror=mirror,
            swap_rb=swap_rb, letterbox=letterbox, pad=pad, full_range=full_range,
            matrix=matrix,
        )  # fmt: skip
        spec = self.spec
        self.source, self.size, self.roi, self.shape = spec.source, spec.size, spec.roi, spec.shape
        self.pixels, self.layout, self.dtype = PIXELS[spec.pixels], LAYOUTS[spec.layout], DTYPES[spec.dtype]
        self.to_source: ToSource = spec.to_source
        # Elements as integers where Numba has no arithmetic for them.
        self._table = spec.tables.view(np.uint16) if spec.dtype == 1 else spec.tables
        self._plan = self._axes(spec.roi)

    def __call__(self, frame: Any, out: NDArray[Any]) -> NDArray[Any]:
        """See the compiled kernel."""
        self._run(self.spec.planes(frame), self._plan, self.spec.check_out(out).reshape(self.shape))
        return out

    def crops(self, frame: Any, regions: ArrayLike, out: NDArray[Any]) -> NDArray[Any]:
        """See the compiled kernel."""
        boxes = [self.spec.region(region) for region in np.asarray(regions, np.int64).reshape(-1, 4).tolist()]
        targets = self.spec.check_out(out, len(boxes)).reshape(len(boxes), *self.shape)
        planes = self.spec.planes(frame)
        for roi, target in zip(boxes, targets, strict=True):
            self._run(planes, self._axes(roi), target)
        return out

    def _axes(self, roi: tuple[int, int, int, int]) -> tuple[Any, ...]:
        (x, y, w, h), (height, width), mirror = roi, self.source, self.spec.mirror
        left, top, inner_w, inner_h = self.spec._inner(roi)
        columns = _axis(inner_w, x, w, width, mirror=mirror, columns=True)
        rows = _axis(inner_h, y, h, height, mirror=False, columns=False)
        chroma_columns = _chroma_axis(inner_w, x, w, width, 2, mirror=mirror)
        chroma_rows = [_chroma_axis(inner_h, y, h, height, step, mirror=False) for step in (2, 1)]
        return left, top, inner_w, inner_h, columns, rows, chroma_columns, chroma_rows

    def _run(self, planes: tuple[NDArray[np.uint8], ...], plan: tuple[Any, ...], out: NDArray[Any]) -> None:
        left, top, width, height, columns, rows, chroma_columns, chroma_rows = plan
        spec = self.spec
        if spec.dtype == 1:
            out = out.view(np.uint16)
        if spec.layout == 1:
            out = out.transpose(2, 0, 1)
        if (width, height) != (self.size[1], self.size[0]):
            out[...] = self._table[:, spec.pad, None, None]
        inner = out[:, top : top + height, left : left + width]
        if spec.pixels == 0:
            _resize_bgr(planes[0], columns, rows, self._table, spec.swap_rb, inner)
            return
        u, v = (planes[1][..., 0], planes[1][..., 1]) if spec.pixels == 2 else planes[1:]
        rows_c = chroma_rows[planes[1].shape[0] == planes[0].shape[0]]
        _resize_yuv(
            planes[0], u, v, columns, rows, chroma_columns, rows_c, spec.colour, self._table, spec.swap_rb, inner
        )


# ---- decoding --------------------------------------------------------------------------------------------------------


@_compiled
def _larger(a, b):  # type: ignore[no-untyped-def]
    """The second where the first is NaN, as in the compiled kernels; so is the smaller one."""
    return a if a > b else b


@_compiled
def _smaller(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@_compiled
def _area(box):  # type: ignore[no-untyped-def]
    return _larger(box[2] - box[0], np.float32(0)) * _larger(box[3] - box[1], np.float32(0))


@_compiled
def _shared(a, b):  # type: ignore[no-untyped-def]
    """Area of the intersection of two boxes."""
    width = _larger(_smaller(a[2], b[2]) - _larger(a[0], b[0]), np.float32(0))
    height = _larger(_smaller(a[3], b[3]) - _larger(a[1], b[1]), np.float32(0))
    return width * height


@_compiled
def _overlaps(kept, n, box, threshold):  # type: ignore[no-untyped-def]
    area = _area(box)
    for i in range(n):
        both = _shared(kept[i], box)
        if both > threshold * (area + kept[i, 4] - both):
            return True
    return False


@_compiled
def _keep(kept, n, box):  # type: ignore[no-untyped-def]
    kept[n, :4] = box
    kept[n, 4] = _area(box)


@_compiled
def _nms(boxes, order, threshold):  # type: ignore[no-untyped-def]
    kept = np.empty((len(order), 5), np.float32)
    found = np.empty(len(order), np.int64)
    n = 0
    for index in order:
        if not _overlaps(kept, n, boxes[index], threshold):
            _keep(kept, n, boxes[index])
            found[n] = index
            n += 1
    return found[:n]


def _nms_by_label(
    boxes: NDArray[np.float32], labels: NDArray[np.int32], order: NDArray[np.int64], threshold: np.float32
) -> NDArray[np.int64]:
    """As `_nms`, where only boxes of the same label suppress each other."""
    kept = np.zeros(len(boxes), bool)
    for label in np.unique(labels[order]):
        kept[_nms(boxes, order[labels[order] == label], threshold)] = True
    return order[kept[order]]


def _order(scores: NDArray[np.float32], top_k: int) -> NDArray[np.int64]:
    """Indices, best score first, equal scores in their order, NaN last."""
    order = np.argsort(-scores, kind="stable")
    return order[:top_k] if top_k >= 0 else order


def _exp(v: NDArray[np.float32]) -> NDArray[np.float32]:
    """The exponential, rounded to float32 once, as C's expf has it but for the last bit of a few values."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        exponential: NDArray[np.float64] = np.exp(v.astype(np.float64))
        return exponential.astype(np.float32)


def _sigmoid(v: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.float32(1) / (np.float32(1) + _exp(-v))


def _limit(value: int | None) -> int:
    return -1 if value is None or value < 0 else value


def nms(
    boxes: ArrayLike,
    scores: ArrayLike,
    iou_threshold: float,
    top_k: int | None = -1,
    *,
    labels: ArrayLike | None = None,
    variant: str | None = None,
) -> NDArray[np.int64]:
    """The Numba counterpart of the compiled `nms`; see there."""
    _check_variant(variant)
    b = np.ascontiguousarray(boxes, np.float32).reshape(-1, 4)
    s = np.ascontiguousarray(scores, np.float32).reshape(-1)
    if len(b) != len(s):
        raise ValueError(f"boxes and scores must be as many; got {len(b)} boxes and {len(s)} scores")
    order, threshold = _order(s, _limit(top_k)), np.float32(iou_threshold)
    found: NDArray[np.int64]
    if labels is None:
        found = _nms(b, order, threshold)
        return found
    groups = np.ascontiguousarray(labels, np.int32).reshape(-1)
    if len(groups) != len(s):
        raise ValueError(f"labels and scores must be as many; got {len(groups)} labels and {len(s)} scores")
    return _nms_by_label(b, groups, order, threshold)


@_compiled
def _decode_box(loc, prior, v, clip):  # type: ignore[no-untyped-def]
    half, box = np.float32(2), np.empty(4, np.float32)
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    x = v[0] * loc[0] * width + (prior[0] + prior[2]) / half
    y = v[1] * loc[1] * height + (prior[1] + prior[3]) / half
    w, h = np.exp(v[2] * loc[2]) * width, np.exp(v[3] * loc[3]) * height
    box[0], box[1], box[2], box[3] = x - w / half, y - h / half, x + w / half, y + h / half
    if clip:
        for i in range(4):
            box[i] = np.float32(0) if box[i] < 0 else np.float32(1) if box[i] > 1 else box[i]
    return box


@_compiled
def _suppress(loc, priors, prior, label, score, by_label, variance, clip, threshold, classes, rows):  # type: ignore[no-untyped-def]
    n = len(prior)
    kept = np.empty((classes if by_label else 1, n, 5), np.float32)
    count = np.zeros(len(kept), np.int64)
    written = 0
    for i in range(n):
        box = _decode_box(loc[prior[i]], priors[prior[i]], variance, clip)
        group = label[i] if by_label else 0
        if _overlaps(kept[group], count[group], box, threshold):
            continue
        _keep(kept[group], count[group], box)
        count[group] += 1
        rows[written, 0], rows[written, 1] = label[i], score[i]
        rows[written, 2:] = box
        written += 1
    return written


def decode_ssd(
    loc: ArrayLike,
    conf: ArrayLike,
    priors: ArrayLike,
    *,
    variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    background: int | None = 0,
    score_threshold: float,
    iou_threshold: float,
    top_k: int | None,
    keep_top_k: int | None,
    best_class: bool = False,
    clip: bool = False,
    out: NDArray[np.float32] | None = None,
    variant: str | None = None,
) -> NDArray[np.float32]:
    """The Numba counterpart of the compiled `decode_ssd`; see there."""
    _check_variant(variant)
    locs, scores, boxes, spread = ssd_arguments(loc, conf, priors, variances)
    variance, top, threshold = np.array(spread, np.float32), _limit(top_k), np.float32(iou_threshold)
    classes = scores.shape[1]
    foreground = np.array([c for c in range(classes) if c != background], np.int64)
    groups: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    if best_class and foreground.size:
        known = np.where(np.isnan(scores), np.float32(-np.inf), scores)
        best = foreground[known[:, foreground].argmax(1)] if len(scores) else np.empty(0, np.int64)
        chosen = np.flatnonzero(scores[np.arange(len(scores)), best] >= np.float32(score_threshold))
        groups = [(chosen, best[chosen])]
        threshold = np.nextafter(threshold, np.float32(-1))
    elif not best_class:
        for c in foreground:
            chosen = np.flatnonzero(scores[:, c] > np.float32(score_threshold))
            groups.append((chosen, np.full(len(chosen), c)))
    parts = []
    for prior, label in groups:
        order = _order(scores[prior, label], top)
        prior, label = prior[order], label[order]
        rows = np.empty((len(prior), 6), np.float32)
        score = scores[prior, label]
        count = _suppress(
            locs, boxes, prior, label, score, best_class, variance, clip, threshold, classes if best_class else 1, rows
        )
        parts.append(rows[:count])
    found = np.concatenate(parts) if parts else np.empty((0, 6), np.float32)
    return _deliver(found[_order(found[:, 1], _limit(keep_top_k))], out)


def _deliver(rows: NDArray[np.float32], out: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if out is None:
        return rows
    found = room_for(len(rows), rows.shape[1], out)
    found[...] = rows
    return found


@_compiled
def _iou(a, b):  # type: ignore[no-untyped-def]
    both = _shared(a, b)
    union = _area(a) + _area(b) - both
    return both / union if union > 0 else np.float32(0)


@_compiled
def _average_groups(rows, threshold):  # type: ignore[no-untyped-def]
    alive = np.arange(len(rows))
    averaged = np.empty_like(rows)
    written = 0
    while len(alive):
        best = rows[alive[0]]
        total = np.float32(0)
        sums = np.zeros(rows.shape[1], np.float32)
        rest = np.empty_like(alive)
        left = 0
        for i in range(len(alive)):
            row = rows[alive[i]]
            if i > 0 and not _iou(row[1:5], best[1:5]) > threshold:
                rest[left] = alive[i]
                left += 1
                continue
            total += row[0]
            sums += row[0] * row
        averaged[written] = sums / total if total > 0 else best
        averaged[written, 0] = best[0]
        written += 1
        alive = rest[:left]
    return averaged[:written]


def decode_anchors(
    boxes: ArrayLike,
    scores: ArrayLike,
    anchors: ArrayLike,
    *,
    size: int | tuple[int, int],
    score_threshold: float,
    iou_threshold: float,
    top_k: int | None = -1,
    keep_top_k: int | None = -1,
    weighted: bool = False,
    out: NDArray[np.float32] | None = None,
    variant: str | None = None,
) -> NDArray[np.float32]:
    """The Numba counterpart of the compiled `decode_anchors`; see there."""
    _check_variant(variant)
    raw, logits, places, height, width = anchor_arguments(boxes, scores, anchors, size)
    score = _sigmoid(logits)
    chosen = np.flatnonzero((score >= np.float32(score_threshold)) & (logits > -np.inf))
    chosen = chosen[_order(score[chosen], _limit(top_k))]
    raw, places = raw[chosen], places[chosen]
    extent = places[:, 2:] if places.shape[1] == 4 else np.ones((len(places), 2), np.float32)
    rows = np.empty((len(raw), raw.shape[1] + 1), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        points = raw.reshape(len(raw), raw.shape[1] // 2, 2) / np.array([width, height], np.float32) * extent[:, None]
        centre, half = points[:, 0] + places[:, :2], points[:, 1] / 2
        rows[:, 0], rows[:, 1:3], rows[:, 3:5] = score[chosen], centre - half, centre + half
        rows[:, 5:] = (points[:, 2:] + places[:, None, :2]).reshape(len(raw), raw.shape[1] - 4)
    if weighted:
        rows = _average_groups(rows, np.float32(iou_threshold))
    else:
        rows = rows[_nms(rows[:, 1:5], np.arange(len(rows)), np.float32(iou_threshold))]
    keep = _limit(keep_top_k)
    return _deliver(rows[:keep] if keep >= 0 else rows, out)


# ---- decode_yolo -----------------------------------------------------------------------------------------------------


def _candidates(
    head: Head, threshold: np.float32, *, logits: bool, every_class: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Row, label and score of the classes that count, by row and label."""
    raw = np.where(np.isnan(head.scores), np.float32(-np.inf), head.scores)
    if every_class:
        row, label = np.nonzero(raw > -np.inf)
    else:
        best = raw.argmax(1)
        row = np.flatnonzero(raw[np.arange(len(raw)), best] > -np.inf)
        label = best[row]
    score = raw[row, label]
    if logits:
        score = _sigmoid(score)
    chosen = score >= threshold
    if head.objectness is not None:
        raw_objectness = head.objectness[row]
        objectness = _sigmoid(raw_objectness) if logits else raw_objectness
        with np.errstate(invalid="ignore", over="ignore"):
            score = np.where((objectness >= threshold) & (raw_objectness > -np.inf), objectness * score, np.nan)
    chosen &= (score >= threshold) & np.isfinite(score)
    return row[chosen], label[chosen], score[chosen]


def _expected(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Expectations over the last axis, summed in the order of the compiled kernels."""
    weight = _exp(logits - np.fmax.reduce(logits, -1, keepdims=True))
    total, weighted = np.zeros_like(weight[..., 0]), np.zeros_like(weight[..., 0])
    for k in range(weight.shape[-1]):
        total += weight[..., k]
        weighted += weight[..., k] * np.float32(k)
    return weighted / total


def _decode_cells(
    raw: NDArray[np.float32], cells: NDArray[np.float32], coding: str, scale_xy: float
) -> NDArray[np.float32]:
    """Corners, float32 (n, 4), of box channels (n, channels) and their cells (n, 0, 3 or 5)."""
    half, two = np.float32(0.5), np.float32(2)
    if coding == "dfl":
        raw = _expected(raw.reshape(len(raw), 4, raw.shape[1] // 4))
    if coding == "xyxy":
        return raw
    point, stride, anchor = cells[:, :2], cells[:, 2:3], cells[:, 3:5]
    if coding in ("ltrb", "dfl"):
        return np.hstack([point - raw[:, :2] * stride, point + raw[:, 2:] * stride])
    xy, wh = raw[:, :2], raw[:, 2:]
    if coding == "grid":
        xy, wh = xy * stride + point, _exp(wh) * stride
    elif coding in ("v5", "v5-region"):
        xy, wh = (_sigmoid(xy), _sigmoid(wh)) if coding == "v5" else (xy, wh)
        xy, wh = (two * xy - half) * stride + point, (two * wh) * (two * wh) * anchor
    elif coding in ("darknet", "region"):
        scale = np.float32(scale_xy)
        xy = _sigmoid(xy) if coding == "darknet" else xy
        xy, wh = (xy * scale - (scale - np.float32(1)) / two) * stride + point, _exp(wh) * anchor
    return np.hstack([xy - wh / two, xy + wh / two])


def decode_yolo(
    rows: ArrayLike | Sequence[NDArray[np.float32]],
    *,
    layout: str,
    score_threshold: float,
    iou_threshold: float | None,
    top_k: int | None = -1,
    keep_top_k: int | None = -1,
    classes: int | None = None,
    scores: ArrayLike | Sequence[NDArray[np.float32]] | None = None,
    cells: ArrayLike | None = None,
    channels_first: bool = False,
    sigmoid: bool = False,
    agnostic: bool = False,
    every_class: bool = False,
    scale_xy: float = 1.0,
    out: NDArray[np.float32] | None = None,
    variant: str | None = None,
) -> NDArray[np.float32]:
    """The Numba counterpart of the compiled `decode_yolo`; see there."""
    _check_variant(variant)
    arranged = arrange(
        rows, layout=layout, classes=classes, scores=scores, cells=cells, channels_first=channels_first,
        sigmoid=sigmoid, score_threshold=score_threshold,
    )  # fmt: skip
    coding, threshold = tuple(CODINGS)[arranged.coding], np.float32(score_threshold)
    parts, first_row = [np.empty((0, 7), np.float32)], 0
    for head in arranged.heads if arranged.classes else ():
        row, label, score = _candidates(head, threshold, logits=arranged.logits, every_class=every_class)
        with np.errstate(invalid="ignore", over="ignore"):
            boxes = _decode_cells(head.boxes[row], arranged.cells[first_row + row], coding, scale_xy)
        part = np.column_stack([label, score, boxes, first_row + row]).astype(np.float32)
        parts.append(part[np.isfinite(boxes).all(1)])
        first_row += len(head.boxes)
    found = np.concatenate(parts)
    found = found[_order(found[:, 1], _limit(top_k))]
    if iou_threshold is not None and iou_threshold < 1:
        labels = np.zeros(len(found), np.int32) if agnostic else found[:, 0].astype(np.int32)
        found = found[_nms_by_label(found[:, 2:6], labels, np.arange(len(found)), np.float32(iou_threshold))]
    keep = _limit(keep_top_k)
    return _deliver(found[:keep] if keep >= 0 else found, out)


# ---- objects ---------------------------------------------------------------------------------------------------------


def as_objects(
    rows: NDArray[np.float32], unit: NDArray[np.float32], *, first_label: int = 0, top_k: int | None = -1
) -> Objects:
    """The Numba counterpart of the compiled `as_objects`; see there."""
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] < 6 or (len(rows) and rows.strides[1] != 4):
        raise ValueError(f"rows must be float32 (n, 6 or more), numbers of a row side by side; got {np.shape(rows)}")
    if unit.dtype != np.float32 or unit.shape != (4,):
        raise ValueError(f"unit must be float32 (4,); got {np.shape(unit)}")
    with np.errstate(invalid="ignore", over="ignore"):
        boxes = rows[:, 2:6] * unit
        near = (boxes[:, :2] < boxes[:, 2:]) & (boxes[:, :2] >= -1e6) & (boxes[:, 2:] <= 1e6)
    limit = _limit(top_k)
    chosen = np.flatnonzero(near.all(1) & ~np.isnan(rows[:, 1]))[: limit if limit >= 0 else None]
    label = rows[chosen, 0]
    known = np.abs(label) < 1e9
    labels = np.where(known, np.where(known, label, 0).astype(np.int64) + first_label, -1).astype(np.int32)
    scores = np.clip(rows[chosen, 1], 0, 1)
    return boxes[chosen], scores, labels, None if len(chosen) == len(rows) else chosen
