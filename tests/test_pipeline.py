"""The pipeline on real files and a real (small) network."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from networks import mean_network
from saccade import Capture, Model, Pipeline, open_source
from saccade.capture import Picture, Source
from saccade.errors import ConfigError
from saccade.frame import Frame
from saccade.models.spec import InputSpec
from saccade.pipeline import WHOLE_FRAME, Region, View, least_size_for, make_plan
from saccade.results import Classification, Result
from videos import jpeg, mjpeg_avi, numbered_avi, picture


class Means:
    """An app whose result is the mean of each channel."""

    name = "means"
    model_name = "means"
    mirror = False
    input = InputSpec(32, 32)

    def __init__(self, model: Model) -> None:
        self.model = model
        self.closed = False

    def region(self, frame: Frame) -> Region:
        return WHOLE_FRAME

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        return least_size_for(self.input, WHOLE_FRAME, width, height)

    def interpret(self, frame: Frame, outputs: Mapping[str, NDArray[np.float32]], view: View) -> Result:
        classes = Classification(np.arange(3, dtype=np.int32), outputs["means"][0].copy())
        return Result(
            frame=frame.sequence, time=frame.time, app="means", width=frame.width, height=frame.height, classes=classes
        )

    def close(self) -> None:
        self.closed = True


class Keep:
    """An output that keeps results, and may fail."""

    leases = 0

    def __init__(self, fail_at: int | None = None) -> None:
        self.results: list[Result] = []
        self.closed = False
        self._fail_at = fail_at

    def accept(self, frame: Frame, result: Result) -> None:
        if len(self.results) == self._fail_at:
            raise OSError("no space left")
        self.results.append(result)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(mean_network(tmp_path_factory.mktemp("net") / "means.xml"), precision="f32", threads=1)


@pytest.mark.parametrize("requests", [1, 2, 4])
def test_every_frame_of_a_file_gives_one_result_in_order(model: Model, tmp_path: Path, requests: int) -> None:
    video = numbered_avi(tmp_path / "v.avi", 25)
    keep = Keep()
    app = Means(model)
    capture = Capture(open_source(video), slots=requests + 1)
    figures = Pipeline(capture, app, [keep], requests=requests).run()
    assert [result.frame for result in keep.results] == list(range(25))
    assert (figures.frames, figures.dropped, figures.captured) == (25, 0, 25)
    for index, result in enumerate(keep.results):
        assert result.classes is not None
        expected = picture(index).mean((0, 1))
        assert np.abs(result.classes.scores - expected).max() < 2.5, "tensor of another frame, or overwritten in flight"
    assert keep.closed
    assert app.closed
    assert set(figures.stages) == {"decode", "preprocess", "infer", "postprocess", "output"}
    assert 0 < figures.age.p50_ms <= figures.age.p99_ms


def test_limits_and_iteration(model: Model, tmp_path: Path) -> None:
    video = numbered_avi(tmp_path / "v.avi", 25)
    assert Pipeline(Capture(open_source(video), slots=3), Means(model)).run(frames=7).frames == 7
    seen = []
    for frame, _ in Pipeline(Capture(open_source(video), slots=3), Means(model)):
        assert frame.bgr().shape == (240, 320, 3)
        seen.append(frame)
        if len(seen) == 5:
            break
    assert [frame.sequence for frame in seen] == list(range(5))
    time.sleep(0.05)
    assert all(frame.released for frame in seen)


def test_seconds_end_a_live_run(model: Model, tmp_path: Path) -> None:
    video = numbered_avi(tmp_path / "v.avi", 90)
    figures = Pipeline(Capture(open_source(video, realtime=True), slots=3), Means(model)).run(seconds=0.5)
    assert 10 <= figures.frames <= 17  # 30 Hz
    assert figures.fps == pytest.approx(30, rel=0.2)


def test_stop_from_another_thread(model: Model, tmp_path: Path) -> None:
    video = numbered_avi(tmp_path / "v.avi", 400)
    pipeline = Pipeline(Capture(open_source(video, realtime=True), slots=3), Means(model))
    threading.Timer(0.3, pipeline.stop).start()
    start = time.monotonic()
    figures = pipeline.run()
    assert time.monotonic() - start < 1.3
    assert 0 < figures.frames < 60


def test_a_failing_output_is_left_out_and_the_others_go_on(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = numbered_avi(tmp_path / "v.avi", 20)
    good, bad = Keep(), Keep(fail_at=3)
    Pipeline(Capture(open_source(video), slots=3), Means(model), [bad, good]).run()
    assert (len(bad.results), len(good.results)) == (3, 20)
    assert bad.closed
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "Keep failed and is left out from now on: no space left"
    ]


def test_an_error_in_the_app_ends_the_run_and_gives_everything_back(model: Model, tmp_path: Path) -> None:
    class Broken(Means):
        def interpret(self, frame: Frame, outputs: Mapping[str, NDArray[np.float32]], view: View) -> Result:
            if frame.sequence == 4:
                raise ValueError("broken on purpose")
            return super().interpret(frame, outputs, view)

    capture = Capture(open_source(numbered_avi(tmp_path / "v.avi", 20)), slots=3)
    keep = Keep()
    with pytest.raises(ValueError, match="on purpose"):
        Pipeline(capture, Broken(model), [keep]).run()
    assert len(keep.results) == 4
    assert keep.closed
    assert capture.ended
    assert not [t for t in threading.enumerate() if t.name == "saccade-capture" and t.is_alive()]


def test_frame_size_may_change_in_mid_stream(model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [jpeg(picture(i)) for i in range(5)] + [jpeg(picture(i, (480, 640))) for i in range(5)]
    keep = Keep()
    Pipeline(Capture(open_source(mjpeg_avi(tmp_path / "v.avi", frames)), slots=3), Means(model), [keep]).run()
    assert [(result.width, result.height) for result in keep.results] == [(320, 240)] * 5 + [(640, 480)] * 5
    assert any("frame size changed from 320x240 to 640x480" in record.message for record in caplog.records)


def test_requests_are_bounded(model: Model, tmp_path: Path) -> None:
    capture = Capture(open_source(numbered_avi(tmp_path / "v.avi", 2)))
    with pytest.raises(ConfigError, match="requests: got 0; expected 1 to 16"):
        Pipeline(capture, Means(model), requests=0)


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_view_maps_the_input_back_to_source_pixels(letterbox: bool, mirror: bool) -> None:
    # A white pixel block in the planes, at half the source's size, is found again where it is in the source.
    planes = np.zeros((120, 160, 3), np.uint8)
    planes[60:66, 100:106] = 255
    frame = Frame(width=320, height=240, planes=(planes,))
    spec = InputSpec(80, 80, letterbox=letterbox)
    region = (0.1, 0.2, 0.8, 0.7)
    plan, view = make_plan(frame, spec, region, mirror=mirror)
    tensor = plan(planes, out=np.empty((1, 3, 80, 80), np.float32))[0, 0]
    y, x = np.unravel_index(tensor.argmax(), tensor.shape)
    source_x = (x + 0.5) * view.scale_x + view.offset_x
    source_y = (y + 0.5) * view.scale_y + view.offset_y
    assert 200 <= source_x <= 212
    assert 120 <= source_y <= 132


class Endless(Source):
    """The same compressed picture for ever, from memory."""

    def __init__(self, data: bytes) -> None:
        super().__init__("endless")
        self._data = data

    def open(self) -> None:
        pass

    def read(self) -> Picture | None:
        if self.interrupted:
            return None
        return Picture(time=0.0, captured=time.monotonic(), size=len(self._data), jpeg=memoryview(self._data))

    def close(self) -> None:
        pass


def test_no_frame_sized_allocation_in_steady_state(model: Model) -> None:
    data = jpeg(picture(3, (1080, 1920)))
    keep = Keep()
    pipeline = Pipeline(Capture(Endless(data), slots=3), Means(model), [keep])
    largest = []
    frame_bytes = 135 * 240 * 3  # the DCT-scaled inference picture, the smallest picture there is
    for count, _ in enumerate(pipeline):
        if count == 20:
            tracemalloc.start()
        if count >= 20:
            current, peak = tracemalloc.get_traced_memory()
            largest.append(peak - current)
            tracemalloc.reset_peak()
        if count == 60:
            tracemalloc.stop()
            break
    # NumPy reports its buffers to tracemalloc, so that any picture or tensor made for a frame would show.
    assert max(largest) < frame_bytes / 4
    slots = pipeline.capture
    assert slots.statistics().damaged == 0


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_frames(model: Model) -> None:
    process = psutil.Process()
    pipeline = Pipeline(Capture(Endless(jpeg(picture(3, (480, 640)))), slots=3), Means(model))
    sizes = []
    for count, _ in enumerate(pipeline):
        if count % 1000 == 999:
            sizes.append(process.memory_info().rss)
        if count == 9999:
            break
    assert sizes[-1] - sizes[1] < 4 << 20, [size >> 20 for size in sizes]
