"""Convolutions that have no kernel without AVX2 are put in another form, which computes the same."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from saccade.networks.without_avx2 import with_kernels


def convolution(channels: int, kernel: int, *, dilation: int = 1, groups: int = 1, pads: tuple[int, int]) -> ov.Model:
    random = np.random.default_rng(1)
    part = channels // groups
    weights = random.normal(size=(groups, part, part, kernel, kernel)).astype(np.float32)
    data = ops.parameter([1, channels, 14, 19], np.float32)
    build, own = (ops.convolution, weights[0]) if groups == 1 else (ops.group_convolution, weights)
    begin, end = [2, pads[0]], [2, pads[1]]
    return ov.Model([build(data, ops.constant(own), [2, 1], begin, end, [dilation, dilation])], [data])


@pytest.mark.parametrize(
    "model",
    [
        convolution(8, 3, dilation=5, pads=(5, 5)),
        convolution(8, 9, pads=(4, 0)),
        convolution(8, 3, groups=4, pads=(1, 1)),
        convolution(12, 3, groups=6, dilation=4, pads=(4, 4)),
        convolution(6, 3, groups=2, pads=(1, 1)),
    ],
    ids=["dilated", "large filter, on one side", "groups of two", "both", "too few channels for one group"],
)
def test_the_other_form_computes_the_same(model: ov.Model) -> None:
    picture = np.random.default_rng(2).normal(size=tuple(model.inputs[0].shape)).astype(np.float32)
    core = ov.Core()
    own, other = (
        core.compile_model(each, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(picture)[0]
        for each in (model.clone(), with_kernels(model))
    )
    convolutions = [node for node in model.get_ops() if "Convolution" in node.get_type_name()]
    assert len(convolutions) == 1
    attributes = convolutions[0].get_attributes()
    assert max(attributes["pads_begin"][1], attributes["pads_end"][1]) <= 3
    shape = convolutions[0].get_input_shape(1)
    assert "Group" not in convolutions[0].get_type_name() or shape[0] == 1 or shape[1] >= 8
    np.testing.assert_allclose(other, own, rtol=1e-4, atol=1e-4)
