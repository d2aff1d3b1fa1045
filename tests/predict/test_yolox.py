"""YOLOX, raw and decoded: tables that are encoded here, and what they must give."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import NONSENSE, FakeNetwork, centres, check_sound, claim_of, spoilt_outputs

from arithmetic import cells
from saccade.errors import UnsupportedError
from saccade.predict.metadata import Metadata
from saccade.predict.parser import Settings
from saccade.results import Detections

SIZE = (96, 64)
STRIDES = (8, 16, 32)
CELLS = np.array(cells(SIZE, STRIDES), np.float32)
BOXES = np.array([[10, 4, 40, 30], [5.5, 60.25, 60, 90], [0, 0, 12, 64]], np.float32)
ROWS = [0, 40, len(CELLS) - 1]


def decoded(classes: int = 3) -> np.ndarray:
    """(cells, 5 + classes) with boxes in px."""
    rows = np.full((len(CELLS), 5 + classes), 0.02, np.float32)
    rows[:, :2] = (CELLS[:, :2] + 0.3) * CELLS[:, 2:]
    rows[:, 2:4] = 2 * CELLS[:, 2:]
    rows[ROWS, :4] = centres(BOXES)
    rows[ROWS, 4] = 0.9, 0.8, 0.5
    rows[ROWS, [5, 6, 6]] = 0.9, 0.5, 0.6
    return rows


def raw(classes: int = 3) -> np.ndarray:
    """The same as the last layer gives it."""
    rows = decoded(classes)
    rows[:, :2] = rows[:, :2] / CELLS[:, 2:] - CELLS[:, :2]
    rows[:, 2:4] = np.log(rows[:, 2:4] / CELLS[:, 2:])
    return rows


@pytest.mark.parametrize("form", ["raw", "decoded"])
@pytest.mark.parametrize("known", [True, False])
def test_decoded_or_not_the_objects_are_the_same(form: str, known: bool) -> None:
    """Told apart with and without a graph to look at; without one, YOLOX decoded needs its names."""
    after = () if not known else ("Exp", "Sigmoid") if form == "decoded" else ("Sigmoid",)
    network = FakeNetwork({"output": (raw() if form == "raw" else decoded())[None]}, SIZE, after=after)
    claim = claim_of(network, names=("a", "b", "c"))
    assert (claim.family, claim.certainty) == ("yolox", 2)
    assert claim.input == {"resize": "letterbox-top-left", "pad": 114}
    found = claim.parser.parse(network.values, claim.parser.defaults)
    assert isinstance(found, Detections)
    np.testing.assert_allclose(found.scores, [0.81, 0.4, 0.3], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, BOXES, atol=1e-3)
    assert found.labels.tolist() == [0, 1, 1]


def test_decoded_or_a_transposed_yolov8() -> None:
    rows = decoded()
    assert claim_of(FakeNetwork({"o": rows[None]}, SIZE, after=("Sigmoid",))).family == "yolov8"
    unknown = FakeNetwork({"o": rows[None]}, SIZE, after=())
    with pytest.raises(UnsupportedError, match=r"--head yolov8: .*--head yolox: "):
        claim_of(unknown)
    assert claim_of(unknown, names=("a", "b", "c")).family == "yolox"
    assert claim_of(unknown, names=("a", "b", "c", "d")).family == "yolov8"
    assert claim_of(unknown, head="yolox").family == "yolox"
    assert claim_of(unknown, Metadata(head="YOLOX")).certainty == 3
    assert claim_of(unknown, Metadata(producer="ultralytics", task="detect")).family == "yolov8"


def test_near_misses_are_refused() -> None:
    logits = raw()
    logits[:, 4:] *= 9
    with pytest.raises(UnsupportedError):
        claim_of(FakeNetwork({"o": logits[None]}, SIZE))
    four = np.full((1, len(cells(SIZE, (8, 16, 32, 64))), 8), 0.1)  # as many rows as NanoDet-Plus has
    with pytest.raises(UnsupportedError):
        claim_of(FakeNetwork({"o": four}, SIZE))


@pytest.mark.parametrize("form", ["raw", "decoded"])
@pytest.mark.parametrize("values", NONSENSE)
def test_nonsense_gives_nothing_unsound(form: str, values: list[float]) -> None:
    rows = raw() if form == "raw" else decoded()
    network = FakeNetwork({"o": rows[None]}, SIZE, after=("Exp",) if form == "decoded" else ("Sigmoid",))
    parser = claim_of(network).parser
    for spoilt in spoilt_outputs(network, values):
        check_sound(parser.parse(spoilt, Settings(score=0.25, iou=0.45)), 0.25)
