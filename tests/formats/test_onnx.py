"""What an ONNX file says besides its graph, and what is said of files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import onnx, read_model
from saccade.networks import Model
from small_networks import field, onnx_relu


def value_info(name: str) -> bytes:
    sizes = b"".join(field(1, field(1, size)) for size in (1, 4))
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, sizes)))


def node(source: str, target: str, kind: str, *more: str, domain: str = "") -> bytes:
    inputs = b"".join(field(1, name) for name in (source, *more))
    return inputs + field(2, target) + field(3, target) + field(4, kind) + (field(7, domain) if domain else b"")


def write(path: Path, *nodes: bytes, weights: bytes = b"", domains: dict[str, int] | None = None) -> Path:
    graph = b"".join(field(1, n) for n in nodes) + field(2, "g") + weights
    graph += field(11, value_info("x")) + field(12, value_info("y"))
    opsets = b"".join(field(8, field(1, name) + field(2, v)) for name, v in {"": 13, **(domains or {})}.items())
    path.write_bytes(field(1, 8) + field(7, graph) + opsets)
    return path


def external(location: str, **more: int) -> bytes:
    entries = {"location": location, **{key: str(value) for key, value in more.items()}}
    data = b"".join(field(13, field(1, key) + field(2, value)) for key, value in entries.items())
    return field(5, field(1, 1) + field(1, 4) + field(2, 1) + field(8, "w") + data + field(14, 1))


def test_what_the_file_says(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", node("x", "y", "Relu"), domains={"com.acme": 2})
    path.write_bytes(path.read_bytes() + field(14, field(1, "key") + field(2, "väl")) + field(14, field(1, "empty")))
    found = onnx.read(path)
    assert found.outputs == ("y",)
    assert found.opsets == {"ai.onnx": 13, "com.acme": 2}
    assert found.metadata == {"key": "väl", "empty": ""}
    assert found.weights == {}


def test_metadata_without_end(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", node("x", "y", "Relu"))
    many = b"".join(field(14, field(1, f"k{i}") + field(2, "v")) for i in range(5000))
    path.write_bytes(path.read_bytes() + field(14, field(1, "large") + field(2, "x" * (2 << 20))) + many)
    found = onnx.read(path)
    assert "large" not in found.metadata
    assert len(found.metadata) <= 1024


def test_all_unknown_operations_are_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.onnx", node("x", "a", "Frobnicate"), node("a", "b", "Twirl", domain="com.acme"),
        node("b", "y", "Relu"), domains={"com.acme": 2},
    )  # fmt: skip
    with pytest.raises(UnsupportedError) as caught:
        read_model(path)
    assert "Frobnicate (ai.onnx, opset 13), Twirl (com.acme, opset 2)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_operation_without_its_inputs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read this ONNX: BatchNormalization-13: "):
        read_model(write(tmp_path / "m.onnx", node("x", "y", "BatchNormalization")))


def test_weights_outside_are_asked_for_by_name(tmp_path: Path) -> None:
    add = node("x", "y", "Add", "w")
    path = write(tmp_path / "m.onnx", add, weights=external("w.data", offset=16, length=16))
    with pytest.raises(ModelError, match=r"needs its weights, but 'w\.data' is missing; put it beside the \.onnx"):
        read_model(path)
    (tmp_path / "w.data").write_bytes(bytes(20))
    with pytest.raises(ModelError, match=r"w\.data is cut off: it has 20 bytes and m\.onnx needs 32"):
        read_model(path)
    (tmp_path / "w.data").write_bytes(bytes(32))
    assert Model(path).inputs[0].shape == (1, 4)


@pytest.mark.parametrize("name", ["w" * 300, "w\0.data", "w\x1b[31m.data", "w\n.data"])
def test_weights_of_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "m.onnx", node("x", "y", "Add", "w"), weights=external(name, offset=0, length=16))
    with pytest.raises(ModelError, match=r"needs its weights, but 'w.*' is missing") as caught:
        read_model(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("place", ["../w.data", "/etc/hostname", "a/../../w.data"])
def test_weights_from_elsewhere(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "w.data").write_bytes(bytes(32))
    path = write(folder / "m.onnx", node("x", "y", "Add", "w"), weights=external(place, offset=0, length=16))
    with pytest.raises(ModelError, match="weights from outside its folder"):
        read_model(path)


def test_a_cut_within_the_graph_is_refused(tmp_path: Path) -> None:
    """Top-level fields end where the file ends, but the graph's own do not."""
    path = onnx_relu(tmp_path / "m.onnx", (1, 4))
    whole = path.read_bytes()
    broken = whole.replace(field(4, "Relu"), b"\x22\x7fRelu")
    assert len(broken) == len(whole)
    path.write_bytes(broken)
    with pytest.raises(ModelError):
        read_model(path)


def test_a_folder_names_the_models_in_it(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx", node("x", "y", "Relu"))
    with pytest.raises(ModelError, match=r"is a folder; give the model file in it \(m\.onnx\)"):
        read_model(tmp_path)


def test_a_model_by_its_name_in_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from saccade.networks import catalogue

    path = write(tmp_path / "m.onnx", node("x", "y", "Relu"))
    monkeypatch.setattr(catalogue, "pull", lambda name: [path])
    monkeypatch.setattr(catalogue.CatalogueEntry, "is_pulled", lambda entry: True)
    assert Model("blazeface-full").path == path
