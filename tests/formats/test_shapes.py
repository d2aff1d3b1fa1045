"""Names and sizes of ports: open sizes, several names, batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest

from saccade.errors import ConfigError, ModelError
from saccade.formats.shapes import declare_output_names, make_static, output_names, parse_shapes, port_name
from saccade.networks import Model


def through(shape: Sequence[int], *, weights: tuple[int, ...] | None = None, nhwc: bool = False) -> ov.Model:
    """A picture through a convolution of 3 channels (NCHW inside), or through a dense layer of fixed size."""
    x = op.parameter(ov.PartialShape(list(shape)), np.float32, name="image")
    x.output(0).set_names({"image"})
    y = op.transpose(x, op.constant(np.array([0, 3, 1, 2]))) if nhwc else x
    y = op.convolution(y, op.constant(np.ones((2, 3, 3, 3), np.float32)), [1, 1], [1, 1], [1, 1], [1, 1])
    if weights:
        y = op.matmul(op.reshape(y, op.constant(np.array([1, -1])), False), op.constant(np.ones(weights, np.float32)),
                      False, False)  # fmt: skip
    return ov.Model([y], [x], "net")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["images:1,3,640,640"], {"images": (1, 3, 640, 640)}),
        (["StatefulPartitionedCall:0:1,2"], {"StatefulPartitionedCall:0": (1, 2)}),
        (["x:0=1,2"], {"x:0": (1, 2)}),
        (["640x480"], (640, 480)),
        (["[1,3,8,8]"], (1, 3, 8, 8)),
        (["data[1,3]"], None),
        (["a:1,3;b:1,2"], {"a": (1, 3), "b": (1, 2)}),
        (["a:1,3 b:1,2"], {"a": (1, 3), "b": (1, 2)}),
        ([""], None),
        ([], None),
    ],
)
def test_what_people_type(texts: list[str], expected: object) -> None:
    if texts == ["data[1,3]"]:
        with pytest.raises(ConfigError, match="expected sizes such as"):
            parse_shapes(texts)
    else:
        assert parse_shapes(texts) == expected


@pytest.mark.parametrize("text", ["0,3,8,8", "1,3,99999999999999,2", "1,3,", "a:", "x", "1.5"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="input shape: got"):
        parse_shapes([text])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (through([-1, 3, -1, -1]), [1, 3, 640, 640]),
        (through([-1, -1, -1, -1]), [1, 3, 640, 640]),
        (through([-1, -1, -1, -1], nhwc=True), [1, 640, 640, 3]),
        (through([1, -1, -1, 3], nhwc=True), [1, 640, 640, 3]),
        (through([1, 3, 480, -1]), [1, 3, 480, 640]),
        (through([-1, 3, -1, -1], weights=(2 * 224 * 224, 3)), [1, 3, 224, 224]),
    ],
)
def test_open_pictures_get_a_size_and_it_is_said(
    model: ov.Model, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "saccade"):
        static = make_static(model, "net.onnx")
    assert list(static.inputs[0].shape) == expected
    assert caplog.text.count("it takes " + ",".join(map(str, expected))) == 1
    assert "--input-shape image:" in caplog.text


def maps(shape: Sequence[int], *, stride: int = 4, fixed: bool = False) -> ov.Model:
    """Two maps of places in a picture, `stride` px apart."""
    x = op.parameter(shape, np.float32, name="image")
    found = []
    for channels in (1, 2):
        kernel = np.ones((channels, 3, stride, stride), np.float32)
        places = op.convolution(x, kernel, [stride] * 2, [0, 0], [0, 0], [1, 1])
        if fixed:
            places = op.reshape(places, np.array([-1, channels, *(side // stride for side in shape[2:])]), False)
        found.append(places)
    return ov.Model(found, [x])


def test_a_picture_size_that_only_stands_for_one(caplog: pytest.LogCaptureFixture) -> None:
    static = make_static(maps([10, 3, 32, 32]), "net.onnx", batch=1)
    assert list(static.inputs[0].shape) == [1, 3, 640, 640]
    assert "declares pictures of [10,3,32,32], which show nothing" in caplog.text
    assert "--input-shape 1,3,640,640" in caplog.text
    stated = make_static(maps([1, 3, 32, 32]), "net.onnx", batch=1, size=(320, 480))
    assert list(stated.inputs[0].shape) == [1, 3, 320, 480]
    of_any_number = make_static(maps([-1, 3, 32, 32]), "net.onnx", batch=1)
    assert list(of_any_number.inputs[0].shape) == [1, 3, 640, 640]


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (maps([1, 3, 64, 64]), 1),  # large enough for what is cut out of a picture
        (maps([1, 3, 32, 32]), None),  # who opens a network for itself gets what the file declares
        (maps([1, 3, 32, 32], stride=32), 1),  # one place: numbers of the whole picture
        (maps([1, 3, 32, 32], stride=1), 1),  # each pixel's own
        (maps([1, 3, 32, 32], fixed=True), 1),  # the graph takes no other size
        (maps([-1, 3, 32, 32], fixed=True), 1),
        (through([1, 3, 32, 32]), 1),
    ],
)
def test_a_small_picture_size_that_is_meant(model: ov.Model, batch: int | None) -> None:
    _, *own = model.inputs[0].partial_shape.get_max_shape()
    assert list(make_static(model, "net.onnx", batch=batch).inputs[0].shape) == [1, *own]


def test_a_size_that_is_asked_for_goes_before_all(caplog: pytest.LogCaptureFixture) -> None:
    static = make_static(maps([10, 3, 32, 32]), "net.onnx", (1, 3, 64, 96), batch=1)
    assert list(static.inputs[0].shape) == [1, 3, 64, 96]
    assert not caplog.text


def test_a_stated_size_that_the_graph_refuses(caplog: pytest.LogCaptureFixture) -> None:
    model = make_static(through([-1, 3, -1, -1], weights=(2 * 224 * 224, 3)), "net.onnx", size=(320, 320))
    assert list(model.inputs[0].shape) == [1, 3, 224, 224]
    assert "nothing says what it was made for" in caplog.text


def test_a_size_that_no_graph_takes() -> None:
    model = through([-1, 3, -1, -1], weights=(7, 3))
    with pytest.raises(
        ModelError,
        match=r"leaves input sizes open \(image \[1,3,\?,\?\]\); give them.*--input-shape "
        r"image:1,3,640,640, or input_shapes=\{'image': \(1, 3, 640, 640\)\} in Pyth",
    ):
        make_static(model, "net.onnx")  # fmt: skip


def test_what_is_no_picture_is_asked_for() -> None:
    for shape in ([-1, -1, -1, 5], [-1, 16, -1, -1], [-1, -1, 8, -1], [-1, -1, -1], [2, 3, -1]):
        x = op.parameter(ov.PartialShape(shape), np.float32, name="x")
        with pytest.raises(ModelError, match="leaves input sizes open"):
            make_static(ov.Model([op.relu(x)], [x]), "n")


def test_two_numbers_are_height_and_width() -> None:
    assert list(make_static(through([-1, 3, -1, -1]), "n", (32, 48)).inputs[0].shape) == [1, 3, 32, 48]
    assert list(make_static(through([1, 3, 8, 8]), "n", (32, 48)).inputs[0].shape) == [1, 3, 32, 48]
    assert list(make_static(through([1, 8, 8, 3], nhwc=True), "n", {"image": (4, 6)}).inputs[0].shape) == [1, 4, 6, 3]
    rows = op.parameter([-1, 5], np.float32, name="rows")
    assert list(make_static(ov.Model([op.relu(rows)], [rows]), "n", (4, 5)).inputs[0].shape) == [4, 5]


def two_inputs() -> ov.Model:
    image = op.parameter(ov.PartialShape([-1, 3, -1, -1]), np.float32, name="image")
    size = op.parameter(ov.PartialShape([-1, 2]), np.float32, name="size")
    for node in (image, size):
        node.output(0).set_names({node.friendly_name})
    return ov.Model([op.relu(image), op.relu(size)], [image, size], "two")


def test_sizes_without_a_name_are_the_pictures() -> None:
    model = make_static(two_inputs(), "two", (1, 3, 8, 8))
    assert [list(port.shape) for port in model.inputs] == [[1, 3, 8, 8], [1, 2]]
    rows = [op.parameter([1, 2], np.float32, name=name) for name in "ab"]
    with pytest.raises(ModelError, match=r"has 2 inputs \(a, b\); give them, all as numbers: --input-shape a:1,2"):
        make_static(ov.Model([op.relu(row) for row in rows], rows), "rows", (1, 2))


def test_a_size_that_nobody_knows() -> None:
    x = op.parameter(ov.PartialShape([1, -1, 4]), np.float32, name="x")
    with pytest.raises(ModelError, match=r"--input-shape x:1,1,4"):
        make_static(ov.Model([op.relu(x)], [x]), "n")


def named(*names: str) -> ov.Model:
    x = op.parameter([1, 4], np.float32, name="x")
    y = op.relu(x)
    y.output(0).set_names(set(names))
    return ov.Model([y], [x], "named")


def test_of_several_names_the_declared_or_the_first_is_taken() -> None:
    assert output_names(named("b", "a", "c")) == ["a"]
    model = named("b", "a")
    declare_output_names(model, ["b"])
    assert output_names(model) == ["b"]
    declare_output_names(model, ["b", "c"])  # of another file: passed over
    assert output_names(model) == ["b"]
    model = named("b", "a")
    model.set_rt_info('["x"]', ["saccade", "outputs"])
    assert output_names(model) == ["a"]
    model.set_rt_info("{", ["saccade", "outputs"])
    assert output_names(model) == ["a"]
    assert port_name(named().inputs[0]) == "x"


def test_an_output_without_a_name_is_called_after_its_layer() -> None:
    x = op.parameter([1, 4], np.float32, name="x")
    y = op.relu(x)
    y.set_friendly_name("last")
    assert output_names(ov.Model([y], [x])) == ["last"]


def test_all_names_of_an_input_are_taken(own_cache: None) -> None:
    model = named("y")
    model.inputs[0].set_names({"x:0", "x"})
    network = Model(model, precision="f32")
    for name in ("x", "x:0"):
        assert list(network.infer({name: np.ones((1, 4), np.float32)})) == ["y"]


@pytest.mark.corpus
def test_the_files_own_name_at_every_start(corpus: Path, own_cache: None) -> None:
    path = corpus / "cases" / "models" / "aliased_output.onnx"
    for _ in range(3):
        assert [port.name for port in Model(path).outputs] == ["score_8"]


@pytest.mark.corpus
def test_the_detector_with_open_sizes(corpus: Path, own_cache: None) -> None:
    path = corpus / "cases" / "models" / "dynamic_detector.onnx"
    shapes = {port.name: port.shape for port in Model(path, input_shapes=(320, 320)).outputs}
    assert shapes == {"boxes": (1, 400, 4), "scores": (1, 400, 2)}
