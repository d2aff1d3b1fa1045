"""Which networks would overflow in int8 on processors without VNNI, and that they are computed right there."""

from __future__ import annotations

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from saccade import Model
from saccade.networks import saturation


def quantised(most: int, *, activations: bool = True, depthwise: bool = False) -> ov.Model:
    """A convolution with int8 weights of up to `most` on an input that is quantised to 8 bits, or not."""
    x = ops.parameter([1, 16, 4, 4], np.float32, name="x")
    weights = np.full((16, 1, 1, 3, 3) if depthwise else (8, 16, 3, 3), most, np.int8)
    scaled = ops.multiply(ops.convert(ops.constant(weights), np.float32), np.float32(0.01))
    y = (
        ops.fake_quantize(x, np.float32(0), np.float32(2.55), np.float32(0), np.float32(2.55), 256)
        if activations
        else x
    )
    convolution = ops.group_convolution if depthwise else ops.convolution
    return ov.Model([convolution(y, scaled, [1, 1], [1, 1], [1, 1], [1, 1])], [x], "quantised")


def test_only_weights_of_all_bits_on_quantised_numbers_are_kept_from_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saturation, "has_vnni", lambda: False)
    assert saturation.cpu_properties(quantised(127)) == saturation.FLOATING
    assert saturation.cpu_properties(quantised(-65)) == saturation.FLOATING
    assert saturation.cpu_properties(quantised(64)) == {}
    assert saturation.cpu_properties(quantised(127, depthwise=True)) == {}
    assert saturation.cpu_properties(quantised(127, activations=False)) == {}
    monkeypatch.setattr(saturation, "has_vnni", lambda: True)
    assert saturation.cpu_properties(quantised(127)) == {}


@pytest.mark.parametrize(("depthwise", "products"), [(False, 9 * 16), (True, 9)])
def test_large_products_do_not_saturate(depthwise: bool, products: int) -> None:
    """The sum of products of the largest numbers, on whatever processor this is."""
    network = Model(quantised(127, depthwise=depthwise), precision="f32")
    (found,) = network.infer(np.full((1, 16, 4, 4), 2.55, np.float32)).values()
    assert found[0, :, 1, 1] == pytest.approx(products * 2.55 * 1.27, rel=1e-3)
