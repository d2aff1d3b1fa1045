"""The runner under pytest-benchmark: python -m pytest -o addopts= bench/test_runner.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.pipeline import make_faces
from saccade.networks.local import Request


@pytest.fixture(scope="module")
def request_of_faces() -> Request:
    request = make_faces().model.request()
    for array in request.inputs.values():
        array[:] = np.random.default_rng(0).random(array.shape)  # zeros and denormal numbers take other paths
    return request


def test_infer(benchmark: Any, request_of_faces: Request) -> None:
    benchmark(request_of_faces.infer)
    assert all(np.isfinite(output).all() for output in request_of_faces.outputs.values())


def test_start_and_wait(benchmark: Any, request_of_faces: Request) -> None:
    def both() -> None:
        request_of_faces.start()
        request_of_faces.wait()

    benchmark(both)


def test_decode_of_a_result(benchmark: Any, request_of_faces: Request) -> None:
    faces = make_faces()
    request_of_faces.infer()
    found = benchmark(faces.detector.decode, request_of_faces.outputs, (1.0, 1.0, 0.0, 0.0))
    assert found.boxes.shape[1] == 4
