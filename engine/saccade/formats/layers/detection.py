"""What ends detectors: prior boxes, their decoding, regions, the best of many."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from openvino import opset1, opset2, opset11

from saccade.errors import ModelError, UnsupportedError
from saccade.formats.layers.values import Value, crop, dims, whole_number


def distinct_ratios(ratios: Sequence[float], *, flip: bool) -> list[float]:
    """Return 1 and the aspect ratios in file order without repeats (within 1e-6), each followed by its inverse."""
    kept = [1.0]
    for ratio in ratios:
        if not 0 < ratio < math.inf:
            raise ModelError(f"aspect ratio {ratio} is not usable; expected a positive number")
        if any(abs(ratio - k) < 1e-6 for k in kept):
            continue
        kept += [ratio, 1.0 / ratio] if flip else [ratio]
    return kept


def ssd_box_sizes(
    min_sizes: Sequence[float], max_sizes: Sequence[float], ratios: Sequence[float], *, scale_all_sizes: bool = True
) -> list[tuple[float, float]]:
    """Return (width, height) in px of the boxes of one cell, in Caffe's order: min, sqrt(min * max), other ratios.

    `ratios` is the result of `distinct_ratios`. Without `scale_all_sizes` only the first minimum size gets the
    other ratios, after all squares.
    """
    boxes: list[tuple[float, float]] = []
    for index, low in enumerate(min_sizes):
        boxes.append((low, low))
        if index < len(max_sizes):
            boxes.append((float(np.sqrt(low * max_sizes[index])),) * 2)
        if scale_all_sizes or index == len(min_sizes) - 1:
            base = low if scale_all_sizes else min_sizes[0]
            boxes += [(base * r**0.5, base / r**0.5) for r in ratios if abs(r - 1) >= 1e-6]
    return boxes


def prior_boxes(
    sizes: Sequence[tuple[float, float]],
    *,
    feature: tuple[int, int],
    image: tuple[int, int],
    step: tuple[float, float],
    offset: float = 0.5,
    shifts: Sequence[tuple[float, float]] | None = None,
    clip: bool = False,
    variances: Sequence[float] = (0.1,),
) -> npt.NDArray[np.float32]:
    """Return SSD prior boxes, float32 (2, height * width * boxes * 4): corners x1, y1, x2, y2, then the variances.

    `sizes` holds (width, height) of each box of a cell in px of the image, `shifts` the (x, y) px by which each
    box's centre is moved; `feature` and `image` are (height, width); `step` is the (y, x) distance of cells in px;
    `offset` the place of the centre in a cell, in steps; `variances` 1 or 4 numbers. Corners are in [0, 1].
    """
    if len(variances) not in (1, 4):
        raise ModelError(f"prior boxes have {len(variances)} variances; expected 1 or 4")
    if min(image) <= 0:
        raise ModelError(f"prior boxes are those of a picture of {image[1]}x{image[0]} px; expected positive numbers")
    box = np.asarray(sizes, dtype=np.float64).reshape(-1, 2) / 2
    move = np.zeros_like(box) if shifts is None else np.asarray(shifts, dtype=np.float64).reshape(-1, 2)
    y = (np.arange(feature[0], dtype=np.float64) + offset)[:, None, None] * step[0] + move[:, 1]
    x = (np.arange(feature[1], dtype=np.float64) + offset)[None, :, None] * step[1] + move[:, 0]
    corners = np.empty((*feature, len(box), 4), dtype=np.float64)
    corners[..., 0] = (x - box[:, 0]) / image[1]
    corners[..., 1] = (y - box[:, 1]) / image[0]
    corners[..., 2] = (x + box[:, 0]) / image[1]
    corners[..., 3] = (y + box[:, 1]) / image[0]
    if clip:
        np.clip(corners, 0, 1, out=corners)
    result = np.empty((2, corners.size), dtype=np.float32)
    result[0] = corners.reshape(-1)
    result[1] = np.resize(np.asarray(variances, dtype=np.float32), corners.size)
    return result


def detection_output(
    loc: Value,
    conf: Value,
    priors: Value,
    *,
    num_classes: int,
    nms_threshold: float,
    confidence_threshold: float,
    keep_top_k: int,
    top_k: int = -1,
    background_label: int = 0,
    code_type: str = "CORNER",
    share_location: bool = True,
    variance_encoded_in_target: bool = False,
    normalized: bool = True,
    input_size: tuple[int, int] = (1, 1),
    clip_before_nms: bool = False,
    clip_after_nms: bool = False,
    decrease_label_id: bool = False,
    aux_conf: Value | None = None,
    aux_loc: Value | None = None,
    objectness_score: float = 0.0,
) -> Value:
    """Decode SSD heads: loc (N, priors * 4), conf (N, priors * classes), priors (1, 2, priors * 4).

    Returns (1, 1, N * keep_top_k, 7): image, label, score, x1, y1, x2, y2; the first image id of -1 ends the list.
    `decrease_label_id` selects MXNet's algorithm (best class per prior, labels from 0) instead of Caffe's.
    """
    if code_type not in ("CORNER", "CENTER_SIZE"):
        raise UnsupportedError(f"detection output with code type {code_type!r}; expected CORNER or CENTER_SIZE")
    if variance_encoded_in_target and dims(priors)[1] == 2:
        priors = crop(priors, (0, 0, 0), (1, 1, dims(priors)[2]))  # the op refuses variances that it will not use
    attributes = {
        "num_classes": num_classes,
        "background_label_id": background_label,
        "top_k": top_k,
        "variance_encoded_in_target": variance_encoded_in_target,
        "keep_top_k": [keep_top_k],
        "code_type": f"caffe.PriorBoxParameter.{code_type}",
        "share_location": share_location,
        "nms_threshold": nms_threshold,
        "confidence_threshold": confidence_threshold,
        "clip_after_nms": clip_after_nms,
        "clip_before_nms": clip_before_nms,
        "decrease_label_id": decrease_label_id,
        "normalized": normalized,
        "input_height": input_size[0],
        "input_width": input_size[1],
    }
    if aux_conf is None or aux_loc is None:
        return opset1.detection_output(loc, conf, priors, attributes).output(0)
    attributes["objectness_score"] = objectness_score
    return opset1.detection_output(loc, conf, priors, attributes, aux_conf, aux_loc).output(0)


def roi_pooling(x: Value, rois: Value, *, size: tuple[int, int], spatial_scale: float, method: str = "max") -> Value:
    """Pool regions; `rois` (n, 5): image, x1, y1, x2, y2 in px of the network's input; `method` max or bilinear."""
    if min(size) < 1 or not 0 < spatial_scale < math.inf:
        raise ModelError(f"pools regions to {size} at the scale {spatial_scale:g}; expected positive numbers")
    return opset2.roi_pooling(x, rois, list(size), spatial_scale, method).output(0)


def top_k(x: Value, k: int, *, axis: int, mode: str = "max", sort: str = "value") -> tuple[Value, Value]:
    """Return the k best values along an axis and their indices (int32)."""
    if not 1 <= k <= dims(x)[axis]:
        raise ModelError(f"picks the best {k} of {dims(x)[axis]} values; expected 1 to {dims(x)[axis]}")
    node = opset11.topk(x, whole_number(k), axis, mode, sort, index_element_type="i32")
    return node.output(0), node.output(1)
