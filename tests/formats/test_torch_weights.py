"""Old PyTorch files without PyTorch: the numbers as they were shaped, and no code out of a pickle."""

from __future__ import annotations

import collections
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saccade.errors import ModelError
from saccade.formats import torch_weights


class Tensor:
    """A view of a storage, pickled as PyTorch pickles its tensors."""

    def __init__(self, storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.parts = storage, offset, shape, strides


class Pickler(pickle.Pickler):
    def __init__(self, file: Any, torch: types.ModuleType, sizes: dict[str, int]) -> None:
        super().__init__(file, protocol=2)
        self._torch, self._sizes = torch, sizes

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        storage, offset, shape, strides = value.parts
        arguments = (Storage(storage), offset, shape, strides, False, collections.OrderedDict())
        return self._torch._utils._rebuild_tensor_v2, arguments

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Storage):
            return "storage", self._torch.FloatStorage, value.name, "cpu", self._sizes[value.name], None
        return None


class Storage:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Names to write into pickles."""
    module: Any = types.ModuleType("torch")
    module._utils = types.ModuleType("torch._utils")
    module.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    module._utils._rebuild_tensor_v2 = lambda: None
    module._utils._rebuild_tensor_v2.__module__ = "torch._utils"
    module._utils._rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", module._utils)
    return module  # type: ignore[no-any-return]


def write(path: Path, torch: types.ModuleType, tensors: Any, storages: dict[str, np.ndarray[Any, Any]]) -> Path:
    with path.open("wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(head, file, protocol=2)
        Pickler(file, torch, {name: numbers.size for name, numbers in storages.items()}).dump(tensors)
        pickle.dump(sorted(storages), file, protocol=2)
        for _, numbers in sorted(storages.items()):
            file.write(numbers.size.to_bytes(8, "little") + numbers.tobytes())
    return path


def test_tensors_come_as_they_were_shaped(torch: types.ModuleType, tmp_path: Path) -> None:
    numbers = {"7": np.arange(24, dtype=np.float32), "30": np.array([5.5], np.float32)}
    tensors = collections.OrderedDict(
        plain=Tensor("7", 0, (2, 3, 4), (12, 4, 1)),
        turned=Tensor("7", 0, (4, 3, 2), (1, 4, 12)),
        part=Tensor("7", 20, (4,), (1,)),
        one=Tensor("30", 0, (), ()),
    )
    found = torch_weights.read(write(tmp_path / "w.pth", torch, tensors, numbers))
    whole = numbers["7"].reshape(2, 3, 4)
    assert list(found) == ["plain", "turned", "part", "one"]
    np.testing.assert_array_equal(found["plain"], whole)
    np.testing.assert_array_equal(found["turned"], whole.transpose(2, 1, 0))
    np.testing.assert_array_equal(found["part"], numbers["7"][20:])
    assert found["one"].shape == ()
    assert found["one"] == 5.5


class Hostile:
    """Would make a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> Any:
        return open, (str(self._target), "w")


@pytest.mark.parametrize("where", ["head", "tensors"])
def test_a_pickle_calls_nothing(where: str, torch: types.ModuleType, tmp_path: Path) -> None:
    path, made = tmp_path / "w.pth", tmp_path / "made"
    if where == "head":
        path.write_bytes(pickle.dumps(Hostile(made)))
    else:
        write(path, torch, {"a": Hostile(made)}, {})
    with pytest.raises(ModelError, match=r"w\.pth: holds no weights .*no part of weights"):
        torch_weights.read(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (Tensor("7", 23, (2,), (1,)), "outside its storage of 24"),
        (Tensor("7", 0, (2, 13), (12, 1)), "outside"),
        (Tensor("7", -1, (2,), (1,)), "outside"),
        (Tensor("7", 5, (2,), (-1,)), "outside"),
        (Tensor("7", 0, (-2,), (1,)), "outside"),
        (Tensor("7", 0, (1 << 50,), (0,)), "more numbers than the file"),
        (Tensor("7", 0, (25,), (0,)), "outside"),
        (Tensor("7", 0, (1,), (1 << 70,)), "holds no weights"),
        (Tensor("9", 0, (2,), (1,)), "outside its storage of 1 "),
        (Tensor("7", 0, (2, 2), (1,)), "shorter"),
    ],
)
def test_no_tensor_reaches_beyond_its_numbers(
    tensor: Tensor, says: str, torch: types.ModuleType, tmp_path: Path
) -> None:
    numbers = {"7": np.arange(24, dtype=np.float32), "9": np.zeros(1, np.float32)}
    sound = {"a": Tensor("7", 0, (24,), (1,)), "b": Tensor("9", 0, (1,), (1,))}
    path = write(tmp_path / "w.pth", torch, sound | {"c": tensor}, numbers)
    with pytest.raises(ModelError, match=says):
        torch_weights.read(path)


@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "does not begin"),  # LONG_BINPUT: place 2**31 of a list
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x3f.", "BINBYTES8|expected .* bytes"),  # a text of 2**62 bytes
        (b"\x80\x02X\xff\xff\xff\x7fx.", "expected"),
        (b"\x80\x02)" + b"q\x00h\x00h\x00\x86" * 60 + b"Q.", "no storage"),  # 2**60 empty tuples, by reference
        (b"\x80\x02}" + b")" + b"q\x00h\x00h\x00\x86" * 60 + b"Ns.", "no text"),  # and as a key
        (b"\x80\x02" + b"(" * 2000 + b"t" * 2000 + b"Q.", "no storage"),
        (b"\x80\x02" + b"N" * (1 << 20) + b".", "does not end"),
        (b"\x80\x02ccollections\nOrderedDict\nN\x81.", "NEWOBJ"),
        (b"\x80\x02t.", "damaged"),
    ],
)  # fmt: skip
def test_a_pickle_takes_neither_time_nor_memory(hostile: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(hostile + pickle.dumps(1001, protocol=2) + pickle.dumps({}, protocol=2))
    with pytest.raises(ModelError, match=says):
        torch_weights.read(path)


def test_a_file_does_not_become_many_times_as_large(torch: types.ModuleType, tmp_path: Path) -> None:
    tensors = {f"t{n}": Tensor("7", 0, (20000,), (1,)) for n in range(3)}
    path = write(tmp_path / "w.pth", torch, tensors, {"7": np.zeros(20000, np.float32)})
    with pytest.raises(ModelError, match="more numbers than the file"):
        torch_weights.read(path)
    storages = {"7": np.zeros(20000, np.float32), "unknown": np.zeros(1, np.float32)}
    path = write(tmp_path / "w.pth", torch, {"t": tensors["t0"]}, storages)
    with pytest.raises(ModelError, match="unknown"):
        torch_weights.read(path)


def test_a_file_that_is_cut_off_is_told(torch: types.ModuleType, tmp_path: Path) -> None:
    tensors = {"a": Tensor("7", 0, (24,), (1,))}
    path = write(tmp_path / "w.pth", torch, tensors, {"7": np.arange(24, dtype=np.float32)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"w\.pth"):
            torch_weights.read(path)
