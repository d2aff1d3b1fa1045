"""The pipeline on real files and a real (small) network."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from parts import Endless, Keep, Live, Means

from conditions import PATIENCE, meanwhile, wait_for
from lengths import length
from saccade import Capture, Model, Pipeline, open_source, stream
from saccade.errors import ConfigError, DeviceError, SourceError
from saccade.frame import Frame
from saccade.networks.network import Outputs
from saccade.networks.spec import InputSpec
from saccade.pipeline import App
from saccade.predict import Predictor
from saccade.predict.framing import make_plan
from saccade.predict.parser import Settings
from saccade.predict.predictor import Prediction
from saccade.results import Detections, LifeEvent, Result
from small_networks import mean_network
from videos import jpeg, mjpeg_avi, numbered_avi, picture


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


@pytest.mark.parametrize("cores", [1, 3])
def test_a_file_is_decoded_by_as_many_threads_as_there_are_cores(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    capture, names, all_at_it = Capture(open_source(numbered_avi(tmp_path / "v.avi", 12))), [], threading.Event()
    fill = capture._filled

    def filled(*args: Any) -> Frame | None:
        names.append(threading.current_thread().name)
        if len(names) == cores:
            all_at_it.set()
        assert all_at_it.wait(PATIENCE)
        return fill(*args)

    monkeypatch.setattr(capture, "_filled", filled)
    keep = Keep()
    Pipeline(capture, Means(model), [keep]).run()
    assert [result.frame for result in keep.results] == list(range(12))
    assert sorted(names[:cores]) == ["saccade-capture"] + ["saccade-decode"] * (cores - 1)


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
    wait_for(lambda: all(frame.released for frame in seen))


def test_what_fails_when_nobody_waits_for_it_any_more_is_no_error(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, app = Keep(), Means(model)
    capture = Capture(open_source(numbered_avi(tmp_path / "v.avi", 25)), slots=3)
    start, release, failed = app.predictor.start, Prediction.release, []

    def started(frame: Frame) -> Prediction:
        wait_for(lambda: capture.queued)  # the second is in flight when the first has its result
        return start(frame)

    def released(prediction: Prediction) -> None:
        is_abandoned = bool(prediction._started) and prediction._frame.sequence > 0
        release(prediction)
        if is_abandoned:
            failed.append(prediction)
            raise DeviceError("the server has gone")

    monkeypatch.setattr(app.predictor, "start", started)
    monkeypatch.setattr(Prediction, "release", released)
    assert Pipeline(capture, app, [keep]).run(frames=1).frames == 1
    assert len(failed) == 1
    assert keep.closed


def test_seconds_end_a_live_run(model: Model, tmp_path: Path) -> None:
    video = numbered_avi(tmp_path / "v.avi", 400)
    keep = Keep()
    start = time.monotonic()
    figures = Pipeline(Capture(open_source(video, realtime=True), slots=3), Means(model), [keep]).run(seconds=0.5)
    # A busy machine drops frames, but none comes before it is due: 30 Hz.
    assert 0 < figures.captured <= 1 + 30 * (time.monotonic() - start)
    assert figures.frames == len(keep.results) > 0
    assert keep.results[-1].frame < 399
    assert figures.fps == pytest.approx(figures.frames / figures.seconds, rel=0.01)


def test_stop_from_another_thread(model: Model, tmp_path: Path) -> None:
    video = numbered_avi(tmp_path / "v.avi", 400)
    keep = Keep()
    pipeline = Pipeline(Capture(open_source(video, realtime=True), slots=3), Means(model), [keep])

    def stop_after_five() -> None:
        wait_for(lambda: len(keep.results) >= 5)
        pipeline.stop()

    with meanwhile(stop_after_five):
        figures = pipeline.run()
    assert 5 <= figures.frames < 400
    assert keep.results[-1].frame < 399


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


def test_an_output_that_cannot_be_closed_either_is_left_out_and_gives_its_slots_back(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Hoarder):
        def close(self) -> None:
            raise OSError("no space left for the rest")

    good = Keep()
    figures = Pipeline(
        Capture(open_source(numbered_avi(tmp_path / "v.avi", 20))), Means(model), [Broken(leases=1), good]
    ).run()
    assert (figures.frames, len(good.results)) == (20, 20)
    assert [record.message.partition(":")[0] for record in caplog.records if record.levelname == "ERROR"] == [
        "Broken failed and is left out from now on", "Broken could not be closed cleanly",
    ]  # fmt: skip


class OnlyAccepts:
    """An output that holds nothing: no `close`, no `leases`."""

    def __init__(self, fail: bool) -> None:
        self.taken = 0
        self._fail = fail

    def accept(self, frame: Frame, result: Result) -> None:
        self.taken += 1
        if self._fail:
            raise OSError("no space left")


@pytest.mark.parametrize("fail", [False, True])
def test_an_output_that_holds_nothing_needs_no_close(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture, fail: bool
) -> None:
    mine, good = OnlyAccepts(fail), Keep()
    video = numbered_avi(tmp_path / "v.avi", 5)
    Pipeline(Capture(open_source(video), slots=3), Means(model), [mine, good]).run()  # type: ignore[list-item]
    assert (mine.taken, len(good.results)) == (1 if fail else 5, 5)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "OnlyAccepts failed and is left out from now on: no space left"
    ] * fail


class Hoarder(Keep):
    """Retains every frame it is given."""

    def __init__(self, leases: int) -> None:
        super().__init__()
        self.leases = leases
        self.frames: list[Frame] = []

    def accept(self, frame: Frame, result: Result) -> None:
        super().accept(frame, result)
        self.frames.append(frame.retain())


def test_an_output_that_hoards_frames_is_left_out_and_the_capture_goes_on(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = numbered_avi(tmp_path / "v.avi", 20)
    hoarder, good = Hoarder(leases=2), Keep()
    figures = Pipeline(Capture(open_source(video)), Means(model), [hoarder, good]).run()
    assert figures.frames == 20
    assert (len(hoarder.results), len(good.results)) == (3, 20)
    assert hoarder.closed
    (message,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert "it retains 3 frames and has `leases = 2`; release them sooner" in message


def test_an_output_may_retain_what_it_says_while_another_keeps_the_same_frame(model: Model, tmp_path: Path) -> None:
    class Newest(Hoarder):
        def accept(self, frame: Frame, result: Result) -> None:
            super().accept(frame, result)
            for old in self.frames[: -self.leases]:
                old.release()
            del self.frames[: -self.leases]

    slow, quick = Newest(leases=3), Newest(leases=1)
    Pipeline(Capture(open_source(numbered_avi(tmp_path / "v.avi", 20))), Means(model), [slow, quick]).run()
    assert (len(slow.results), len(quick.results)) == (20, 20)
    assert [frame.sequence for frame in slow.frames] == [17, 18, 19]
    assert slow.frames[0].bgr().shape == (240, 320, 3), "retained frames can be read after the run"


def test_iterating_feeds_the_outputs_too(model: Model, tmp_path: Path) -> None:
    keep = Keep()
    pipeline = Pipeline(Capture(open_source(numbered_avi(tmp_path / "v.avi", 6))), Means(model), [keep])
    for count, (_, result) in enumerate(pipeline, 1):
        assert keep.results[-1] is result
        assert len(keep.results) == count
    assert keep.closed, "all results were had: what outputs hold is written"


def test_a_stream_is_a_loop(model: Model, tmp_path: Path) -> None:
    video, keep, means = numbered_avi(tmp_path / "v.avi", 5), Keep(), Means(model)
    seen = [(frame.sequence, result.frame) for frame, result in stream(str(video), means.predictor, outputs=[keep])]
    assert seen == [(i, i) for i in range(5)]
    assert len(keep.results) == 5
    with pytest.raises(SourceError):
        list(stream(str(tmp_path / "none.avi"), means.predictor))


class BoxParser:
    """One object at the same place."""

    family, task, names, defaults = "box", "detect", ("thing",), Settings()

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        box, score = np.array([[4, 4, 20, 20]], np.float32), np.array([0.9], np.float32)
        return Detections(box, score, np.zeros(1, np.int32), names=self.names)


def test_objects_have_numbers_and_outputs_hear_of_their_life_to_its_end(model: Model, tmp_path: Path) -> None:
    class Listener(Keep):
        def conclude(self, life: tuple[LifeEvent, ...]) -> None:
            assert not self.closed
            self.ends = life

    class Counting(App):
        def interpret(self, frame: Frame, result: Result) -> Result:
            assert result.detections is not None
            seen.append(result.detections.tracks)
            return result

    seen: list[object] = []
    keep, silent = Listener(), Keep()
    video, predictor = numbered_avi(tmp_path / "v.avi", 20), Predictor(model, InputSpec(32, 32), BoxParser())
    Pipeline(Capture(open_source(video)), Counting(predictor), [silent, keep]).run()
    assert seen == [[1]] * 20
    events = [event for result in keep.results for event in result.life]
    assert [event.kind for event in (*events, *keep.ends)] == ["new", "end"]
    assert keep.ends[0].end == keep.results[-1].time
    assert keep.results[0].to_event()["detections"][0]["track"] == 1
    predictor = Predictor(model, InputSpec(32, 32), BoxParser())
    plain = [result for _, result in stream(video, predictor, track=False)]
    assert {result.detections.tracks for result in plain if result.detections} == {None}


def test_an_error_in_the_app_ends_the_run_and_gives_everything_back(model: Model, tmp_path: Path) -> None:
    class Broken(Means):
        def interpret(self, frame: Frame, result: Result) -> Result:
            if frame.sequence == 4:
                raise ValueError("broken on purpose")
            return super().interpret(frame, result)

    capture = Capture(open_source(numbered_avi(tmp_path / "v.avi", 20)), slots=3)
    keep = Keep()
    with pytest.raises(ValueError, match="on purpose"):
        Pipeline(capture, Broken(model), [keep]).run()
    assert len(keep.results) == 4
    assert keep.closed
    assert capture.ended
    assert not [t for t in threading.enumerate() if t.name == "saccade-capture" and t.is_alive()]


def test_a_device_here_that_fails_ends_a_live_run_too(model: Model) -> None:
    class Lost(Means):
        def interpret(self, frame: Frame, result: Result) -> Result:
            raise DeviceError("the GPU was reset")

    with pytest.raises(DeviceError, match="was reset"):
        Pipeline(Capture(Live("camera", cycle([jpeg(picture(3)), 0.02]))), Lost(model)).run()


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
    spec = InputSpec(80, 80, resize="letterbox" if letterbox else "stretch")
    region = (0.1, 0.2, 0.8, 0.7)
    plan, view = make_plan(frame, spec, region, mirror=mirror)
    tensor = plan(planes, out=np.empty((1, 3, 80, 80), np.float32))[0, 0]
    y, x = np.unravel_index(tensor.argmax(), tensor.shape)
    source_x = (x + 0.5) * view.scale_x + view.offset_x
    source_y = (y + 0.5) * view.scale_y + view.offset_y
    assert 200 <= source_x <= 212
    assert 120 <= source_y <= 132


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
def test_memory_is_flat_over_thousands_of_frames(model: Model) -> None:
    process = psutil.Process()
    pipeline = Pipeline(Capture(Endless(jpeg(picture(3, (480, 640)))), slots=3), Means(model))
    sizes = []
    for count, _ in enumerate(pipeline):
        if count % 500 == 499:
            sizes.append(process.memory_info().rss)
        if len(sizes) == length(6, 20):
            break
    assert sizes[-1] - sizes[1] < 4 << 20, [size >> 20 for size in sizes]
