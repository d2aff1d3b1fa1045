"""Darknet's YOLOs: maps that are encoded here, and what they must give."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest
from fakes import NONSENSE, FakeNetwork, centres, check_sound, claim_of, parsed, spoilt_outputs

from arithmetic import logit
from saccade.errors import UnsupportedError
from saccade.networks.local import Model
from saccade.predict.metadata import Metadata
from saccade.predict.parser import Settings
from saccade.predict.parsers import darknet
from saccade.results import Detections

SIZE = (96, 64)
Boxes = list[tuple[int, int, int, tuple[float, float, float, float], float, int]]
"""Map, anchor, cell's stride, box x1, y1, x2, y2 in px, score, label."""

OBJECTS: Boxes = [
    (0, 1, 8, (10, 4, 40, 30), 0.9, 2),
    (1, 2, 16, (5.5, 60.25, 60, 90), 0.75, 0),
    (2, 0, 32, (0, 0, 12, 70), 0.5, 1),
]
WANTED = np.array([o[3] for o in OBJECTS], np.float32)


def maps(
    anchors: list[list[tuple[float, float]]], strides: tuple[int, ...], classes: int = 3, *, objects: Boxes = OBJECTS,
    scale: tuple[float, ...] = (1.0, 1.0, 1.0), raw: bool = True,
) -> list[np.ndarray]:  # fmt: skip
    """Maps (anchors, 5 + classes, h, w); raw: as the last convolution gives them, else with sigmoids applied."""
    made = []
    for pairs, stride in zip(anchors, strides, strict=True):
        table = np.full((len(pairs), 5 + classes, SIZE[0] // stride, SIZE[1] // stride), 0.02, np.float32)
        made.append(logit(table).astype(np.float32) if raw else table)
        made[-1][:, 2:4] = 0
    sign: Any = logit if raw else np.asarray
    for level, anchor, stride, box, score, label in objects:
        if level >= len(made):
            continue
        ((x, y, w, h),) = centres([box]) / stride
        column, row = int(x), int(y)
        k = scale[level]
        pair = anchors[level][anchor]
        cell = made[level][anchor, :, row, column]
        cell[:2] = sign((np.array([x - column, y - row]) + (k - 1) / 2) / k)
        cell[2:4] = np.log(np.array([w, h]) * stride / pair)
        cell[4], cell[5 + label] = sign(score), sign(0.999)
    return made


def planes(made: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"m{i}": m.reshape(1, -1, *m.shape[2:]) for i, m in enumerate(made)}


def network(outputs: dict[str, np.ndarray], **known: Any) -> FakeNetwork:
    return FakeNetwork(outputs, SIZE, after=("Convolution", "Add"), layer_type="Add", **known)


def check(found: Any, wanted: np.ndarray = WANTED, scores: tuple[float, ...] = (0.9, 0.75, 0.5)) -> None:
    assert isinstance(found, Detections)
    np.testing.assert_allclose(found.scores, np.array(scores) * 0.999, rtol=1e-4)
    np.testing.assert_allclose(found.boxes, wanted, atol=2e-3)
    assert found.labels.tolist() == [2, 0, 1][: len(scores)]


V3 = [list(darknet.V3[:3]), list(darknet.V3[3:6]), list(darknet.V3[6:])]
OWN = ((7.0, 9.0), (21.0, 11.0), (13.0, 30.0), (30.0, 33.0), (40.0, 20.0), (60.0, 50.0), (70.0, 70.0), (90.0, 40.0),
       (80.0, 99.0))  # fmt: skip
OWN_BY_MAP = [list(OWN[:3]), list(OWN[3:6]), list(OWN[6:])]
CFG = Metadata(
    producer="darknet", task="detect", head="yolo", anchors=OWN, anchor_masks=((6, 7, 8), (3, 4, 5), (0, 1, 2)),
    scale_xy=(1.05, 1.1, 1.2),
)  # fmt: skip


# ---- raw maps


def test_anchors_of_the_cfg_whatever_the_order_of_its_layers() -> None:
    made = maps(OWN_BY_MAP, (8, 16, 32), scale=(1.2, 1.1, 1.05))
    net = network(planes(made))
    claim = claim_of(net, CFG)
    assert (claim.family, claim.certainty) == ("yolov3", 2)
    assert claim.input == {"swap_rb": True, "scale": (255.0,) * 3}
    check(parsed(net, CFG))
    shuffled = network(dict(reversed(planes(made).items())))
    check(parsed(shuffled, CFG))


@pytest.mark.parametrize("form", ["channels last", "channels last, anchors apart", "anchors apart"])
def test_maps_are_read_in_other_layouts(form: str) -> None:
    made = maps(OWN_BY_MAP, (8, 16, 32), scale=(1.2, 1.1, 1.05))
    if form == "anchors apart":
        outputs = {f"m{i}": m.transpose(0, 2, 3, 1)[None] for i, m in enumerate(made)}
    else:
        outputs = {f"m{i}": m.transpose(2, 3, 0, 1)[None] for i, m in enumerate(made)}
        if form == "channels last":
            outputs = {name: m.reshape(*m.shape[:3], -1) for name, m in outputs.items()}
    if form == "anchors apart":
        check(parsed(network(outputs), Metadata(anchors=OWN, scale_xy=(1.2, 1.1, 1.05)), head="yolov3"))
    else:
        check(parsed(network(outputs), CFG))


@pytest.mark.parametrize(("head", "anchors", "scale"), [
    ("yolov3", V3, (1.0, 1.0, 1.0)),
    ("yolov4", [list(darknet.V4[:3]), list(darknet.V4[3:6]), list(darknet.V4[6:])], (1.2, 1.1, 1.05)),
])  # fmt: skip
def test_published_anchors_where_the_user_says_so(head: str, anchors: Any, scale: Any) -> None:
    net = network(planes(maps(anchors, (8, 16, 32), scale=scale)))
    assert claim_of(net, head=head).family == head
    check(parsed(net, head=head))
    with pytest.raises(UnsupportedError, match=r"--head yolov3: .* put its Darknet \.cfg beside it.*--head yolov4: "):
        claim_of(net)


@pytest.mark.parametrize(("head", "anchors", "scale"), [
    ("yolov3-tiny", [list(darknet.TINY[:3]), list(darknet.TINY[3:])], (1.0, 1.0)),
    ("yolov4-tiny", [list(darknet.TINY[1:4]), list(darknet.TINY[3:])], (1.05, 1.05)),
])  # fmt: skip
def test_tiny_ones_have_two_maps_and_their_own_anchors(head: str, anchors: Any, scale: Any) -> None:
    objects: Boxes = [(0, 1, 16, OBJECTS[0][3], 0.9, 2), (1, 2, 32, OBJECTS[1][3], 0.75, 0)]
    net = network(planes(maps(anchors, (16, 32), scale=scale, objects=objects)))
    check(parsed(net, head=head), WANTED[:2], (0.9, 0.75))


def test_squared_sizes_of_v4_csp() -> None:
    """scale_x_y 2 and a sigmoid at the end: new_coords."""
    made = []
    for pairs, stride in zip(OWN_BY_MAP, (8, 16, 32), strict=True):
        made.append(np.full((3, 8, SIZE[0] // stride, SIZE[1] // stride), 0.02, np.float32))
        for level, anchor, s, box, score, label in OBJECTS:
            if s == stride:
                ((x, y, w, h),) = centres([box]) / s
                cell = made[level][anchor, :, int(y), int(x)]
                cell[:2] = (np.array([x - int(x), y - int(y)]) + 0.5) / 2
                cell[2:4] = np.sqrt(np.array([w, h]) * s / pairs[anchor]) / 2
                cell[4], cell[5 + label] = score, 0.999
    net = FakeNetwork(planes(made), SIZE, after=("Convolution", "Sigmoid"), layer_type="Sigmoid")
    metadata = Metadata(anchors=OWN, scale_xy=(2.0, 2.0, 2.0))
    check(parsed(net, metadata))
    with pytest.raises(UnsupportedError):
        claim_of(net, Metadata(anchors=OWN))


@pytest.mark.parametrize(
    ("outputs", "options", "metadata"),
    [
        (planes(maps(OWN_BY_MAP, (8, 16, 32))), {"after": ("Convolution", "Relu")}, CFG),  # features
        (planes(maps(OWN_BY_MAP, (8, 16, 32))), {}, Metadata(anchors=OWN[:5])),  # anchors of another network
        (planes(maps(OWN_BY_MAP, (8, 16, 32))), {}, Metadata(anchors=OWN, anchor_masks=((0, 1, 2), (3, 4, 99)))),
        (
            planes(maps(OWN_BY_MAP, (8, 16, 32))),
            {},
            Metadata(anchors=OWN, anchor_masks=((0, 1, 2), (3, 4, 5), (6, 7, -1))),
        ),
        (planes(maps(OWN_BY_MAP[:2], (8, 16))), {}, CFG),  # a map is missing
        ({"a": np.zeros((1, 24, 12, 8)), "b": np.zeros((1, 24, 12, 8))}, {}, CFG),  # twice the same grid
        ({"a": np.zeros((1, 24, 12, 8)), "b": np.zeros((1, 27, 6, 4)), "c": np.zeros((1, 24, 3, 2))}, {}, CFG),
        ({"a": np.zeros((1, 24, 12, 9))}, {}, CFG),  # no grid
        (planes(maps(OWN_BY_MAP, (8, 16, 32))), {"layer_type": "Concat"}, CFG),  # of several layers
    ],
)
def test_near_misses_are_refused(outputs: dict[str, np.ndarray], options: dict[str, Any], metadata: Metadata) -> None:
    with pytest.raises(UnsupportedError):
        claim_of(FakeNetwork(outputs, SIZE, **{"after": ("Convolution",), "layer_type": "Add"} | options), metadata)


def test_one_map_says_what_is_missing() -> None:
    net = FakeNetwork({"output": np.zeros((1, 18, 7, 7))}, (56, 56), after=("Convolution", "Add"), layer_type="Add")
    with pytest.raises(UnsupportedError, match=r"1 map with 18 numbers a cell.*no file says which anchors.*\.cfg"):
        claim_of(net)
    known = Metadata(anchors=((5, 5), (9, 14), (20, 30)), anchor_masks=((0, 1, 2),))
    assert claim_of(net, known).family == "yolov3"


def test_one_map_with_anchors_of_its_own_is_no_network_of_another_name() -> None:
    net = FakeNetwork({"output": np.zeros((1, 24, 7, 7))}, (56, 56), after=("Convolution", "Add"), layer_type="Add")
    known = Metadata(anchors=((5, 5), (9, 14), (20, 30)))
    assert claim_of(net, known, head="yolov2-voc").family == "yolov2-voc"
    with pytest.raises(UnsupportedError, match=r"--head centernet does not fit its outputs .* they fit yolov2 "):
        claim_of(net, known, head="centernet")


# ---- YOLOv2


def v2(pairs: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A raw map (anchors, 5 + classes, h, w), and the scores of the objects in it."""
    made = maps([list(pairs)], (32,), classes, objects=[(0, o[1], 32, *o[3:]) for o in OBJECTS])[0]
    rng = np.random.default_rng(1)
    scores = []
    for _, anchor, _, box, score, label in OBJECTS:
        ((x, y, _, _),) = centres([box]) / 32
        cell = made[anchor, :, int(y), int(x)]
        cell[5:] = rng.standard_normal(classes)
        cell[5 + label] = 8
        scores.append(score * np.exp(cell[5 + label]) / np.exp(cell[5:]).sum())
    return made, np.array(scores)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("published", [True, False])
def test_v2_has_a_softmax(last: bool, published: bool) -> None:
    pairs = darknet._in_px(darknet.V2_COCO, 32) if published else OWN[:5]
    made, scores = v2(pairs, 80 if published else 7)
    outputs = planes([made])
    if last:
        outputs = {"m0": made.transpose(2, 3, 0, 1).reshape(1, *made.shape[2:], -1)}
    net = network(outputs)
    metadata = None if published else Metadata(head="region", anchors=OWN[:5])
    assert claim_of(net, metadata).family == "yolov2"
    found = parsed(net, metadata)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-4)
    np.testing.assert_allclose(found.boxes, WANTED, atol=2e-3)
    assert found.labels.tolist() == [2, 0, 1]


def test_two_v2_networks_for_voc_are_published() -> None:
    net = network({"grid": np.zeros((1, 125, 3, 2))})
    with pytest.raises(UnsupportedError, match=r"--head yolov2-voc: .*--head yolov2-tiny-voc: "):
        claim_of(net)
    assert claim_of(net, head="yolov2-tiny-voc").family == "yolov2-tiny-voc"


# ---- RegionYolo layers


def region(pairs: Any, mask: list[int], classes: int, *, softmax: bool) -> dict[str, Any]:
    return {
        "anchors": [float(v) for pair in pairs for v in pair], "mask": mask, "classes": classes, "coords": 4,
        "num": len(pairs), "do_softmax": softmax,
    }  # fmt: skip


def test_region_layers_know_their_anchors() -> None:
    outputs = planes(maps(OWN_BY_MAP, (8, 16, 32), raw=False))
    attributes = {f"m{i}": region(OWN, [3 * i, 3 * i + 1, 3 * i + 2], 3, softmax=False) for i in range(3)}
    net = FakeNetwork(outputs, SIZE, layer_type="RegionYolo", attributes=attributes)
    claim = claim_of(net)
    assert (claim.family, claim.certainty, dict(claim.input)) == ("yolov3", 2, {})
    check(parsed(net))
    flat = FakeNetwork(
        {k: v.reshape(1, -1) for k, v in outputs.items()}, SIZE, layer_type="RegionYolo", attributes=attributes
    )
    check(parsed(flat))


def test_region_layer_of_v2() -> None:
    in_cells = [(w / 32, h / 32) for w, h in OWN[:5]]
    made = maps([list(OWN[:5])], (32,), raw=False, objects=[(0, o[1], 32, *o[3:]) for o in OBJECTS])
    net = FakeNetwork({"m0": made[0].reshape(1, -1)}, SIZE, layer_type="RegionYolo",
                      attributes={"m0": region(in_cells, [], 3, softmax=True)})  # fmt: skip
    assert claim_of(net).family == "yolov2"
    check(parsed(net))


@pytest.mark.parametrize("change", [{"classes": 4}, {"coords": 5}, {"anchors": []}, {"mask": [0, 1, 99]}])
def test_region_layers_that_do_not_fit(change: dict[str, Any]) -> None:
    attributes = {"m0": region(OWN, [0, 1, 2], 3, softmax=False) | change}
    net = FakeNetwork({"m0": np.zeros((1, 24, 12, 8))}, SIZE, layer_type="RegionYolo", attributes=attributes)
    with pytest.raises(UnsupportedError):
        claim_of(net)


@pytest.mark.parametrize("known", [True, False])
def test_region_layers_without_anchors(known: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Those of the .cfg are taken, or those of the published network where the user says so."""
    outputs = planes(maps(OWN_BY_MAP if known else V3, (8, 16, 32), raw=False))
    attributes = {
        f"m{i}": region(OWN, [3 * i, 3 * i + 1, 3 * i + 2], 3, softmax=False) | {"anchors": []} for i in range(3)
    }
    net = FakeNetwork(outputs, SIZE, layer_type="RegionYolo", attributes=attributes)
    if known:
        check(parsed(net, CFG))
        return
    with pytest.raises(UnsupportedError, match="a RegionYolo layer without anchors"):
        claim_of(net)
    check(parsed(net, head="yolov3"))
    assert "have no anchors; those of the network that Darknet published are taken" in caplog.text


def test_a_real_region_layer() -> None:
    """What OpenVINO's own operation makes of the raw map."""
    data = op.parameter([1, 3, *SIZE], np.float32, name="data")
    nothing = op.multiply(op.reduce_mean(data, op.constant(np.array([1, 2, 3])), True), np.float32(0))
    results = []
    for i, made in enumerate(maps(OWN_BY_MAP, (8, 16, 32))):
        raw = op.add(op.constant(made.reshape(1, -1, *made.shape[2:])), nothing)
        mask = [3 * i, 3 * i + 1, 3 * i + 2]
        anchors = [v for pair in OWN for v in pair]
        layer = ov.opset1.region_yolo(raw, 4, 3, 9, False, mask, 1, 3, anchors)
        layer.output(0).set_names({f"m{i}"})
        results.append(layer)
    net = Model(ov.Model(results, [data], "regions"), precision="f32")
    claim = claim_of(net)
    check(claim.parser.parse(net.infer(np.zeros((1, 3, *SIZE), np.float32)), claim.parser.defaults))


# ---- whatever the numbers are


@pytest.mark.parametrize("kind", ["raw", "region", "v2"])
@pytest.mark.parametrize("values", NONSENSE)
def test_nonsense_gives_nothing_unsound(kind: str, values: list[float]) -> None:
    if kind == "raw":
        net, metadata = network(planes(maps(OWN_BY_MAP, (8, 16, 32)))), CFG
    elif kind == "v2":
        net, metadata = network(planes([v2(OWN[:5], 7)[0]])), Metadata(anchors=OWN[:5])
    else:
        attributes = {"m0": region(OWN, [0, 1, 2], 3, softmax=False)}
        net = FakeNetwork(planes(maps(OWN_BY_MAP[:1], (8,), raw=False)), SIZE, layer_type="RegionYolo",
                          attributes=attributes)  # fmt: skip
        metadata = Metadata()
    parser = claim_of(net, metadata).parser
    for spoilt in spoilt_outputs(net, values):
        check_sound(parser.parse(spoilt, Settings(score=0.25, iou=0.45)), 0.25)
