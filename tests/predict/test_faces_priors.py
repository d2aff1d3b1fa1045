"""Face detectors with prior boxes: UltraFace, RetinaFace, YuNet of 2021, AIZOO."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import numpy as np
import pytest
from made_up import claimed, found_by, same_objects, shuffled, try_nonsense

from heads import Head
from saccade.errors import UnsupportedError

SMALL = ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256)))
LARGE = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))

FACES = np.array([(20, 30, 61, 80), (100.5, 12.25, 210, 120), (8, 170, 30, 198.5)], np.float32)
SCORES = np.array([0.97, 0.95, 0.93], np.float32)
POINTS = np.stack([FACES[:, :2] + (FACES[:, 2:] - FACES[:, :2]) * part for part in np.linspace(0.1, 0.9, 5)], axis=1)

Priors = np.ndarray


def priors_of(size: tuple[int, int], sides: tuple, *, stretched: bool, floor: bool = False) -> Priors:
    """Written as loops: centre x, y, width, height in [0, 1]."""
    height, width = size
    rows = []
    for stride, lengths in sides:
        h, w = (height // stride, width // stride) if floor else (ceil(height / stride), ceil(width / stride))
        for y in range(h):
            for x in range(w):
                cx = (x + 0.5) / w if stretched else (x + 0.5) * stride / width
                cy = (y + 0.5) / h if stretched else (y + 0.5) * stride / height
                rows += [(cx, cy, side / width, side / height) for side in lengths]
    return np.array(rows)


def offsets(
    priors: Priors, size: tuple[int, int], variances: tuple[float, float, float] = (0.1, 0.2, 0.2)
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Offsets of boxes and of points, noise but for the rows that are returned, one for each face."""
    rng = np.random.default_rng(0)
    loc, points = rng.normal(0, 1, (len(priors), 4)), rng.normal(0, 1, (len(priors), 10))
    unit, rows = np.array(size[::-1]), []
    for face, marks in zip(FACES, POINTS, strict=True):
        centre, extent = (face[:2] + face[2:]) / 2 / unit, (face[2:] - face[:2]) / unit
        row = int(np.argmin(np.abs(priors[:, :2] - centre).sum(1) + np.abs(priors[:, 2:] - extent).sum(1)))
        cx, cy, w, h = priors[row]
        loc[row] = [(centre[0] - cx) / w / variances[0], (centre[1] - cy) / h / variances[0],
                    np.log(extent[0] / w) / variances[1], np.log(extent[1] / h) / variances[2]]  # fmt: skip
        points[row] = ((marks / unit - (cx, cy)) / (w, h) / variances[0]).ravel()
        rows.append(row)
    return loc, points, rows


def two_columns(count: int, rows: list[int], columns: int = 2, at: tuple[int, ...] = (1, 1, 1)) -> np.ndarray:
    scores = np.zeros((count, columns))
    scores[:, 0], scores[:, 1] = 0.98, 0.02
    for row, score, column in zip(rows, SCORES, at, strict=True):
        scores[row] = 0
        scores[row, column], scores[row, 0] = score, 1 - score
    return scores


def f32(**outputs: np.ndarray) -> dict[str, np.ndarray]:
    return {name: value[None].astype(np.float32) for name, value in outputs.items()}


# ---- UltraFace


def corners(loc: np.ndarray, priors: Priors) -> np.ndarray:
    centre, extent = priors[:, :2] + 0.1 * loc[:, :2] * priors[:, 2:], priors[:, 2:] * np.exp(0.2 * loc[:, 2:])
    return np.hstack([centre - extent / 2, centre + extent / 2])


@pytest.mark.parametrize("decoded", [True, False])
@pytest.mark.parametrize("size", [(240, 320), (480, 640), (200, 300)])
def test_ultraface_finds_faces_decoded_or_not(size: tuple[int, int], decoded: bool) -> None:
    priors = priors_of(size, SMALL, stretched=True).clip(0, 1)
    loc, _, rows = offsets(priors, size)
    boxes = corners(loc, priors) if decoded else loc
    for outputs in (
        f32(scores=two_columns(len(priors), rows), boxes=boxes),
        f32(boxes=two_columns(len(priors), rows), scores=boxes),
    ):
        claim = claimed(outputs, size)
        assert claim.family == "ultraface"
        assert ("decoded" in claim.why) == decoded
        assert (claim.input["mean"], claim.input["scale"], claim.input["swap_rb"]) == ((127,) * 3, (128,) * 3, True)
        same_objects(found_by(claim, outputs), FACES, [0, 0, 0], SCORES)


def test_ultraface_with_masks() -> None:
    size = (480, 640)
    priors = priors_of(size, SMALL, stretched=True).clip(0, 1)
    loc, _, rows = offsets(priors, size)
    outputs = f32(scores=two_columns(len(priors), rows, 3, (1, 2, 1)), boxes=corners(loc, priors))
    assert outputs["scores"].shape == (1, 17640, 3)
    found = found_by(claimed(outputs, size), outputs)
    same_objects(found, FACES, [0, 1, 0], SCORES)
    assert {found.name(i) for i in range(3)} == {"face", "masked face"}


def test_ultraface_before_its_softmax() -> None:
    size = (240, 320)
    priors = priors_of(size, SMALL, stretched=True).clip(0, 1)
    loc, _, rows = offsets(priors, size)
    outputs = f32(scores=np.log(two_columns(len(priors), rows)) + 3, boxes=loc)
    same_objects(found_by(claimed(outputs, size), outputs), FACES, [0, 0, 0], SCORES)


def test_boxes_that_are_neither_are_refused() -> None:
    size = (240, 320)
    priors = priors_of(size, SMALL, stretched=True).clip(0, 1)
    loc, _, rows = offsets(priors, size)
    boxes = corners(loc, priors)
    boxes[::10] = boxes[::10, ::-1]
    with pytest.raises(UnsupportedError, match="no network"):
        claimed(f32(scores=two_columns(len(priors), rows), boxes=boxes), size)


# ---- RetinaFace


@pytest.mark.parametrize("sides", [LARGE, SMALL])
@pytest.mark.parametrize("size", [(640, 640), (240, 320), (250, 330)])
def test_retinaface_finds_faces_with_its_own_priors(size: tuple[int, int], sides: tuple) -> None:
    priors = priors_of(size, sides, stretched=False)
    loc, points, rows = offsets(priors, size)
    plain = f32(loc=loc, conf=two_columns(len(priors), rows), landms=points)
    for seed in range(2):
        outputs = shuffled(plain, seed)
        claim = claimed(outputs, size)
        assert claim.family == "retinaface"
        assert (claim.input["mean"], claim.input.get("swap_rb", False)) == ((104, 117, 123), False)
        same_objects(found_by(claim, outputs), FACES, [0, 0, 0], SCORES, POINTS)
    logits = plain | {"conf": np.log(np.maximum(plain["conf"], 1e-9))}
    same_objects(found_by(claimed(logits, size), logits), FACES, [0, 0, 0], SCORES, POINTS)


def test_retinaface_of_insightface() -> None:
    """Maps of two anchors around (7.5, 7.5) of a cell; boxes count pixels, so that a width is x2 - x1 + 1."""
    size, rng = (256, 320), np.random.default_rng(0)
    outputs = {}
    for stride, lengths in LARGE[::-1]:
        h, w = size[0] // stride, size[1] // stride
        prob = np.zeros((2, 2, h, w))
        prob[0], prob[1] = 0.99, 0.01
        deltas, points = rng.normal(0, 0.2, (2, 4, h, w)), rng.normal(0, 0.2, (2, 10, h, w))
        for i, (face, marks) in enumerate(zip(FACES, POINTS, strict=True)):
            if i != {8: 0, 16: 2, 32: 1}[stride]:
                continue
            anchor, side = i % 2, lengths[i % 2]
            middle, extent = (face[:2] + face[2:]) / 2, face[2:] - face[:2] + 1
            column, row = (int(v) for v in middle // stride)
            origin = np.array([column, row]) * stride + 7.5
            prob[:, anchor, row, column] = 1 - SCORES[i], SCORES[i]
            deltas[anchor, :, row, column] = [*((middle - origin) / side), *np.log(extent / side)]
            points[anchor, :, row, column] = ((marks - origin) / side).ravel()
        outputs |= f32(
            **{f"face_rpn_cls_prob_reshape_stride{stride}": prob.reshape(4, h, w),
               f"face_rpn_bbox_pred_stride{stride}": deltas.reshape(8, h, w),
               f"face_rpn_landmark_pred_stride{stride}": points.reshape(20, h, w)}
        )  # fmt: skip
    outputs = shuffled(outputs, 4)
    claim = claimed(outputs, size)
    assert (claim.family, claim.input["swap_rb"]) == ("retinaface", True)
    same_objects(found_by(claim, outputs), FACES, [0, 0, 0], SCORES, POINTS)
    try_nonsense(claim, outputs)
    with pytest.raises(UnsupportedError):
        claimed(outputs, (256, 352))


# ---- YuNet of 2021 and 2022


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize(("size", "floor"), [((320, 320), False), ((240, 320), True), ((160, 320), True)])
def test_yunet_with_priors(size: tuple[int, int], floor: bool, batch: bool) -> None:
    priors = priors_of((size[0] // 8 * 8, size[1]), SMALL, stretched=False, floor=floor)
    loc, points, rows = offsets(priors, size)
    overlap = np.full((len(priors), 1), 1.1)
    conf = two_columns(len(priors), rows)
    for row, score in zip(rows, SCORES, strict=True):
        overlap[row], conf[row, 1] = 0.98, score**2 / 0.98
    outputs = f32(loc=np.hstack([loc, points]), conf=conf, iou=overlap)
    if not batch:
        outputs = {name: value[0] for name, value in outputs.items()}
    outputs = shuffled(outputs, 3)
    claim = claimed(outputs, size)
    assert claim.family == "yunet"
    inside = FACES[:, 3] < size[0]
    found = found_by(claim, outputs)
    same_objects(found[found.boxes[:, 3] < size[0]], FACES[inside], [0] * inside.sum(), SCORES[inside], POINTS[inside])


# ---- AIZOO


def mask_priors(maps: tuple[int, ...]) -> Priors:
    sizes = [[0.04, 0.056], [0.08, 0.11], [0.16, 0.22], [0.32, 0.45], [0.64, 0.72]]
    rows = []
    for cells, (first, second) in zip(maps, sizes, strict=True):
        for y in range(cells):
            for x in range(cells):
                place = ((x + 0.5) / cells, (y + 0.5) / cells)
                rows += [(*place, first, first), (*place, second, second)]
                rows += [(*place, first * np.sqrt(r), first / np.sqrt(r)) for r in (0.62, 0.42)]
    return np.array(rows)


@pytest.mark.parametrize(("side", "maps", "count"), [(260, (33, 17, 9, 5, 3), 5972), (360, (45, 23, 12, 6, 4), None)])
def test_aizoo_tells_faces_with_masks_from_those_without(side: int, maps: tuple[int, ...], count: int | None) -> None:
    priors = mask_priors(maps)
    assert count in (None, len(priors))
    loc, _, rows = offsets(priors, (side, side))
    scores = np.full((len(priors), 2), 0.03)
    for row, score, label in zip(rows, SCORES, (0, 1, 1), strict=True):
        scores[row] = 0.4  # sigmoids need not add up to one
        scores[row, label] = score
    outputs = f32(cls=scores, loc=loc)
    claim = claimed(outputs, (side, side), nhwc=True)
    assert claim.family == "aizoo"
    found = found_by(claim, outputs)
    same_objects(found, FACES, [0, 1, 1], SCORES)
    assert found.name(0) in ("Mask", "NoMask")
    loc[rows[1]], scores[rows[1]] = 0, 0.02
    try_nonsense(claim, outputs)


def test_aizoo_at_a_size_that_it_was_not_made_for() -> None:
    """As a file without a size may be opened: its boxes would be off by a large part of a face."""
    priors = mask_priors((28, 14, 7, 4, 2))
    loc = offsets(priors, (224, 224))[0]
    outputs = f32(cls=np.full((len(priors), 2), 0.1), loc=loc)
    with pytest.raises(UnsupportedError, match="--input-shape 1,3,260,260"):
        claimed(outputs, (224, 224))
    assert claimed(outputs, (224, 224), head="aizoo").family == "aizoo"


@pytest.mark.corpus
@pytest.mark.parametrize("head", ["ultraface_rfb320", "aizoo_mask_tflite"])
def test_other_files_of_the_same_networks(corpus: Path, head: str) -> None:
    """From Caffe and from MXNet: the same faces."""
    folder = Head.at(corpus, head)
    if head == "ultraface_rfb320":
        predictor = folder.open(corpus / "corpus" / "caffe" / "ultraface_rfb320" / "RFB-320.prototxt")
    else:
        (symbol,) = (corpus / "corpus" / "mxnet" / "aizoo_facemask").glob("*-symbol.json")
        predictor = folder.open(symbol, input_shapes={"data": (1, 3, 260, 260)})
    folder.compare(folder.from_picture(predictor))


def test_faces_of_two_classes_suppress_each_other() -> None:
    priors = mask_priors((33, 17, 9, 5, 3))
    loc, _, rows = offsets(priors, (260, 260))
    scores = np.full((len(priors), 2), 0.03)
    scores[rows[0], 0], scores[rows[0] + 1, 1] = 0.9, 0.8
    loc[rows[0] : rows[0] + 2] = 0
    outputs = f32(cls=scores, loc=loc)
    found = found_by(claimed(outputs, (260, 260)), outputs, iou=0.3)
    assert found.labels.tolist() == [0]


@pytest.mark.parametrize("family", ["ultraface", "retinaface", "yunet"])
def test_nonsense_and_near_misses(family: str) -> None:
    size = (240, 320)
    priors = priors_of(size, LARGE if family == "retinaface" else SMALL, stretched=False)
    loc, points, rows = offsets(priors, size)
    conf = two_columns(len(priors), rows)
    outputs = {
        "ultraface": f32(loc=loc, conf=conf),
        "retinaface": f32(loc=loc, conf=conf, landms=points),
        "yunet": f32(loc=np.hstack([loc, points]), conf=conf, iou=np.ones((len(priors), 1))),
    }[family]
    claim = claimed(outputs, size)
    assert claim.family == family
    try_nonsense(claim, outputs)
    for changed, other in (
        ({name: value[:, :-1] for name, value in outputs.items()}, size),
        (outputs | {"loc": outputs["loc"][..., :3]}, size),
        (outputs, (240, 352)),
    ):
        with pytest.raises(UnsupportedError, match="made-up"):
            claimed(changed, other)
