"""Face detectors with a box in each cell: SCRFD and YuNet of 2023, whatever the order of their outputs."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import claimed, found_by, same_objects, shuffled, try_nonsense

from saccade.errors import UnsupportedError

FACES = np.array([(20, 30, 60, 80), (100.5, 12.25, 210, 140), (8, 170, 30, 198.5)], np.float32)
SCORES = np.array([0.95, 0.92, 0.91], np.float32)
PLACES = ((0.3, 0.4), (0.7, 0.38), (0.5, 0.6), (0.35, 0.8), (0.66, 0.81))
POINTS = np.stack([FACES[:, :2] + (FACES[:, 2:] - FACES[:, :2]) * place for place in PLACES], axis=1)
AT = (0, 2, 1)
"""Level of the grid where each face is written."""


def cells(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


def scrfd(
    size: tuple[int, int], strides: tuple[int, ...], anchors: int, *, points: bool, batch: bool
) -> dict[str, np.ndarray]:
    """All scores, all boxes, all points; names say nothing, as in the files."""
    rng = np.random.default_rng(0)
    kinds: list[list[np.ndarray]] = [[], [], []]
    for stride in strides:
        h, w = cells(size, stride)
        kinds[0].append(rng.uniform(0, 0.1, (h * w * anchors, 1)))
        kinds[1].append(rng.uniform(0, 3, (h * w * anchors, 4)))
        kinds[2].append(rng.normal(0, 1, (h * w * anchors, 10)))
    for i, level in enumerate(AT):
        stride, (_, w) = strides[level], cells(size, strides[level])
        middle = (FACES[i, :2] + FACES[i, 2:]) / 2
        column, row = (int(v) for v in middle // stride)
        index = (row * w + column) * anchors + (i % anchors)
        anchor = np.array([column, row]) * stride
        kinds[0][level][index] = SCORES[i]
        kinds[1][level][index] = np.concatenate([anchor - FACES[i, :2], FACES[i, 2:] - anchor]) / stride
        kinds[2][level][index] = ((POINTS[i] - anchor) / stride).ravel()
    tables = [table.astype(np.float32) for kind in kinds[: 3 if points else 2] for table in kind]
    return {str(448 + 7 * i): table[None] if batch else table for i, table in enumerate(tables)}


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize(
    ("size", "strides", "anchors"),
    [((640, 640), (8, 16, 32), 2), ((256, 320), (8, 16, 32), 2), ((320, 320), (8, 16, 32, 64, 128), 1),
     ((320, 256), (8, 16, 32), 1)],
)  # fmt: skip
def test_scrfd_finds_faces_whatever_the_order_of_its_outputs(
    size: tuple[int, int], strides: tuple[int, ...], anchors: int, batch: bool, points: bool
) -> None:
    plain = scrfd(size, strides, anchors, points=points, batch=batch)
    for seed in range(2):
        outputs = shuffled(plain, seed)
        claim = claimed(outputs, size)
        assert (claim.family, len(outputs)) == ("scrfd", len(strides) * (3 if points else 2))
        assert (claim.input["resize"], claim.input["swap_rb"]) == ("letterbox-top-left", True)
        found = found_by(claim, outputs)
        same_objects(found, FACES, [0, 0, 0], SCORES, POINTS if points else None)
        assert (found.keypoints is None) == (not points)
        assert found.name(0) == "face"


def test_scrfd_before_its_sigmoid() -> None:
    outputs = scrfd((320, 320), (8, 16, 32), 2, points=True, batch=True)
    for name, value in outputs.items():
        if value.shape[-1] == 1:
            outputs[name] = np.log(value / (1 - value)).astype(np.float32)
    same_objects(found_by(claimed(outputs, (320, 320)), outputs), FACES, [0, 0, 0], SCORES, POINTS)


def test_neighbours_and_the_same_face_twice() -> None:
    """Both anchors of a cell may find the same face: it counts once."""
    outputs = scrfd((320, 320), (8, 16, 32), 2, points=True, batch=True)
    for value in outputs.values():
        value[0, 1::2] = value[0, ::2]
    found = found_by(claimed(outputs, (320, 320)), outputs)
    same_objects(found, FACES[::2], [0, 0], SCORES[::2], POINTS[::2])


def yunet(size: tuple[int, int], strides: tuple[int, ...] = (8, 16, 32)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    outputs = {}
    for level, stride in enumerate(strides):
        h, w = cells(size, stride)
        tables = [rng.uniform(0, 0.1, (h * w, 1)), rng.uniform(0, 1.2, (h * w, 1)),
                  rng.normal(0, 1, (h * w, 4)), rng.normal(0, 1, (h * w, 10))]  # fmt: skip
        for i in np.flatnonzero(np.array(AT) == level):
            middle, extent = (FACES[i, :2] + FACES[i, 2:]) / 2, FACES[i, 2:] - FACES[i, :2]
            column, row = (int(v) for v in middle // stride)
            index = row * w + column
            cell = np.array([column, row])
            tables[0][index], tables[1][index] = SCORES[i] ** 2 / 0.99, 0.99
            tables[2][index] = np.concatenate([middle / stride - cell, np.log(extent / stride)])
            tables[3][index] = (POINTS[i] / stride - cell).ravel()
        for name, table in zip(("cls", "obj", "bbox", "kps"), tables, strict=True):
            outputs[f"{name}_{stride}"] = table[None].astype(np.float32)
    return outputs


@pytest.mark.parametrize("size", [(320, 320), (256, 416), (640, 640)])
def test_yunet_finds_faces_whatever_the_order_of_its_outputs(size: tuple[int, int]) -> None:
    for seed in range(3):
        outputs = shuffled(yunet(size), seed)
        claim = claimed(outputs, size)
        assert claim.family == "yunet"
        assert not claim.input.get("swap_rb", False)
        same_objects(found_by(claim, outputs), FACES, [0, 0, 0], SCORES, POINTS)


@pytest.mark.parametrize("family", ["scrfd", "yunet"])
def test_near_misses_are_refused(family: str) -> None:
    size = (320, 320)
    outputs = yunet(size) if family == "yunet" else scrfd(size, (8, 16, 32), 2, points=True, batch=True)
    last = list(outputs)[-1]
    for changed in (
        outputs | {last: outputs[last][:, :-1]},
        outputs | {last: outputs[last][..., :8]},
        {name: value for name, value in outputs.items() if name != last},
    ):
        with pytest.raises(UnsupportedError, match="made-up"):
            claimed(changed, size)
    with pytest.raises(UnsupportedError):
        claimed(outputs, (320, 352))


def test_nonsense_gives_nothing_unsound() -> None:
    for outputs in (yunet((256, 256)), scrfd((256, 256), (8, 16, 32), 2, points=True, batch=True)):
        try_nonsense(claimed(outputs, (256, 256)), outputs)
