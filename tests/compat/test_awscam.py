"""`awscam` and `greengrasssdk` as old code uses them: shapes, types, order, units, errors."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_models

from saccade import compat
from saccade.errors import ConfigError, ModelError, SaccadeError, UnsupportedError
from saccade.outputs.publish import JsonLines


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Any]:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    device = compat.install(
        source="demo:", artifacts=artifacts, precision="f32", publisher=JsonLines(str(tmp_path / "messages"))
    )
    yield device
    compat.uninstall()


def awscam() -> Any:
    return importlib.import_module("awscam")


def test_names_exist_only_when_installed(tmp_path: Path) -> None:
    code = (
        "import saccade, importlib.util as u\n"
        "assert not any(u.find_spec(n) for n in ('awscam', 'mo', 'greengrasssdk'));"
        "import saccade.compat; d = saccade.compat.install(source='demo:'); import awscam, mo, greengrasssdk;"
        "assert callable(mo.optimize); saccade.compat.uninstall(); assert 'awscam' not in __import__('sys').modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_classes_are_counted_from_1_best_first(installed: Any) -> None:
    tiny_models.classifier(installed.artifacts / "mxnet_pets_FP32_FUSED.xml", classes=5, size=20)
    model = awscam().Model("/opt/awscam/artifacts/mxnet_pets_FP32_FUSED.xml", {"GPU": 1})
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:, :, 1] = 200
    raw = model.doInference(picture)
    assert list(raw) == ["SoftMax_67"]
    assert raw["SoftMax_67"].shape == (5,)
    assert raw["SoftMax_67"].dtype == np.float32
    parsed = model.parseResult("classification", raw)
    classes = parsed["classification"]
    assert [c["label"] for c in classes][:2] == [1, 4]
    assert all(type(c["label"]) is int and type(c["prob"]) is float for c in classes)
    assert [c["prob"] for c in classes] == sorted((c["prob"] for c in classes), reverse=True)
    assert len(classes) == 5
    json.dumps(parsed)


@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_pictures_reach_the_network_as_they_are(installed: Any, nhwc: bool, dtype: Any) -> None:
    tiny_models.classifier(installed.artifacts / "m.xml", classes=3, size=16, nhwc=nhwc)
    model = awscam().Model(str(installed.artifacts / "m.xml"), {"GPU": 0})
    picture = np.random.default_rng(1).integers(0, 255, (16, 16, 3)).astype(dtype)
    out = model.doInference(picture)["SoftMax_67"]
    means = picture.reshape(-1, 3).astype(np.float64).mean(0) / 64
    expected = np.exp(means) / np.exp(means).sum()
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    np.testing.assert_allclose(model.doInference(picture[None])["SoftMax_67"], expected, rtol=1e-5)
    np.testing.assert_allclose(model.doInference(np.asfortranarray(picture))["SoftMax_67"], expected, rtol=1e-5)
    if not nhwc:
        np.testing.assert_allclose(model.doInference(picture.transpose(2, 0, 1))["SoftMax_67"], expected, rtol=1e-5)
    # What was returned before stays as it was.
    first = model.doInference(picture)["SoftMax_67"].copy()
    kept = model.doInference(picture)["SoftMax_67"]
    model.doInference(picture * 0)
    np.testing.assert_array_equal(kept, first)


def test_boxes_are_in_pixels_of_the_input(installed: Any) -> None:
    tiny_models.ssd(installed.artifacts / "mxnet_deploy_ssd_FP16_FUSED.xml", size=100)
    model = awscam().Model("/opt/awscam/artifacts/mxnet_deploy_ssd_FP16_FUSED.xml", {"GPU": 1})
    raw = model.doInference(np.zeros((100, 100, 3), np.uint8))
    assert raw["DetectionOutput_detection"].shape == (28,)
    found = model.parseResult("ssd", raw)["ssd"]
    assert [(o["label"], o["prob"]) for o in found] == [(1, 0.875), (2, pytest.approx(0.6))]
    assert [found[0][k] for k in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx([10, 20, 40, 60])
    assert all(type(o["label"]) is int and type(o["xmin"]) is float for o in found)
    json.dumps(found)


def test_the_separate_outputs_of_tensorflows_detectors_are_objects_too(installed: Any) -> None:
    tiny_models.ssd(installed.artifacts / "ssd.xml", size=100)
    model = awscam().Model("ssd.xml")
    model.doInference(np.zeros((100, 100, 3), np.uint8))
    raw = {
        "detection_boxes:0": np.array([[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0, 0, 0, 0]], np.float32).reshape(-1),
        "detection_scores:0": np.array([0.6, 0.9, 0], np.float32),
        "detection_classes:0": np.array([1, 3, 0], np.float32),
        "num_detections:0": np.array([2], np.float32),
    }
    best, other = model.parseResult("ssd", raw)["ssd"]
    width, height = best["xmax"], best["ymax"]  # the whole picture
    assert (best["label"], best["prob"]) == (3, pytest.approx(0.9))
    assert (other["label"], other["prob"]) == (1, pytest.approx(0.6))
    assert [other[edge] for edge in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx(
        [0.2 * width, 0.1 * height, 0.6 * width, 0.5 * height]
    )


def test_each_class_seen_has_its_mask(installed: Any) -> None:
    tiny_models.segmenter(installed.artifacts / "s.xml")
    model = awscam().Model(str(installed.artifacts / "s.xml"), {"GPU": 0})
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :8, 2] = 200
    found = model.parseResult("segmentation", model.doInference(picture))["segmentation"]
    assert [f["label"] for f in found] == [2, 0]
    assert found[0]["mask"].shape == (32, 32)
    assert found[0]["mask"].sum() == 32 * 8
    assert found[0]["prob"] == pytest.approx(1.0)


def test_other_forms_of_an_artifact(installed: Any) -> None:
    tiny_models.classifier(installed.artifacts / "pets.xml", size=16)
    awscam().Model("/opt/awscam/artifacts/mxnet_pets_FP16_FUSED.xml", {"GPU": 1})


def test_a_substitute_answers_under_the_names_of_the_model(installed: Any, tmp_path: Path) -> None:
    other = tiny_models.classifier(tmp_path / "elsewhere.xml", size=16)
    installed.models = {"pets": str(other)}
    notes: list[str] = []
    installed.notes = notes.append
    model = awscam().Model("/opt/awscam/artifacts/mxnet_pets_FP32_FUSED.xml", {"GPU": 0})
    out = model.doInference(np.full((224, 224, 3), 10, np.uint8))
    assert out["SoftMax_67"].shape == (2,)
    assert any("answers for the model" in note for note in notes)
    assert any("224x224 were resized to the 16x16" in note for note in notes)
    mo = importlib.import_module("mo")
    assert mo.optimize("pets", 224, 224) == (0, str(other))
    assert type(mo.optimize("pets", 224, 224, platform="tf")[0]) is int


def test_substituted_boxes_are_in_pixels_of_the_given_picture(installed: Any, tmp_path: Path) -> None:
    installed.models = {"*": str(tiny_models.ssd(tmp_path / "other.xml", size=50))}
    model = awscam().Model("/opt/awscam/artifacts/mxnet_deploy_ssd_FP16_FUSED.xml", {"GPU": 1})
    found = model.parseResult("ssd", model.doInference(np.zeros((300, 200, 3), np.uint8)))["ssd"]
    assert [found[0][k] for k in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx([20, 60, 80, 180])


@pytest.mark.parametrize(
    ("what", "kind", "says"),
    [
        (lambda a: a.Model("/opt/awscam/artifacts/gone.xml", {"GPU": 1}), ModelError, "--model gone=PATH"),
        (lambda a: a.Model("m.xml", {"GPU": 1}, 1), UnsupportedError, "Neo"),
        (lambda a: a.Model("m.xml", {"GPU": 1}, a.Runtime.NEO), UnsupportedError, "Neo"),
        (lambda a: a.Model("m.xml", {"GPU": 1}, 7), ConfigError, "runtime 7"),
    ],
)
def test_errors_say_what_to_do(installed: Any, what: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says) as raised:
        what(awscam())
    assert isinstance(raised.value, SaccadeError)
    assert "\n" not in str(raised.value)


def test_bad_pictures_and_types(installed: Any) -> None:
    tiny_models.classifier(installed.artifacts / "m.xml", size=16)
    model = awscam().Model(str(installed.artifacts / "m.xml"), {"GPU": 0}, awscam().Runtime.DLDT)
    for wrong in (None, "x", np.zeros((16, 16, 4)), np.zeros(5), np.array(["a"])):
        with pytest.raises(ModelError, match="takes a picture"):
            model.doInference(wrong)
    good = model.doInference(np.zeros((16, 16, 3)))
    for kind, raw in (("yolo", good), ("classification", None), ("classification", {})):
        with pytest.raises(ConfigError, match="parseResult"):
            model.parseResult(kind, raw)
    with pytest.raises(ModelError, match="no output of a detector"):
        model.parseResult("ssd", good)


def test_each_frame_is_the_scripts_own_to_write_to(installed: Any) -> None:
    ok, frame = awscam().getLastFrame()
    assert ok is True
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    before = frame.copy()
    frame[:] = 0
    ok, other = awscam().getLastFrame()
    assert ok
    assert other is not frame
    assert before.any()
    installed.frames = 2
    assert awscam().getLastFrame() == (False, None)


def test_what_is_published_comes_out_by_topic(installed: Any, tmp_path: Path) -> None:
    greengrasssdk = importlib.import_module("greengrasssdk")
    client = greengrasssdk.client("iot-data")
    client.publish(topic="$aws/things/deeplens/infer", payload='{"cat": 0.5}')
    client.publish("other", b"bytes")
    client.publish(topic="other", payload="x", queueFullPolicy="AllOrException", qos=0)
    lines = [json.loads(line) for line in (tmp_path / "messages").read_text().splitlines()]
    assert [(m["topic"], m["payload"]) for m in lines] == [
        ("$aws/things/deeplens/infer", '{"cat": 0.5}'), ("other", "bytes"), ("other", "x"),
    ]  # fmt: skip
    with pytest.raises(TypeError, match="payload"):
        client.publish("t", {"a": 1})
    with pytest.raises(ConfigError, match="only 'iot-data'"):
        greengrasssdk.client("lambda")


def test_a_shadow_keeps_what_it_is_told(installed: Any) -> None:
    greengrasssdk = importlib.import_module("greengrasssdk")
    client = greengrasssdk.client("iot-data")

    def shadow() -> Any:
        return json.loads(client.get_thing_shadow(thingName="x")["payload"])

    assert shadow()["state"] == {"desired": {}, "reported": {}}
    change = {"state": {"desired": {"limit": 3, "who": {"a": 1}}}}
    answer = json.loads(client.update_thing_shadow(thingName="x", payload=json.dumps(change))["payload"])
    assert answer["state"] == change["state"]
    client.update_thing_shadow(thingName="x", payload=b'{"state": {"desired": {"limit": null, "who": {"b": 2}}}}')
    assert shadow()["state"]["desired"] == {"who": {"a": 1, "b": 2}}
    assert shadow()["version"] == 2
    for wrong in ("no json", "{}", '{"state": 3}', '{"state": {"a": "' + "x" * 9000 + '"}}'):
        with pytest.raises(greengrasssdk.ShadowError, match="expected"):
            client.update_thing_shadow(thingName="x", payload=wrong)
    client.delete_thing_shadow(thingName="x")
    assert shadow()["state"] == {"desired": {}, "reported": {}}


@pytest.mark.corpus
def test_a_real_face_detector_of_2018(installed: Any, corpus: Path) -> None:
    import cv2

    folder = corpus / "corpus" / "ir" / "v3" / "face-detection-retail-0004-FP16"
    model = awscam().Model(str(folder / "face-detection-retail-0004.xml"), {"GPU": 1})
    picture = cv2.imread(str(corpus / "images" / "fr_obama.jpg"))
    found = model.parseResult("ssd", model.doInference(cv2.resize(picture, (300, 300))))["ssd"]
    assert found[0]["prob"] > 0.9
    assert found[0]["label"] == 1
    assert 0 < found[0]["xmin"] < found[0]["xmax"] < 300


def test_large_pictures_are_read_where_they_are(installed: Any) -> None:
    tiny_models.classifier(installed.artifacts / "m.xml", classes=3, size=128, nhwc=True)
    model = awscam().Model(str(installed.artifacts / "m.xml"), {"GPU": 0})
    copied = []
    fill = model._fill
    model._fill = lambda picture: (copied.append(1), fill(picture))
    picture = np.random.default_rng(1).random((128, 128, 3), np.float32)
    lent = model.doInference(picture)["SoftMax_67"]
    assert not copied
    read_only = picture.copy()
    read_only.setflags(write=False)
    for other in (read_only, np.asfortranarray(picture), picture.astype(np.float64)):
        np.testing.assert_allclose(model.doInference(other)["SoftMax_67"], lent, rtol=1e-6)
    assert len(copied) == 3
    # The request is back on its own memory.
    small = np.zeros((128, 128, 3), np.uint8)
    np.testing.assert_allclose(model.doInference(small)["SoftMax_67"], [1 / 3] * 3, rtol=1e-6)
    np.testing.assert_allclose(model.doInference(picture)["SoftMax_67"], lent, rtol=1e-6)


def test_a_detector_of_another_kind_answers_as_an_ssd(installed: Any) -> None:
    installed.models = {"deploy_ssd": "blazeface-full"}
    model = awscam().Model("/opt/awscam/artifacts/mxnet_deploy_ssd_FP16_FUSED.xml", {"GPU": 1})
    best = []
    for _ in range(5):
        _, frame = awscam().getLastFrame()
        small = cv2.resize(frame, (300, 300))
        found = model.parseResult("ssd", model.doInference(small))["ssd"]
        scaled = model.parseResult("ssd", model.doInference(small.astype(np.float32) / 255.0))["ssd"]
        assert [f["label"] for f in found] == [1] * len(found)
        assert len(scaled) == len(found)
        best += found[:1]
    assert best
    assert best[0]["prob"] > 0.5
    assert all(0 <= box["xmin"] < box["xmax"] <= 300 for box in best)
    blank = model.doInference(np.zeros((300, 300, 3), np.uint8))
    assert model.parseResult("ssd", blank) == {"ssd": []}
