"""saccade as programs use it: what is exported, `open`, `stream`, and what people get told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import saccade
from saccade.pipeline import App, Output
from small_networks import spots_network
from videos import numbered_avi


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spots_network(tmp_path_factory.mktemp("net") / "spots.xml")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return numbered_avi(tmp_path / "v.avi", 6)


def test_everything_exported_is_there() -> None:
    for name in saccade.__all__:
        assert getattr(saccade, name) is not None
    assert set(dir(saccade)) == set(saccade.__all__)
    with pytest.raises(AttributeError, match="module 'saccade' has no attribute 'opne'"):
        saccade.opne  # noqa: B018


def test_a_predictor_answers_for_a_picture(network: Path) -> None:
    predictor = saccade.open(network, device="CPU", classes="red")
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[64:96, 32:64] = (0, 0, 255)
    picture[128:160, 128:160] = 255
    result = predictor(picture)
    assert isinstance(result, saccade.Result)
    assert isinstance(result.detections, saccade.Detections)
    assert len(result.detections) == 1
    assert result.detections.boxes[0] == pytest.approx([32, 64, 64, 96], abs=0.5)
    transparent = np.dstack([picture, np.full((256, 256), 255, np.uint8)])
    again = predictor(transparent).detections
    assert again is not None
    assert np.array_equal(again.boxes, result.detections.boxes)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_colours_of_a_pillow_image_are_not_swapped(network: Path, mode: str) -> None:
    image = PIL.Image.new("RGB", (256, 256))
    image.paste((255, 0, 0), (32, 64, 64, 96))
    found = saccade.open(network, device="CPU", classes="red")(image.convert(mode)).detections
    assert found is not None
    assert found.boxes == pytest.approx(np.array([[32, 64, 64, 96]]), abs=0.5)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (PIL.Image.new("I;16", (8, 8)), "got Image; expected a picture"),
        (None, "got NoneType; expected a picture, uint8 (H, W, 3) in BGR order, as cv2.imread gives it (and None"),
        ("cat.jpg", "got str; expected a picture"),
        (np.zeros((8, 8, 3)), "got an array of float64 (8, 8, 3); expected a picture"),
        (np.zeros((8, 8, 3), np.float32), "scale it to 0-255 and use .astype(np.uint8)"),
        (np.zeros((0, 8, 3), np.uint8), "got an array of uint8 (0, 8, 3)"),
        (np.zeros((1, 8, 8, 3), np.uint8), "got an array of uint8 (1, 8, 8, 3)"),
        (np.zeros((3, 8, 8), np.uint8), "got an array of uint8 (3, 8, 8)"),
    ],
)
def test_what_is_no_picture_is_named(network: Path, picture: Any, message: str) -> None:
    with pytest.raises(saccade.SaccadeError, match=re.escape(message)):
        saccade.open(network, device="CPU")(picture)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("nope", {}, "no model file at nope; give an existing file or a name from `saccade models list`"),
        ("", {}, "model: got an empty name"),
        (None, {}, "model: got NoneType; expected a file, a name, an address or an open Model"),
        ("own", {"threshold": 3}, "threshold: got 3; expected a number from 0 to 1"),
        ("own", {"iou": -1}, "iou: got -1; expected a number from 0 to 1"),
        ("own", {"top": 0}, "top: got 0; expected a whole number of at least 1"),
        ("own", {"classes": ["rde"]}, "classes rde: spots has no class of that name; did you mean red?"),
        ("own", {"task": "paint"}, "task 'paint' is not known"),
    ],
)
def test_what_cannot_be_opened_is_named(network: Path, model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(saccade.SaccadeError, match=re.escape(message)):
        saccade.open(network if model == "own" else model, **options)


def test_a_stream_gives_each_frame_with_its_result_and_feeds_outputs(network: Path, video: Path) -> None:
    class Count:
        leases = 0
        closed = False

        def __init__(self) -> None:
            self.numbers: list[int] = []

        def accept(self, frame: saccade.Frame, result: saccade.Result) -> None:
            self.numbers.append(result.frame)

        def close(self) -> None:
            self.closed = True

    count = Count()
    output: Output = count
    seen = []
    for frame, result in saccade.stream(video, network, outputs=[output], device="CPU", threshold=0.1):
        assert (frame.width, frame.height) == (result.width, result.height)
        seen.append(frame.sequence)
    assert seen == count.numbers == list(range(6))
    assert count.closed


def test_a_stream_takes_an_open_predictor_and_an_open_source(network: Path, video: Path) -> None:
    predictor = saccade.open(network, device="CPU")
    source = saccade.open_source(video)
    assert len(list(saccade.stream(source, predictor))) == 6
    with pytest.raises(saccade.SaccadeError, match="threshold: options of a predictor that is open"):
        saccade.stream(video, predictor, threshold=0.5)


@pytest.mark.parametrize(
    ("source", "message"), [("missing.mp4", "source 'missing.mp4': No such file"), (Path("no/dir.avi"), "no/dir.avi")]
)
def test_a_stream_of_what_is_not_there_says_so_at_once(network: Path, source: Any, message: str) -> None:
    with pytest.raises(saccade.SaccadeError, match=re.escape(message)):
        saccade.stream(source, network, device="CPU")
    with pytest.raises(saccade.SaccadeError, match="no model file at nope"):
        saccade.stream("demo:", "nope")


def test_a_stream_that_is_left_early_ends(network: Path) -> None:
    results = saccade.stream("demo:", network, device="CPU", realtime=False)
    frame, _ = next(results)
    assert not frame.released
    results.close()
    assert frame.released


def test_an_app_of_ones_own_is_driven_like_any(network: Path, video: Path) -> None:
    class Odd(App):
        name = "odd"

        def interpret(self, frame: saccade.Frame, result: saccade.Result) -> saccade.Result:
            result = super().interpret(frame, result)
            result.extra["odd"] = bool(frame.sequence % 2)
            return result

    app = Odd(saccade.open(network, device="CPU"))
    pipeline = saccade.Pipeline(saccade.Capture(saccade.open_source(video)), app)
    events = [result.to_event() for _, result in pipeline]
    assert [event["odd"] for event in events] == [False, True] * 3
    assert {event["app"] for event in events} == {"odd"}
