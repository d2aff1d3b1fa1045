"""TFLite files that cannot be read: one sentence that says why, at once, whatever is in them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from tflite_files import Network, Number, flatbuffer, ssd

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import read_model
from saccade.formats.tflite import describe, read
from saccade.predict.inspect import describe as inspect


def custom(*names: str) -> Network:
    """A chain of operators that only their makers know."""
    network = Network()
    at = network.input("x", (1, 4))
    for i, name in enumerate(names):
        out = network.tensor(f"t{i}", (1, 4))
        network.operator(name, [at], [out], custom=b"x")
        at = out
    network.outputs = [at]
    return network


def test_compiled_for_coral(tmp_path: Path) -> None:
    path = custom("edgetpu-custom-op").save(tmp_path / "m_edgetpu.tflite")
    with pytest.raises(UnsupportedError, match=r"compiled for a Coral Edge TPU.*the .tflite file that it was compiled"):
        read_model(path)


def test_all_unknown_operators_are_named_at_once(tmp_path: Path) -> None:
    path = custom("MyOp", "FlexErf", "Other", "MyOp").save(tmp_path / "m.tflite")
    with pytest.raises(
        UnsupportedError, match=r"FlexErf, MyOp \(2 times\), Other; those that begin with Flex"
    ) as caught:
        read_model(path)
    assert str(caught.value).startswith(str(path))


def test_a_builtin_operator_that_openvino_has_not_got(tmp_path: Path) -> None:
    network = Network()
    x = network.input("x", (1, 4))
    middle, last = network.tensor("m", (1, 4)), network.tensor("y", (1, 4))
    network.operator(15, [x], [middle])  # LSH_PROJECTION
    network.operator("Own", [middle], [last])
    network.outputs = [last]
    with pytest.raises(UnsupportedError, match="LSH_PROJECTION, Own; export it again"):
        read_model(network.save(tmp_path / "m.tflite"))


def test_inspect_lists_the_files_own_operators(tmp_path: Path) -> None:
    facts = inspect(custom("MyOp", "MyOp").save(tmp_path / "m.tflite"))
    assert facts["layers"] == {"MyOp": 2}
    assert not facts["runs"]
    assert "MyOp (2 times)" in facts["reason"]


def anchors(n: int = 20) -> np.ndarray:
    return np.full((n, 4), 0.25, np.float32)


def test_a_file_that_is_cut_off_anywhere(tmp_path: Path) -> None:
    data = ssd(anchors(), 6).content()
    path = tmp_path / "cut.tflite"
    for size in range(8, len(data) - 4, 61):
        path.write_bytes(data[:size])
        with pytest.raises(ModelError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_bytes_changed_anywhere(tmp_path: Path) -> None:
    """Read or refused; never anything else, and never more memory than the file could need."""
    rng = np.random.default_rng(7)
    path = tmp_path / "changed.tflite"
    refused = 0
    for network in (ssd(anchors(), 6, quantised=True), ssd(anchors(), 5, use_regular_nms=True)):
        data = network.content()
        for _ in range(300):
            changed = bytearray(data)
            if rng.random() < 0.5:
                at = int(rng.integers(2, len(data) // 4)) * 4
                changed[at : at + 4] = struct.pack("<I", rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(data)]))
            else:
                for at in rng.integers(8, len(data), 3):
                    changed[at] = rng.integers(256)
            path.write_bytes(changed)
            try:
                read(path)
            except ModelError as error:
                refused += "\n" not in str(error)
    assert refused > 50


def test_garbage_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "garbage.tflite"
    for size in (8, 9, 12, 64, 1000, 20_000):
        path.write_bytes(rng.bytes(4) + b"TFL3" + rng.bytes(size - 8))
        with pytest.raises(ModelError):
            read_model(path)
        with pytest.raises(ModelError):
            describe(path)


@pytest.mark.parametrize("field", ["shape", "name", "scales"])
def test_lists_that_lie_over_each_other(tmp_path: Path, field: str) -> None:
    """A small file that unfolds into millions of numbers is refused before it does."""
    large = {
        "shape": {0: np.ones(2000, "<i4"), 3: "x"},
        "name": {0: np.ones(1, "<i4"), 3: "x" * 8000},
        "scales": {3: "x", 4: {2: np.ones(2000, "<f4")}},
    }
    network = custom("MyOp")
    network.tensors += [large[field]] * 10_000
    path = network.save(tmp_path / "folded.tflite")
    assert path.stat().st_size < 60_000
    with pytest.raises(ModelError, match="lie over each other"):
        read(path)


def test_a_tensor_of_a_size_that_no_network_has(tmp_path: Path) -> None:
    network = Network()
    x = network.input("x", (1 << 15, 1 << 15, 4))
    network.outputs = [network.tensor("y", (1 << 15, 1 << 15, 4))]
    network.operator(101, [x], network.outputs)
    with pytest.raises(ModelError, match="x would have 4294967296 numbers"):
        read(network.save(tmp_path / "huge.tflite"))


def test_numbers_that_lead_nowhere(tmp_path: Path) -> None:
    def saved(network: Network) -> Path:
        return network.save(tmp_path / "m.tflite")

    network = custom("MyOp")
    network.outputs = [99]
    with pytest.raises(ModelError, match="refers to tensor 99 of 2"):
        read(saved(network))
    network = custom("MyOp")
    network.operators[0] = {**network.operators[0], 0: Number("I", 7)}
    with pytest.raises(ModelError, match="kind 7 of 1"):
        read(saved(network))
    network = custom("MyOp")
    network.tensors[0] = {**network.tensors[0], 2: Number("I", 5)}
    with pytest.raises(ModelError, match="buffer 5 of 1"):
        read(saved(network))
    network = custom("MyOp")
    network.tensors[0] = {**network.tensors[0], 4: {2: np.array([np.nan], "<f4"), 3: np.array([0], "<i8")}}
    with pytest.raises(ModelError, match="scale nan"):
        read(saved(network))


def test_no_network_in_it(tmp_path: Path) -> None:
    path = tmp_path / "none.tflite"
    path.write_bytes(flatbuffer({0: Number("I", 3), 1: [], 2: [], 4: []}))
    with pytest.raises(ModelError, match="has no network in it"):
        read(path)


@pytest.mark.parametrize(
    ("code", "outputs", "options", "most"),
    [
        (114, 2, None, "QUANTIZE has outputs: 2, of which it can have 1"),
        (121, 4, None, "NON_MAX_SUPPRESSION_V5 has outputs: 4, of which it can have 3"),
        (49, 3, (35, {0: Number("i", 2)}), "SPLIT has outputs: 3, of which it can have 2"),
        (88, 1, None, "UNPACK has outputs: 1, of which it can have 0"),
    ],
)
def test_an_operator_of_more_outputs_than_it_can_have(
    code: int, outputs: int, options: tuple[int, dict[int, Number]] | None, most: str, tmp_path: Path
) -> None:
    """OpenVINO reads past the end of the outputs that it makes, and the process dies."""
    network = Network()
    x = network.input("x", (4, 4))
    network.outputs = [network.tensor(f"y{i}", (4, 4)) for i in range(outputs)]
    network.operator(code, [x], network.outputs, options)
    with pytest.raises(ModelError, match=most):
        read_model(network.save(tmp_path / "m.tflite"))


def test_an_operator_splits_into_as_many_as_it_says(tmp_path: Path) -> None:
    network = Network()
    axis, x = network.tensor("axis", (), "int32", 0), network.input("x", (4, 4))
    network.outputs = [network.tensor(f"y{i}", (2, 4)) for i in range(2)]
    network.operator(49, [axis, x], network.outputs, (35, {0: Number("i", 2)}))
    assert len(read_model(network.save(tmp_path / "m.tflite")).outputs) == 2
