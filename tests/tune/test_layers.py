"""Layers that are put back into f32, and the search for those that must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from quantisers import with_quantisers

from saccade.tune.layers import QuantisedUnit, fewest, ranked, units_of, with_units_in_f32


def said(model: ov.Model) -> np.ndarray:
    picture = np.random.default_rng(1).uniform(0, 2, (1, 3, 32, 32)).astype(np.float32)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled(picture)[compiled.outputs[0]])


def test_all_put_back_is_the_network_as_it_was(network: Path) -> None:
    original = ov.Core().read_model(network)
    quantised = with_quantisers(original.clone(), {"layer0": 4, "layer1": 2})
    units = units_of(quantised)
    assert [unit.layers for unit in units] == [("layer0",), ("layer1",)]
    assert not np.allclose(said(quantised), said(original))
    np.testing.assert_array_equal(said(with_units_in_f32(quantised, original, units)), said(original))
    only = with_quantisers(original.clone(), {"layer0": 4})
    np.testing.assert_array_equal(said(with_units_in_f32(quantised, original, units[1:])), said(only))


@pytest.mark.parametrize("count", [1, 2, 3, 9, 40, 64])
def test_as_few_are_put_back_as_agree_in_few_looks(count: int) -> None:
    units = [QuantisedUnit(str(number), (f"layer {number}",)) for number in range(64)]
    looks: list[int] = []

    def agrees(back: Sequence[QuantisedUnit]) -> bool:
        looks.append(len(back))
        return len(back) >= count

    assert fewest(units, agrees) == units[:count]
    assert len(looks) <= 2 * math.log2(count) + 3


def test_what_hurts_most_for_the_time_that_it_saves_comes_first_and_the_last_layer_where_all_is_the_same() -> None:
    data = ops.parameter([1, 2, 8, 8], np.float32)
    large = ops.convolution(data, np.ones((64, 2, 3, 3), np.float32), [1, 1], [1, 1], [1, 1], [1, 1], name="large")
    small = ops.convolution(large, np.ones((1, 64, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1], name="small")
    units = [QuantisedUnit("q0", ("large",)), QuantisedUnit("q1", ("small",))]
    model = ov.Model([small], [data])
    harms = {"q0": 0.03, "q1": 0.01}
    assert [unit.quantiser for unit in ranked(units, lambda unit: harms[unit.quantiser], model)] == ["q1", "q0"]
    harms["q0"] = 0.3
    assert [unit.quantiser for unit in ranked(units, lambda unit: harms[unit.quantiser], model)] == ["q0", "q1"]
    assert [unit.quantiser for unit in ranked(units, lambda unit: 0.0, model)] == ["q1", "q0"]
