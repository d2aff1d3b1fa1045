"""Frozen graphs of the Object Detection API, from the file to objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorflow_files import INT32, Graph

from saccade.predict import open_predictor
from small_networks import field


@pytest.mark.parametrize("masks", [False, True])
def test_a_detector_takes_rgb_and_gives_objects(masks: bool, tmp_path: Path) -> None:
    outputs = {
        "detection_boxes": [[[0.25, 0, 0.5, 0.5], [0, 0, 1, 1], [0, 0, 0, 0]]], "detection_scores": [[0.9, 0.6, 0]],
        "detection_classes": [[2, 1, 1]], "num_detections": [2.0],
    }  # fmt: skip
    if masks:
        outputs["detection_masks"] = np.ones((1, 3, 15, 15), np.float32)
    graph = Graph()
    x = graph.placeholder("image_tensor", (-1, 16, 16, 3))
    axes = graph.const("axes", [0, 1, 2, 3], INT32)
    mean = graph.op("Mean", "mean", x, axes, Tidx=field(6, INT32), keep_dims=field(5, 0))
    zero = graph.op("Mul", "zero", mean, graph.const("nought", 0.0))
    for name, values in outputs.items():
        graph.op("AddV2", name, graph.const(f"{name}_", np.float32(values)), zero)
    predictor = open_predictor(graph.save(tmp_path / "frozen_inference_graph.pb"), labels=("cat", "dog"))
    assert predictor.spec.swap_rb
    found = predictor(np.zeros((40, 80, 3), np.uint8)).detections
    assert found is not None
    assert [found.name(i) for i in range(len(found))] == ["dog", "cat"]
    np.testing.assert_allclose(found.boxes, [[0, 10, 40, 20], [0, 0, 80, 40]], atol=1e-4)
    assert (found.masks is not None) == masks
