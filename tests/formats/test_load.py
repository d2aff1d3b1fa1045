"""The door for model files: what it reads, and what it says about files that are no models."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import read_model
from saccade.formats.load import identify
from saccade.networks import Model
from saccade.predict.inspect import describe
from small_networks import TENSORFLOW_TEXT, classifier, onnx_relu, tensorflow_relu

HTML = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>not here</body></html>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 44703464\n"


@pytest.fixture
def ir(tmp_path: Path) -> Path:
    path = tmp_path / "small.xml"
    ov.save_model(classifier(), path, compress_to_fp16=False)
    return path


def test_an_ir_gives_what_openvino_gives(ir: Path) -> None:
    assert identify(ir).format == "ir"
    assert identify(ir).version == 11
    x = np.random.default_rng(1).random((1, 3, 16, 16), dtype=np.float32)
    out = Model(ir, precision="f32").infer(x)
    assert list(out) == ["prob"]
    direct = ov.Core().compile_model(classifier(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)
    np.testing.assert_allclose(out["prob"], direct[0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"int8": True}, "needs calibration, which this format has not got"),
        ({"epoch": 0}, "has no epochs"),
        ({"force_suppress": True}, "suppresses as it is"),
    ],
)
def test_options_of_another_format_are_refused(options: dict[str, int], message: str, ir: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read_model(ir, **options)


def test_content_wins_over_suffix(ir: Path) -> None:
    renamed = ir.with_suffix(".model")
    ir.rename(renamed)
    assert identify(renamed).format == "ir"


def test_onnx_is_run(tmp_path: Path) -> None:
    path = onnx_relu(tmp_path / "relu.onnx", (1, 4))
    out = Model(path, precision="f32").infer(np.array([[-1, 0, 1, 2]], np.float32))
    np.testing.assert_array_equal(out["y"], [[0, 0, 1, 2]])


def test_inputs_of_tensorflow_have_plain_names(tmp_path: Path) -> None:
    path = tensorflow_relu(tmp_path / "relu.pb")
    model = Model(path, precision="f32")
    assert [port.name for port in model.inputs] == ["x"]  # not x:0
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.infer({"x": x})["y"], np.maximum(x, 0))


def test_tensorflow_text_keeps_probabilities_that_feed_another_layer(tmp_path: Path) -> None:
    path = tmp_path / "graph.pbtxt"
    path.write_text(TENSORFLOW_TEXT)
    out = Model(path, precision="f32").infer(np.zeros((1, 4), np.float32))
    np.testing.assert_allclose(out["p"], 0.25)
    np.testing.assert_allclose(out["y"], -0.25)


def test_dynamic_batch_becomes_one(tmp_path: Path) -> None:
    path = onnx_relu(tmp_path / "relu.onnx", ("batch", 3, 4, 4))
    assert Model(path).inputs[0].shape == (1, 3, 4, 4)


def test_open_sizes_must_be_given(tmp_path: Path) -> None:
    path = onnx_relu(tmp_path / "relu.onnx", ("batch", 3, "height", "width"))
    with pytest.raises(ModelError, match=r"x \[1,\?\].*--input-shape x:1,1.*input_shapes"):
        read_model(onnx_relu(tmp_path / "rows.onnx", ("batch", "n")))
    assert Model(path, input_shapes={"x": (1, 3, 6, 8)}).inputs[0].shape == (1, 3, 6, 8)
    assert Model(path, input_shapes=(1, 3, 6, 8)).inputs[0].shape == (1, 3, 6, 8)
    assert Model(path, input_shapes=(-1, 3, 6, 8)).inputs[0].shape == (1, 3, 6, 8)


def test_impossible_shapes(ir: Path) -> None:
    with pytest.raises(ModelError, match="cannot take the input sizes"):
        read_model(ir, input_shapes=(1, 5, 16, 16))
    with pytest.raises(ModelError, match="no input 'image'; its inputs are data"):
        read_model(ir, input_shapes={"image": (1, 3, 16, 16)})


def test_dynamic_rank() -> None:
    x = op.parameter(ov.PartialShape.dynamic(), np.float32, name="x")
    with pytest.raises(ModelError, match="leaves input sizes open"):
        Model(ov.Model([op.relu(x)], [x], "free"))


@pytest.mark.parametrize("name", ["m.xml", "m.onnx", "m.tflite", "m.pb", "m.pbtxt", "m-symbol.json", "m.prototxt"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (HTML, "is a web page"),
        (b"\n<!-- x --><HTML>", "is a web page"),
        (LFS, "git-LFS pointer"),
        (b"\x00\x01\x02garbage" * 100, "does not hold what its name says"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "does not hold what its name says"),
    ],
)
def test_other_files_under_a_model_name(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=says) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_wrong_paths(tmp_path: Path, ir: Path) -> None:
    with pytest.raises(ModelError, match="no model file at"):
        read_model(tmp_path / "nothing.xml")
    with pytest.raises(ModelError, match="is a folder"):
        read_model(tmp_path)
    with pytest.raises(ModelError, match=r"weights only; give the \.xml"):
        read_model(ir.with_suffix(".bin"))
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    with pytest.raises(ModelError, match="no model file that saccade knows"):
        read_model(other)


def test_weights_of_an_ir(ir: Path) -> None:
    weights = ir.with_suffix(".bin")
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot read this OpenVINO IR v11"):
        read_model(ir)
    weights.write_bytes(LFS)
    with pytest.raises(ModelError, match="git-LFS pointer"):
        read_model(ir)
    weights.write_bytes(b"")
    with pytest.raises(ModelError):
        read_model(ir)
    weights.unlink()
    with pytest.raises(ModelError, match=r"small\.bin is missing"):
        read_model(ir)


def test_ir_without_weights_needs_no_bin(tmp_path: Path) -> None:
    x = op.parameter([1, 4], np.float32, name="x")
    ov.save_model(ov.Model([op.relu(x)], [x], "bare"), tmp_path / "bare.xml")
    (tmp_path / "bare.bin").unlink(missing_ok=True)
    assert Model(tmp_path / "bare.xml").inputs[0].shape == (1, 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<?xml version="1.0"?><note>hi</note>', "no <net> at its root"),
        ('<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaa">]><net version="10">&a;</net>', "a document type"),
        ("<net name='x'>", "does not state its IR version"),
        ("<net name='x' version='ten'>", "does not state its IR version"),
        ("<net name='x' version='11'><layers>", "is damaged"),
        ("<net name='x' version='11'></net>", "has no inputs"),
        ("<net name='x' version='11'><!DOCTYPE a></net>", "is damaged"),
        ("<net", "no <net> at its root"),
    ],
)
def test_xml_that_is_no_ir(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "model.xml"
    path.write_text(text)
    with pytest.raises(ModelError, match=says):
        read_model(path)


def test_edges_to_nowhere(ir: Path) -> None:
    """OpenVINO 2026.4 crashes on some of these."""
    text = ir.read_text()
    for number in ("2147483648", "99", "-1", ""):
        ir.write_text(re.sub(r'to-layer="3"', f'to-layer="{number}"', text, count=1))
        with pytest.raises(ModelError, match=f"names layer '{number}', which is not there"):
            read_model(ir)


def test_root_is_found_behind_comments(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_text('<?xml version="1.0"?>\n<!-- <net version="99"> -->\n<Net name="a" version="7" batch="1">')
    assert identify(path).format == "legacy-ir"
    assert identify(path).version == 7


@pytest.mark.parametrize(
    "make", [lambda p: onnx_relu(p.with_suffix(".onnx"), (1, 4)), lambda p: tensorflow_relu(p.with_suffix(".pb"))]
)
def test_truncated_protobuf(tmp_path: Path, make, capfd: pytest.CaptureFixture[str]) -> None:
    path = make(tmp_path / "cut")
    whole = path.read_bytes()
    for size in range(1, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError):
            read_model(path)
    path.write_bytes(whole[:-3])
    with pytest.raises(ModelError, match="is cut off"):
        read_model(path)


@pytest.mark.parametrize("version", [6, 11])
@pytest.mark.parametrize("encoding", ["nonsense", "big5", "utf-7", "utf-16"])
def test_encodings_that_cannot_be_read(version: int, encoding: str, ir: Path) -> None:
    ir.write_text(f'<?xml version="1.0" encoding="{encoding}"?><net version="{version}"><layers/><edges/></net>')
    with pytest.raises(ModelError, match=r"small\.xml.*(encoding|damaged)"):
        read_model(ir)
    assert "small.xml" in describe(ir)["reason"]


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    """The file system refuses them with errors of its own."""
    name = "x" * 300
    for path in (tmp_path / f"{name}.xml", Path(f"{name}.onnx"), tmp_path / name):
        with pytest.raises(ModelError, match=r"cannot read .*xxx.* File name too long; check the path"):
            identify(path)
        with pytest.raises(ModelError, match="File name too long"):
            Model(path)


def test_a_description_is_of_ports_layers_weights_and_task(ir: Path) -> None:
    facts = describe(ir)
    assert facts["runs"]
    assert facts["format"] == "OpenVINO IR v11"
    assert facts["inputs"] == [{"name": "data", "shape": [1, 3, 16, 16], "type": "f32"}]
    assert facts["outputs"] == [{"name": "prob", "shape": [1, 10], "type": "f32"}]
    assert facts["layers"]["Convolution"] == 1
    assert facts["weights"]["f32"] == 4 * (8 * 27 + 80)
    assert facts["task"] == "classify"


def test_describe_says_why_a_model_does_not_run(tmp_path: Path) -> None:
    path = onnx_relu(tmp_path / "relu.onnx", (1, "n"))
    facts = describe(path)
    assert not facts["runs"]
    assert "input sizes open" in facts["reason"]
    assert facts["inputs"] == [{"name": "x", "shape": [1, -1], "type": "f32"}]
    assert describe(path, input_shapes=(1, 4))["runs"]


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("modern", "legacy", "tolerance"),
    [
        ("face-detection-retail-0004-FP16", "v3/face-detection-retail-0004-FP16", 1e-3),
        ("landmarks-regression-retail-0009-FP32", "v5/landmarks-regression-retail-0009-FP32", 1e-5),
        ("face-detection-retail-0005-FP32", "v6/face-detection-retail-0005-FP16", 5e-3),
    ],
)
def test_modern_ir_gives_the_original_engines_numbers(corpus: Path, modern: str, legacy: str, tolerance: float) -> None:
    """The same network in IR v10/v11 and in an old version: the old one's reference outputs hold for both."""
    folder = corpus / "corpus" / "ir"
    model = Model(next((folder / "modern" / modern).glob("*.xml")), precision="f32")
    references = sorted((folder / legacy / "reference").glob("*.npz"))
    assert references
    for path in references:
        reference = np.load(path)
        name = next(key for key in reference.files if key.startswith("in:"))
        expected = next(reference[key] for key in reference.files if key.startswith("out:"))
        found = next(iter(model.infer(reference[name]).values()))
        if expected.shape[-1] == 7:
            ends = expected.reshape(-1, 7)[:, 0] < 0
            count = int(ends.argmax()) if ends.any() else len(ends)
            order = [np.lexsort(rows.reshape(-1, 7)[:count, ::-1].T) for rows in (expected, found)]
            expected, found = (a.reshape(-1, 7)[:count][o] for a, o in zip((expected, found), order, strict=True))
        np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["aizoo_facemask", "seeded_headpose_like_84", "seeded_mobilenet_025_224"])
def test_tensorflow_graphs_give_tensorflows_numbers(corpus: Path, name: str) -> None:
    folder = corpus / "corpus" / "tensorflow" / name
    model = Model(next(folder.glob("*.pb")), precision="f32")
    reference = np.load(folder / "ref_tf215.npz")
    inputs = {key.removeprefix("in:"): reference[key] for key in reference.files if key.startswith("in:")}
    found = model.infer(inputs)
    for key in reference.files:
        if key.startswith("out:"):
            np.testing.assert_allclose(found[key.split(":", 2)[2]], reference[key], atol=1e-4)


def test_an_array_of_no_values_is_refused_where_its_other_sides_fit_no_memory(corpus: Path) -> None:
    path = corpus / "cases" / "models" / "zero_dim-symbol.json"
    with pytest.raises(ModelError, match=r"shape \(12884901888, 4294967296, 0\); that is more than any memory holds"):
        read_model(path)


@pytest.mark.parametrize(
    "error", [ValueError("a\nb"), RecursionError(), KeyError("x"), OverflowError(), MemoryError(), TypeError("t")]
)
def test_what_an_importer_stumbles_over_is_one_model_error(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saccade.formats import caffe

    def stumbles(path: Path, **options: object) -> None:
        raise error

    monkeypatch.setattr(caffe, "read", stumbles)
    path = tmp_path / "net.prototxt"
    path.write_text('name: "net"')
    with pytest.raises(ModelError, match=r"net\.prototxt: is damaged, or holds what no Caffe network does") as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.prototxt", "layer {" * 50_000),
        ("a.prototxt", 'layer { name: "a'),
        ("a.prototxt", 'input: "data" input_dim: ' + "9" * 5000),
        ("a.prototxt", "layer { type: " + "9" * 5000 + " }"),
        ("a.prototxt", "layer { type: 'Pooling' top: 'a' pooling_param { pool: " + "9" * 5000 + " } }"),
        ("a-symbol.json", '{"nodes": ' + "[" * 50_000),
        ("a-symbol.json", '{"nodes": ' + "9" * 5000 + "}"),
        ("a.xml", '<net version="4">' + "<layers>" * 50_000),
        ("a.xml", '<net version="10"><layers>' + "<a>" * 50_000),
        ("a.pbtxt", "node {" * 50_000),
    ],
    ids=lambda value: value[:30],
)
def test_nesting_and_numbers_without_end(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ModelError) as error:
        read_model(tmp_path / name)
    assert len(str(error.value)) < 600
    assert "\n" not in str(error.value)
