"""What TFLite files say of themselves: appended archives and the buffer TFLITE_METADATA."""

from __future__ import annotations

import io
import logging
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_files import DEQUANTIZE, Network, Number, ssd

from saccade.errors import ModelError
from saccade.formats.tflite import metadata, read

NAMES = ["apple", "banana", "lemon"]


def network() -> Network:
    made = Network()
    x = made.input("image", (1, 4, 4, 3), "uint8", scale=1 / 255)
    made.outputs = [made.tensor("y", (1, 4, 4, 3))]
    made.operator(DEQUANTIZE, [x], made.outputs)
    return made


def packed(path: Path, files: dict[str, str | bytes], made: Network | None = None, *, deflate: bool = False) -> Path:
    """A network with an archive behind it."""
    (made or network()).save(path)
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "a", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unit(kind: int, options: dict[int, Any]) -> dict[int, Any]:
    return {0: Number("B", kind), 1: options}


def label_file(name: str, kind: int) -> dict[int, Any]:
    return {0: name, 2: Number("b", kind)}


def described(*, outputs: list[dict[int, Any]], mean: list[float], std: list[float], colour: int = 1) -> Network:
    made = network()
    normalization = unit(1, {0: np.array(mean, "<f4"), 1: np.array(std, "<f4")})
    picture = {0: "image", 3: {0: Number("B", 2), 1: {0: Number("b", colour)}}, 4: [normalization]}
    made.describe({0: "a network", 3: [{2: [picture], 3: outputs}]})
    return made


def test_nothing_is_said(tmp_path: Path) -> None:
    assert metadata(network().save(tmp_path / "plain.tflite")) == {}


def test_ultralytics_writes_json(tmp_path: Path) -> None:
    text = '{"task": "detect", "imgsz": [320, 320], "names": {"0": "apple", "1": "lemon"}, "stride": 32}'
    found = metadata(packed(tmp_path / "m.tflite", {"metadata.json": text}))
    assert found == {
        "ultralytics": {"task": "detect", "imgsz": [320, 320], "names": {"0": "apple", "1": "lemon"}, "stride": 32}
    }


def test_ultralytics_wrote_a_literal_of_python_before(tmp_path: Path) -> None:
    """A Python literal in a text whose name is anybody's guess."""
    text = "{'stride': 32, 'names': {0: \"l'eau\", 1: 'vin'}, 'task': 'segment'}"
    found = metadata(packed(tmp_path / "m.tflite", {"temp_meta.txt": text}))
    assert found == {"ultralytics": {"stride": 32, "names": {0: "l'eau", 1: "vin"}, "task": "segment"}}


def test_labels_beside_a_description(tmp_path: Path) -> None:
    files = {"metadata.json": '{"task": "detect"}', "labels.txt": "a\nb\n"}
    assert metadata(packed(tmp_path / "m.tflite", files)) == {
        "ultralytics": {"task": "detect"},
        "tflite": {"labels": ["a", "b"]},
    }


@pytest.mark.parametrize("text", ["__import__('os').system('touch hacked')", "{'names': open('/etc/passwd').read()}",
                                  "{'task': " + "[" * 9000, "{'task': " + "-" * 9000 + "1}"])  # fmt: skip
def test_nothing_is_evaluated(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = metadata(packed(tmp_path / "m.tflite", {"meta.txt": text}))
    assert "ultralytics" not in found
    assert os.listdir(tmp_path) == ["m.tflite"]


@pytest.mark.parametrize("name", ["labelmap.txt", "labels.txt", "coco_labels.txt", "whatever.txt"])
def test_a_label_file(tmp_path: Path, name: str) -> None:
    found = metadata(packed(tmp_path / "m.tflite", {name: "???\r\napple\r\nbanana\r\n"}, deflate=True))
    assert found == {"tflite": {"labels": ["???", "apple", "banana"]}}


def test_of_several_texts_the_one_called_so(tmp_path: Path) -> None:
    files = {"README.txt": "hello", "labelmap.txt": "\n".join(NAMES), "license.txt": "free"}
    assert metadata(packed(tmp_path / "m.tflite", files)) == {"tflite": {"labels": NAMES}}
    assert metadata(packed(tmp_path / "n.tflite", {"README.txt": "hello", "license.txt": "free"})) == {}


def test_normalisation_threshold_and_the_file_of_labels(tmp_path: Path) -> None:
    classes = {0: "category", 6: [label_file("notes.txt", 1), label_file("names of things.txt", 3)]}
    scores = {0: "score", 4: [unit(3, {0: Number("f", 0.25)})]}
    made = described(outputs=[{0: "location"}, classes, scores], mean=[127.5], std=[127.5])
    files = {"labels.txt": "wrong", "names of things.txt": "\n".join(NAMES), "notes.txt": "x"}
    assert metadata(packed(tmp_path / "m.tflite", files, made)) == {
        "tflite": {"mean": [127.5], "std": [127.5], "color_space": "RGB", "score_threshold": 0.25, "labels": NAMES}
    }


def test_a_value_a_channel_and_axis_labels(tmp_path: Path) -> None:
    made = described(
        outputs=[{6: [label_file("axis.txt", 2)]}], mean=[123.0, 116.0, 103.0], std=[58.0, 57.0, 57.5], colour=2
    )
    assert metadata(packed(tmp_path / "m.tflite", {"axis.txt": "\n".join(NAMES)}, made)) == {
        "tflite": {
            "mean": [123.0, 116.0, 103.0], "std": [58.0, 57.0, 57.5], "color_space": "GRAYSCALE", "labels": NAMES,
        }
    }  # fmt: skip


def test_a_label_file_that_is_not_there(tmp_path: Path) -> None:
    made = described(outputs=[{6: [label_file("gone.txt", 3)]}], mean=[0.0], std=[255.0])
    assert metadata(made.save(tmp_path / "m.tflite")) == {
        "tflite": {"mean": [0.0], "std": [255.0], "color_space": "RGB"}
    }


def test_the_network_is_read_in_spite_of_an_archive(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.tflite", {"labels.txt": "a"})
    assert [port.any_name for port in read(path).inputs] == ["image"]


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    path = packed(tmp_path / "bomb.tflite", {"labels.txt": bytes(64 << 20), "names.txt": "a\nb"}, deflate=True)
    assert path.stat().st_size < 100_000
    assert metadata(path) == {"tflite": {"labels": ["a", "b"]}}


def test_a_member_that_is_larger_than_it_says(tmp_path: Path) -> None:
    path = packed(tmp_path / "liar.tflite", {"labels.txt": b"a\n" * (8 << 20)}, deflate=True)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, 100)
    path.write_bytes(data)
    labels = metadata(path).get("tflite", {}).get("labels", [])
    assert len(labels) <= 50


@pytest.mark.parametrize("damage", ["members", "cut", "directory", "content"])
def test_damaged_archives_are_passed_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    files = {f"{i}.txt": "x" for i in range(400 if damage == "members" else 3)}
    made = described(outputs=[], mean=[1.0], std=[2.0])
    path = packed(tmp_path / "m.tflite", files, made, deflate=damage == "content")
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[data.index(b"PK\x03\x04") + 4 : data.rindex(b"PK\x05\x06")]
    elif damage == "directory":
        data[data.index(b"PK\x01\x02")] = 0
    elif damage == "content":
        data[data.index(b"PK\x03\x04") + 36] ^= 255
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert metadata(path)["tflite"]["mean"] == [1.0]
    assert str(path) in caplog.text
    assert "passed over" in caplog.text


def test_a_described_network_with_any_byte_changed(tmp_path: Path) -> None:
    """Whatever the damage: a dictionary or a ModelError, at once."""
    outputs = [{6: [label_file("labels.txt", 3)], 4: [unit(3, {0: Number("f", 0.5)})]}]
    whole = packed(tmp_path / "m.tflite", {"labels.txt": "a\nb"}, described(outputs=outputs, mean=[1.0], std=[2.0]))
    data = whole.read_bytes()
    rng = np.random.default_rng(0)
    logging.disable(logging.WARNING)
    try:
        for _ in range(400):
            changed = bytearray(data)
            for at in rng.integers(8, len(data), rng.integers(1, 6)):
                changed[at] = rng.choice([0, 1, 127, 255, rng.integers(256)])
            whole.write_bytes(changed[: rng.integers(8, len(data))] if rng.random() < 0.2 else changed)
            assert isinstance(metadata(whole), dict)
    finally:
        logging.disable(logging.NOTSET)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        metadata(tmp_path / "none.tflite")
    (tmp_path / "empty.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match="cannot be read"):
        metadata(tmp_path / "empty.tflite")


def test_an_archive_alone_is_no_network(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("labels.txt", "a")
    (tmp_path / "zip.tflite").write_bytes(buffer.getvalue())
    assert metadata(tmp_path / "zip.tflite") == {"tflite": {"labels": ["a"]}}
    with pytest.raises(ModelError, match="damaged"):
        read(tmp_path / "zip.tflite")


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_packings_that_no_writer_uses_are_passed_over(packing: int, tmp_path: Path) -> None:
    path = packed(tmp_path / "net.tflite", {"labels.txt": "a\nb"})
    with zipfile.ZipFile(path, "a", packing) as archive:
        archive.writestr("more.txt", bytes(range(256)) * 9)
        at = archive.getinfo("more.txt").header_offset
    damaged = bytearray(path.read_bytes())
    damaged[at + 60 : at + 80] = b"?" * 20
    path.write_bytes(damaged)
    assert metadata(path) == {"tflite": {"labels": ["a", "b"]}}


def test_a_member_without_a_name_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    ssd(np.full((20, 4), 0.25, np.float32), 6).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    path.write_bytes(path.read_bytes().replace(b"labels.txt", b"\0abels.txt"))
    metadata(path)
    assert len(read(path).outputs) == 4
