"""Writers of small MXNet files: every form of `.params`, every dialect of `-symbol.json`."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

DTYPES = {
    "float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7, "int16": 8,
    "uint16": 9, "uint32": 10, "uint64": 11,
}  # fmt: skip


def array_bytes(array: np.ndarray, form: str = "v2", dtype: int | None = None) -> bytes:
    """One NDArray; form: legacy, v1, v2 or v3."""
    kind = struct.pack("<iii", 1, 0, DTYPES[array.dtype.name] if dtype is None else dtype)
    shape = struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
    head = {
        "legacy": struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape),
        "v1": struct.pack("<I", 0xF993FAC8) + shape,
        "v2": struct.pack("<Ii", 0xF993FAC9, 0) + shape,
        "v3": struct.pack("<Ii", 0xF993FACA, 0) + shape,
    }[form]
    if array.ndim == 0 and form != "v3":
        return head
    return head + kind + array.tobytes()


def params_bytes(arrays: Mapping[str, np.ndarray], form: str = "v2", *, named: bool = True) -> bytes:
    """A whole `.params` file."""
    body = b"".join(array_bytes(np.asarray(array), form) for array in arrays.values())
    names = [name.encode() for name in arrays] if named else []
    tail = b"".join(struct.pack("<Q", len(name)) + name for name in names)
    return struct.pack("<QQQ", 0x112, 0, len(arrays)) + body + struct.pack("<Q", len(names)) + tail


class Net:
    """A symbol in the making. References are (node, output)."""

    def __init__(self, key: str = "attrs") -> None:
        self.key = key
        self.nodes: list[dict[str, Any]] = []
        self.weights: dict[str, np.ndarray] = {}

    def var(self, name: str, value: Any = None, **attributes: Any) -> tuple[int, int]:
        """A variable; with a value it is a weight."""
        if value is not None:
            self.weights[name] = np.asarray(value, None if hasattr(value, "dtype") else np.float32)
        return self._add("null", name, (), attributes)

    def op(self, op: str, name: str, *inputs: tuple[int, int], **attributes: Any) -> tuple[int, int]:
        """An operator over references."""
        return self._add(op, name, inputs, attributes)

    def _add(
        self, op: str, name: str, inputs: Sequence[tuple[int, int]], attributes: Mapping[str, Any]
    ) -> tuple[int, int]:
        width = 2 if self.key == "param" else 3
        node: dict[str, Any] = {"op": op, "name": name, "inputs": [[*ref, 0][:width] for ref in inputs]}
        if attributes or self.key == "param":
            node[self.key] = {key: str(value) for key, value in attributes.items()}
        self.nodes.append(node)
        return len(self.nodes) - 1, 0

    def tree(self, *heads: tuple[int, int]) -> dict[str, Any]:
        """The JSON object."""
        return {"nodes": self.nodes, "arg_nodes": [], "heads": [[*head, 0] for head in heads]}

    def save(
        self, folder: Path, *heads: tuple[int, int], name: str = "net", form: str = "v2", prefix: str = "arg:"
    ) -> Path:
        """Write NAME-symbol.json and NAME-0000.params; the last node is the head unless others are given."""
        path = folder / f"{name}-symbol.json"
        path.write_text(json.dumps(self.tree(*(heads or ((len(self.nodes) - 1, 0),)))))
        weights = {prefix + key: value for key, value in self.weights.items()}
        (folder / f"{name}-0000.params").write_bytes(params_bytes(weights, form))
        return path


def run(model: ov.Model, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by name, in f32 on one thread."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(model, "CPU", settings)
    results = compiled({name: np.asarray(value, np.float32) for name, value in inputs.items()})
    return {port.any_name: np.array(results[port]) for port in compiled.outputs}
