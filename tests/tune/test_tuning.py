"""A whole tuning, with quantisers and speeds that are made up, and what its profile does to later runs."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from quantisers import Calibrated, Tune

import saccade
from saccade.apps import open_session
from saccade.capture import open_source
from saccade.cli import main
from saccade.config import RunConfig
from saccade.errors import ConfigError, UnsupportedError
from saccade.networks import profile as profiles
from saccade.networks.profile import profile_for, read_profile
from saccade.pipeline.balance import Shares, spread_as_tuned
from saccade.process import usable_cores
from saccade.tune import int8, judging, tuning, ways
from saccade.tune.book import Row
from saccade.tune.config import TuneConfig
from saccade.tune.frames import LEAST, collect
from saccade.tune.turns import Ratio
from small_networks import mean_network

WIN = Ratio(2.0, 1.9, 2.1, 6)


def row(outcome: tuning.Outcome, name: str) -> Row:
    return next(row for row in outcome.rows if row.name == name)


def test_a_layer_that_hurts_stays_in_f32_and_the_rest_is_kept(
    tune: Tune, calibrated: Calibrated, speeds: list[Ratio]
) -> None:
    outcome = tune()
    broken, repaired = row(outcome, "int8"), row(outcome, "int8, some layers in f32")
    assert broken.agreement is not None
    assert broken.agreement.value < 0.9
    assert "refused: agreement" in broken.reason
    assert (repaired.layers, repaired.kept) == (("layer1",), True)
    assert repaired.agreement is not None
    assert repaired.agreement.value == 1
    assert outcome.whole
    assert (outcome.profile.precision, outcome.profile.in_f32) == ("int8", ("layer1",))


def test_what_is_no_faster_is_refused_with_the_figures(tune: Tune, calibrated: Calibrated, speeds: list[Ratio]) -> None:
    calibrated.levels = {"layer0": 256}
    speeds[0] = Ratio(0.93, 0.92, 0.95, 6)
    outcome = tune()
    assert "0.93 times as fast (0.92-0.95): slower" in row(outcome, "int8").reason
    assert outcome.profile.precision == "f32"
    assert outcome.profile.quantised == {}
    speeds[0] = Ratio(1.05, 0.98, 1.12, 6)
    outcome = tune()
    assert "no gain beyond the noise" in row(outcome, "int8").reason
    with pytest.raises(ConfigError, match="was refused by `saccade tune`"):
        saccade.open(outcome.profile.path, precision="int8")


def test_a_later_run_uses_the_profile_and_says_so(
    tune: Tune, calibrated: Calibrated, speeds: list[Ratio], network: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tune()
    picture = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    plain = saccade.open(network, tuned=False, precision="f32")(picture).classes
    with caplog.at_level(logging.INFO, "saccade"):
        predictor = saccade.open(network)
    assert predictor.network.precision == "int8"
    assert "small: as tuned: int8 with 1 layers in f32, 2.00 times as fast as f32 (1.90-2.10)" in caplog.text
    found = predictor(picture).classes
    assert plain is not None
    assert found is not None
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-3)
    assert saccade.open(network, precision="int8").network.precision == "int8"
    assert saccade.open(network, precision="f32").network.precision == "f32"
    assert saccade.open(network, tuned=False).network.precision != "int8"
    assert "other pixels" not in caplog.text
    saccade.open(network, mean=127.5)
    assert "was tuned with other pixels" in caplog.text


def test_threads_and_streams_are_for_pipelines_on_sources_of_the_same_kind(
    tune: Tune, calibrated: Calibrated, speeds: list[Ratio], network: Path, pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(ways, "usable_cores", lambda: 2)
    monkeypatch.setattr(ways, "shares", lambda *_, live: Shares(2, 1, 2))
    profile = tune().profile
    assert (profile.threads, profile.streams, profile.requests, profile.live) == (2, 2, 3, False)
    assert [each["against"] for each in profile.tried if each["in_form"]] == ["threads 2, streams 1, requests 2"]
    predictor = saccade.open(network)
    assert predictor.network._threads is None  # a single call wants all cores
    assert spread_as_tuned(predictor, live=True) is None
    assert spread_as_tuned(predictor, live=False) == Shares(2, 2, 3)
    config = RunConfig(model=str(network), source=str(pictures), device="CPU")
    for options, requests, balanced in (({}, 3, False), ({"requests": 5}, 5, False), ({"realtime": True}, 2, True)):
        session = open_session("classify", config.replace(**options))
        session.close()
        assert session.pipeline._requests == requests
        assert balanced is (session.pipeline.balance is not None) or usable_cores() == 1


def test_a_profile_of_something_else_is_not_used_and_that_is_said(
    tune: Tune, calibrated: Calibrated, speeds: list[Ratio], network: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    file = tune().profile.quantised_file
    assert file is not None

    def refused(reason: str) -> None:
        caplog.clear()
        assert saccade.open(network).network.precision != "int8"
        assert "small: its profile is not used: " in caplog.text
        assert reason in caplog.text

    with monkeypatch.context() as patched:
        patched.setattr(profiles, "processor", lambda: "another one")
        refused("another processor")
    with monkeypatch.context() as patched:
        patched.setattr(profiles, "versions", lambda: {"openvino": "1"})
        refused("made with openvino")
    assert saccade.open(network).network.precision == "int8"
    weights = file.with_suffix(".bin").read_bytes()
    file.with_suffix(".bin").write_bytes(b"damaged")
    refused("its quantised network is damaged")
    file.with_suffix(".bin").write_bytes(weights)
    network.write_text(network.read_text() + "<!-- changed -->\n")
    refused("the model's files have changed")


@pytest.fixture
def broken_off(tune: Tune, calibrated: Calibrated, speeds: list[Ratio], monkeypatch: pytest.MonkeyPatch) -> Calibrated:
    """A tuning was ended when all arithmetic had been tried: NNCF was at work twice."""

    def ended(judge: object) -> dict[str, object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ways, "coarser_decoding", ended)
        with pytest.raises(KeyboardInterrupt):
            tune()
    assert calibrated.calls == 2
    return calibrated


def test_a_tuning_that_is_ended_goes_on_from_what_was_measured(
    tune: Tune, broken_off: Calibrated, speeds: list[Ratio], cache: Path
) -> None:
    left = {path.name for path in cache.rglob("*") if path.is_file() and path.parent.parent.name == "small"}
    networks = {f"{name}.{suffix}" for name in ("quantised", "corrected", "original") for suffix in ("xml", "bin")}
    assert left == {"progress.json", *networks}
    assert not list(cache.glob("tuning-*"))
    speeds[0] = Ratio(7.0, 7.0, 7.0, 6)  # what was measured already does not become this
    outcome = tune()
    assert broken_off.calls == 2
    assert row(outcome, "int8, some layers in f32").speed == WIN
    assert outcome.profile.speed == 2.0
    assert outcome.profile.folder is not None
    assert {path.name for path in outcome.profile.folder.iterdir()} == {"profile.json", "int8.xml", "int8.bin"}


def test_what_is_refused_forgets_nothing_of_what_was_measured(
    tune: Tune, broken_off: Calibrated, network: Path, pictures: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(pictures.iterdir())[:3]:
        shutil.copy(path, few)
    order = TuneConfig(model=str(network), device="CPU", options={"mean": 1.0})
    with pytest.raises(ConfigError, match="different frames"):
        tuning.tune(order, open_source(few))
    tune()
    assert broken_off.calls == 2


def test_another_source_is_measured_anew(broken_off: Calibrated, network: Path, pictures: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(pictures, tmp_path / "other"))
    tuning.tune(TuneConfig(model=str(network), device="CPU", options={}, budget=120.0), open_source(other))
    assert broken_off.calls == 4


def test_a_cache_that_cannot_be_written_to_is_named(
    network: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "file" / "cache"))
    assert main(["tune", str(network), "--source", str(pictures), "--device", "CPU"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'file' / 'cache'}" in said
    assert "cannot be written (Not a directory); profiles are kept in the cache folder" in said
    assert "set SACCADE_CACHE to another one" in said


def test_a_budget_that_is_used_up_leaves_the_rest_for_the_next_time(
    tune: Tune, calibrated: Calibrated, speeds: list[Ratio], network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(judging.Judge, "left", lambda self: 0.0)
        outcome = tune()
    assert not outcome.whole
    assert row(outcome, "int8").reason == judging.OUT_OF_TIME
    assert outcome.profile.precision == "auto"  # f32 may be slower than what the device takes by itself
    assert saccade.open(network).network.profile is None
    with pytest.raises(UnsupportedError, match="calibrates it"):
        saccade.open(network, precision="int8")
    assert tune().profile.precision == "int8"


def test_the_profile_is_readable_and_says_what_it_holds_for(
    tune: Tune, calibrated: Calibrated, speeds: list[Ratio], network: Path
) -> None:
    outcome = tune()
    assert outcome.profile.folder is not None
    file = outcome.profile.folder / "profile.json"
    told = json.loads(file.read_text())
    assert told["versions"]["openvino"]
    assert told["processor"] == profiles.processor()
    assert told["inputs"] == {"data": [1, 3, 32, 32]}
    assert (told["frames"], len(told["frames_digest"])) == (12, 64)
    assert read_profile(file) == profile_for(network, "small", "CPU")[0]
    assert [each["name"] for each in told["tried"]][:2] == ["f32", "int8"]


def test_the_command_says_what_it_found_and_how_to_get_int8(
    network: Path, pictures: Path, tmp_path: Path, speeds: list[Ratio], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(int8, "nncf_version", lambda: "")
    kept = tmp_path / "kept"
    arguments = ["tune", str(network), "--source", str(pictures), "--device", "CPU", "--keep-frames", str(kept)]
    assert main([*arguments, "--chart", str(tmp_path / "chart.svg")]) == 0
    said = capsys.readouterr().out
    assert "saccade-engine[tune]" in said
    assert "part of frames with the same best class, 0.99 asked for" in said
    assert (tmp_path / "chart.svg").read_text().startswith("<svg")
    assert len(list(kept.glob("calibration-*.jpg"))) == len(list(kept.glob("held-out-*.jpg"))) == 12
    other = tmp_path / "elsewhere" / "small.xml"  # of the same name
    other.parent.mkdir()
    mean_network(other)
    assert main(["tune", str(other), "--forget"]) == 2
    assert profile_for(network, "small", "CPU")[0] is not None
    assert main(["tune", str(network), "--forget"]) == 0
    assert profile_for(network, "small", "CPU") == (None, "")


def test_int8_without_a_profile_points_to_tuning(network: Path) -> None:
    with pytest.raises(UnsupportedError, match="`saccade tune MODEL --source S` calibrates it"):
        saccade.open(network, precision="int8")


def test_tuning_wants_frames_to_look_at(
    network: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", str(network)]) == 2
    assert "no --source" in capsys.readouterr().err
    for path in sorted(pictures.iterdir())[3:]:
        path.unlink()
    assert main(["tune", str(network), "--source", str(pictures)]) == 2
    assert f"different frames in 10 s: 3; at least {LEAST} are needed" in capsys.readouterr().err
    assert main(["tune", str(mean_network(tmp_path / "means.xml")), "--source", str(pictures)]) == 2


def test_frames_are_from_all_over_the_source_and_neighbours_stay_together(pictures: Path) -> None:
    frames = collect(open_source(pictures), most=16)
    numbers = [[int(Path(kept.picture.name).stem) for kept in part] for part in (frames.calibration, frames.held_out)]
    assert [len(part) for part in numbers] == [8, 8]
    assert numbers[0] == sorted(numbers[0])
    assert not set(numbers[0]) & set(numbers[1])
    assert min(numbers[0]) < min(numbers[1]) < max(numbers[0]) < max(numbers[1])
    assert max(numbers[1]) >= 16  # not only the first
    assert {number % 2 for number in numbers[0]} == {0, 1}
    assert collect(open_source(pictures), most=16).digest == frames.digest


def test_nncf_quantises_in_a_process_of_its_own(tune: Tune, speeds: list[Ratio]) -> None:
    if not int8.nncf_version():
        pytest.skip("by choice: NNCF, of the extra `tune`, is not installed (250 MB)")
    outcome = tune(accept=0.5)
    judged = row(outcome, "int8")
    assert judged.agreement is not None
    assert judged.agreement.value >= 0.8
    assert outcome.profile.precision == "int8"
    assert "nncf" in outcome.profile.versions
