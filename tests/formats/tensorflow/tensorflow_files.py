"""Writer of small TensorFlow frozen graphs."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from small_networks import field, varint

FLOAT, INT32 = 1, 3
QINT8, QUINT8 = 11, 12


def shape(sizes: tuple[int, ...]) -> bytes:
    return b"".join(field(2, field(1, size)) for size in sizes)


class Graph:
    """A GraphDef in the making; every method returns the new node's name."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []

    def node(self, op: str, name: str, *inputs: str, **attributes: bytes) -> str:
        body = field(1, name) + field(2, op) + b"".join(field(3, source) for source in inputs)
        for key, value in attributes.items():
            body += field(5, field(1, key) + field(2, value))
        self.nodes.append(field(1, body))
        return name

    def op(self, op: str, name: str, *inputs: str, **attributes: bytes) -> str:
        """A node over floats."""
        return self.node(op, name, *inputs, T=field(6, FLOAT), **attributes)

    def placeholder(self, name: str, sizes: tuple[int, ...]) -> str:
        return self.node("Placeholder", name, dtype=field(6, FLOAT), shape=field(7, shape(sizes)))

    def const(self, name: str, value: Any, kind: int = FLOAT, form: str = "content") -> str:
        """form: content (bytes), or list (numbers one by one, the last standing for the rest)."""
        array = np.asarray(value, {FLOAT: "<f4", INT32: "<i4", QINT8: "i1", QUINT8: "u1"}[kind])
        tensor = field(1, kind) + field(2, shape(array.shape))
        if form == "content":
            tensor += field(4, array.tobytes())
        elif kind == FLOAT:
            tensor += field(5, b"".join(struct.pack("<f", v) for v in array.ravel()))
        else:
            tensor += field(7, b"".join(varint(int(v)) for v in array.ravel()))
        return self.node("Const", name, dtype=field(6, kind), value=field(8, tensor))

    def save(self, path: Path) -> Path:
        path.write_bytes(b"".join(self.nodes) + field(4, field(1, 27)))  # and the versions, as TensorFlow has them
        return path


def save_model(graph: Graph, folder: Path, inputs: dict[str, str], outputs: dict[str, str]) -> Path:
    """A SavedModel without variables; inputs and outputs : nodes by the names that its signature gives them."""
    signature = b"".join(
        field(number, field(1, name) + field(2, field(1, f"{node}:0") + field(2, FLOAT)))
        for number, ends in ((1, inputs), (2, outputs))
        for name, node in ends.items()
    )
    signature += field(3, "tensorflow/serving/predict")
    meta = field(1, field(4, "serve")) + field(2, b"".join(graph.nodes) + field(4, field(1, 27)))
    meta += field(5, field(1, "serving_default") + field(2, signature))
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, meta))
    return folder
