"""Every layer type against NumPy, and against what the original engine gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from saccade.formats import legacy_ir
from saccade.formats.legacy_ir import ops  # noqa: F401
from saccade.formats.legacy_ir.table import LAYERS

from .cases import CASES
from .running import assert_close, core, infer
from .writer import Net

RECORDED = np.load(Path(__file__).with_name("recorded.npz"))


@pytest.mark.parametrize("name", CASES)
def test_a_layer_gives_what_numpy_and_the_old_engine_gave(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    net, feeds, oracle = case.build()
    found = infer(legacy_ir.read(net.write(tmp_path)), feeds)
    recorded = {key.split("|")[1]: RECORDED[key] for key in RECORDED.files if key.split("|")[0] == name}
    assert bool(recorded) == case.recorded
    assert oracle is not None or recorded, "nothing to compare with"
    if recorded:
        assert_close(found, recorded, 1e-5 if case.half else case.tolerance)
    if oracle is not None:
        assert_close(found, oracle(feeds), case.tolerance)


def test_every_type_of_the_table_has_a_case() -> None:
    used = {part.split('"')[0].lower() for case in CASES.values() for part in case.build()[0].xml().split('type="')[1:]}
    synonyms = {"transpose", "ceiling", "shape", "identity"}
    assert set(LAYERS) - used == {"memory"} | synonyms


def test_memory_keeps_its_value_for_the_next_inference(tmp_path: Path) -> None:
    net = Net(version=5)
    x = net.input((1, 4), "in0")
    state = net.layer("Memory", [], [(1, 4)], {"id": "r", "index": 1, "size": 2}, name="load")
    total = net.layer("Eltwise", [x, *state], [(1, 4)], {"operation": "sum"}, name="total")
    net.layer("Memory", total, [], {"id": "r", "index": 0, "size": 2}, name="store")
    net.layer("ReLU", total, [(1, 4)], name="out")
    request = core().compile_model(legacy_ir.read(net.write(tmp_path)), "CPU").create_infer_request()
    values = np.array([[1, 2, 3, 4]], np.float32)
    for turn in (1, 2, 3):  # the original engine gives the same three
        assert np.array_equal(request.infer({"in0": values})[0], values * turn)
