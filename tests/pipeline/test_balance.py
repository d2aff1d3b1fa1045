"""All cores busy: what is chosen from the two costs, in virtual time and on a real network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from parts import Keep, Means

from saccade import Capture, Model, Pipeline, open_source
from saccade.pipeline.balance import FIRST_FRAMES, LATER_FRAMES, Balance, Shares, shares
from saccade.pipeline.single import MOST_DECODERS
from saccade.predict.tiles import framing_for
from small_networks import classifier, mean_network
from videos import numbered_avi, picture


def rate(cores: int, network: float, rest: float, chosen: Shares, frames: int = 400) -> float:
    """Frames a second in virtual time: decoders, as many as cores or `MOST_DECODERS`, and `streams` runs share the
    cores evenly; each decoder and each request has a frame at most. A run of one stream on several threads loses a
    tenth to their meeting.
    """
    now, done, waiting = 0.0, 0, 0
    decoding: list[float] = []
    running: list[float] = []
    wide = chosen.threads // chosen.streams
    decoders = min(cores, MOST_DECODERS)
    while done < frames:
        while waiting and len(running) < chosen.streams:
            waiting -= 1
            running.append(network * (1.1 if wide > 1 else 1.0))
        while len(decoding) < decoders and waiting + len(running) + len(decoding) < chosen.requests + decoders:
            decoding.append(rest)
        speed = min(1.0, cores / (len(decoding) + wide * len(running)))
        step = min([left / (speed * wide) for left in running] + [left / speed for left in decoding])
        now += step
        running = [left - step * speed * wide for left in running]
        decoding = [left - step * speed for left in decoding]
        done += sum(left <= 1e-12 for left in running)
        waiting += sum(left <= 1e-12 for left in decoding)
        running = [left for left in running if left > 1e-12]
        decoding = [left for left in decoding if left > 1e-12]
    return done / now


@pytest.mark.parametrize("cores", [2, 4, 8])
@pytest.mark.parametrize(("network", "rest"), [(0.021, 0.003), (0.007, 0.003), (0.0035, 0.003), (0.0015, 0.003)])
def test_a_file_keeps_all_cores_busy(cores: int, network: float, rest: float) -> None:
    bound = cores / (network + rest)
    assert rate(cores, network, rest, shares(cores, network, rest, live=False)) >= 0.9 * bound


def test_a_core_left_to_the_decoder_is_wasted_where_the_network_is_heavy() -> None:
    assert rate(2, 0.021, 0.003, Shares(1, 1, 2)) < 0.65 * 2 / 0.024


def test_live_results_are_young() -> None:
    assert shares(4, 0.021, 0.003, live=True) == Shares(4, 1, 2)
    assert shares(4, 0.001, 0.003, live=True) == Shares(3, 1, 2)
    assert shares(1, 0.001, 0.003, live=True) == Shares(1, 1, 2)


def test_a_run_is_spread_anew_when_its_costs_change_and_loses_no_frame(tmp_path: Path) -> None:
    model = Model(mean_network(tmp_path / "means.xml"), precision="f32", threads=1)
    app, keep = Means(model), Keep()
    clock = iter(np.arange(0.0, 1e3, 1.0))  # a second of CPU time passes between any two looks at the clock
    costs = iter([0.07, 0.0004])
    balance = Balance(
        app.predictor, threads=1, live=False, cores=2, cpu=lambda: float(next(clock)), network_cost=lambda: next(costs)
    )
    chosen = []
    settle = balance.settle
    balance.settle = lambda frames: chosen.append((frames, settle(frames), len(model.idle)))  # type: ignore[method-assign]
    count = 1 + FIRST_FRAMES + LATER_FRAMES + 20
    video = numbered_avi(tmp_path / "v.avi", count)
    figures = Pipeline(Capture(open_source(video)), app, [keep], balance=balance).run()
    first, later = chosen
    assert (first[1], later[1]) == (Shares(2, 2, 3), Shares(1, 1, 2)), chosen
    assert first[2] == later[2] == 0, "requests of the network as it was are still about"
    assert [result.frame for result in keep.results] == list(range(count))
    assert figures.dropped == 0
    for index in (0, first[0], later[0], count - 1):
        classes = keep.results[index].classes
        assert classes is not None
        assert np.abs(classes.scores - picture(index).mean((0, 1))).max() < 2.5


def test_costs_at_the_border_of_two_choices_change_nothing(tmp_path: Path) -> None:
    predictor = Means(Model(mean_network(tmp_path / "means.xml"), precision="f32", threads=1)).predictor
    cpu, cost, rest = 0.0, 0.0, 4.0
    balance = Balance(predictor, threads=1, live=False, cores=2, cpu=lambda: cpu, network_cost=lambda: cost)
    assert not balance.is_due(1)
    chosen = []
    for look, cost in enumerate((1.5, 1.3, 1.5, 0.7, 1.5, 1.8)):  # the border is at 4/3
        cpu += 300 * (cost + rest)
        chosen.append(balance.settle(1 + 300 * (look + 1)))
    two, one = Shares(2, 2, 3), Shares(1, 1, 2)
    assert chosen == [two, None, None, one, None, two]


def test_frames_that_cost_what_they_did_are_no_reason_to_measure_the_network(tmp_path: Path) -> None:
    predictor = Means(Model(mean_network(tmp_path / "means.xml"), precision="f32", threads=1)).predictor
    cpu = 0.0
    balance = Balance(predictor, threads=1, live=True, cores=2, cpu=lambda: cpu, network_cost=lambda: 1.0)
    assert not balance.is_due(1)
    cpu = 5.0 * FIRST_FRAMES
    assert balance.is_due(1 + FIRST_FRAMES)
    balance.settle(1 + FIRST_FRAMES)
    frames = 1 + FIRST_FRAMES
    for cost, due in ((5.5, False), (4.5, False), (9.0, True)):
        cpu, frames = cpu + cost * LATER_FRAMES, frames + LATER_FRAMES
        assert balance.is_due(frames) is due


def test_the_network_costs_as_often_as_it_has_regions_to_look_at(tmp_path: Path) -> None:
    predictor = Means(Model(mean_network(tmp_path / "means.xml"), precision="f32", threads=1)).predictor
    predictor = predictor.reframed(framing_for("auto", predictor.spec))
    regions = len(predictor.regions(160, 32))
    clock = iter(range(100))  # a second passes between any two looks
    balance = Balance(predictor, threads=1, live=False, cores=2, cpu=lambda: float(next(clock)))
    assert regions > 1
    assert balance._measured() == regions


def test_a_network_whose_file_became_another_stays_as_it_is(tmp_path: Path) -> None:
    file = mean_network(tmp_path / "means.xml")
    model = Model(file, precision="f32", threads=1)
    before = model.infer(np.zeros(model.inputs[0].shape, model.inputs[0].dtype))
    ov.save_model(classifier(size=16), file)
    assert not model.spread(2, 1)
    after = model.infer(np.zeros(model.inputs[0].shape, model.inputs[0].dtype))
    assert after.keys() == before.keys()


def test_a_network_from_memory_stays_as_it_is(tmp_path: Path) -> None:
    model = Model(mean_network(tmp_path / "means.xml"), precision="f32", threads=1)
    model._again = None
    balance = Balance(Means(model).predictor, threads=1, live=False, cores=2, cpu=lambda: 0.0, network_cost=lambda: 1.0)
    assert not balance.is_due(1)
    assert balance.settle(2) is None
    assert balance.shares == Shares(1, 1, 2)
