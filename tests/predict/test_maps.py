"""Detectors whose outputs are maps: FastestDet, Yolo-FastestV2, CenterNet, CenterFace; and MTCNN, which is refused."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import claimed, found_by, same_objects, shuffled, try_nonsense

from arithmetic import logit, sigmoid, softmax
from saccade.errors import UnsupportedError

BOXES = np.array([(20, 30, 70, 61.5), (100.25, 12, 250, 160), (5, 170, 33, 205)], np.float32)
LABELS = (0, 2, 1)
SCORES = (0.9, 0.8, 0.75)


# ---- FastestDet


def fastestdet(size: tuple[int, int], classes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    h, w = -(-size[0] // 16), -(-size[1] // 16)
    out = rng.normal(0, 1, (5 + classes, h, w))
    out[0] = rng.uniform(0, 0.02, (h, w))
    out[5:] = softmax(out[5:], 0)
    for (x1, y1, x2, y2), label, score in zip(BOXES, LABELS, SCORES, strict=True):
        cx, cy = (x1 + x2) / 2 / size[1] * w, (y1 + y2) / 2 / size[0] * h
        column, row = int(cx), int(cy)
        label %= classes
        best = 0.9 if classes > 1 else 1.0
        out[5:, row, column] = (1 - best) / max(1, classes - 1)
        out[5 + label, row, column] = best
        out[0, row, column] = (score / best**0.4) ** (1 / 0.6)
        out[1:5, row, column] = [np.arctanh(cx - column), np.arctanh(cy - row),
                                 logit((x2 - x1) / size[1]), logit((y2 - y1) / size[0])]  # fmt: skip
    return {"758": out[None].astype(np.float32)}


@pytest.mark.parametrize(("size", "classes"), [((352, 352), 80), ((256, 416), 3), ((330, 350), 1)])
def test_fastestdet_finds_objects_and_nothing_unsound(size: tuple[int, int], classes: int) -> None:
    outputs = fastestdet(size, classes)
    claim = claimed(outputs, size)
    assert claim.family == "fastestdet"
    assert (claim.input["scale"], claim.input.get("swap_rb", False)) == ((255,) * 3, False)
    same_objects(found_by(claim, outputs), BOXES, [label % classes for label in LABELS], SCORES)
    try_nonsense(claim, outputs)
    with pytest.raises(UnsupportedError):
        claimed(outputs, (size[0] + 32, size[1]))
    raw = {"758": logit(np.clip(outputs["758"], 1e-3, 1 - 1e-3)).astype(np.float32)}
    with pytest.raises(UnsupportedError):
        claimed(raw, size)


# ---- Yolo-FastestV2


ANCHORS = {16: ((12.64, 19.39), (37.88, 51.48), (55.71, 138.31)),
           32: ((126.91, 78.23), (131.57, 214.55), (279.92, 258.87))}  # fmt: skip


def fastestv2(size: tuple[int, int], classes: int) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Boxes, objectness and classes as logits of each grid, (channels, rows, columns)."""
    rng = np.random.default_rng(0)
    grids = {}
    for stride in (16, 32):
        h, w = -(-size[0] // stride), -(-size[1] // stride)
        grids[stride] = (
            rng.normal(0, 1, (12, h, w)),
            rng.normal(-6, 0.5, (3, h, w)),
            rng.normal(0, 1, (classes, h, w)),
        )
    for (x1, y1, x2, y2), label, score in zip(BOXES, LABELS, SCORES, strict=True):
        extent = np.array([x2 - x1, y2 - y1])
        stride, anchor = min(
            ((s, a) for s in ANCHORS for a in range(3)),
            key=lambda at: float(np.abs(np.log(extent / ANCHORS[at[0]][at[1]])).max()),
        )
        box, objectness, kinds = grids[stride]
        place = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) / stride
        column, row = (int(v) for v in place)
        kinds[:, row, column] = -5
        kinds[label % classes, row, column] = 8
        probability = softmax(kinds[:, row, column], 0).max()
        objectness[anchor, row, column] = logit(score / probability)
        coded = np.concatenate([(place - (column, row) + 0.5) / 2, np.sqrt(extent / ANCHORS[stride][anchor]) / 2])
        box[4 * anchor : 4 * anchor + 4, row, column] = logit(coded)
    return grids


@pytest.mark.parametrize(("size", "classes"), [((352, 352), 80), ((256, 384), 4)])
@pytest.mark.parametrize("form", ["raw", "joined", "joined, channels first"])
def test_yolo_fastestv2_finds_objects_in_every_form(size: tuple[int, int], classes: int, form: str) -> None:
    outputs = {}
    for stride, (box, objectness, kinds) in fastestv2(size, classes).items():
        if form == "raw":
            outputs |= {f"reg{stride}": box, f"obj{stride}": objectness, f"cls{stride}": kinds}
        else:
            whole = np.concatenate([sigmoid(box), sigmoid(objectness), softmax(kinds, 0)])
            outputs[f"{stride}"] = whole if "first" in form else whole.transpose(1, 2, 0)
    outputs = shuffled({name: value[None].astype(np.float32) for name, value in outputs.items()}, 2)
    claim = claimed(outputs, size)
    assert (claim.family, vars(claim.parser)["classes"]) == ("yolo-fastestv2", classes)
    same_objects(found_by(claim, outputs), BOXES, [label % classes for label in LABELS], SCORES)
    try_nonsense(claim, outputs)
    with pytest.raises(UnsupportedError):
        claimed(dict(list(outputs.items())[1:]), size)


# ---- CenterNet and CenterFace


def centernet(size: tuple[int, int], classes: int) -> dict[str, np.ndarray]:
    h, w = size[0] // 4, size[1] // 4
    rng = np.random.default_rng(0)
    heat, wh, reg = rng.uniform(0, 0.1, (classes, h, w)), rng.uniform(2, 30, (2, h, w)), rng.uniform(0, 1, (2, h, w))
    for (x1, y1, x2, y2), label, score in zip(BOXES, LABELS, SCORES, strict=True):
        place = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) / 4
        column, row = (int(v) for v in place)
        label %= classes
        heat[label, row - 1 : row + 2, column - 1 : column + 2] = score - 0.1
        heat[label, row, column] = score
        wh[:, row, column] = (x2 - x1) / 4, (y2 - y1) / 4
        reg[:, row, column] = place - (column, row)
    return {name: value[None].astype(np.float32) for name, value in (("hm", heat), ("wh", wh), ("reg", reg))}


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize(("size", "classes"), [((512, 512), 80), ((256, 320), 3), ((256, 320), 1)])
def test_centernet_finds_objects_by_scores_or_logits(size: tuple[int, int], classes: int, logits: bool) -> None:
    plain = centernet(size, classes)
    if logits:
        plain["hm"] = logit(np.clip(plain["hm"], 1e-4, 1)).astype(np.float32)
    for seed in range(3):
        outputs = shuffled(plain, seed)
        claim = claimed(outputs, size)
        assert (claim.family, claim.input["resize"]) == ("centernet", "letterbox")
        same_objects(found_by(claim, outputs), BOXES, [label % classes for label in LABELS], SCORES)
    if classes < 80:  # two million numbers each time would show nothing else
        try_nonsense(claim, outputs)
    with pytest.raises(UnsupportedError):
        claimed(outputs, (size[0], size[1] + 32))


def test_centernet_of_two_classes_needs_the_graph() -> None:
    outputs = centernet((256, 320), 2)
    claim = claimed(outputs, (256, 320), layer_type={"hm": "Sigmoid"})
    same_objects(found_by(claim, outputs), BOXES, [0, 0, 1], SCORES)
    with pytest.raises(UnsupportedError):
        claimed(outputs, (256, 320))


def test_centernet_without_offsets_and_with_sizes_that_look_like_offsets() -> None:
    outputs = centernet((256, 320), 3)
    small = outputs | {"wh": outputs["wh"] / 100}
    assert claimed(small, (256, 320)).family == "centernet", "the names decide"
    with pytest.raises(UnsupportedError):
        claimed({"a": small["hm"], "b": small["wh"], "c": small["reg"]}, (256, 320))
    del outputs["reg"]
    found = found_by(claimed(outputs, (256, 320)), outputs)
    assert found.labels.tolist() == list(LABELS)
    np.testing.assert_allclose(found.boxes[:, 2:] - found.boxes[:, :2], BOXES[:, 2:] - BOXES[:, :2], atol=0.01)


def centerface(size: tuple[int, int], names: tuple[str, ...]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    h, w = size[0] // 4, size[1] // 4
    rng = np.random.default_rng(0)
    heat, scale = rng.uniform(0, 0.1, (1, h, w)), rng.uniform(0, 2, (2, h, w))
    offset, marks = rng.uniform(0, 1, (2, h, w)), rng.uniform(0, 1, (10, h, w))
    points = np.stack([BOXES[:, :2] + (BOXES[:, 2:] - BOXES[:, :2]) * part for part in np.linspace(0.1, 0.9, 5)], 1)
    for i, ((x1, y1, x2, y2), score) in enumerate(zip(BOXES, SCORES, strict=True)):
        place = np.array([(y1 + y2) / 2, (x1 + x2) / 2]) / 4 - 0.5
        row, column = (int(v) for v in place)
        heat[0, row, column] = score
        scale[:, row, column] = np.log([(y2 - y1) / 4, (x2 - x1) / 4])
        offset[:, row, column] = place - (row, column)
        marks[:, row, column] = ((points[i] - (x1, y1)) / (x2 - x1, y2 - y1))[:, ::-1].ravel()
    maps = zip(names, (heat, scale, offset, marks), strict=True)
    return {name: value[None].astype(np.float32) for name, value in maps}, points


@pytest.mark.parametrize("names", [("537", "538", "539", "540"), ("heatmap", "scale", "offset", "lms")])
def test_centerface_finds_faces_whatever_its_outputs_are_called(names: tuple[str, ...]) -> None:
    for size in ((480, 640), (256, 320)):
        plain, points = centerface(size, names)
        outputs = shuffled(plain, 1, rename=False)
        claim = claimed(outputs, size)
        assert (claim.family, claim.input["swap_rb"]) == ("centerface", True)
        same_objects(found_by(claim, outputs), BOXES, [0, 0, 0], SCORES, points)
        try_nonsense(claim, outputs)


# ---- MTCNN


@pytest.mark.parametrize(
    ("size", "shapes", "which"),
    [
        ((12, 12), [(1, 2, 1, 1), (1, 4, 1, 1)], "P-Net"),
        ((240, 320), [(1, 4, 115, 155), (1, 2, 115, 155)], "P-Net"),
        ((240, 320), [(1, 115, 155, 2), (1, 115, 155, 4)], "P-Net"),
        ((24, 24), [(1, 4), (1, 2)], "R-Net"),
        ((48, 48), [(1, 4), (1, 10), (1, 2)], "O-Net"),
    ],
)
def test_a_part_of_mtcnn_is_refused_with_the_reason(
    size: tuple[int, int], shapes: list[tuple[int, ...]], which: str
) -> None:
    outputs = {str(i): np.zeros(shape, np.float32) for i, shape in enumerate(shapes)}
    layer_type = {name: "Softmax" for name, value in outputs.items() if 2 in value.shape}
    with pytest.raises(UnsupportedError, match=f"cannot be read: it is {which}, .*only as a cascade"):
        claimed(outputs, size, layer_type=layer_type)
