"""The digest of a model's files: it changes with each byte that the model is read from, whatever the file is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from saccade.errors import ModelError
from saccade.networks.digest import model_digest
from small_networks import field

_TENSOR = field(8, "w") + field(13, field(1, "location") + field(2, "weights/part.0")) + field(14, 1)

MODELS = {
    "net.xml": {"net.xml": b'<net version="11"/>', "net.bin": b"1"},
    "deploy.prototxt": {"deploy.prototxt": b'name: "net" layer { }', "iter_450000.caffemodel": b"1"},
    "net-symbol.json": {"net-symbol.json": b'{"nodes": []}', "net-0007.params": b"1"},
    "net.onnx": {"net.onnx": field(7, field(5, _TENSOR)), "weights/part.0": b"1"},
    "saved/saved_model.pb": {"saved/saved_model.pb": b"\x08\x01", "saved/variables/variables.data": b"1"},
    "net.tflite": {"net.tflite": b"\0\0\0\0TFL3", "preprocessor_config.json": b"{}"},
    "yolo.onnx": {"yolo.onnx": field(1, 8), "yolo.cfg": b"[net]", "metadata.yaml": b"task: detect"},
}


@pytest.mark.parametrize("model", MODELS)
def test_every_file_of_a_model_counts_and_others_do_not(model: str, tmp_path: Path) -> None:
    for name, content in MODELS[model].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    before = model_digest(tmp_path / model)
    (tmp_path / "notes.txt").write_text("nothing to do with it")
    assert model_digest(tmp_path / model) == before
    for name, content in MODELS[model].items():
        (tmp_path / name).write_bytes(content + b" ")
        if name.endswith((".pb", ".onnx")):  # such files end where their last field does
            (tmp_path / name).write_bytes(content + field(100, "more"))
        assert model_digest(tmp_path / model) != before, name
        (tmp_path / name).write_bytes(content)
    assert model_digest(tmp_path / model) == before


def test_weights_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "deploy.prototxt").write_text("layer { }")
    with pytest.raises(ModelError, match=r"deploy\.prototxt: its weights are missing"):
        model_digest(tmp_path / "deploy.prototxt")
