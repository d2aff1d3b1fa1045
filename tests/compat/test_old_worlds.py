"""Whole projects of other worlds: OpenVINO's demos of 2018 to 2021, folders with neighbours, modules that are gone."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_models
from script_runs import Device

from saccade import networks

FACES = "ir/v3/face-detection-retail-0004-FP16/face-detection-retail-0004.xml"
POSE = "ir/v6/head-pose-estimation-adas-0001-FP16/head-pose-estimation-adas-0001.xml"
LANDMARKS = "ir/v5/landmarks-regression-retail-0009-FP32/landmarks-regression-retail-0009.xml"


def _blob(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(picture, (width, height)).transpose(2, 0, 1)[None].astype(np.float32)


@pytest.mark.corpus
def test_faces_head_pose_and_landmarks(device: Device, corpus: Path) -> None:
    """The numbers are those of the networks themselves."""
    files = [corpus / "corpus" / name for name in (FACES, POSE, LANDMARKS)]
    arguments = ["--", "-m_fd", str(files[0]), "-m_hp", str(files[1]), "-m_lm", str(files[2])]
    run = device.run(device.copy("ie_faces"), "--precision", "f32", *arguments, frames=8)
    assert "8 of 8 frames" in run.err
    messages = [json.loads(payload) for payload in run.payloads]
    assert len(messages) == 8
    found = [(m["frame"], face) for m in messages for face in m["faces"]]
    assert found
    _, pose, landmarks = (networks.Model(file, precision="f32") for file in files)
    for number, face in found[:3]:
        frame = np.load(device.folder / f"frame{number}.npy")
        left, top, right, bottom = face["box"]
        crop = frame[top:bottom, left:right]
        angles = pose.infer(_blob(crop, 60, 60))
        assert [face["yaw"], face["pitch"], face["roll"]] == pytest.approx(
            [float(angles[f"angle_{axis}_fc"].item()) for axis in "ypr"], abs=1e-3
        )
        (points,) = landmarks.infer(_blob(crop, 48, 48)).values()
        assert face["points"] == pytest.approx(points.reshape(-1).tolist(), abs=1e-4)
        assert face["prob"] > 0.5


def test_two_requests_by_turns(device: Device) -> None:
    model = tiny_models.ssd(device.folder / "ssd.xml")
    (device.folder / "labels.txt").write_text("background\ncar\nbus\n")
    run = device.run(device.copy("ie_async"), "--", str(model), str(model.with_suffix(".bin")), frames=5)
    assert run.payloads[0] == "not started: -11"
    boxes = [json.loads(payload) for payload in run.payloads[1:]]
    assert len(boxes) == 3  # one frame is always ahead
    assert boxes == [["bus 0.600 960", "car 0.875 192"]] * 3
    assert run.out == "[]\n"
    assert "libcpu_extension_sse4.so is not needed" in run.adapted
    assert "reads the source of this run" in run.adapted


def test_pictures_in_one_batch(device: Device) -> None:
    model = tiny_models.classifier(device.folder / "net.xml", classes=3, size=20)
    for name, channel in (("blue", 0), ("red", 2)):
        picture = np.zeros((20, 20, 3), np.uint8)
        picture[:, :, channel] = 160
        cv2.imwrite(str(device.folder / f"{name}.png"), picture)
    script = device.copy("ie_classify")
    done = device.run_plain(script, "--", str(model), "blue.png", "red.png")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    best = np.exp(160 / 64) / (np.exp(160 / 64) + 2)
    assert lines[0] == "devices ['CPU'], saccade"
    assert [line.split()[:2] for line in (lines[1], lines[3])] == [["blue.png", "0"], ["red.png", "2"]]
    assert [float(line.split()[2]) for line in (lines[1], lines[3])] == pytest.approx([best] * 2, abs=2e-3)
    assert "the script ended by itself" in done.stderr


@pytest.mark.corpus
def test_layers_of_yolo(device: Device, corpus: Path) -> None:
    model = corpus / "corpus" / "heads" / "yolov3_region_ir" / "yolov3_region_ir.xml"
    network = networks.Model(model, precision="f32")
    given = np.random.default_rng(1).integers(0, 255, network.inputs[0].shape).astype(np.float32)
    np.save(device.folder / "in.npy", given)
    done = device.run_plain(device.copy("ie_yolo"), "--precision", "f32", "--", str(model), "in.npy")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    sums = sorted(float(output.sum()) for output in network.infer(given).values())
    assert sorted(row[-1] for row in rows) == pytest.approx(sums, rel=1e-3)
    assert {row[1] for row in rows} == {"RegionYolo"}
    assert all(row[3:5] == [4, 4] for row in rows)
    assert rows[0][5] == [10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319]
    assert sorted(row[6] for row in rows) == [[0, 1, 2], [3, 4, 5]]
    assert "MYRIAD is not here" in done.stderr


def test_a_project_of_two_models_runs_whole(device: Device) -> None:
    """Two models, two tables, a package beside the script, labels among the artifacts, and a viewer."""
    package = device.folder / "attendance_lib"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tables.py").write_text("ROOM = {1: 'anna', 2: 'berta'}\n")
    (package / "draw.py").write_text(
        "import cv2\nprint 'drawing'\ndef box(frame, obj, x, y, text):\n"
        "    cv2.rectangle(frame, (obj['xmin']*x, obj['ymin']*y), (obj['xmax']*x, obj['ymax']*y), (0, 0, 255), 6)\n"
        "    cv2.putText(frame, text, (int(obj['xmin']*x), int(obj['ymin']*y) + 40), 0, 1.5, (0, 0, 255), 3)\n"
    )
    (device.artifacts / "mood_labels.txt").write_text("sad\nglad\n")
    other = tiny_models.classifier(device.folder / "moods.xml", classes=7, size=64)
    ssd = tiny_models.ssd(device.folder / "ssd.xml")
    with device.watched() as got:
        run = device.run(device.copy("attendance"), "--model", f"room_ssd={ssd}", "--model", f"mood={other}", frames=8)
    people = [json.loads(payload) for payload in run.payloads if payload.startswith("[")]
    assert len(people) == 7  # one frame at import
    assert [[p["who"] for p in row] for row in people] == [["anna", "berta"]] * 7
    assert all(set(p["mood"]) == {"sad", "glad"} and p["sum"] == 1.0 for row in people for p in row)
    assert "Opened Pipe" in run.payloads
    assert run.out == "drawing\n"
    shown = cv2.imdecode(np.frombuffer(got[: got.index(b"\xff\xd9") + 2], np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (1080, 1920, 3)


def test_settings_in_the_shadow(device: Device) -> None:
    run = device.sample("shadow_settings", frames=3)
    assert run.payloads == ["1 0.50", "2 0.25", "3 0.50"]


def test_local_display_in_a_module_beside(device: Device) -> None:
    (device.folder / "local_display_thread.py").write_text(
        "import os, cv2, numpy as np\nfrom threading import Thread, Event\n"
        "class LocalDisplay(Thread):\n"
        "    def __init__(self, resolution):\n        super(LocalDisplay, self).__init__()\n"
        "        RESOLUTION = {'1080p': (1920, 1080), '480p': (858, 480)}\n"
        "        self.resolution = RESOLUTION[resolution]\n"
        "        self.frame = cv2.imencode('.jpg', 255*np.ones([640, 480, 3]))[1]\n"
        "        self.stop_request = Event()\n"
        "    def run(self):\n        result_path = '/tmp/results.mjpeg'\n"
        "        if not os.path.exists(result_path):\n            os.mkfifo(result_path)\n"
        "        with open(result_path, 'w') as fifo_file:\n            while not self.stop_request.isSet():\n"
        "                try:\n                    fifo_file.write(self.frame.tobytes())\n"
        "                except IOError:\n                    continue\n"
        "    def set_frame_data(self, frame):\n"
        "        ret, jpeg = cv2.imencode('.jpg', cv2.resize(frame, self.resolution))\n"
        "        if not ret:\n            raise Exception('Failed to set frame data')\n        self.frame = jpeg\n"
    )
    ssd = tiny_models.ssd(device.folder / "ssd.xml")
    with device.watched() as got:
        run = device.run(
            device.copy("local_display"), "--model", f"deploy_ssd_resnet50_300={ssd}", "--realtime", frames=12
        )
    found = [json.loads(payload) for payload in run.payloads]
    assert found == [{"aeroplane": pytest.approx(0.875), "bicycle": pytest.approx(0.6)}] * 12
    parts = got.split(b"\xff\xd9")[:-1]
    sizes = {cv2.imdecode(np.frombuffer(part + b"\xff\xd9", np.uint8), cv2.IMREAD_COLOR).shape for part in parts}
    assert sizes <= {(640, 480, 3), (480, 858, 3)}
    assert (480, 858, 3) in sizes


def test_mxnet_is_named_and_the_script_goes_on(device: Device) -> None:
    tiny_models.classifier(device.artifacts / "pets.xml")
    run = device.sample("fallback", frames=3)
    assert "No module named 'mxnet'" in run.payloads[0]
    assert "awscam.Model" in run.payloads[0]
    assert {json.loads(p)["best"] for p in run.payloads[1:]} <= {"cat", "dog"}
    assert len(run.payloads) == 4


ABSENT = {
    "from dlr import DLRModel": "SageMaker Neo",
    "import mxnet as mx": "reads its -symbol.json",
    "import tensorflow as tf": "frozen graphs",
    "from tensorflow.python.platform import gfile": "frozen graphs",
    "from scipy.misc import imresize": "cv2.resize",
    "import greengrass_machine_learning_sdk as ml": "Greengrass ML",
    "from skimage.measure import compare_ssim": "install scikit-image",
    "from mvnc import mvncapi": "Neural Compute",
}


def test_modules_of_absent_worlds_are_named_with_what_to_do(device: Device) -> None:
    installed = importlib.metadata.packages_distributions()  # a folder of tests may have the name too
    absent = {
        statement: says for statement, says in ABSENT.items() if statement.split()[1].partition(".")[0] not in installed
    }
    text = "import awscam\nawscam.getLastFrame()\n"
    text += "".join(f"try:\n    {statement}\nexcept ImportError as e:\n    print e\n" for statement in absent)
    run = device.run(device.script(text), frames=1)
    for (statement, says), line in zip(absent.items(), run.out.splitlines(), strict=True):
        assert f"No module named '{statement.split()[1].partition('.')[0]}" in line
        assert says in line


def test_an_absent_world_ends_a_script_that_expects_it(device: Device) -> None:
    run = device.run(device.script("import awscam\nfrom dlr import DLRModel\nawscam.getLastFrame()\n"), status=1)
    line = run.err.strip().splitlines()[-1]
    assert "No module named 'dlr" in line
    assert ABSENT["from dlr import DLRModel"] in line
    assert "line 2" in line


def test_libraries_are_told_plainly_what_is_absent(device: Device) -> None:
    text = "import awscam, importlib.util, json\nawscam.getLastFrame()\n"
    text += "print importlib.util.find_spec('json.decoder') is not None\n"
    run = device.run(device.script(text), frames=2)
    assert run.out == "True\n"


def test_compare_ssim_and_its_kin(device: Device) -> None:
    """Against scikit-image's own functions of today, whose arguments have other names."""
    metrics = pytest.importorskip("skimage.metrics", reason="by choice: scikit-image brings SciPy, for this test alone")
    run = device.sample("similarity", frames=2)
    a, b = np.load(device.folder / "a.npy"), np.load(device.folder / "b.npy")
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in (a, b)]
    real = [picture / 255.0 for picture in grey]
    expected = [
        metrics.structural_similarity(*grey),
        metrics.structural_similarity(*grey, full=True)[1].mean(),
        metrics.structural_similarity(a, b, channel_axis=-1),
        metrics.structural_similarity(*real, data_range=2),
        metrics.peak_signal_noise_ratio(*grey),
        metrics.peak_signal_noise_ratio(*real, data_range=1),
        metrics.mean_squared_error(a, b),
        metrics.normalized_root_mse(*grey, normalization="mean"),
    ]
    assert json.loads(run.payloads[0]) == pytest.approx(expected, rel=1e-9)
    assert "compare_ssim is skimage.metrics.structural_similarity now (4 times)" in run.adapted
