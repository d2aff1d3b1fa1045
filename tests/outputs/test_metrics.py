from __future__ import annotations

import re

import pytest

from saccade.outputs.metrics import prometheus_text, without_secrets

LINE = re.compile(r'^saccade_[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? [0-9.e+-]+$')


def test_every_line_is_of_the_exposition_format() -> None:
    text = prometheus_text(
        {
            "frames": 120, "captured": 123, "dropped": 3, "damaged": 0, "reconnects": 1, "fps": 29.97,
            "stages": {"infer": {"p50_ms": 9.4, "p99_ms": 15.0}}, "age_ms": {"p50": 13.4, "p99": 19.7},
            "device": "CPU", "precision": "f32", "app": "faces", "model": 'a "strange\\\nname"', "source": "demo:",
            "display": {"viewers": 2, "encoded": 40},
        }
    )  # fmt: skip
    assert text.endswith("\n")
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(LINE.match(line) for line in samples)
    assert "saccade_frames_total 120.0" in samples
    assert 'saccade_stage_seconds{stage="infer",quantile="0.5"} 0.0094' in samples
    assert 'saccade_result_age_seconds{quantile="0.99"} 0.0197' in samples
    types = re.findall(r"# TYPE (\S+) ", text)
    assert len(types) == len(set(types))


def test_nothing_known_is_still_an_answer() -> None:
    assert prometheus_text({}) == "# HELP saccade_info What runs.\n# TYPE saccade_info gauge\nsaccade_info 1.0\n"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://admin:secret@10.0.0.7:554/ch1", "rtsp://10.0.0.7:554/ch1"),
        ("http://user@camera/x", "http://camera/x"),
        ("http://camera/x?who=a@b", "http://camera/x?who=a@b"),
        ("/home/a@b/film.mp4", "/home/a@b/film.mp4"),
        ("demo:", "demo:"),
    ],
)
def test_passwords_are_not_shown(source: str, shown: str) -> None:
    assert without_secrets(source) == shown
    assert f'source="{shown}"' in prometheus_text({"source": source})
