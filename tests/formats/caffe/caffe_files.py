"""Writers of small `.caffemodel` files, both generations, and a runner."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from saccade.formats import caffe
from small_networks import field, varint


def blob(array: np.ndarray, form: str = "packed") -> bytes:
    """A BlobProto; form: packed, single (a tag for each number), double, or old (four dimensions)."""
    flat = np.asarray(array, np.float32).ravel()
    if form == "old":
        sizes = [1] * (4 - np.ndim(array)) + list(np.shape(array))
        head = b"".join(field(i + 1, size) for i, size in enumerate(sizes))
    else:
        head = field(7, field(1, b"".join(map(varint, np.shape(array)))))
    if form == "double":
        return head + field(8, flat.astype("<f8").tobytes())
    if form == "single":
        return b"".join(varint(5 << 3 | 5) + struct.pack("<f", v) for v in flat) + head
    return head + field(5, flat.astype("<f4").tobytes())


def caffemodel(layers: Mapping[str, Sequence[np.ndarray]], form: str = "packed", generation: int = 2) -> bytes:
    """A NetParameter with nothing but names and blobs, and some fields that readers must skip."""
    outer, name, blobs = (100, 1, 7) if generation == 2 else (2, 4, 6)
    parts = [field(1, b"net"), field(5, 1)]
    for layer, arrays in layers.items():
        body = field(name, layer.encode()) + b"".join(field(blobs, blob(array, form)) for array in arrays)
        parts.append(field(outer, body + varint(31 << 3 | 5) + b"\0\0\0\0"))
    return b"".join(parts)


def write(folder: Path, text: str, layers: Mapping[str, Sequence[Any]] | None = None, **options: Any) -> Path:
    """NET.prototxt and NET.caffemodel."""
    path = folder / "net.prototxt"
    path.write_text(text)
    arrays = {name: [np.asarray(a) for a in group] for name, group in (layers or {}).items()}
    path.with_suffix(".caffemodel").write_bytes(caffemodel(arrays or {"none": []}, **options))
    return path


def run(model: ov.Model, *inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs by name, in f32 on one thread."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(model, "CPU", settings)
    results = compiled([np.asarray(value, np.float32) for value in inputs])
    return {port.any_name: np.array(results[port]) for port in compiled.outputs}


def apply(
    folder: Path, layer: str, *inputs: np.ndarray, blobs: Sequence[Any] = (), tops: Sequence[str] = ("o",)
) -> list[np.ndarray]:
    """Outputs of one layer called o; `layer` is its text without name, bottoms and tops."""
    shapes = "\n".join(
        f'input: "in{i}" input_shape {{ {" ".join(f"dim: {n}" for n in x.shape)} }}' for i, x in enumerate(inputs)
    )
    wires = " ".join([*(f'bottom: "in{i}"' for i in range(len(inputs))), *(f'top: "{top}"' for top in tops)])
    path = write(folder, f'{shapes}\nlayer {{ name: "o" {wires} {layer} }}', {"o": blobs} if blobs else None)
    given = {f"in{i}": x.shape for i, x in enumerate(inputs)}
    got = run(caffe.read(path, input_shapes=given), *inputs)
    return [got[top] for top in tops]
