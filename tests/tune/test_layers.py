"""Layers that are put back into f32, and the search for those that must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from quantisers import with_quantisers

from saccade.tune.layers import Unit, needed, units_of, with_units_in_f32


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


@pytest.mark.parametrize("wanted", [{3}, {0, 63}, {10, 11, 40}, set(range(64))], ids=str)
def test_the_search_finds_what_is_needed_and_no_more(wanted: set[int]) -> None:
    units = [Unit(str(number), (f"layer {number}",)) for number in range(64)]
    seen: list[Sequence[Unit]] = []
    agreed: list[Sequence[Unit]] = []

    def agrees(back: Sequence[Unit]) -> bool:
        seen.append(back)
        return wanted <= {int(unit.quantiser) for unit in back}

    found = needed(units, agrees, on_agreed=agreed.append)
    assert {int(unit.quantiser) for unit in found} == wanted
    assert len(seen) <= 2 * len(wanted) * (math.log2(64 / len(wanted)) + 2)
    assert all(wanted <= {int(unit.quantiser) for unit in back} for back in agreed)
