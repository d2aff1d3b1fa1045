"""A small classifier, pictures for it, and a tuning of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
from quantisers import Calibrated, Tune

from saccade.tune import int8, judging, trials, tuning
from saccade.tune.config import TuneConfig
from saccade.tune.turns import Ratio
from small_networks import classifier


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SACCADE_CACHE", str(folder))
    return folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "small.xml"
    model = classifier(size=32)
    names = {"Convolution": "layer0", "MatMul": "layer1"}
    for node in model.get_ops():
        node.set_friendly_name(names.get(node.get_type_name(), node.get_friendly_name()))
    ov.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(24):
        random = np.random.default_rng(seed)
        small = random.integers(0, 256, (4, 4, 3), np.uint8)
        cv2.imwrite(str(folder / f"{seed:02}.jpg"), cv2.resize(small, (160, 160), interpolation=cv2.INTER_NEAREST))
    return folder


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> Calibrated:
    found = Calibrated()
    monkeypatch.setattr(int8, "quantise", found)
    for module in (int8, tuning):
        monkeypatch.setattr(module, "nncf_version", lambda: "0")
    return found


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> list[Ratio]:
    """What every comparison of speeds finds: not measured, but the first of these."""
    found = [Ratio(2.0, 1.9, 2.1, 6)]
    monkeypatch.setattr(trials, "SLICE", 0.001)
    monkeypatch.setattr(judging, "take_turns", lambda a, b, *, until: (a(), b(), found[0])[-1])
    return found


@pytest.fixture
def tune(network: Path, pictures: Path) -> Tune:
    from saccade.capture import open_source

    def run(model: Path = network, **options: object) -> tuning.Outcome:
        known: dict[str, object] = {"model": str(model), "device": "CPU", "budget": 120.0, "options": {}} | options
        return tuning.tune(TuneConfig(**known), open_source(pictures))  # type: ignore[arg-type]

    return run
