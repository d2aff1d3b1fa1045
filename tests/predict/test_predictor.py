"""The predictor: pictures of any form to results in source pixels, whatever the network's input is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest
from numpy.typing import NDArray

from saccade.errors import ConfigError, ModelError, UnsupportedError
from saccade.formats.quantised import Quantisation
from saccade.frame import Frame
from saccade.geometry import WHOLE_FRAME, View
from saccade.networks import InputSpec, Model
from saccade.networks.network import Outputs
from saccade.predict import Predictor, open_predictor
from saccade.predict.opening import Wishes, understand
from saccade.predict.parser import Settings
from saccade.predict.tiles import Grid
from saccade.results import Classification, Detections
from small_networks import classifier

RNG = np.random.default_rng(5)


def echo(*shape: int, dtype: Any = np.float32) -> Model:
    """A network whose output is its input."""
    data = op.parameter(list(shape), dtype, name="data")
    same = op.convert(data, np.float32) if dtype != np.float32 else op.add(data, np.float32(0))
    same.output(0).set_names({"same"})
    data.output(0).set_names({"data"})
    return Model(ov.Model([same], [data], "echo"), precision="f32")


class Echo:
    """Keeps the outputs that it is given; a box for the brightest pixel of an NCHW input."""

    family, task, names, defaults = "echo", "detect", ("spot",), Settings()

    def __init__(self) -> None:
        self.seen: NDArray[np.float32] = np.empty(0, np.float32)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        self.seen = outputs["same"].copy()
        plane = self.seen.reshape(self.seen.shape[-2:]) if self.seen.shape[1] == 1 else self.seen[0, 0]
        y, x = np.unravel_index(plane.argmax(), plane.shape)
        box = np.array([[x, y, x + 1, y + 1]], np.float32)
        return Detections(box, np.ones(1, np.float32), np.zeros(1, np.int32), None, self.names)


def seen_by(model: Model, spec: InputSpec, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    parser = Echo()
    Predictor(model, spec, parser)(picture)
    return parser.seen


def noise(*shape: int) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


# ---- pictures


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(noise(8, 12, 3), id="of the input's size"),
        pytest.param(noise(8, 12), id="grey"),
        pytest.param(noise(8, 12, 1), id="grey, one channel"),
        pytest.param(noise(8, 12, 4), id="with transparency"),
        pytest.param(noise(16, 24, 3)[4:12, ::2][:, :12], id="part of a larger array"),
    ],
)
def test_pictures_arrive_as_they_are_grey_in_all_channels_and_without_transparency(
    picture: NDArray[np.uint8],
) -> None:
    seen = seen_by(echo(1, 3, 8, 12), InputSpec(12, 8), picture)
    colours = np.broadcast_to(picture.reshape(8, 12, -1)[..., :3], (8, 12, 3))
    np.testing.assert_array_equal(seen[0], colours.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "picture",
    [None, "a.jpg", np.zeros((8, 12, 3), np.float32), np.zeros((8, 12, 2), np.uint8), np.zeros((0, 4, 3), np.uint8),
     np.zeros(5, np.uint8), np.zeros((2, 8, 12, 3), np.uint8)],
)  # fmt: skip
def test_what_is_no_picture(picture: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected a picture, uint8 \(H, W, 3\) in BGR order"):
        open_predictor(Model(classifier()))(picture)


# ---- inputs


def test_a_grey_network_sees_luma() -> None:
    picture = noise(8, 12, 3)
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    seen = seen_by(echo(1, 1, 8, 12), InputSpec(12, 8, channels=1, mean=(10.0,) * 3, scale=(2.0,) * 3), picture)
    np.testing.assert_allclose(seen[0, 0], (grey.astype(np.float32) - 10) / 2)
    stored = seen_by(echo(1, 8, 12, 1, dtype=np.uint8), InputSpec(12, 8, "nhwc", "uint8", channels=1), picture)
    np.testing.assert_array_equal(stored.reshape(8, 12), grey)


@pytest.mark.parametrize(
    ("dtype", "step", "zero", "mean", "scale", "shift"),
    [
        ("int8", 1 / 255, -128, 0.0, 255.0, -128),
        ("uint8", 1 / 255, 0, 0.0, 255.0, 0),
        ("uint8", 1 / 128, 128, 127.5, 127.5, 0),
        ("int8", 1.0, -128, 0.0, 1.0, -128),
    ],
)
def test_quantised_inputs_take_the_pixel_without_wrap_around(
    dtype: str, step: float, zero: int, mean: float, scale: float, shift: int
) -> None:
    picture = np.arange(96 * 3, dtype=np.uint8).reshape(8, 12, 3)
    spec = InputSpec(12, 8, "nhwc", dtype, mean=(mean,) * 3, scale=(scale,) * 3, quantisation=Quantisation(step, zero))
    seen = seen_by(echo(1, 8, 12, 3, dtype=np.dtype(dtype).type), spec, picture)
    np.testing.assert_array_equal(seen[0], picture.astype(np.float32) + shift)


def test_an_odd_quantisation_is_rounded_and_saturates() -> None:
    picture = np.arange(96 * 3, dtype=np.uint8).reshape(8, 12, 3)
    spec = InputSpec(12, 8, "nhwc", "int8", scale=(255.0,) * 3, quantisation=Quantisation(0.005, -10))
    seen = seen_by(echo(1, 8, 12, 3, dtype=np.int8), spec, picture)
    expected = np.clip(np.rint(picture / 255 / 0.005) - 10, -128, 127)
    assert abs(seen[0] - expected).max() <= 1
    assert seen.max() == 127


@pytest.mark.parametrize(
    "spec", [InputSpec(12, 9), InputSpec(12, 8, "nhwc"), InputSpec(12, 8, dtype="uint8"), InputSpec(12, 8, channels=1)]
)
def test_pixels_that_do_not_fit_the_input(spec: InputSpec) -> None:
    with pytest.raises(ConfigError, match=r"its input data is float32 \[1, 3, 8, 12\], which does not take"):
        Predictor(echo(1, 3, 8, 12), spec, Echo())


def test_four_channels_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="none of its inputs is a picture of one or three channels"):
        open_predictor(echo(1, 4, 8, 12))


def test_further_inputs_are_filled_once() -> None:
    data, info = op.parameter([1, 3, 4, 4], np.float32, name="data"), op.parameter([1, 2], np.float32, name="info")
    out = op.reduce_mean(data, np.array([2, 3]), False)
    both = op.concat([out, info], 1)
    both.output(0).set_names({"same"})
    for node, name in ((data, "data"), (info, "info")):
        node.output(0).set_names({name})
    model = Model(ov.Model([both], [data, info], "two"), precision="f32")

    class Sizes:
        family, task, names, defaults = "sizes", "classify", (), Settings()

        def parse(self, outputs: Outputs, settings: Settings) -> Classification:
            return Classification(np.arange(5, dtype=np.int32), outputs["same"][0].copy())

    predictor = Predictor(model, InputSpec(4, 4), Sizes(), fixed={"info": np.array([[640, 480]])})
    for _ in range(2):
        result = predictor(np.full((4, 4, 3), 7, np.uint8)).classes
        assert result is not None
        np.testing.assert_array_equal(result.scores, [7, 7, 7, 640, 480])


# ---- places


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "letterbox-top-left", "crop"])
@pytest.mark.parametrize(("width", "height"), [(96, 40), (40, 96), (64, 64)])
def test_places_come_back_in_source_pixels(resize: Any, width: int, height: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    y, x = height // 2 + 3, width // 2 - 5
    picture[y - 4 : y + 4, x - 4 : x + 4] = 255
    predictor = Predictor(echo(1, 3, 32, 32), InputSpec(32, 32, resize=resize), Echo())
    found = predictor(picture).detections
    assert found is not None
    x1, y1, x2, y2 = found.boxes[0]
    assert x1 - 8 <= x <= x2 + 8
    assert y1 - 8 <= y <= y2 + 8


def test_a_region_is_a_frame_of_its_own() -> None:
    picture = noise(64, 64, 3)
    parser = Echo()
    found, view = Predictor(echo(1, 3, 8, 8), InputSpec(8, 8), parser).find(
        Frame.from_bgr(picture), (0.5, 0.25, 0.125, 0.125)
    )
    np.testing.assert_array_equal(parser.seen[0], picture[16:24, 32:40].transpose(2, 0, 1))
    assert view == View(1, 1, 32, 16)
    assert isinstance(found, Detections)
    assert found.boxes.max() <= 8, "in px of the input"


def test_only_the_wanted_classes_count_towards_the_most() -> None:
    predictor = open_predictor(Model(classifier(classes=4)), labels=("a", "b", "c", "d"), classes=("c", "a"), top=1)
    result = predictor(noise(16, 16, 3)).classes
    assert result is not None
    everything = open_predictor(predictor.network, labels=("a", "b", "c", "d"))(noise(16, 16, 3)).classes
    assert everything is not None
    assert len(result) == 1
    assert result.name(0) in ("a", "c")


# ---- requests


def test_many_threads_get_their_own_answers() -> None:
    predictor = open_predictor(Model(classifier(), precision="f32"), labels=tuple("abcdefghij"))
    pictures = [noise(40, 60, 3) for _ in range(6)]
    alone = [predictor(picture).classes for picture in pictures]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda i: predictor(pictures[i % 6]).classes, range(60)))
    for i, found in enumerate(together):
        expected = alone[i % 6]
        assert found is not None
        assert expected is not None
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_failing_parser_gives_the_request_back() -> None:
    class Broken(Echo):
        def parse(self, outputs: Outputs, settings: Settings) -> Detections:
            raise ValueError("broken on purpose")

    predictor = Predictor(echo(1, 3, 8, 12), InputSpec(12, 8), Broken())
    for _ in range(3):
        with pytest.raises(ValueError, match="on purpose"):
            predictor(noise(8, 12, 3))
    assert len(predictor._free) == 1


def test_runs_that_fail_give_their_requests_back() -> None:
    class Lost:
        def __init__(self) -> None:
            self.inputs = {"data": np.zeros((1, 3, 8, 12), np.float32)}

        def start(self) -> None:
            pass

        def wait(self) -> None:
            raise ModelError("lost on purpose")

    predictor = Predictor(echo(1, 3, 8, 12), InputSpec(12, 8), Echo(), framing=Grid(3, 1))
    predictor._free.extend(Lost() for _ in range(3))  # type: ignore[misc]
    for _ in range(2):
        with pytest.raises(ModelError, match="on purpose"):
            predictor(noise(8, 36, 3))
        assert len(predictor._free) == 3


def test_a_prediction_may_be_dropped() -> None:
    predictor = Predictor(echo(1, 3, 8, 12), InputSpec(12, 8), Echo())
    frame = Frame.from_bgr(noise(8, 12, 3))
    predictor.start(frame).release()
    first, second = predictor.start(frame), predictor.start(frame)
    assert len(second.result().detections or ()) == 1
    assert len(first.result().detections or ()) == 1
    assert first.done
    assert len(predictor._free) == 2


def test_raw_outputs_outlive_the_request() -> None:
    predictor = Predictor(echo(1, 3, 8, 12), InputSpec(12, 8), Echo())
    one, other = noise(8, 12, 3), noise(8, 12, 3)
    kept = predictor.raw(one)["same"]
    predictor.raw(other)
    np.testing.assert_array_equal(kept[0], one.transpose(2, 0, 1))


# ---- opening


def test_a_network_that_nobody_understands_still_gives_its_numbers() -> None:
    predictor = understand(echo(1, 3, 8, 12), Wishes(), raw=True)
    assert predictor.raw(noise(8, 12, 3))["same"].shape == (1, 3, 8, 12)
    with pytest.raises(UnsupportedError, match="cannot be read"):
        predictor(noise(8, 12, 3))


def test_options_of_an_open_network_are_refused() -> None:
    with pytest.raises(ConfigError, match="device: options of a network that is open already"):
        open_predictor(Model(classifier()), device="CPU")


@pytest.mark.parametrize(("name", "said"), [
    ("treshold", "did you mean threshold"), ("label", "did you mean labels"),
    ("frobnicate", "there are batch, cache_dir")
])  # fmt: skip
def test_an_option_that_nobody_has(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name}: saccade.open has no option of that name; {said}"):
        open_predictor(tmp_path / "none.onnx", **{name: 1})


@pytest.mark.parametrize(("option", "value", "said"), [
    ("color", "RGB", "color: got 'RGB'; expected bgr, rgb"),
    ("resize", "fit", "resize: got 'fit'; expected stretch, letterbox, letterbox-top-left, crop"),
    ("pad", 256, "pad: got 256; expected a pixel value from 0 to 255"),
    ("mean", (1, 2), "mean: got (1, 2); expected one number, or one a channel (three)"),
    ("scale", "a", "scale: got 'a'; expected one number, or one a channel (three)"),
    ("classes", [7], "classes 7: "),
])  # fmt: skip
def test_a_value_that_no_network_takes(option: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_predictor(Model(classifier(classes=2)), **{"labels": ("a", "b"), option: value})
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("mean", [(1, 2, 3), np.array([1, 2, 3], np.float32)])
def test_a_value_a_channel(mean: Any) -> None:
    model = Model(classifier(classes=2))
    assert open_predictor(model, labels=("a", "b"), mean=mean).spec.mean == (1.0, 2.0, 3.0)
    assert open_predictor(model, labels=(0, 1), scale=np.float32(2)).spec.scale == (2.0,) * 3  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file at"):
        open_predictor(tmp_path / "none.onnx")


def test_warming_up_makes_the_requests() -> None:
    predictor = open_predictor(Model(classifier()), labels=tuple("abcdefghij"))
    predictor.warm_up(3)
    assert len(predictor._free) == 3
    assert predictor.regions(10, 10) == (WHOLE_FRAME,)
