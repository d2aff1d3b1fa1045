from __future__ import annotations

import re

import pytest

from saccade.outputs.metrics import prometheus_text
from saccade.statistics import Stopwatch

LINE = re.compile(r'^saccade_[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? [0-9.e+-]+$')


def test_every_line_is_of_the_exposition_format() -> None:
    infer = Stopwatch()
    for seconds in (0.004, 0.005, 0.3, 9.0):
        infer.add(seconds)
    text = prometheus_text(
        {
            "frames": 120, "captured": 123, "dropped": 3, "damaged": 0, "reconnects": 1, "fps": 29.97,
            "histograms": {"stages": {"infer": infer.statistics().histogram()}}, "camera": "door",
            "outputs": {"publish": {"delivered": 7, "pending": 1, "problem": "x"}},
            "device": "CPU", "precision": "f32", "app": "faces", "model": 'a "strange\\\nname"', "source": "demo:",
            "display": {"viewers": 2, "encoded": 40},
        }
    )  # fmt: skip
    assert text.endswith("\n")
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(LINE.match(line) for line in samples)
    assert 'saccade_frames_total{camera="door"} 120.0' in samples
    assert 'saccade_stage_seconds_bucket{camera="door",stage="infer",le="0.0025"} 0.0' in samples
    assert 'saccade_stage_seconds_bucket{camera="door",stage="infer",le="0.005"} 2.0' in samples
    assert 'saccade_stage_seconds_bucket{camera="door",stage="infer",le="2.5"} 3.0' in samples
    assert 'saccade_stage_seconds_bucket{camera="door",stage="infer",le="+Inf"} 4.0' in samples
    assert 'saccade_stage_seconds_sum{camera="door",stage="infer"} 9.309' in samples
    assert 'saccade_messages_delivered_total{camera="door",output="publish"} 7.0' in samples
    types = re.findall(r"# TYPE (\S+) ", text)
    assert len(types) == len(set(types))


def test_cameras_share_a_family() -> None:
    text = prometheus_text({"camera": "door", "frames": 1}, {"camera": "yard", "frames": 2})
    assert text.count("# TYPE saccade_frames_total counter") == 1
    start = text.index("saccade_frames_total{")
    assert text[start:].startswith('saccade_frames_total{camera="door"} 1.0\nsaccade_frames_total{camera="yard"} 2.0\n')


def test_nothing_known_is_still_an_answer() -> None:
    assert prometheus_text({}) == "# HELP saccade_info What runs.\n# TYPE saccade_info gauge\nsaccade_info 1.0\n"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://admin:secret@10.0.0.7:554/ch1", "rtsp://10.0.0.7:554/ch1"),
        ("http://user@camera/x", "http://camera/x"),
        ("rtsp://admin:p/4@10.0.0.7/ch1", "rtsp://10.0.0.7/ch1"),
        ("/home/a@b/film.mp4", "/home/a@b/film.mp4"),
        ("demo:", "demo:"),
    ],
)
def test_passwords_are_not_shown(source: str, shown: str) -> None:
    assert f'source="{shown}"' in prometheus_text({"source": source})


def test_the_state_of_the_source() -> None:
    lost = {"state": "lost", "reason": 'caf\udce9: "gone"', "last_picture": 1795000000.25, "mended": 2}
    samples = prometheus_text(lost | {"second_opinions": 1}).splitlines()
    assert all(LINE.match(line) for line in samples if not line.startswith("#"))
    assert r"""saccade_source_state{state="lost",reason="caf\\udce9: \"gone\""} 1.0""" in samples
    assert {"saccade_up 0.0", "saccade_last_picture_timestamp_seconds 1795000000.25"} <= set(samples)
    assert {"saccade_mended_total 2.0", "saccade_second_opinions_total 1.0"} <= set(samples)
    assert "saccade_up 1.0" in prometheus_text({"state": "up", "reason": "", "last_picture": None}).splitlines()
    assert "last_picture" not in prometheus_text({"state": "connecting", "last_picture": None})
