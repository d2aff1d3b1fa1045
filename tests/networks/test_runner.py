"""Requests: memory that is bound once, one run at a time, and no copies."""

from __future__ import annotations

import gc
import mmap
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest

from saccade.errors import ConfigError, ModelError
from saccade.networks import Model, Request, open_network
from saccade.networks.request import aligned
from small_networks import classifier


@pytest.fixture
def model() -> Model:
    return Model(classifier(), precision="f32")


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, 16, 16), dtype=np.float32)


def through(dtype: type | ov.Type, shape: tuple[int, ...] = (1, 4)) -> ov.Model:
    x = op.parameter(list(shape), dtype, name="x")
    x.output(0).set_names({"x"})
    y = op.add(x, x)
    y.output(0).set_names({"y"})
    return ov.Model([y], [x], "double")


def test_ports_have_names_shapes_and_types(model: Model) -> None:
    (data,), (prob,) = model.inputs, model.outputs
    assert (data.name, data.shape, data.dtype) == ("data", (1, 3, 16, 16), np.dtype(np.float32))
    assert (prob.name, prob.shape, prob.dtype, prob.layer_type) == ("prob", (1, 10), np.dtype(np.float32), "Softmax")
    assert (model.device, model.precision, model.name) == ("CPU", "f32", "small")


def test_request_memory_is_page_aligned_and_stays(model: Model) -> None:
    request = model.request()
    memory = [*request.inputs.values(), *request.outputs.values()]
    addresses = [array.ctypes.data for array in memory]
    assert all(address % mmap.PAGESIZE == 0 for address in addresses)
    for seed in range(3):
        request.inputs["data"][:] = picture(seed)
        request.infer()
        again = [*request.inputs.values(), *request.outputs.values()]
        assert [array.ctypes.data for array in again] == addresses


def test_the_network_reads_and_writes_the_requests_memory(model: Model) -> None:
    """Zero-copy both ways: a view taken before the runs shows what each run wrote."""
    request = model.request()
    written, read = request.inputs["data"], request.outputs["prob"]
    for seed in range(5):
        written[:] = picture(seed)
        request.infer()
        np.testing.assert_array_equal(read, model.infer(picture(seed))["prob"])


def test_no_allocation_per_run() -> None:
    model = Model(through(np.float32, (1, 3, 256, 256)), precision="f32")
    request = model.request()
    run = [request.infer, lambda: (request.start(), request.wait())]
    for step in run:
        step()
    tracemalloc.start()
    try:
        for step in run * 10:
            step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < request.outputs["y"].nbytes / 10


def test_start_and_wait(model: Model) -> None:
    expected = [model.infer(picture(seed))["prob"] for seed in range(4)]
    requests = [model.request() for _ in range(2)]
    for seed in range(40):
        request = requests[seed % 2]
        request.wait()
        if seed >= 2:
            np.testing.assert_array_equal(request.outputs["prob"], expected[(seed - 2) % 4])
        request.inputs["data"][:] = picture(seed % 4)
        request.start()
    for request in requests:
        request.wait()
        assert request.done


def test_a_request_in_flight_is_not_touched() -> None:
    model = Model(classifier(size=256), precision="f32", threads=1)
    request = model.request()
    request.start()
    for use in (
        lambda: request.inputs,
        lambda: request.outputs,
        request.infer,
        request.start,
    ):
        with pytest.raises(ModelError, match=r"in flight; call wait\(\)"):
            use()
    request.wait()
    assert request.done
    request.infer()


def test_callback_gets_finished_outputs(model: Model) -> None:
    expected = [model.infer(picture(seed))["prob"] for seed in range(3)]
    request = model.request()
    seen: list[np.ndarray] = []
    threads: set[str] = set()

    def done(finished: Request) -> None:
        assert finished is request
        threads.add(threading.current_thread().name)
        seen.append(finished.outputs["prob"].copy())

    for seed in range(3):
        request.inputs["data"][:] = picture(seed)
        request.start(done)
        request.wait()
    request.start()  # without one: nobody is called
    request.wait()
    np.testing.assert_array_equal(seen, expected)


def test_a_request_may_be_dropped_in_flight() -> None:
    model = Model(classifier(size=128), precision="f32", threads=1)
    calls: list[int] = []
    for _ in range(50):
        model.request().start(lambda _: calls.append(1))
        model.request().start()
    gc.collect()
    assert len(calls) <= 50


def test_requests_are_freed(model: Model) -> None:
    import weakref

    request = model.request()
    request.start(lambda _: None)
    request.wait()
    gone = weakref.ref(request)
    del request
    assert gone() is None  # no cycle through the callback


def test_infer_from_many_threads(model: Model) -> None:
    expected = [model.infer(picture(seed))["prob"] for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            found = list(pool.map(lambda seed: model.infer({"data": picture(seed)})["prob"], range(8)))
            np.testing.assert_array_equal(found, expected)


def test_infer_returns_copies(model: Model) -> None:
    first = model.infer(picture(0))["prob"]
    kept = first.copy()
    model.infer(picture(1))
    np.testing.assert_array_equal(first, kept)


def test_infer_takes_read_only_and_other_types(model: Model) -> None:
    x = picture(0)
    x.flags.writeable = False
    expected = model.infer(x)["prob"]
    np.testing.assert_array_equal(model.infer(x.astype(np.float64))["prob"], expected)
    pixels = (x * 255).astype(np.uint8)
    np.testing.assert_array_equal(model.infer(pixels)["prob"], model.infer(pixels.astype(np.float32))["prob"])


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (np.zeros((3, 16, 16), np.float32), r"input data is \(3, 16, 16\); the network takes \(1, 3, 16, 16\)"),
        ({"image": np.zeros((1, 3, 16, 16), np.float32)}, r"takes the inputs \['data'\], not \['image'\]"),
        ({}, r"takes the inputs \['data'\], not \[\]"),
        (np.zeros((1, 3, 16, 16), np.complex64), "input data is complex64"),
    ],
)
def test_wrong_inputs_are_named_and_do_no_harm(model: Model, inputs, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        model.infer(inputs)
    model.infer(picture(0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.int64, np.uint8])
def test_outputs_are_float32_whatever_the_network_says(dtype: type) -> None:
    model = Model(through(dtype), precision="f32")
    assert model.inputs[0].dtype == dtype
    assert model.outputs[0].dtype == np.float32
    out = model.infer(np.array([[0, 1, 2, 3]], dtype))["y"]
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, [[0, 2, 4, 6]])


def test_types_that_numpy_lacks_are_float32() -> None:
    model = Model(through(ov.Type.bf16), precision="f32")
    assert model.inputs[0].dtype == np.float32
    np.testing.assert_array_equal(model.infer(np.array([[0, 1, 2, 3]], np.float32))["y"], [[0, 2, 4, 6]])


def test_outputs_of_open_size() -> None:
    boxes = op.parameter([1, 4, 4], np.float32, name="boxes")
    scores = op.parameter([1, 1, 4], np.float32, name="scores")
    found = op.non_max_suppression(
        boxes, scores, op.constant(np.int64(4)), op.constant(np.float32(0.5)), op.constant(np.float32(0.1)),
        sort_result_descending=True,
    )  # fmt: skip
    indices = op.gather(found.output(0), op.constant(np.int64(2)), op.constant(np.int64(1)))
    indices.output(0).set_names({"indices"})
    only = op.non_zero(op.greater(scores, op.constant(np.float32(0.5))))
    only.output(0).set_names({"above"})
    model = Model(ov.Model([indices, only], [boxes, scores], "nms"), precision="f32")
    assert -1 in model.outputs[1].shape
    far = np.array([[[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5], [6, 6, 7, 7]]], np.float32)
    for values, count in (([0.9, 0.2, 0.8, 0.7], 3), ([0.9, 0.2, 0.1, 0.1], 1), ([0.6, 0.6, 0.6, 0.6], 4)):
        out = model.infer({"boxes": far, "scores": np.array([[values]], np.float32)})
        assert out["above"].shape == (3, count)


def test_unnamed_outputs_are_called_after_their_layer() -> None:
    x = op.parameter([1, 4], np.float32, name="x")
    halves = op.split(x, op.constant(np.int64(1)), 2)
    halves.friendly_name = "halves"
    model = Model(ov.Model([halves.output(0), halves.output(1)], [x], "split"))
    assert [port.name for port in model.outputs] == ["halves.0", "halves.1"]


def test_the_given_network_is_left_alone() -> None:
    network = through(np.float16, (-1, 4))
    Model(network)
    assert network.inputs[0].partial_shape.is_dynamic
    assert network.outputs[0].element_type == ov.Type.f16


@pytest.mark.parametrize("options", [{"precision": "f8"}, {"device": "TPU"}])
def test_unknown_options_are_refused_with_those_there_are(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="is not known; choose"):
        Model(classifier(), **options)


def test_precision_is_reported() -> None:
    assert Model(classifier(), precision="f32").precision == "f32"
    supported = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert Model(classifier(), precision="auto").precision == ("bf16" if "BF16" in supported else "f32")


def test_a_precision_that_the_device_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from saccade.networks import devices

    monkeypatch.setattr(devices, "running_precision", lambda compiled: "f32")
    with caplog.at_level("WARNING"):
        assert Model(classifier(), precision="bf16").precision == "f32"
    assert "small cannot compute in bf16 here: it runs in f32" in caplog.text


def test_streams_run_side_by_side() -> None:
    model = Model(classifier(), precision="f32", streams=2, threads=2)
    expected = [model.infer(picture(seed))["prob"] for seed in range(2)]
    requests = [model.request() for _ in range(2)]
    for _ in range(20):
        for seed, request in enumerate(requests):
            request.inputs["data"][:] = picture(seed)
            request.start()
        for request in requests:
            request.wait()
        np.testing.assert_array_equal([request.outputs["prob"] for request in requests], expected)


def test_aligned_arrays_are_zeros_to_write_to() -> None:
    array = aligned((2, 3), np.float16)
    assert array.shape == (2, 3)
    assert array.flags.writeable
    assert not array.any()
    assert aligned((), np.float32).shape == ()
    assert aligned((0, 5), np.float32).shape == (0, 5)


def test_open_network_takes_paths(tmp_path) -> None:
    ov.save_model(classifier(), tmp_path / "m.xml")
    assert open_network(tmp_path / "m.xml", precision="f32").name == "m"
    with pytest.raises(ModelError, match="no model file at"):
        open_network("not-a-model")
