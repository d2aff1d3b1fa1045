"""Real old files against the outputs of Intel's original engine 2020.3, and against their modern conversions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from conditions import PATIENCE
from lengths import length
from saccade.errors import UnsupportedError
from saccade.formats import legacy_ir
from saccade.networks import Model

from .running import assert_close, core, detections, difference, infer, synthesise, unmatched

pytestmark = pytest.mark.corpus


def _references(npz: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    data = np.load(npz)
    feeds = {key[3:]: data[key] for key in data.files if key.startswith("in:")}
    return feeds, {key[4:]: data[key].astype(np.float32) for key in data.files if key.startswith("out:")}


def test_single_layers_give_what_the_old_engine_gave(corpus: Path) -> None:
    paths = sorted((corpus / "corpus" / "ir" / "layers").glob("*.xml"))
    assert len(paths) == 75
    for path in paths:
        feeds, expected = _references(path.with_suffix(".npz"))
        assert_close(infer(legacy_ir.read(path), feeds), expected, 1e-5)


@pytest.mark.parametrize("version", ["v2", "v3", "v4", "v5", "v6", "v7"][:: length(2, 1)])
def test_whole_models_give_what_the_old_engine_gave(version: str, corpus: Path, tmp_path: Path) -> None:
    checked = 0
    for xml in sorted((corpus / "corpus" / "ir" / version).glob("*/*.xml")):
        references = sorted(xml.parent.glob("reference/*.npz"))
        if not references:
            continue
        source = xml
        if not xml.with_suffix(".bin").exists():
            source = synthesise(corpus / "tools" / "synthetic_weights.py", xml, tmp_path)
        compiled = core().compile_model(legacy_ir.read(source), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        for npz in references:
            feeds, expected = _references(npz)
            request = compiled.create_infer_request()
            request.infer(feeds)
            found = {port.any_name: request.get_tensor(port).data.copy() for port in compiled.outputs}
            assert set(found) == set(expected)
            for name, values in expected.items():
                if values.ndim == 4 and values.shape[-1] == 7:
                    assert unmatched(detections(found[name]), detections(values), 1e-4) == 0, (xml, npz, name)
                else:
                    assert difference(found[name], values) < 1e-4, (xml, npz, name)
                checked += 1
    assert checked >= 3


def kernels(compiled: ov.CompiledModel) -> Counter[str]:
    """What really runs, by kind: the same kernels mean the same speed."""
    return Counter(str(node.get_rt_info()["layerType"].value) for node in compiled.get_runtime_model().get_ops())


@pytest.mark.parametrize(
    ("modern", "legacy"),
    [
        ("face-detection-retail-0004-FP16", "v3/face-detection-retail-0004-FP16"),
        ("face-detection-retail-0005-FP32", "v6/face-detection-retail-0005-FP16"),
        ("landmarks-regression-retail-0009-FP32", "v5/landmarks-regression-retail-0009-FP32"),
    ],
)
def test_models_compile_to_what_modern_conversions_do(modern: str, legacy: str, corpus: Path, tmp_path: Path) -> None:
    folder = corpus / "corpus" / "ir"
    ours = legacy_ir.read(next((folder / legacy).glob("*.xml")))
    model = core().read_model(next((folder / "modern" / modern).glob("*.xml")))
    tolerance = 1e-6
    if modern.split("-")[-1] != legacy.split("-")[-1]:  # round its weights as ours are
        ov.save_model(model, tmp_path / "rounded.xml", compress_to_fp16=True)
        model, tolerance = core().read_model(tmp_path / "rounded.xml"), 1e-5
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert kernels(core().compile_model(ours, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})) == kernels(compiled)
    for npz in sorted((folder / legacy / "reference").glob("*.npz")):
        feeds, _ = _references(npz)
        found, expected = list(infer(ours, feeds).values()), list(compiled(list(feeds.values())).values())
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            if a.ndim == 4 and a.shape[-1] == 7:
                assert unmatched(detections(a), detections(b), tolerance) == 0
            else:
                assert difference(a, b) <= tolerance


def test_statistics_of_int8_files_are_read(corpus: Path) -> None:
    path = next((corpus / "corpus" / "ir" / "v6" / "face-detection-retail-0004-INT8").glob("*.xml"))
    plain_file = next((corpus / "corpus" / "ir" / "v4" / "face-detection-retail-0004-FP32").glob("*.xml"))
    feeds, expected = _references(sorted((plain_file.parent / "reference").glob("*.npz"))[0])
    found = infer(legacy_ir.read(path), feeds)
    assert unmatched(detections(found["detection_out"]), detections(expected["detection_out"]), 1e-4) == 0


def test_int8_statistics_are_used_where_asked_for(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = next((corpus / "corpus" / "ir" / "v6" / "face-detection-retail-0004-INT8").glob("*.xml"))
    feeds, _ = _references(
        corpus / "corpus" / "ir" / "v4" / "face-detection-retail-0004-FP32" / "reference" / "fr_obama.npz"
    )
    with caplog.at_level("INFO"):
        whole = infer(legacy_ir.read(path), feeds)["detection_out"]
        model = legacy_ir.read(path, int8=True)
    assert "runs in floating point" in caplog.text
    assert "33 layers quantised" in caplog.text
    best = detections(infer(model, feeds)["detection_out"])[0]
    # the original engine, which quantises by the same statistics, gives 1.000 0.411 0.074 0.669 0.364
    assert np.abs(best[2:] - [1.0, 0.411, 0.074, 0.669, 0.364]).max() < 0.004
    assert np.abs(best[2:] - detections(whole)[0][2:]).max() < 0.01


def test_the_deeplens_graph_runs_in_the_frame_pipeline(corpus: Path, tmp_path: Path) -> None:
    xml = next((corpus / "corpus" / "ir" / "v2").glob("*/*.xml"))
    model = synthesise(corpus / "tools" / "synthetic_weights.py", xml, tmp_path)
    events = tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "saccade", "--quiet", "run", "faces", "--every-frame"]
    command += ["--source", str(corpus / "images"), "--frames", "3", "--model", str(model), "--events", str(events)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    rows = [json.loads(line) for line in events.read_text().splitlines()]
    assert [row["frame"] for row in rows] == [0, 1, 2]
    boxes = [d for row in rows for d in row["detections"]]
    assert boxes
    assert all(d["xmin"] < d["xmax"] and d["ymin"] < d["ymax"] and 0 < d["prob"] <= 1 for d in boxes)
    assert {d["label"] for d in boxes} <= {"1", "2", 1, 2}, "labels count from 1, as the file has them"


def test_int8_is_offered_for_calibrated_files_only(corpus: Path) -> None:
    root = corpus / "corpus" / "ir"
    calibrated = root / "v6" / "face-detection-retail-0004-INT8" / "face-detection-retail-0004.xml"
    model = Model(calibrated, precision="int8")
    assert model.precision == "int8"
    plain = Model(calibrated, precision="f32")
    picture = np.load(root / "v3" / "face-detection-retail-0004-FP16" / "reference" / "sk_astronaut.npz")["in:data"]
    (quantised,), (exact,) = model.infer(picture).values(), plain.infer(picture).values()
    assert not np.array_equal(quantised, exact)
    assert np.abs(quantised[0, 0, 0, 2:] - exact[0, 0, 0, 2:]).max() < 0.02
    other = root / "v3" / "face-detection-retail-0004-FP16" / "face-detection-retail-0004.xml"
    with pytest.raises(UnsupportedError, match="not calibrated for INT8"):
        Model(other, precision="int8")
    with pytest.raises(UnsupportedError, match="`saccade tune MODEL --source S` calibrates it"):
        Model(root / "modern" / "face-detection-retail-0004-FP16" / "face-detection-retail-0004.xml", precision="int8")
