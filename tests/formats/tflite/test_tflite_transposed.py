"""Convolution2DTransposeBias as layers, against its arithmetic written anew in NumPy."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_files import RESHAPE, Network

from saccade.errors import ModelError
from saccade.networks import Model

Floats = NDArray[np.float32]
NAME = "Convolution2DTransposeBias"
SAME, VALID = 1, 2


def spread(x: Floats, weights: Floats, bias: Floats, strides: tuple[int, int], padding: int) -> Floats:
    """What each place of the picture adds to its surroundings; strides of height and width."""
    sides, cuts = [], []
    for side, kernel, stride in zip(x.shape[1:3], weights.shape[1:3], strides, strict=True):
        cut = max(0, kernel - (side - 1) % stride - 1) if padding == SAME else 0
        sides.append(stride * (side - 1) + kernel - cut)
        cuts.append(cut // 2)
    wide = np.zeros((sides[0] + 40, sides[1] + 40, len(bias)))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            top, left = 20 + row * strides[0] - cuts[0], 20 + column * strides[1] - cuts[1]
            wide[top : top + weights.shape[1], left : left + weights.shape[2]] += np.einsum(
                "i,ohwi->hwo", x[0, row, column].astype(np.float64), weights
            )
    return (wide[20 : 20 + sides[0], 20 : 20 + sides[1]] + bias)[None].astype(np.float32)


def network(
    shape: tuple[int, ...], weights: Floats, bias: Floats, out: tuple[int, ...], options: bytes, *, after: bool = False
) -> Network:
    made = Network()
    x = made.input("x", shape)
    constants = [made.tensor(name, v.shape, values=v) for name, v in (("weights", weights), ("bias", bias))]
    y = made.tensor("y", out)
    made.operator(NAME, [x, *constants], [y], custom=options)
    if after:
        rows = made.tensor("rows", (1, int(np.prod(out))))
        to = made.tensor("to", (2,), "int32", [1, int(np.prod(out))])
        made.operator(RESHAPE, [y, to], [rows])
        y = rows
    made.outputs = [y]
    return made


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize(
    ("kernel", "strides"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 5), (1, 3)), ((4, 1), (3, 2))]
)
def test_as_mediapipe_computes_it(
    tmp_path: Path, kernel: tuple[int, int], strides: tuple[int, int], padding: int, after: bool
) -> None:
    rng = np.random.default_rng(1)
    x, weights, bias = rng.normal(size=(1, 5, 4, 3)), rng.normal(size=(2, *kernel, 3)), rng.normal(size=2)
    want = spread(*(values.astype(np.float32) for values in (x, weights, bias)), strides, padding)
    # As newer files have it, with more options behind those that are read.
    options = struct.pack("<3i", padding, strides[1], strides[0]) + bytes(8)
    made = network(x.shape, weights.astype(np.float32), bias.astype(np.float32), want.shape, options, after=after)
    model = Model(made.save(tmp_path / "net.tflite"), precision="f32")
    ((name, got),) = model.infer({"x": x.astype(np.float32)}).items()
    assert name == ("rows" if after else "y")
    np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"options": b"\x01\0\0\0"}, "4 bytes of options"),
        ({"options": struct.pack("<3i", 3, 2, 2)}, "padding 3"),
        ({"options": struct.pack("<3i", SAME, 0, 2)}, r"strides \[2, 0\]"),
        ({"options": struct.pack("<3i", SAME, 2, 1 << 30)}, "strides"),
        ({"out": (1, 10, 8, 2)}, r"an output of \[1, 10, 8, 2\]; expected \[1, 9, 8, 2\]"),
        ({"weights": np.zeros((2, 2, 2, 4), np.float32)}, r"inputs of \[1, 5, 4, 3\], \[2, 2, 2, 4\]"),
        ({"bias": np.zeros(3, np.float32)}, "inputs of"),
        ({"shape": (1, 20, 3)}, "inputs of"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    usual: dict[str, Any] = {
        "shape": (1, 5, 4, 3), "weights": np.zeros((2, 2, 2, 3), np.float32), "bias": np.zeros(2, np.float32),
        "out": (1, 9, 8, 2), "options": struct.pack("<3i", SAME, 2, 2),
    }  # fmt: skip
    path = network(**(usual | changes)).save(tmp_path / "net.tflite")
    with pytest.raises(ModelError, match=f"net.tflite: is damaged: {NAME} has .*{says}"):
        Model(path)
