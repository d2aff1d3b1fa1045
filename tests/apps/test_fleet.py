"""The cameras of a file, with real captures and networks, changed while they run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import local_broker
from conditions import meanwhile, wait_for
from saccade.apps.cameras_file import CamerasFile
from saccade.apps.fleet import Fleet
from saccade.apps.running_camera import looked_at
from saccade.apps.switching import Change, RunningCameras
from saccade.config import RunConfig, read_camera
from saccade.errors import ConfigError, SaccadeError
from saccade.outputs.opening import Outputs
from small_networks import classifier_network, mean_network
from videos import numbered_avi

pytestmark = pytest.mark.usefixtures("own_costs", "patient_engine")


class Written:
    """A file of cameras that is written again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "cameras.toml"
        self.network = classifier_network(folder / "net.xml")
        self.defaults = {"model": str(self.network), "scale": 255, "app": "classify", "device": "CPU"}

    def say(self, *cameras: dict[str, object], **defaults: object) -> Path:
        text = "".join(
            f"[{head}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
            for head, table in [("defaults", self.defaults | defaults), *(("[camera]", camera) for camera in cameras)]
        )
        new = self.folder / "new"
        new.write_text(text)
        return new.rename(self.path)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


@contextmanager
def running(path: Path) -> Iterator[Fleet]:
    fleet = Fleet(CamerasFile(str(path)))
    with meanwhile(fleet.run):
        try:
            yield fleet
        finally:
            fleet.stop()


@pytest.mark.skipif(local_broker.MOSQUITTO is None, reason="mosquitto is not installed")
def test_each_app_of_each_camera_is_a_client_of_its_own(written: Written, tmp_path: Path) -> None:
    with local_broker.Mosquitto(tmp_path / "broker") as broker:
        address = f"mqtt://127.0.0.1:{broker.port}?client_id=of-{{camera}}"
        written.say(demo("a"), demo("b", apps=["classify", "head-pose"]), publish=[address])
        with running(written.path) as fleet:
            wait_for(lambda: min(frames(fleet, "a"), frames(fleet, "b")) > 30)
        cameras = fleet.summary()["cameras"]
    connects = [part["connects"] for camera in cameras.values() for key, part in camera.items() if "publish" in key]
    assert connects == [1, 1, 1]


def test_a_run_that_is_over_opens_nothing_more(written: Written, tmp_path: Path) -> None:
    fleet = Fleet(CamerasFile(str(written.say(demo("a")))))
    fleet.stop()
    with pytest.raises(ConfigError, match="the run is over"):
        fleet.add(demo("b", out=str(tmp_path / "crops")), where="test")
    fleet.close()
    assert fleet.names == ("a",)
    assert not (tmp_path / "crops").exists()


def test_what_is_opened_while_a_run_ends_is_closed_with_it(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Outputs] = []
    closed: list[Outputs] = []

    class Told(Outputs):
        def __init__(self, config: RunConfig) -> None:
            super().__init__(config)
            made.append(self)

        def close(self) -> None:
            super().close()
            closed.append(self)

    fleet = Fleet(CamerasFile(str(written.say(demo("a")))), make_outputs=Told)
    switch = RunningCameras.switch

    def end_first(cameras: RunningCameras, change: Change) -> None:
        fleet.stop()
        fleet.close()
        switch(cameras, change)

    monkeypatch.setattr(RunningCameras, "switch", end_first)
    fleet.add(demo("b"), where="test")
    assert len(made) == 2
    assert set(made) == set(closed)


def test_cameras_do_not_change_while_what_they_need_is_measured(written: Written) -> None:
    """Who changes them has it measured anew, whatever thread that is on."""
    fleet = Fleet(CamerasFile(str(written.say(demo("a")))))
    free: list[bool] = []

    def look() -> None:
        with meanwhile(lambda: free.append(fleet._changing.acquire(blocking=False))):
            pass
        fleet.stop()

    fleet._admission.look = look  # type: ignore[method-assign]
    fleet.run()
    assert free == [False]


def demo(name: str, **options: object) -> dict[str, object]:
    return {"name": name, "source": "demo:", **options}


def frames(fleet: Fleet, name: str) -> int:
    return int(fleet.summary()["cameras"][name]["frames"])


@pytest.mark.parametrize("is_read", [True, False])
def test_cameras_whose_events_nobody_reads_wait_for_that_and_a_run_may_be_ended_meanwhile(
    is_read: bool, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OUTPUT_PATIENCE", "PATIENCE"):
        monkeypatch.setattr(f"saccade.pipeline.post.{name}", 0.2)
    pipe, count = tmp_path / "events", 60
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(reader, True)
    source = str(numbered_avi(tmp_path / "v.avi", count))
    files = [{"name": name, "source": source, "events": str(pipe)} for name in ("a", "b")]
    with open(reader, "rb") as end, running(written.say(*files, demo("free"))) as fleet:
        wait_for(lambda: all(fleet.engine.state(name) == "held" for name in ("a", "b")))
        before = frames(fleet, "free")
        wait_for(lambda: frames(fleet, "free") > before + 5)
        cameras = fleet.summary()["cameras"]
        for name in ("a", "b"):
            assert (cameras[name]["state"], cameras[name]["restarts"]) == ("held", 0)
            assert cameras[name]["reason"].startswith(f"events ({pipe}) has not taken a result for 0.2 s")
        if is_read:
            lines = [json.loads(end.readline()) for _ in range(2 * count)]
            for name in ("a", "b"):
                assert [line["frame"] for line in lines if line["camera"] == name] == list(range(count))
                wait_for(lambda name=name: fleet.engine.state(name) == "ended")
                assert fleet.summary()["cameras"][name]["restarts"] == 0


def test_who_cannot_run_is_named_and_the_others_run(
    written: Written, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video, events = numbered_avi(tmp_path / "v.avi", 8), tmp_path / "events"
    written.say(
        {"name": "a", "source": str(video)},
        {"name": "A", "source": str(video)},
        {"name": "b", "source": str(video), "apps": ["classify", "head-pose"]},
        {"name": "c", "source": str(tmp_path / "gone.avi")},
        {"name": "d", "source": str(video), "rate": 0},
        {"name": "e", "source": "http://127.0.0.1:9/", "wait": False},
        {"name": "f", "source": str(video), "model": "blazeface-ful"},
        {"name": "g", "source": str(video), "rate": 1000},
        {"name": "h", "source": "/dev/video77", "wait": False},
        {"name": "i", "source": "/dev/video77", "wait": False},
        {"name": "j", "source": str(video), "regions": [[5000, 0, 100, 100]]},
        {"name": "k", "source": str(video), "gate.sensitivty": 2},
        events=str(events),
    )
    fleet = Fleet(CamerasFile(str(written.path)))
    fleet.run()
    cameras = fleet.summary()["cameras"]
    assert {name: camera["state"] for name, camera in cameras.items()} == {
        "a": "ended", "b": "ended", "c": "failed", "e": "ended", "f": "failed", "h": "ended", "j": "ended"
    }  # fmt: skip
    assert cameras["j"]["pictures"] == {"arrived": 8, "failed": 8}
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert len(lines) == 8 * 3
    assert {(line["camera"], line["app"]) for line in lines} == {
        ("a", "classify"), ("b", "classify"), ("b", "head-pose")
    }  # fmt: skip
    said = "\n".join(record.message for record in caplog.records)
    for fault in (
        "2 cameras are called a", "rate: got 0", "gone.avi", "camera e has ended: http://127.0.0.1:9/",
        "no model of that name; did you mean blazeface-full", "rate: got 1000", "cameras h and i both look at",
        "camera h has ended: camera /dev/video77", "camera j: regions: 5000,0,100,100 lies outside the picture",
        "unknown option 'sensitivty'; did you mean sensitivity?",
    ):  # fmt: skip
        assert said.count(fault) == 1, fault
    written.say(demo("a", model="/none.xml"))
    with pytest.raises(SaccadeError, match=r"no model file at /none.xml"):
        Fleet(CamerasFile(str(written.path)))


def test_a_file_that_changes_is_followed_and_a_wrong_one_changes_nothing(
    written: Written, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written.say(demo("a", rate=5), demo("b"), demo("c", model="/later.xml"))
    with running(written.path) as fleet:
        wait_for(lambda: frames(fleet, "a") and frames(fleet, "b"))
        network = fleet.engine.statistics().cameras["a"].run.model
        assert len(fleet._cameras.networks) == 1, "one network for all"
        classifier_network(tmp_path / "later.xml")
        later = str(tmp_path / "later.xml")
        written.say(demo("a", rate=20, weight=3), demo("c", model=later))
        wait_for(lambda: "b" not in fleet.summary()["cameras"] and frames(fleet, "c"))
        figures = fleet.engine.statistics().cameras["a"]
        assert (figures.share.rate, figures.share.weight, figures.run.model) == (20, 3, network)
        assert figures.run.reconnects == figures.restarts == 0

        blocked = tmp_path / "file"
        blocked.write_text("")
        for wrong in (
            (demo("a"), demo("c", model="/none.xml"), demo("d")),
            (demo("a"), demo("c", model=later, treshold=0.5)),
            # This shows only when the camera is opened, as its folder is a file: the others are put back.
            (demo("a", track=False), demo("c", model=later, out=str(blocked))),
        ):
            caplog.clear()
            written.say(*wrong)
            wait_for(lambda: any("nothing was changed" in record.message for record in caplog.records))
            assert set(fleet.summary()["cameras"]) == {"a", "c"}
        wait_for(lambda: frames(fleet, "a") and frames(fleet, "c"))
        written.path.unlink()
        fleet.reread()
        wait_for(lambda: any("has gone" in record.message for record in caplog.records))


def test_cameras_come_go_pause_and_change_by_call(written: Written, tmp_path: Path) -> None:
    written.say(demo("a"), demo("b", rate=5), out=str(tmp_path / "out"))
    with running(written.path) as fleet:
        assert fleet.add(demo("new", rate=3), where="call") == "new"
        wait_for(lambda: frames(fleet, "new"))
        fleet.pause("new", paused=True)
        wait_for(lambda: fleet.summary()["cameras"]["new"]["state"] == "paused")
        fleet.set("new", {"track": False}, where="call")
        with pytest.raises(SaccadeError):
            fleet.set("new", {"out": str(written.path)}, where="call")
        assert fleet.summary()["cameras"]["new"]["state"] == "paused", "opened anew, it rests on"
        fleet.pause("new", paused=False)
        fleet.set("new", {"rate": 7}, where="call")
        assert fleet.summary()["cameras"]["new"]["rate"] == 7
        for call, fault in (
            (lambda: fleet.add(demo("New"), where="call"), "2 cameras are called new"),
            (lambda: fleet.add(demo("x", colour="red"), where="call"), "call: unknown option 'colour'"),
            (lambda: fleet.add({"name": "x"}, where="call"), "call: no source"),
            (lambda: fleet.set("new", {"rate": 0}, where="call"), "rate"),
            (lambda: fleet.set("new", {"model": "/none"}, where="call"), "no model file at /none"),
            (lambda: fleet.set("nobody", {}, where="call"), "camera 'nobody': there is none of that name"),
            (lambda: fleet.remove("nwe"), "did you mean new"),
        ):
            with pytest.raises(ConfigError, match=fault):
                call()
        assert set(fleet.summary()["cameras"]) == {"a", "b", "new"}
        means = mean_network(tmp_path / "means.xml")
        with pytest.raises(SaccadeError):
            fleet.set("a", {"model": str(means), "app": "detect"}, where="call")
        for name in ("a", "b", "new"):
            fleet.remove(name)
        assert fleet.summary()["cameras"] == {}
        fleet.add(demo("again"), where="call")
        wait_for(lambda: frames(fleet, "again"))


def test_a_camera_that_could_not_run_hinders_no_change_and_may_be_put_right(written: Written, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("no folder")
    no_place, no_model = demo("no-place", out=str(taken)), demo("no-model", model="/none.xml")
    written.say(demo("a"), no_place, no_model)
    with running(written.path) as fleet:
        assert set(fleet.failed) == {"no-place", "no-model"}
        written.say(demo("a", rate=3), no_place, no_model)
        fleet.reread()
        wait_for(lambda: fleet.summary()["cameras"]["a"]["rate"] == 3)
        assert set(fleet.failed) == {"no-place", "no-model"}
        with pytest.raises(ConfigError, match=r"no model file at /nor\.this\.xml"):
            fleet.set("no-model", {"model": "/nor.this.xml"}, where="call")
        with pytest.raises(SaccadeError):
            fleet.set("no-place", {"rate": 2}, where="call")
        fleet.set("no-model", {"model": str(written.network)}, where="call")
        fleet.set("no-place", {"out": str(tmp_path / "free")}, where="call")
        assert not fleet.failed
        wait_for(lambda: frames(fleet, "no-model") and frames(fleet, "no-place"))


def test_motion_counts_where_all_apps_of_a_camera_look() -> None:
    low, high = [0, 0.5, 1, 0.5], [0, 0, 1, 0.5]

    def of(*tables: dict[str, object]) -> object:
        apps = [{"app": "classify", **table} for table in tables]
        return looked_at(read_camera({"source": "demo:", "name": "a", "apps": apps}, where="call"))

    assert of({"regions": [low]}, {"regions": [high]}) == (tuple(low), tuple(high))
    assert of({"regions": [low]}, {}) == ()
