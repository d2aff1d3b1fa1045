"""What the kernels must compute, written with NumPy and OpenCV as plainly as possible."""

from __future__ import annotations

import cv2
import numpy as np


def preprocess(
    frame, size, *, roi=None, mirror=False, swap_rb=False, layout="nchw", dtype="float32", mean=0.0, scale=1.0
):
    """BGR uint8 (h, w, 3): flip, cut, resize, channel order, normalise, layout, each on its own."""
    if mirror:
        frame = cv2.flip(frame, 1)
    if roi is not None:
        x, y, w, h = roi
        frame = frame[y : y + h, x : x + w]
    pixels = cv2.resize(np.ascontiguousarray(frame), size[::-1], interpolation=cv2.INTER_LINEAR)
    return elements(pixels, swap_rb=swap_rb, layout=layout, dtype=dtype, mean=mean, scale=scale)


def elements(pixels, *, swap_rb=False, layout="nchw", dtype="float32", mean=0.0, scale=1.0):
    if swap_rb:
        pixels = pixels[..., ::-1]
    values = (pixels.astype(np.float32) - np.float32(mean)) / np.float32(scale)
    if dtype in ("uint8", "int8"):
        values = np.clip(np.rint(values), np.iinfo(dtype).min, np.iinfo(dtype).max)
    if layout == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values, dtype=dtype)


def bilinear(plane, x, y):
    """Samples of a plane at continuous positions (pixel centres at .5), the edge repeated; float64."""
    height, width = plane.shape
    x, y = (x - 0.5).clip(0, width - 1), (y - 0.5).clip(0, height - 1)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = x - x0, (y - y0)[:, None]
    p = plane.astype(np.float64)
    top = p[y0][:, x0] * (1 - fx) + p[y0][:, x1] * fx
    bottom = p[y1][:, x0] * (1 - fx) + p[y1][:, x1] * fx
    return top * (1 - fy) + bottom * fy


def yuv_to_bgr(y, u, v, full_range, matrix):
    """ITU-R BT.601 or BT.709 in floating point, float64 (h, w, 3)."""
    kr, kg, kb = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722)}[matrix]
    if not full_range:
        y = (y - 16) * 255 / 219
    chroma = 1.0 if full_range else 255 / 224
    u, v = (u - 128) * chroma, (v - 128) * chroma
    blue = y + 2 * (1 - kb) * u
    red = y + 2 * (1 - kr) * v
    green = (y - kb * blue - kr * red) / kg
    return np.stack([blue, green, red], -1)


def preprocess_yuv(planes, size, *, full_range=False, matrix="bt601", roi=None, mirror=False):
    """Pixels, float64 (h, w, 3) BGR, not rounded: each plane sampled at its own resolution, converted once."""
    luma, u, v = planes
    if mirror:
        luma = luma[:, ::-1]
    height, width = luma.shape
    x, y, w, h = roi or (0, 0, width, height)
    xs = x + (np.arange(size[1]) + 0.5) * w / size[1]
    ys = y + (np.arange(size[0]) + 0.5) * h / size[0]
    luma = bilinear(luma[y : y + h, x : x + w], xs - x, ys - y)
    step = 1 if u.shape[0] == height else 2
    chroma = []
    for plane in (u, v):
        places = (width - xs if mirror else xs) / 2
        left, right = ((width - x - w), width - x - 1) if mirror else (x, x + w - 1)
        low, high, top, bottom = left // 2, right // 2 + 1, y // step, (y + h - 1) // step + 1
        chroma.append(bilinear(plane[top:bottom, low:high], places - low, ys / step - top))
    return yuv_to_bgr(luma, *chroma, full_range, matrix)


def overlap(a, b):
    """Intersection over union of corner boxes (n, 4) and (m, 4), float32 (n, m)."""
    a, b = np.float32(a)[:, None], np.float32(b)[None]
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    both = width.clip(0) * height.clip(0)
    area = [(c[..., 2] - c[..., 0]).clip(0) * (c[..., 3] - c[..., 1]).clip(0) for c in (a, b)]
    union = area[0] + area[1] - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def nms(boxes, scores, threshold, top_k=-1):
    order = np.argsort(-scores, kind="stable")
    if top_k >= 0:
        order = order[:top_k]
    kept: list[int] = []
    for i in order:
        if not kept or (overlap(boxes[i : i + 1], boxes[kept]) <= threshold).all():
            kept.append(int(i))
    return np.array(kept, np.int64)


def decode_boxes(loc, priors, variances):
    size = priors[:, 2:] - priors[:, :2]
    centre = (priors[:, :2] + priors[:, 2:]) / 2
    centre = loc[:, :2] * np.float32(variances[:2]) * size + centre
    size = np.exp(loc[:, 2:] * np.float32(variances[2:])) * size
    return np.concatenate([centre - size / 2, centre + size / 2], 1)


def multibox_detection(loc, conf, priors, variances, score_threshold, iou_threshold, top_k, clip):
    """As MXNet's operator documents itself: one class a prior, all priors ranked together."""
    best = conf[:, 1:].argmax(1) + 1
    score = conf[np.arange(len(conf)), best]
    chosen = np.flatnonzero(score >= score_threshold)
    chosen = chosen[np.argsort(-score[chosen], kind="stable")]
    chosen = chosen[:top_k] if top_k > 0 else chosen
    boxes = decode_boxes(loc[chosen], priors[chosen], variances)
    if clip:
        boxes = boxes.clip(0, 1)
    alive = np.ones(len(chosen), bool)
    for i in range(len(chosen)):
        if alive[i] and i + 1 < len(chosen):
            same = best[chosen[i + 1 :]] == best[chosen[i]]
            alive[i + 1 :] &= ~(same & (overlap(boxes[i : i + 1], boxes[i + 1 :])[0] >= iou_threshold))
    rows = np.concatenate([best[chosen, None], score[chosen, None], boxes], 1)
    return rows[alive].astype(np.float32)


def anchor_rows(boxes, scores, anchors, size):
    """All candidates: score, corners, key points; float64."""
    height, width = size
    boxes, anchors = boxes.astype(np.float64), anchors.astype(np.float64)
    points = boxes.reshape(len(boxes), -1, 2) / (width, height)
    if anchors.shape[1] == 4:
        points = points * anchors[:, None, 2:]
    centre = points[:, 0] + anchors[:, :2]
    rows = [1 / (1 + np.exp(-scores.astype(np.float64)))[:, None], centre - points[:, 1] / 2, centre + points[:, 1] / 2]
    rows.append((points[:, 2:] + anchors[:, None, :2]).reshape(len(boxes), -1))
    return np.concatenate(rows, 1)


def average_groups(rows, threshold):
    """Weighted suppression of rows that are best first."""
    result = []
    while len(rows):
        near = overlap(rows[:1, 1:5], rows[:, 1:5])[0] > threshold
        near[0] = True
        group = rows[near]
        mean = (group[:, :1] * group).sum(0) / group[:, 0].sum()
        mean[0] = group[0, 0]
        result.append(mean)
        rows = rows[~near]
    return np.array(result)


def sigmoid(v):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-v))


def yolo_boxes(coding, raw, cells, scale_xy):
    """Corners, float64 (n, 4), of box channels (n, channels), as the families' papers and code have them."""
    raw = raw.astype(np.float64)
    if coding == "xyxy":
        return raw
    x, y, stride = (cells[:, i] for i in range(3)) if cells is not None else (None,) * 3
    if coding in ("ltrb", "dfl"):
        sides = raw
        if coding == "dfl":
            bins = np.exp(raw.reshape(len(raw), 4, -1))
            sides = (bins * np.arange(bins.shape[2])).sum(2) / bins.sum(2)
        left, top, right, bottom = (sides * stride[:, None]).T
        return np.stack([x - left, y - top, x + right, y + bottom], 1)
    a, b, c, d = raw.T
    if coding.startswith(("v5", "darknet")) and "region" not in coding:
        a, b = sigmoid(a), sigmoid(b)
        c, d = (sigmoid(c), sigmoid(d)) if coding == "v5" else (c, d)
    if coding == "grid":
        a, b, c, d = (a + x / stride) * stride, (b + y / stride) * stride, np.exp(c) * stride, np.exp(d) * stride
    elif coding in ("v5", "v5-region"):
        a, b = (2 * a - 0.5 + x / stride) * stride, (2 * b - 0.5 + y / stride) * stride
        c, d = (2 * c) ** 2 * cells[:, 3], (2 * d) ** 2 * cells[:, 4]
    elif coding in ("darknet", "region"):
        grow = (scale_xy - 1) / 2
        a, b = (a * scale_xy - grow + x / stride) * stride, (b * scale_xy - grow + y / stride) * stride
        c, d = np.exp(c) * cells[:, 3], np.exp(d) * cells[:, 4]
    return np.stack([a - c / 2, b - d / 2, a + c / 2, b + d / 2], 1)


def decode_yolo(
    boxes, objectness, scores, *, coding, cells=None, scale_xy=1.0, logits=False, score_threshold, iou_threshold,
    top_k=-1, keep_top_k=-1, agnostic=False, every_class=False,
):  # fmt: skip
    """Rows label, score, corners, source row, from the parts of a head, candidate by candidate."""
    if logits:
        scores = np.float32(sigmoid(scores.astype(np.float64)))
        objectness = None if objectness is None else np.float32(sigmoid(objectness.astype(np.float64)))
    threshold = np.float32(score_threshold)
    corners = yolo_boxes(coding, boxes, cells, scale_xy)
    candidates = []
    for row in range(len(boxes)):
        if objectness is not None and not objectness[row] >= threshold:
            continue
        labels = range(scores.shape[1]) if every_class else [int(scores[row].argmax())]
        for label in labels:
            score = scores[row, label] if objectness is None else objectness[row] * scores[row, label]
            if score >= threshold:
                candidates.append([label, score, *corners[row], row])
    rows = np.array(candidates, np.float64).reshape(-1, 7)
    rows = rows[np.argsort(-rows[:, 1], kind="stable")]
    rows = rows[:top_k] if top_k >= 0 else rows
    kept = np.arange(0)
    for i in range(len(rows)):
        rivals = rows[kept] if agnostic else rows[kept][rows[kept, 0] == rows[i, 0]]
        if iou_threshold is None or (overlap(rows[[i], 2:6], rivals[:, 2:6]) <= np.float32(iou_threshold)).all():
            kept = np.append(kept, i)
    return rows[kept][:keep_top_k] if keep_top_k >= 0 else rows[kept]
