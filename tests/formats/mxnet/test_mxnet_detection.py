"""Anchors, decoding and suppression against plain loops in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mxnet_files import Net, run

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import mxnet
from saccade.formats.mxnet.ops.detection import region_anchors


def build(folder: Path, op: str, inputs: dict[str, np.ndarray], *, obey: bool = False, **attributes: Any) -> np.ndarray:
    net = Net()
    net.op(op, "o", *(net.var(name) for name in inputs), **attributes)
    shapes = {name: value.shape for name, value in inputs.items()}
    model = mxnet.read(net.save(folder), input_shapes=shapes, force_suppress=obey)
    return run(model, inputs)["o"]


def random_boxes(count: int, seed: int, size: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner, extent = rng.random((count, 2)), rng.random((count, 2)) * 0.5 + 0.02
    return (np.concatenate([corner, corner + extent], 1) * size).astype(np.float32)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def suppressed(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, overlap: float, top: int) -> list[int]:
    """Numbers of the boxes that remain, best first; labels of -1 everywhere for one class."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable")[:top]:
        if all(labels[i] != labels[j] or iou(boxes[i], boxes[j]) <= overlap for j in kept):
            kept.append(int(i))
    return kept


def decoded(offsets: np.ndarray, anchors: np.ndarray, variances: tuple[float, ...]) -> np.ndarray:
    size, centre = anchors[:, 2:] - anchors[:, :2], (anchors[:, 2:] + anchors[:, :2]) / 2
    centre = offsets[:, :2] * variances[:2] * size + centre
    half = np.exp(offsets[:, 2:] * variances[2:]) * size / 2
    return np.concatenate([centre - half, centre + half], 1)


@pytest.mark.parametrize(
    ("sizes", "ratios", "steps", "offsets", "clip"),
    [
        ((0.2, 0.35), (1, 2, 0.5, 3), None, None, False),
        ((0.6,), (2, 1), (0.2, 0.15), (0.3, 0.6), True),
        ((0.1, 0.141), (1, 2, 0.5), (-1.0, -1.0), (0.5, 0.5), False),
    ],
)
def test_multi_box_prior(sizes: Any, ratios: Any, steps: Any, offsets: Any, clip: bool, tmp_path: Path) -> None:
    height, width = 5, 7
    given = {key: value for key, value in (("steps", steps), ("offsets", offsets)) if value is not None}
    got = build(
        tmp_path,
        "_contrib_MultiBoxPrior",
        {"data": np.zeros((1, 3, height, width))},
        sizes=sizes,
        ratios=ratios,
        clip=clip,
        **given,
    )
    step = steps if steps and steps[0] > 0 else (1 / height, 1 / width)
    offset = offsets or (0.5, 0.5)
    expected = []
    for i in range(height):
        for j in range(width):
            y, x = (i + offset[0]) * step[0], (j + offset[1]) * step[1]
            for s, r in [(s, ratios[0]) for s in sizes] + [(sizes[0], r) for r in ratios[1:]]:
                w, h = s * height / width * r**0.5 / 2, s / r**0.5 / 2
                expected.append([x - w, y - h, x + w, y + h])
    want = np.clip(expected, 0, 1) if clip else np.array(expected)
    np.testing.assert_allclose(got, want[None], atol=1e-6)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"nms_topk": 20, "threshold": 0.3, "nms_threshold": 0.3}, {"clip": False, "variances": (0.2, 0.2, 0.3, 0.3)},
     {"nms_threshold": 0}],
)  # fmt: skip
@pytest.mark.parametrize("force", [False, True])
def test_multi_box_detection(attributes: dict[str, Any], force: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    scores = rng.random((1, 4, 60)).astype(np.float32) ** 3
    scores /= scores.sum(1, keepdims=True)
    offsets = (rng.normal(size=(1, 240)) * 0.3).astype(np.float32)
    anchors = np.clip(random_boxes(60, 1), 0, 1)
    got = build(
        tmp_path, "_contrib_MultiBoxDetection", {"cls_prob": scores, "loc": offsets, "anchors": anchors[None]},
        obey=True, **attributes, **({"force_suppress": True} if force else {}),
    ).reshape(-1, 7)  # fmt: skip
    boxes = decoded(offsets.reshape(-1, 4), anchors, attributes.get("variances", (0.1, 0.1, 0.2, 0.2)))
    if attributes.get("clip", True):
        boxes = np.clip(boxes, 0, 1)
    label, best = scores[0, 1:].argmax(0), scores[0, 1:].max(0)
    valid = np.flatnonzero(best >= attributes.get("threshold", 0.01))
    top = attributes.get("nms_topk", len(valid))
    overlap = attributes.get("nms_threshold", 0.5) or 1.0
    kept = valid[suppressed(boxes[valid], best[valid], np.zeros(len(valid)) if force else label[valid], overlap, top)]
    expected = np.concatenate([np.zeros((len(kept), 1)), label[kept, None], best[kept, None], boxes[kept]], 1)
    ends = np.flatnonzero(got[:, 0] < 0)
    got = got[: ends[0]] if len(ends) else got
    got = got[np.argsort(-got[:, 2], kind="stable")]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_suppression_across_classes_needs_the_callers_word_too(tmp_path: Path) -> None:
    anchors = np.float32([[[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.52]]])
    scores = np.float32([[[0.1, 0.1], [0.8, 0.1], [0.1, 0.8]]])
    inputs = {"cls_prob": scores, "loc": np.zeros((1, 8), np.float32), "anchors": anchors}
    for allowed, count in ((False, 2), (True, 1)):
        rows = build(
            tmp_path,
            "_contrib_MultiBoxDetection",
            inputs,
            force_suppress=allowed,
            nms_topk=2,
        )
        assert (rows.reshape(-1, 7)[:, 2] > 0).sum() == 2
        net = Net()
        net.op("_contrib_MultiBoxDetection", "o", *(net.var(name) for name in inputs), force_suppress=True)
        model = mxnet.read(
            net.save(tmp_path), input_shapes={n: v.shape for n, v in inputs.items()}, force_suppress=allowed
        )
        assert (run(model, inputs)["o"].reshape(-1, 7)[:, 2] > 0).sum() == count


def test_detections_are_outputs_only(tmp_path: Path) -> None:
    net = Net()
    found = net.op("_contrib_MultiBoxDetection", "det", net.var("a"), net.var("b"), net.var("c"))
    net.op("broadcast_add", "sum", found, net.var("d"))
    with pytest.raises(UnsupportedError, match="only outputs can be detections"):
        mxnet.read(net.save(tmp_path))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [({"background_id": 1}, "background"), ({"variances": "(0.1,)"}, "variances")],
)
def test_attributes_and_inputs_of_detection_that_do_not_fit_are_named(
    attributes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    inputs = {"a": np.zeros((1, 3, 4)), "b": np.zeros((1, 16)), "c": np.zeros((1, 4, 4))}
    with pytest.raises(ModelError, match=message):
        build(tmp_path, "_contrib_MultiBoxDetection", inputs, **attributes)
    with pytest.raises(ModelError, match="do not fit each other"):
        build(tmp_path, "_contrib_MultiBoxDetection", {**inputs, "b": np.zeros((1, 15))})


@pytest.mark.parametrize(
    "attributes",
    [
        {}, {"id_index": 0}, {"id_index": 0, "topk": 30, "valid_thresh": 0.2, "overlap_thresh": 0.3},
        {"id_index": 0, "force_suppress": True}, {"id_index": 0, "background_id": 1, "valid_thresh": 0.05},
        {"topk": 10},
        {"id_index": 0, "in_format": "center", "out_format": "center"}, {"in_format": "center"},
        {"out_format": "center"},
    ],
)  # fmt: skip
def test_box_nms(attributes: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.integers(0, 3, (50, 1)), rng.random((50, 1)), random_boxes(50, 5, 100)], 1).astype(
        np.float32
    )
    boxes = rows[:, 2:].copy()
    if attributes.get("in_format") == "center":
        boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    got = build(tmp_path, "_contrib_box_nms", {"data": rows[None]}, **attributes)[0]
    by_class = "id_index" in attributes and not attributes.get("force_suppress", False)
    valid = np.flatnonzero(
        (rows[:, 1] > attributes.get("valid_thresh", 0)) & (rows[:, 0] != attributes.get("background_id", -1))
    )
    labels = rows[valid, 0] if by_class else np.zeros(len(valid))
    kept = valid[
        suppressed(
            boxes[valid], rows[valid, 1], labels, attributes.get("overlap_thresh", 0.5), attributes.get("topk", 50)
        )
    ]
    expected = np.full((50, 6), -1.0)
    expected[: len(kept)] = np.concatenate([rows[kept, :2], boxes[kept]], 1)
    if attributes.get("out_format") == "center":
        best = boxes[kept]
        expected[: len(kept), 2:] = np.concatenate([(best[:, :2] + best[:, 2:]) / 2, best[:, 2:] - best[:, :2]], 1)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


def test_box_nms_over_a_batch(tmp_path: Path) -> None:
    rows = np.concatenate(
        [np.random.default_rng(3).random((2, 20, 1)), np.stack([random_boxes(20, s) for s in (1, 2)])], 2
    )
    both = build(tmp_path, "_contrib_box_nms", {"data": rows}, coord_start=1, score_index=0)
    for picture in range(2):
        one = build(tmp_path, "_contrib_box_nms", {"data": rows[picture]}, coord_start=1, score_index=0)
        np.testing.assert_array_equal(both[picture], one)


def test_box_nms_columns(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="coord_start=4"):
        build(tmp_path, "_contrib_box_nms", {"data": np.zeros((1, 5, 6))}, coord_start=4)


def test_box_decode(tmp_path: Path) -> None:
    offsets = np.random.default_rng(1).normal(size=(1, 20, 4)).astype(np.float32)
    anchors = random_boxes(20, 2)
    spread = {"std0": 0.1, "std1": 0.1, "std2": 0.2, "std3": 0.2}
    got = build(tmp_path, "_contrib_box_decode", {"data": offsets, "anchors": anchors[None]}, format="corner", **spread)
    np.testing.assert_allclose(got[0], decoded(offsets[0], anchors, (0.1, 0.1, 0.2, 0.2)), atol=1e-5)
    centred = np.concatenate([(anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]], 1)
    got = build(tmp_path, "_contrib_box_decode", {"data": offsets, "anchors": centred[None]}, clip=0.05, **spread)
    clipped = np.concatenate([offsets[0, :, :2], np.minimum(offsets[0, :, 2:], 0.25)], 1)
    np.testing.assert_allclose(got[0], decoded(clipped, anchors, (0.1, 0.1, 0.2, 0.2)), atol=1e-5)


def test_region_anchors() -> None:
    """The nine anchors that Faster R-CNN's own documentation lists."""
    expected = [
        [-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199], [-56, -56, 71, 71], [-120, -120, 135, 135],
        [-248, -248, 263, 263], [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359],
    ]  # fmt: skip
    np.testing.assert_array_equal(region_anchors(16, (8, 16, 32), (0.5, 1, 2)), expected)


def test_proposal(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    height, width, stride, count, after = 6, 8, 16, 6, 15
    scores, offsets = rng.random((1, 12, height, width)), rng.normal(size=(1, 24, height, width)) * 0.2
    info = np.array([[90, 120, 1.0]])
    got = build(
        tmp_path, "_contrib_Proposal", {"cls": scores, "reg": offsets, "im_info": info}, scales=(2, 4),
        ratios=(0.5, 1, 2),         rpn_pre_nms_top_n=100, rpn_post_nms_top_n=after, threshold=0.6,
    )  # fmt: skip
    boxes, best = [], []
    for y in range(height):
        for x in range(width):
            for a, anchor in enumerate(region_anchors(stride, (2, 4), (0.5, 1, 2))):
                x1, y1, x2, y2 = anchor + np.array([x, y, x, y]) * stride
                w, h = x2 - x1 + 1, y2 - y1 + 1
                dx, dy, dw, dh = offsets[0, 4 * a : 4 * a + 4, y, x]
                cx, cy = dx * w + x1 + (w - 1) / 2, dy * h + y1 + (h - 1) / 2
                pw, ph = np.exp(dw) * w, np.exp(dh) * h
                box = np.array([cx - (pw - 1) / 2, cy - (ph - 1) / 2, cx + (pw - 1) / 2, cy + (ph - 1) / 2])
                box = np.clip(box, 0, np.array([119, 89, 119, 89]))
                score = scores[0, count + a, y, x]
                if box[2] - box[0] + 1 < 16 or box[3] - box[1] + 1 < 16:
                    box += [-8, -8, 8, 8]
                    score = -1
                if y >= 90 // stride or x >= 120 // stride:
                    score = -1
                boxes.append(box)
                best.append(score)
    table = np.add(boxes, [0, 0, 1, 1])
    kept = suppressed(table, np.array(best), np.zeros(len(best)), 0.6, 100)
    expected = np.array([boxes[kept[i % len(kept)]] for i in range(after)])
    np.testing.assert_array_equal(got[:, 0], 0)
    np.testing.assert_allclose(got[:, 1:], expected, atol=1e-3)


def test_roi_pooling(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(1, 2, 8, 8)).astype(np.float32)
    rois = np.float32([[0, 0, 0, 28, 28], [0, 8, 16, 24, 28]])
    got = build(tmp_path, "ROIPooling", {"data": x, "rois": rois}, pooled_size=(2, 2), spatial_scale=0.25)
    expected = np.zeros((2, 2, 2, 2))
    for n, (_, x1, y1, x2, y2) in enumerate(np.round(rois * [1, 0.25, 0.25, 0.25, 0.25]).astype(int)):
        rows, columns = (np.linspace(a, b + 1, 3) for a, b in ((y1, y2), (x1, x2)))
        for i in range(2):
            for j in range(2):
                own = x[
                    0,
                    :,
                    int(np.floor(rows[i])) : int(np.ceil(rows[i + 1])),
                    int(np.floor(columns[j])) : int(np.ceil(columns[j + 1])),
                ]
                expected[n, :, i, j] = own.max((1, 2))
    np.testing.assert_allclose(got, expected, atol=1e-6)
