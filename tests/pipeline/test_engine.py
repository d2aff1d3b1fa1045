"""Many cameras in one process, with real captures, a real network and real threads."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, cycle, repeat
from pathlib import Path
from time import monotonic

import psutil
import pytest
from parts import Endless, Keep, Live, Means

from conditions import PATIENCE, meanwhile, wait_for
from saccade import Capture, Model, open_source
from saccade.capture import Picture, Source
from saccade.capture.figures import CaptureStatistics
from saccade.errors import ConfigError, SourceError
from saccade.frame import Frame
from saccade.networks.sharing import Networks
from saccade.pipeline import Branch, Camera, Engine
from saccade.pipeline.lane import Lane
from saccade.pipeline.post import Look
from saccade.predict import Predictor
from saccade.results import Result
from small_networks import mean_network
from videos import jpeg, mjpeg_avi, numbered_avi, picture

pytestmark = pytest.mark.usefixtures("patient_engine")

SMALL, LARGE = jpeg(picture(3)), jpeg(picture(3, (480, 640)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(mean_network(tmp_path_factory.mktemp("net") / "means.xml"), precision="f32", threads=2, streams=2)


def camera(name: str, model: Model, source: Callable[[], Source], keep: Keep | None = None, **options: float) -> Camera:
    branch = Branch(Means(model), [keep] if keep else [])
    return Camera(
        name=name, open=lambda: Capture(source(), lazy=True, wait=True), branches=[branch], **options
    )  # fmt: skip


def steady(hz: float = 50) -> Iterator[object]:
    return cycle([SMALL, 1 / hz])


class HangsOnce(Means):
    """Its first decoding waits for `gate`; `hung` says that it does."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.gate, self.hung = threading.Event(), threading.Event()

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        if not self.hung.is_set():
            self.hung.set()
            assert self.gate.wait(PATIENCE)
        return super().least_size(width, height)


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """An engine on a thread of its own."""
    with meanwhile(engine.run):
        try:
            yield engine
        finally:
            engine.stop()


def served(engine: Engine, name: str) -> int:
    return engine.statistics().cameras[name].run.frames


def check_accounts(engine: Engine) -> None:
    for name, figures in engine.statistics().cameras.items():
        pictures = dict(figures.run.pictures)
        arrived = pictures.pop("arrived")
        assert "open" not in pictures
        assert arrived == sum(pictures.values()), name


def test_every_frame_of_files_is_served_in_order_on_one_network(model: Model, tmp_path: Path) -> None:
    keeps = {f"file{i}": Keep() for i in range(5)}
    video = numbered_avi(tmp_path / "v.avi", 25)
    engine = Engine(camera(name, model, lambda: open_source(video), keep) for name, keep in keeps.items())
    figures = engine.run()
    assert figures.frames == 125
    for name, keep in keeps.items():
        assert [result.frame for result in keep.results] == list(range(25))
        assert keep.closed
        assert figures.cameras[name].run.pictures == {"arrived": 25, "served": 25}
    assert len(model.idle) <= engine.cores + 1, "cameras share requests, not only the network"


def test_one_camera_keeps_all_workers_busy_and_its_order(model: Model, tmp_path: Path) -> None:
    keep = Keep()
    engine = Engine([camera("only", model, lambda: open_source(numbered_avi(tmp_path / "v.avi", 60)), keep)], workers=4)
    assert engine.run().frames == 60
    assert [result.frame for result in keep.results] == list(range(60))


def test_two_apps_look_at_the_same_frame(model: Model, tmp_path: Path) -> None:
    keeps = [Keep(), Keep()]
    video = numbered_avi(tmp_path / "v.avi", 10)
    both = Camera(
        name="both",
        open=lambda: Capture(open_source(video), lazy=True),
        branches=[Branch(Means(model), [keep]) for keep in keeps],
    )
    assert Engine([both]).run().frames == 10
    assert [r.frame for r in keeps[0].results] == [r.frame for r in keeps[1].results] == list(range(10))


def test_a_decoder_that_hangs_costs_its_camera_only_and_comes_back(
    model: Model, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.pipeline.post.DECODE_PATIENCE", 0.3)
    monkeypatch.setattr("saccade.pipeline.post.FIRST_PAUSE", 0.1)
    hanging = HangsOnce(model)
    bad = Camera(
        name="bad",
        open=lambda: Capture(Live("bad", steady()), lazy=True),
        branches=[Branch(hanging)],
    )
    with running(Engine([camera("good", model, lambda: Live("good", steady())), bad])) as engine:
        wait_for(hanging.hung.is_set)
        before = served(engine, "good")
        wait_for(lambda: served(engine, "good") > before + 20)
        wait_for(lambda: served(engine, "bad") > 5)
        assert engine.statistics().cameras["bad"].restarts >= 1
        hanging.gate.set()
    check_accounts(engine)
    run = engine.statistics().cameras["bad"].run
    assert run.captured >= run.pictures["arrived"], "those of the capture that was given up included"
    assert engine.statistics().cameras["bad"].run.pictures["failed"] >= 1
    assert any("bad: its decoder has not come back" in record.message for record in caplog.records)


def test_a_camera_that_has_all_workers_comes_back_from_a_hang(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other tickets wait behind the decoder that hangs, and hang no less."""
    monkeypatch.setattr("saccade.pipeline.post.DECODE_PATIENCE", 0.3)
    hanging = HangsOnce(model)
    bad = Camera(name="bad", open=lambda: Capture(Live("bad", steady()), lazy=True), branches=[Branch(hanging)])
    with running(Engine([bad], workers=4)) as engine:
        try:
            wait_for(lambda: served(engine, "bad") > 5)
            assert engine.statistics().cameras["bad"].restarts >= 1
        finally:
            hanging.gate.set()
    check_accounts(engine)


def test_a_hang_in_a_capture_that_was_given_up_is_none_of_the_one_in_its_place(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two tickets that hang in one capture the second may be noticed when another capture runs."""
    engine = Engine([camera("bad", model, lambda: Live("bad", steady()))])
    engine.stop()  # no worker that is hired does anything
    post = engine._posts["bad"]
    engine._scheduler.arrive("bad", 1.0)
    ticket = engine._scheduler.take(1.0)
    assert ticket is not None
    engine._scheduler.revoke(ticket, 2.0)
    first = post.lane.capture
    engine._replace(Look(ticket, post, "infer"), 2.0)
    assert first.ledger.sealed
    figures = engine.statistics().cameras["bad"]
    assert (figures.state, figures.reason) == (
        "hung", "inference has not come back for 30 s; it is opened anew",
    )  # fmt: skip
    engine._reopen(post)
    engine._scheduler.arrive("bad", 3.0)
    engine._replace(Look(ticket, post), 4.0)
    assert post.lane.capture is not first
    assert not post.lane.capture.ledger.sealed
    assert engine._scheduler.take(4.0) is not None, "what it has waits no less"
    engine.remove("bad")
    told = len(caplog.records)
    engine._replace(Look(replace(ticket, granted=monotonic()), post), 5.0)
    assert len(caplog.records) == told, "a camera that was removed is not said to be opened anew"


class SlowReader(Keep):
    """Takes no result before `read`; `crowded` says that a second thread brought one meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.read = threading.Event(), threading.Event()
        self.crowded = False

    def accept(self, frame: Frame, result: Result) -> None:
        self.crowded |= self.waits.is_set()
        self.waits.set()
        assert self.read.wait(PATIENCE)
        super().accept(frame, result)
        self.waits.clear()


def test_cameras_wait_for_a_slow_reader_and_the_others_do_not(
    model: Model, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More cameras than there are workers have an output that takes nothing."""
    for name in ("OUTPUT_PATIENCE", "PATIENCE"):
        monkeypatch.setattr(f"saccade.pipeline.post.{name}", 0.2)
    slow = {f"slow{i}": SlowReader() for i in range(3)}
    cameras = [camera(name, model, lambda name=name: Live(name, steady()), keep) for name, keep in slow.items()]
    with running(Engine([*cameras, camera("good", model, lambda: Live("good", steady()))], workers=2)) as engine:
        try:
            wait_for(lambda: all(engine.state(name) in ("held", "hung") for name in slow))
            before = served(engine, "good")
            wait_for(lambda: served(engine, "good") > before + 5)
            for name in slow:
                wait_for(lambda name=name: engine.statistics().cameras[name].run.captured > 20)
            figures = engine.statistics()
        finally:
            for keep in slow.values():
                keep.read.set()
        wait_for(lambda: all(served(engine, name) > 5 and engine.state(name) == "up" for name in slow))
        after = engine.statistics().cameras
    check_accounts(engine)
    for name, keep in slow.items():
        of_camera = figures.cameras[name]
        assert (of_camera.state, of_camera.run.frames) == ("held", 1)
        assert of_camera.reason == "SlowReader has not taken a result for 0.2 s; the camera waits for it"
        assert of_camera.run.pictures["held"] > 0
        assert (after[name].restarts, after[name].reason) == (0, "")
        assert not keep.crowded
        told = [record for record in caplog.records if f"camera {name}: " in record.message]
        assert [record.message for record in told] == [f"camera {name}: {of_camera.reason}, the others go on"]
    assert figures.cameras["good"].state == "up"


def test_an_app_that_takes_long_is_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.pipeline.post.OUTPUT_PATIENCE", 0.1)
    done = threading.Event()

    class Slow(Means):
        name = "slow"

        def interpret(self, frame: Frame, result: Result) -> Result:
            assert done.wait(PATIENCE)
            return super().interpret(frame, result)

    branches = [Branch(Means(model), [Keep()]), Branch(Slow(model), [Keep()])]
    two = Camera(name="a", open=lambda: Capture(Live("a", steady()), lazy=True), branches=branches)
    with running(Engine([two])) as engine:
        try:
            wait_for(lambda: engine.state("a") == "held")
            wait_for(lambda: "app slow has not taken a result" in engine.statistics().cameras["a"].reason)
        finally:
            done.set()


def test_what_came_while_a_camera_was_held_is_served_without_another_picture(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.pipeline.post.OUTPUT_PATIENCE", 0.05)
    slow, more = SlowReader(), threading.Event()
    play = chain([SMALL, more, SMALL], repeat(PATIENCE))
    with running(Engine([camera("slow", model, lambda: Live("slow", play), slow)], workers=1)) as engine:
        wait_for(lambda: engine.state("slow") == "held")
        more.set()
        wait_for(lambda: engine.statistics().cameras["slow"].run.captured == 2)
        slow.read.set()
        wait_for(lambda: len(slow.results) == 2)


def test_each_picture_has_ended_when_outputs_are_closed_though_one_of_them_hangs(model: Model) -> None:
    slow = SlowReader()
    with running(Engine([camera("slow", model, lambda: Live("slow", steady()), slow)])) as engine:
        wait_for(slow.waits.is_set)
        try:
            engine.stop()
            engine.close_outputs(0.1)
            assert "open" not in engine.statistics().cameras["slow"].run.pictures
        finally:
            slow.read.set()


def test_a_file_waits_for_a_slow_reader_to_its_last_picture(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OUTPUT_PATIENCE", "PATIENCE"):
        monkeypatch.setattr(f"saccade.pipeline.post.{name}", 0.1)
    slow = SlowReader()
    engine = Engine([camera("file", model, lambda: open_source(numbered_avi(tmp_path / "v.avi", 5)), slow)], workers=3)
    with running(engine):
        wait_for(lambda: engine.state("file") == "held")
        slow.read.set()
        wait_for(lambda: engine.statistics().cameras["file"].run.frames == 5)
    assert [result.frame for result in slow.results] == list(range(5))
    assert not slow.crowded


def test_an_output_has_one_thread_though_its_camera_was_opened_anew_meanwhile(model: Model) -> None:
    """As where the decoder of a later frame hangs while an output has the one before."""
    slow, contended = SlowReader(), threading.Event()
    lane = Lane(Capture(Live("old", steady()), lazy=True), [Branch(Means(model), [slow])], depth=1)
    lock = threading.Lock()

    class Told:
        def __enter__(self) -> None:
            if not lock.acquire(blocking=False):
                contended.set()
                lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    lane._delivering = Told()  # type: ignore[assignment]

    def deliver() -> threading.Thread:
        lane.capture.begin()
        flight = lane.take(PATIENCE)
        assert flight is not None

        def finish() -> None:
            lane.finish(flight)
            lane.give_back(flight)

        thread = threading.Thread(target=finish)
        thread.start()
        return thread

    first = deliver()
    wait_for(slow.waits.is_set)
    old = lane.capture
    old.ledger.seal("failed")
    old.stop()
    lane.attach(Capture(Live("new", steady()), lazy=True))
    second = deliver()
    wait_for(lambda: contended.is_set() or slow.crowded)
    slow.read.set()
    first.join()
    second.join()
    lane.capture.stop()
    assert not slow.crowded
    assert len(slow.results) == 2


def test_figures_that_are_asked_for_while_a_camera_is_opened_anew_count_nothing_twice(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Capture(Live("old", chain([SMALL] * 5, repeat(PATIENCE))), lazy=True)
    lane = Lane(old, [Branch(Means(model))], depth=1)
    old.begin()
    wait_for(lambda: old.statistics().captured == 5)
    statistics = old.statistics
    opening = threading.Thread(target=lane.attach, args=[Capture(Live("new", repeat(PATIENCE)), lazy=True)])

    def attached_meanwhile() -> CaptureStatistics:
        figures = statistics()
        if opening.ident is None:
            opening.start()
            wait_for(lambda: lane.capture is not old or lane._guard.locked())
        return figures

    monkeypatch.setattr(old, "statistics", attached_meanwhile)
    assert lane.statistics().captured == 5
    opening.join(PATIENCE)
    assert lane.statistics().captured == 5
    old.stop()


def test_garbage_size_changes_floods_and_storms_leave_the_others_alone(model: Model) -> None:
    def garbage() -> Iterator[object]:
        return cycle([b"\xff\xd8\xff\xdb no picture", 0.01])

    def resizing() -> Iterator[object]:
        return cycle([SMALL, 0.01, LARGE, 0.01])

    def reconnecting() -> Iterator[object]:
        return cycle([SMALL, 0.01, SourceError("bad: gone")])

    keeps = {name: Keep() for name in ("resizing", "flood")}
    engine = Engine(
        [
            camera("good", model, lambda: Live("good", steady())),
            camera("garbage", model, lambda: Live("garbage", garbage())),
            camera("resizing", model, lambda: Live("resizing", resizing()), keeps["resizing"]),
            camera("storm", model, lambda: Live("storm", reconnecting())),
            camera("flood", model, lambda: Endless(SMALL), keeps["flood"]),
            camera("dead", model, lambda: Live("dead", repeat(SourceError("dead: no route")))),
        ]
    )
    with running(engine):
        wait_for(lambda: served(engine, "good") > 50 and {r.width for r in keeps["resizing"].results} == {320, 640})
        wait_for(lambda: served(engine, "storm") > 1)
        figures = engine.statistics().cameras
        assert figures["dead"].reason == "dead: no route"
        assert figures["garbage"].run.pictures["damaged"] > 0
    check_accounts(engine)


def test_cameras_come_and_go_pause_and_change_while_others_run(model: Model) -> None:
    keep = Keep()
    with running(Engine([camera("first", model, lambda: Live("first", steady()))], lasting=True)) as engine:
        engine.add(camera("second", model, lambda: Live("second", steady()), keep))
        wait_for(lambda: len(keep.results) > 5)
        with pytest.raises(ConfigError, match="'second' is there already"):
            engine.add(camera("second", model, lambda: Live("again", steady())))
        engine.pause("second")
        wait_for(lambda: engine.statistics().cameras["second"].run.pictures.get("paused", 0) > 5)
        count = len(keep.results)
        engine.pause("second", paused=False)
        wait_for(lambda: len(keep.results) > count)
        engine.change("second", rate=1, weight=2)
        assert engine.statistics().cameras["second"].share.rate == 1
        engine.remove("second")
        assert keep.closed
        with pytest.raises(ConfigError, match="no camera 'second'; there are: first"):
            engine.remove("second")
        before = served(engine, "first")
        wait_for(lambda: served(engine, "first") > before)
    check_accounts(engine)


def test_freed_memory_is_returned_now_and_then(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    returned: list[bool] = []
    monkeypatch.setattr("saccade.pipeline.engine.TRIM_SECONDS", 0.01)
    monkeypatch.setattr("saccade.pipeline.engine.give_back_free_pages", lambda: returned.append(True))
    with running(Engine([camera("only", model, lambda: Live("only", steady()))])):
        wait_for(lambda: len(returned) > 1)


def test_an_output_that_hangs_as_its_camera_is_removed_holds_up_nobody(
    model: Model, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.pipeline.engine.CLOSE_PATIENCE", 0.2)
    let_go, after = threading.Event(), threading.Event()

    class NeverCloses(Keep):
        def close(self) -> None:
            assert let_go.wait(PATIENCE)
            super().close()

    keep = NeverCloses()
    with running(Engine([camera("bad", model, lambda: Live("bad", steady()), keep)], lasting=True)) as engine:
        wait_for(lambda: served(engine, "bad") > 0)
        engine.remove("bad", then=after.set)
        assert not after.is_set()
        engine.add(camera("bad", model, lambda: Live("bad", steady())))
        wait_for(lambda: served(engine, "bad") > 0)
        let_go.set()
        wait_for(after.is_set)
    assert keep.closed
    assert any("bad: its outputs are not closed after 0.2 s" in record.message for record in caplog.records)


def test_a_due_time_wakes_one_worker_only(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that come just before their time wait for it, and with them all workers but one without a time-out."""
    engine = Engine([camera("slow", model, lambda: Live("slow", steady(20)), rate=4)], workers=6)
    waits: list[float | None] = []
    wait = engine._turn.wait
    monkeypatch.setattr(engine._turn, "wait", lambda timeout=None: (waits.append(timeout), wait(timeout))[1])
    with running(engine):
        wait_for(lambda: served(engine, "slow") >= 8)
    timed = sum(timeout is not None for timeout in waits)
    assert timed < len(waits) * 0.75, "of six workers no more than one waits for the time"


class Told(Means):
    """Tells of its first look, and at the second one sets `again` and waits for `other`."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.first, self.again, self.other = threading.Event(), threading.Event(), threading.Event()

    def interpret(self, frame: Frame, result: Result) -> Result:
        if self.first.is_set():
            self.again.set()
            assert self.other.wait(PATIENCE)
        self.first.set()
        return super().interpret(frame, result)


def test_who_sees_to_the_time_leaves_that_to_another_when_it_goes_to_work(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    """Two pictures wait for their due times, and the look at one of them lasts until the other's has come and gone."""
    apps = {"late": Told(model), "early": Told(model)}  # the second camera's due times lie before the first's
    apps["early"].other, apps["late"].other = apps["late"].again, apps["early"].again

    def play(app: Told) -> Iterator[object]:
        return chain([SMALL, app.first, SMALL], repeat(PATIENCE))

    engine = Engine(
        (
            Camera(
                name=name, open=lambda name=name, app=app: Capture(Live(name, play(app)), lazy=True, wait=True),
                branches=[Branch(app)], rate=2,
            )
            for name, app in apps.items()
        ),
        workers=2,
    )  # fmt: skip
    with running(engine):
        for name in apps:
            wait_for(lambda name=name: served(engine, name) == 2)
    assert not [record.message for record in caplog.records if "has not come back" in record.message]


def test_an_app_that_fails_is_told_once_and_its_pictures_are_counted(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Means):
        def interpret(self, frame: Frame, result: Result) -> Result:
            raise ValueError(f"broken on purpose at frame {frame.sequence}")

    broken = Camera(
        name="broken",
        open=lambda: Capture(open_source(numbered_avi(tmp_path / "v.avi", 10)), lazy=True),
        branches=[Branch(Broken(model))],
    )
    engine = Engine([broken, camera("good", model, lambda: open_source(numbered_avi(tmp_path / "w.avi", 10)))])
    figures = engine.run().cameras
    assert figures["broken"].run.pictures == {"arrived": 10, "failed": 10}
    assert figures["broken"].share.served == 10, "looks that fail are no more often than those that do not"
    assert figures["good"].run.pictures == {"arrived": 10, "served": 10}
    (told,) = [record for record in caplog.records if "broken" in record.message]
    assert told.message.startswith("camera broken: ValueError: broken on purpose at frame ")
    assert told.exc_info, "where it happened is told with it, and once as well"


def test_a_failure_is_no_reason_any_more_once_results_come_again(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class FailsTwice(Means):
        def interpret(self, frame: Frame, result: Result) -> Result:
            if frame.sequence in (0, 5):
                raise ValueError("out of memory")
            return super().interpret(frame, result)

    video = numbered_avi(tmp_path / "v.avi", 10)
    app = FailsTwice(model)
    engine = Engine([Camera(name="a", open=lambda: Capture(open_source(video), lazy=True), branches=[Branch(app)])])
    figures = engine.run().cameras["a"]
    assert figures.run.pictures == {"arrived": 10, "served": 8, "failed": 2}
    assert (figures.state, figures.reason) == ("ended", "")
    assert caplog.messages.count("camera a: ValueError: out of memory") == 1


def test_reconnects_and_size_changes_leave_no_memory_thread_or_descriptor(model: Model, tmp_path: Path) -> None:
    process = psutil.Process()
    sizes = [
        mjpeg_avi(tmp_path / f"{i}.avi", [jpeg(picture(i, size))] * 3, size)
        for i, size in enumerate([(240, 320), (480, 640)])
    ]
    figures = []
    with running(Engine([camera("stays", model, lambda: Live("stays", steady(10)))], lasting=True)) as engine:
        for count in range(120):
            keep = Keep()
            engine.add(camera("comes", model, lambda: open_source(sizes[count % 2]), keep))  # noqa: B023
            wait_for(lambda: len(keep.results) == 3)  # noqa: B023
            engine.remove("comes")
            if count % 30 == 29:
                gc.collect()
                figures.append((process.memory_info().rss, process.num_threads(), process.num_fds()))
        assert figures[-1][0] - figures[1][0] < 3 << 20
        # What has been removed may still be about to end.
        wait_for(lambda: process.num_threads() <= figures[0][1] and process.num_fds() <= figures[0][2])


def test_a_network_is_opened_once_for_the_same_file_and_options(tmp_path: Path) -> None:
    networks = Networks(threads=1, precision="f32")
    path = mean_network(tmp_path / "means.xml")
    first, same, other = networks.open(path), networks.open(path), networks.open(path, batch=1)
    assert first is same
    assert first is not other
    assert isinstance(Means(first).predictor, Predictor)
    del first, same, other
    gc.collect()
    assert len(networks) == 0, "what nobody uses is gone"


def test_wrong_rates_and_weights_are_named(model: Model) -> None:
    with pytest.raises(ConfigError, match="camera a: rate 0; give pictures a second, above 0 and up to 1000"):
        camera("a", model, lambda: Endless(SMALL), rate=0)
    with pytest.raises(ConfigError, match="camera a: weight -1; give a number above 0"):
        camera("a", model, lambda: Endless(SMALL), weight=-1)


def test_accounts_agree_however_a_run_is_stopped(model: Model) -> None:
    engine = Engine(
        chain(
            (camera(f"live{i}", model, lambda: Live("live", steady(200)), rate=20) for i in range(4)),
            (camera(f"flat{i}", model, lambda: Endless(SMALL)) for i in range(2)),
        )
    )
    figures = engine.run(seconds=0.5)
    check_accounts(engine)
    assert all(camera.run.pictures["served"] == camera.run.frames for camera in figures.cameras.values())


class Counted(Live):
    """Counts what it gave."""

    given = 0

    def read(self) -> Picture | None:
        picture = super().read()
        self.given += picture is not None
        return picture


@pytest.mark.parametrize("frames", [0, 1, 7, 40])
def test_accounts_hold_at_every_moment_of_a_shutdown(model: Model, frames: int) -> None:
    sources = {
        "live": Counted("live", steady(300)),
        "flood": Counted("flood", cycle([SMALL])),
        "garbage": Counted("garbage", cycle([b"\xff\xd8\xff\xdb no picture", SMALL, 0.002])),
        "paused": Counted("paused", steady(300)),
    }
    keeps = {name: Keep() for name in sources}
    engine = Engine(
        camera(name, model, lambda source=source: source, keeps[name], rate=60 if name == "live" else None)
        for name, source in sources.items()
    )
    engine.pause("paused")
    newest: dict[str, int] = dict.fromkeys(sources, 0)

    def look() -> None:
        for name, figures in engine.statistics().cameras.items():
            pictures = figures.run.pictures
            assert pictures.get("open", 0) >= 0, (name, pictures)
            assert pictures["arrived"] == sum(count for reason, count in pictures.items() if reason != "arrived")
            assert newest[name] <= pictures["arrived"] <= sources[name].given
            newest[name] = pictures["arrived"]

    over = threading.Event()
    with meanwhile(lambda: (engine.run(), over.set())):
        wait_for(lambda: sum(len(keep.results) for keep in keeps.values()) >= frames)
        look()
        engine.stop()
        wait_for(lambda: look() or over.is_set(), pause=0)
    look()
    check_accounts(engine)
    for name, figures in engine.statistics().cameras.items():
        pictures = figures.run.pictures
        assert pictures.get("served", 0) == len(keeps[name].results) == figures.run.frames
        # One may have been read and come too late to be entered.
        assert sources[name].given - pictures["arrived"] in (0, 1)
    assert engine.statistics().cameras["paused"].run.pictures.get("served", 0) == 0
