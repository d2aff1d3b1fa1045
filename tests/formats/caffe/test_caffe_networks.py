"""Whole networks: phases, in-place layers, inputs, outputs, and the real ones against cv2.dnn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from caffe_files import caffemodel, run, write

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import caffe
from saccade.networks import Model

INPUT = 'input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4\n'
X = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)


def test_in_place_layers_rename_the_blob(tmp_path: Path) -> None:
    text = (
        INPUT
        + """
    layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { scale: 2 } }
    layer { name: "keep" type: "AbsVal" bottom: "p" top: "early" }
    layer { name: "r" type: "ReLU" bottom: "p" top: "p" }
    layer { name: "q" type: "Power" bottom: "p" top: "q" power_param { shift: 1 } }
    """
    )
    got = run(caffe.read(write(tmp_path, text)), X)
    assert set(got) == {"keep", "q"}
    np.testing.assert_allclose(got["keep"], np.abs(2 * X))
    np.testing.assert_allclose(got["q"], np.maximum(2 * X, 0) + 1, rtol=1e-6)


def test_a_blob_written_again_is_an_output_again(tmp_path: Path) -> None:
    text = (
        INPUT
        + """
    layer { name: "p" type: "AbsVal" bottom: "data" top: "x" }
    layer { name: "r" type: "Sigmoid" bottom: "x" top: "x" }
    """
    )
    assert set(run(caffe.read(write(tmp_path, text)), X)) == {"r"}


def test_phases_losses_and_labels_are_left_out(tmp_path: Path) -> None:
    text = """
    layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN } transform_param { crop_size: 9 } }
    layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST } transform_param { crop_size: 4 } }
    layer { name: "s" type: "Power" bottom: "data" top: "s" power_param { scale: 3 } exclude { phase: TRAIN } }
    layer { name: "t" type: "Custom" bottom: "data" top: "t" exclude { phase: TEST } }
    layer { name: "stage" type: "Custom" bottom: "data" top: "t" include { phase: TEST stage: "val" } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "label" top: "loss" }
    layer { name: "other" type: "EuclideanLoss" bottom: "s" bottom: "label" top: "loss2" }
    layer { name: "acc" type: "Accuracy" bottom: "s" bottom: "label" top: "acc" }
    layer { name: "quiet" type: "Silence" bottom: "s" }
    """
    model = caffe.read(write(tmp_path, text))
    assert [list(port.shape) for port in model.inputs] == [[1, 3, 4, 4]]
    assert [port.any_name for port in model.outputs] == ["s"]


def test_networks_of_the_first_generation_are_read(tmp_path: Path) -> None:
    text = (
        INPUT
        + """
    layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { num_output: 1 kernel_size: 1 } }
    layers { name: "r" type: 18 bottom: "c" top: "c" }
    layers { name: "l" type: SOFTMAX_LOSS bottom: "c" bottom: "label" top: "l" }
    """
    )
    w, b = np.array([[[[2.0]], [[-1.0]]]]), np.array([0.5])
    path = write(tmp_path, text, {"c": [w, b]}, form="old", generation=1)
    got = run(caffe.read(path), X)
    np.testing.assert_allclose(got["r"], np.maximum(2 * X[:, :1] - X[:, 1:] + 0.5, 0), rtol=1e-5, atol=1e-6)


def test_form_of_2013_is_refused(tmp_path: Path) -> None:
    text = INPUT + 'layers { layer { name: "c" type: "conv" } bottom: "data" top: "c" }'
    with pytest.raises(UnsupportedError, match="2013"):
        caffe.read(write(tmp_path, text))


@pytest.mark.parametrize(
    "head",
    [
        'input: "data" input_dim: 10 input_dim: 2 input_dim: 4 input_dim: 4',
        'input: "data" input_shape { dim: 10 dim: 2 dim: 4 dim: 4 }',
        'layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 10 dim: 2 dim: 4 dim: 4 } } }',
    ],
)
def test_inputs_are_for_one_picture_unless_asked(head: str, tmp_path: Path) -> None:
    path = write(tmp_path, head + 'layer { name: "a" type: "AbsVal" bottom: "data" top: "a" }')
    assert list(caffe.read(path).input().shape) == [1, 2, 4, 4]
    assert list(caffe.read(path, input_shapes=(3, 2, 8, 6)).input().shape) == [3, 2, 8, 6]
    assert Model(path, precision="f32", input_shapes=(1, 2, 5, 5)).inputs[0].shape == (1, 2, 5, 5)


def test_each_input_keeps_its_name_and_size(tmp_path: Path) -> None:
    text = (
        INPUT
        + """
    input: "info" input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1
    layer { name: "a" type: "Scale" bottom: "data" bottom: "flat" top: "a" scale_param { axis: 0 } }
    """
    )
    text = text.replace(
        'layer { name: "a"', 'layer { name: "f" type: "Flatten" bottom: "info" top: "flat" }\nlayer { name: "a"'
    )
    path = write(tmp_path, text)
    info = np.float32([[2, 3]])
    np.testing.assert_allclose(
        run(caffe.read(path), X, info[..., None, None])["a"], X * info[..., None, None], rtol=1e-6
    )
    with pytest.raises(ModelError, match="by name"):
        caffe.read(path, input_shapes=(1, 2, 8, 8))
    with pytest.raises(ModelError, match="has no input 'x'"):
        caffe.read(path, input_shapes={"x": (1,)})


LAYER = 'layer { name: "a" type: "AbsVal" bottom: "data" top: "a" }'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('net: "train.prototxt" base_lr: 0.01', "holds no layers"),
        (LAYER, "reads the blob 'data'|has no input"),
        ('input: "data"' + LAYER, "does not say how large"),
        ('input: "data" input_dim: 3' + LAYER, "1 input_dim"),
        ('input: "data" input_shape { dim: 100000 dim: 100000 dim: 3 }' + LAYER, "at most"),
        ('input: "data" input_shape { dim: 0 }' + LAYER, "does not say how large"),
        (INPUT + 'layer { name: "a" type: "AbsVal" bottom: "dat" top: "a" }', "the blob 'dat', which no layer before"),
        (INPUT + 'layer { name: "a" type: "AbsVal" bottom: "b" top: "b" }', "the blob 'b', which no layer before"),
        (INPUT + 'layer { name: "a" type: "AbsVal" bottom: "data" }', "has no output"),
        (
            INPUT + 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" }',
            r"1 layers have no weights .*\(c\)",
        ),
        (INPUT + 'layer { name: "a" bottom: "data" top: "a" }', "does not have"),
        (INPUT + 'layer { name: "a" type: "AbsVal" bottom: { } top: "a" }', "a value, not a message"),
        (INPUT + LAYER.replace("}", "include { phase: NOW } }"), "one of TRAIN, TEST"),
    ],
)
def test_bad_networks_are_named(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ModelError, match=message) as caught:
        caffe.read(path)
    assert str(caught.value).startswith(str(path))


def test_unknown_layers_are_all_named_at_once(tmp_path: Path) -> None:
    text = (
        INPUT
        + """
    layer { name: "p1" type: "Python" bottom: "data" top: "a" } layer { name: "p2" type: "Python" bottom: "a" top: "b" }
    layer { name: "m" type: "Magic" bottom: "b" top: "c" }
    """
    )
    with pytest.raises(UnsupportedError, match=r"Python \(p1, ...\), Magic \(m\)"):
        caffe.read(write(tmp_path, text))


def test_the_weights_beside_are_taken_if_they_are_the_only_ones(tmp_path: Path) -> None:
    path = write(tmp_path, INPUT + LAYER)
    path.with_suffix(".caffemodel").rename(tmp_path / "other.caffemodel")
    assert caffe.weights_file(path).name == "other.caffemodel"
    (tmp_path / "third.caffemodel").write_bytes(b"")
    with pytest.raises(ModelError, match=r"which of other\.caffemodel, third\.caffemodel"):
        caffe.read(path)
    assert caffe.read(path, tmp_path / "other.caffemodel")
    for file in tmp_path.glob("*.caffemodel"):
        file.unlink()
    with pytest.raises(ModelError, match=r"put net\.caffemodel beside it"):
        caffe.read(path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    layer = 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { %s } }'
    text = INPUT + layer % "num_output: 4 kernel_size: 3"
    path = write(tmp_path, text, {"c": [np.ones((8, 2, 5, 5)), np.ones(8)]})
    with pytest.raises(ModelError, match=r"layer c \(Convolution\): has weights of the shape \(8, 2, 5, 5\)"):
        caffe.read(path)
    path.with_suffix(".caffemodel").write_bytes(caffemodel({"d": [np.ones(3)]}))
    with pytest.raises(ModelError, match="belongs to another network"):
        caffe.read(path)


# ------------------------------------------------------------------------------------------------------- real networks

REAL = {
    "mtcnn_det1/det1": "ref_cvdnn.npz", "squeezenet_v1.1/deploy": "ref_cvdnn.npz",
    "synthetic_layerzoo/zoo": "ref_cvdnn.npz", "ultraface_rfb320/RFB-320": "ref_cvdnn.npz",
    "res10_ssd_300/deploy": "ref_cvdnn_dequant.npz",
}  # fmt: skip


def with_outputs(model: ov.Model, names: set[str]) -> ov.Model:
    """More blobs as outputs; a blob's value is the one written last, which is what cv2 gives for fused layers."""
    for name in sorted(names - {port.any_name for port in model.outputs}):
        model.add_outputs(name)
    return model


@pytest.mark.corpus
@pytest.mark.parametrize("name", REAL)
def test_real_networks_give_what_caffe_gave(name: str, corpus: Path) -> None:
    path = corpus / "corpus" / "caffe" / f"{name}.prototxt"
    with np.load(path.with_name(REAL[name])) as file:
        x = file["in:data"]
        outputs = {key.split(":", 2)[2]: file[key] for key in file if key.startswith("out:")}
    got = run(with_outputs(caffe.read(path, input_shapes=x.shape), set(outputs)), x)
    for key, expected in outputs.items():
        value = got[key]
        if key == "detection_out":
            value, expected = (a.reshape(-1, 7)[a.reshape(-1, 7)[:, 2] > 0] for a in (value, expected))
            value, expected = (a[np.lexsort((a[:, 3], -a[:, 2].round(5)))] for a in (value, expected))
            np.testing.assert_allclose(value, expected, atol=1e-5)
        else:
            tolerance = 1e-5 if "zoo" in name else 1e-4
            assert np.abs(value.reshape(expected.shape) - expected).max() / np.abs(expected).max() < tolerance, key


@pytest.mark.corpus
def test_real_network_without_weights(corpus: Path) -> None:
    with pytest.raises(ModelError, match=r"put age_deploy\.caffemodel beside it"):
        caffe.read(corpus / "corpus/caffe/levi_age/age_deploy.prototxt")
