"""Outputs at the end of a run, where one of them does not close."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import Keep, Live, Means

from conditions import PATIENCE, wait_for
from saccade import Capture, Model
from saccade.pipeline import Branch, Camera, Engine
from saccade.pipeline.delivery import Delivery
from small_networks import mean_network
from videos import jpeg, picture


class NeverCloses(Keep):
    """Closes when `let_go` is set."""

    name = "crops (/mnt/away)"

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def close(self) -> None:
        assert self.let_go.wait(PATIENCE)
        super().close()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[NeverCloses]:
    for name in ("delivery.LEAST_SECONDS", "delivery.ENDING_SECONDS", "engine.ENDING_SECONDS"):
        monkeypatch.setattr(f"saccade.pipeline.{name}", 0.2)
    output = NeverCloses()
    yield output
    output.let_go.set()


def hangs(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "closed in time" in record.message]


NAMED = "crops (/mnt/away) has not been closed in time; it is left to itself"


def test_an_output_that_does_not_close_is_named_once_and_the_others_are_closed(
    hanging: NeverCloses, caplog: pytest.LogCaptureFixture
) -> None:
    before, after = Keep(), Keep()
    delivery = Delivery([before, hanging, after], lambda count: None)
    for _ in range(2):
        delivery.close(0.0)
        assert (before.closed, hanging.closed, after.closed) == (True, False, True)
        assert hangs(caplog) == [NAMED]


def test_who_is_in_a_hurry_closes_what_stands_behind_an_output_that_another_thread_closes(
    hanging: NeverCloses, caplog: pytest.LogCaptureFixture
) -> None:
    after = Keep()
    delivery = Delivery([hanging, after], lambda count: None)
    patient = threading.Thread(target=delivery.close)
    patient.start()
    wait_for(lambda: delivery.outputs == [after])
    delivery.close(0.0)
    assert after.closed
    assert hangs(caplog) == [NAMED]
    hanging.let_go.set()
    patient.join(PATIENCE)
    assert hanging.closed
    assert not patient.is_alive()


def test_a_run_of_several_cameras_that_is_told_to_end_ends_though_an_output_hangs(
    hanging: NeverCloses, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model(mean_network(tmp_path / "means.xml"), precision="f32", threads=1)
    keeps = {"first": [hanging, Keep()], "second": [Keep()]}

    def play() -> Iterator[object]:
        while True:
            yield jpeg(picture(3))
            yield 0.02

    engine = Engine(
        Camera(
            name=name, open=lambda name=name: Capture(Live(name, play()), lazy=True),
            branches=[Branch(Means(model), outputs)],
        )
        for name, outputs in keeps.items()
    )  # fmt: skip
    run = threading.Thread(target=engine.run, daemon=True)
    run.start()
    wait_for(lambda: all(outputs[-1].results for outputs in keeps.values()))
    engine.stop()
    run.join(PATIENCE / 4)
    assert not run.is_alive()
    assert hangs(caplog) == [NAMED]
    assert all(outputs[-1].closed for outputs in keeps.values())
