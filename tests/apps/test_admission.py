"""What cameras need of a machine, told and explained: from made-up figures, and once from a real network."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from conditions import PATIENCE
from saccade.apps import make_app
from saccade.apps.admission import Admission
from saccade.apps.costs import CameraCost, ProcessorMeter, RememberedCosts, Spent, inference_seconds
from saccade.apps.why import explain
from saccade.config import CameraConfig, RunConfig
from saccade.config.camera import CameraApp
from saccade.errors import ConfigError
from saccade.pipeline.figures import CameraStatistics, EngineStatistics, PipelineStatistics
from saccade.pipeline.scheduler import Share
from saccade.statistics import Timing
from small_networks import classifier_network

DECODE, WORK, INFERENCE = 0.004, 0.006, 0.010
"""What a look costs in these tests, s: decoding, all that workers do, inference."""


class Box:
    """Two cores and cameras at 25 pictures a second, asked for 5 looks, at any time."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, names: str = "ab", *, rate: float | None = 5, others: float = 0
    ):
        self.now, self.names, self.rate, self.others, self.share = 0.0, names, rate, others, 1.0
        self.remembered: dict[str, CameraCost] = {}
        self.admission = Admission(self.figures, clock=lambda: self.now, remember=self.remembered.update)
        monkeypatch.setattr(ProcessorMeter, "read", lambda _: self.spent())

    def looks(self) -> int:
        return round(self.now * min(self.rate or 25, 25) * self.share)

    def spent(self) -> Spent:
        looks = self.looks() * len(self.names)
        total = looks * (WORK + INFERENCE)
        return Spent(total, 0.0, looks * WORK, looks * INFERENCE, total + 2 * self.others * self.now)

    def figures(self) -> EngineStatistics:
        looks = self.looks()
        stages = {
            name: Timing(looks, seconds * 1e3, seconds * 1e3, looks * seconds * 1e3)
            for name, seconds in {"decode": DECODE, "preprocess": 0.001, "postprocess": 0.001, "output": 0.0}.items()
        }
        run = PipelineStatistics(
            frames=looks, seconds=self.now, fps=looks / (self.now or 1), recent_fps=0.0, captured=looks, dropped=0,
            damaged=0, reconnects=0, stages=stages, age=Timing(0, 0, 0, 0), device="CPU", precision="f32", model="m",
            source="s", app="a", state="up", pictures={"arrived": round(25 * self.now), "over budget": 9},
        )  # fmt: skip
        share = Share(self.rate, 1.0, looks, 0.02, 1 / 25, False, False)
        cameras = {name: CameraStatistics(run, share, 0, "up", "") for name in self.names}
        return EngineStatistics(cameras, looks * len(cameras), self.now, 0.0, 2, self.share < 1)

    def until(self, seconds: float) -> Box:
        while self.now < seconds:
            self.now += 0.5
            self.admission.look()
        return self

    def summary(self) -> dict[str, Any]:
        figures = self.figures().summary()
        for name, looks in self.admission.looks.items():
            figures["cameras"][name]["looks"] = looks
        return json.loads(json.dumps(figures | self.admission.summary()))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "of this box" in record.message]


def test_what_was_measured_last_time_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    box = Box(monkeypatch)
    box.admission.expect({"a": 5.0, "b": 50.0}, {"a": CameraCost(0.02), "b": CameraCost(0.02, 0.1, 25.0)}, {})
    # 5 x 20 ms, and 25 x 20 ms as the camera gives no more, and a tenth of a core for its stream, of two cores.
    assert lines(caplog) == ["1 x 5 fps and 1 x 50 fps need 35% of this box (2 cores), as measured last time"]
    assert box.admission.summary()["load"]["estimate"] is True


def test_new_cameras_are_estimated_from_their_first_pictures_and_corrected_by_measuring(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    box = Box(monkeypatch)
    box.admission.expect({"a": 5.0, "b": 5.0}, {}, {"a": 0.02, "b": 0.02})
    box.until(0.5)
    assert lines(caplog) == ["2 x 5 fps need 13% of this box (2 cores), by the first pictures"]
    box.until(10)
    assert lines(caplog)[1:] == ["2 x 5 fps need 8% of this box (2 cores)"]
    assert box.admission.summary() == {
        "load": {"asked": "2 x 5 fps", "wanted_fps": 10.0, "served_fps": 10.0, "used": 0.08, "need": 0.08,
                 "gated": False, "estimate": False},
        "costs": {"running_cores": 0.0, "others_cores": 0.0, "decode_ms": 4.0, "inference_ms": 10.0, "rest_ms": 2.0,
                  "looks": 10.0, "used": 0.08},
    }  # fmt: skip
    assert box.remembered == {name: CameraCost(pytest.approx(0.016), 0.0, 25.0) for name in "ab"}
    box.until(60)
    assert len(lines(caplog)) == 2, "told once"
    box.share = 0.5
    box.others = 0.9
    box.until(100)
    assert "other programs have" in lines(caplog)[2], "until it turns"


def test_why_names_what_bounds_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    young = explain(Box(monkeypatch).until(1).summary())
    assert young.bound == "unknown"
    assert young.chances == ()
    enough = explain(Box(monkeypatch).until(10).summary())
    assert (enough.bound, {c.bound for c in enough.cameras}) == ("budget", {"budget"})
    # 2 cores / 16 ms, 3 cores / 16 ms; inference at half of its 10 ms.
    assert enough.chances[0] == "at most 125 looks a second on 2 cores; with one core more about 188"
    assert enough.chances[1].startswith("with INT8 about 182, if it makes the network 2 times as fast")
    free = explain(Box(monkeypatch, rate=None).until(10).summary())
    assert (free.bound, {c.bound for c in free.cameras}) == ("camera", {"camera"})
    slow = explain(Box(monkeypatch, rate=60).until(10).summary())
    assert (slow.bound, {c.why for c in slow.cameras}) == ("camera", {"gives 25.0 pictures a second, 60 are asked for"})

    full = Box(monkeypatch, "abcdefgh", rate=20)
    full.share = 0.7
    why = explain(full.until(10).summary())
    assert why.bound == "inference"
    assert "the 2 cores are in full use, 62% of it by inference" in why.why
    assert {c.bound for c in why.cameras} == {"inference"}
    monkeypatch.setitem(globals(), "DECODE", 0.019)
    monkeypatch.setitem(globals(), "WORK", 0.022)
    full = Box(monkeypatch, "abcdefgh", rate=20)
    full.share = 0.35
    assert explain(full.until(10).summary()).bound == "decode"

    crowded = Box(monkeypatch, others=0.9)
    crowded.share = 0.5
    assert explain(crowded.until(10).summary()).bound == "others"
    remote = Box(monkeypatch)
    remote.share = 0.5
    assert explain(remote.until(10).summary()).bound == "device"

    away = Box(monkeypatch).until(10).summary()
    away["cameras"]["a"] |= {"state": "lost", "reason": "no route"}
    away["cameras"]["c"] = {"state": "failed", "reason": "no model", "frames": 0}
    assert [(c.name, c.bound, c.why) for c in explain(away).cameras if c.bound == "away"] == [
        ("a", "away", "lost: no route"), ("c", "away", "failed: no model"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "figures",
    [
        {}, {"cameras": 3, "cores": 2}, {"cameras": {"a": {}}, "cores": 2}, {"cores": 0}, {"stages": {}},
        {"cameras": {"a": {"state": "up", "pictures": {}, "looks": "many"}}, "cores": 2},
        {"cameras": {"a": {"state": "up", "pictures": {"arrived": 10**400}, "looks": 10**400}}, "cores": 2},
    ],
)  # fmt: skip
def test_what_is_no_summary_is_refused(figures: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="these"):
        explain(figures)


def test_costs_are_remembered_for_the_same_source_and_networks(tmp_path: Path) -> None:
    def camera(source: str = "rtsp://me:secret@cam/1", **options: Any) -> CameraConfig:
        config = RunConfig(source=source, model="m.xml", **options)
        return CameraConfig(apps=(CameraApp("detect", config),), config=config)

    file = tmp_path / "deep" / "costs.json"
    RememberedCosts(file).remember([(camera(), CameraCost(0.01, 0.2, 25.0))])
    again = RememberedCosts(file)
    assert again.of(camera(rate=3)) == CameraCost(0.01, 0.2, 25.0)
    assert again.of(camera(tiles="2x2")) is again.of(camera("rtsp://other/1")) is None
    assert "secret" not in file.read_text()
    for broken in ("", "[]", '{"x": 3}', "\x00"):
        file.write_text(broken)
        assert RememberedCosts(file).of(camera()) is None


def test_a_network_is_measured_on_the_processor(tmp_path: Path) -> None:
    app = make_app("classify", RunConfig(model=str(classifier_network(tmp_path / "n.xml")), device="CPU"))
    assert 0 < inference_seconds(app) < 1


@pytest.mark.parametrize(("name", "purpose"), [("saccade-worker", "work"), ("saccade-capture", "capture"), ("x", "")])
def test_the_meter_knows_what_a_thread_is_for(name: str, purpose: str) -> None:
    def burn() -> None:
        while time.thread_time() < 0.1:
            sum(range(1000))
        burnt.set()
        done.wait(PATIENCE)

    burnt, done, meter = threading.Event(), threading.Event(), ProcessorMeter()
    before = meter.read()
    thread = threading.Thread(target=burn, name=name, daemon=True)
    thread.start()
    assert burnt.wait(PATIENCE)
    spent = meter.read().since(before)
    done.set()
    thread.join(PATIENCE)
    assert spent.total >= 0.09
    for other in ("capture", "work"):
        assert (getattr(spent, other) >= 0.09) == (other == purpose)
