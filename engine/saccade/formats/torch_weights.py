"""Weights as `torch.save` wrote them before PyTorch 1.6, read without PyTorch.

The file is a row of pickles (a magic number, the form's version, sizes of C types, the dictionary of tensors, the names
of storages) and then, for each storage, the count of its numbers and the numbers (torch/serialization.py,
`_legacy_save`). A pickle is a program that may call anything: here it is only taken apart by the standard library, and
what it says is done for those few instructions of which weights are made (pickle protocol 2, PEP 307).
"""

from __future__ import annotations

import math
import os
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from saccade.errors import ModelError

_MAGIC = 0x1950A86A20F9469CFC6C
_FORM = 1001

_TYPES = {
    "FloatStorage": np.dtype("<f4"), "DoubleStorage": np.dtype("<f8"), "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"), "IntStorage": np.dtype("<i4"), "ByteStorage": np.dtype("u1"),
}  # fmt: skip

_MOST_BYTES = 1 << 31
"""Of a file: more than any network that runs on a camera has."""

_MOST_STEPS = 1 << 20
"""Instructions of one pickle: a tensor takes some thirty."""

_MOST_TEXT = 1 << 16
"""Bytes of one name or number."""

_MOST_AXES = 8

_WORDS = frozenset({"PROTO", "BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"})
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


@dataclass(frozen=True, slots=True)
class _Name:
    """Something that PyTorch would look up: module and name."""

    text: str


@dataclass(frozen=True, slots=True)
class _Storage:
    name: str
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor's numbers are: its storage, and offset, shape and strides, in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: Path) -> Mapping[str, np.ndarray[Any, Any]]:
    """The tensors of a dictionary by name, as they were shaped, C-contiguous. Raises ModelError for any other file."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _MOST_BYTES:
                raise ValueError(f"it has {size} bytes; expected {_MOST_BYTES} at most")
            magic, form, _ = (_load(file) for _ in range(3))
            if (magic, form) != (_MAGIC, _FORM):
                raise ValueError("it does not begin as such a file does")
            tensors, names = _load(file), _load(file)
            if not isinstance(tensors, dict) or not all(isinstance(each, _Tensor) for each in tensors.values()):
                raise ValueError("it holds no dictionary of tensors")
            if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
                raise ValueError("it has no list of storages")
            # Two names may stand for the same numbers, many do for no weights: each is a copy in memory.
            if sum(abs(math.prod(each.shape)) * each.storage.dtype.itemsize for each in tensors.values()) > 2 * size:
                raise ValueError("its tensors have more numbers than the file")
            types = {tensor.storage.name: tensor.storage.dtype for tensor in tensors.values()}
            storages = {name: _numbers(file, name, types, size) for name in names}
            return {name: _shaped(tensor, storages[tensor.storage.name]) for name, tensor in tensors.items()}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise ModelError(f"{path}: holds no weights as PyTorch saved them before 1.6: {error}") from error


class _Piecewise:
    """A file of which nobody can ask for more at a time than weights need."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        """As many bytes, or fewer."""
        return self._file.read(min(count, _MOST_TEXT))

    def readline(self) -> bytes:
        """To the end of the line, or less."""
        return self._file.readline(_MOST_TEXT)


def _load(file: IO[bytes]) -> Any:
    """What one pickle describes: dictionaries by text, lists, tuples, numbers, text and tensors."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for step, (instruction, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], _Piecewise(file)))):
        if step >= _MOST_STEPS:
            raise ValueError("its pickle does not end")
        name = instruction.name
        if name == "STOP":
            break
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_name(argument))
        elif name in _WORDS:
            stack += [] if name == "PROTO" else [argument]
        else:
            _build(name, stack)
    (value,) = stack
    return value


def _build(name: str, stack: list[Any]) -> None:
    """Do an instruction that makes something of what is on the stack."""
    if name == "MARK":
        stack.append(_MARK)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in ("EMPTY_DICT", "EMPTY_LIST"):
        stack.append({} if name == "EMPTY_DICT" else [])
    elif name in _TUPLES:
        stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
    elif name == "TUPLE":
        stack.append(tuple(_since_mark(stack)))
    elif name in ("SETITEM", "SETITEMS"):
        items = _since_mark(stack) if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise ValueError("it has keys that are no text")
            stack[-1][key] = value
    elif name in ("APPEND", "APPENDS"):
        items = _since_mark(stack) if name == "APPENDS" else [stack.pop()]
        stack[-1][len(stack[-1]) :] = items
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name == "REDUCE":
        arguments = stack.pop()
        stack.append(_made(stack.pop(), arguments))
    elif name == "BUILD" and isinstance(stack[-2], dict):
        stack.pop()  # what PyTorch notes beside the tensors
    else:
        raise ValueError(f"its pickle has the instruction {name}, which is no part of weights")


def _since_mark(stack: list[Any]) -> list[Any]:
    place = next((i for i in range(len(stack) - 1, -1, -1) if stack[i] is _MARK), None)
    if place is None:
        raise ValueError("its pickle is damaged")
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _name(text: str) -> _Name:
    """A name that weights may contain."""
    module, _, name = text.partition(" ")
    if text in ("collections OrderedDict", "torch._utils _rebuild_tensor_v2") or (module == "torch" and name in _TYPES):
        return _Name(text)
    raise ValueError(f"it asks for {text[:80]!r}, which is no part of weights")


def _storage(pid: Any) -> _Storage:
    """The storage that a persistent id stands for: ("storage", type, name, device, count, view)."""
    if not isinstance(pid, tuple) or len(pid) != 6 or pid[0] != "storage" or pid[5] is not None:
        raise ValueError("it refers to something that is no storage")
    kind: Any = pid[1]
    name: Any = pid[2]
    dtype: Any = _TYPES.get(kind.text.removeprefix("torch ")) if isinstance(kind, _Name) else None
    if dtype is None or not isinstance(name, str):
        raise ValueError("it refers to a storage without type or name")
    return _Storage(name, dtype)


def _made(what: Any, arguments: Any) -> Any:
    """An empty dictionary, or a tensor of (storage, offset, shape, strides, requires_grad, hooks)."""
    if what == _Name("collections OrderedDict") and arguments in ((), ([],)):
        return {}
    if what == _Name("torch._utils _rebuild_tensor_v2") and isinstance(arguments, tuple) and len(arguments) >= 4:
        storage, offset, shape, strides = arguments[:4]
        if isinstance(storage, _Storage) and all(map(_is_whole, ((offset,), shape, strides))):
            return _Tensor(storage, offset, shape, strides)
    raise ValueError("it makes something that is neither a dictionary nor a tensor")


def _is_whole(numbers: Any) -> bool:
    return isinstance(numbers, tuple) and len(numbers) <= _MOST_AXES and all(type(n) is int for n in numbers)


def _numbers(file: IO[bytes], name: str, types: Mapping[str, np.dtype[Any]], size: int) -> np.ndarray[Any, Any]:
    dtype = types[name]
    count = int.from_bytes(file.read(8), "little", signed=True)
    if not 0 <= count * dtype.itemsize <= size - file.tell():
        raise ValueError(f"storage {name[:80]!r} is said to have {count} numbers, which are not in the file")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype)


def _shaped(tensor: _Tensor, storage: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    extent = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
    last = tensor.offset + sum(extent)
    # A stride of 0 would make much of little; weights have none.
    if (
        tensor.offset < 0
        or min([*tensor.shape, *tensor.strides, *extent], default=0) < 0
        or max(math.prod(tensor.shape), last + 1) > len(storage)
    ):
        raise ValueError(f"a tensor {list(tensor.shape)[:8]} lies outside its storage of {len(storage)} numbers")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.array(np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides), order="C")
