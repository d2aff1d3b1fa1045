"""The figures of a run as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

COUNTERS = {
    "frames": "Results delivered.",
    "captured": "Frames captured.",
    "dropped": "Frames dropped because a newer one came first.",
    "damaged": "Damaged pictures skipped.",
    "reconnects": "Times the source was lost and opened again.",
}

Sample = tuple[Mapping[str, str], float]


def without_secrets(source: str) -> str:
    """A source's name without the user and password that a URL may carry."""
    return re.sub(r"(?<=//)[^/@\s]*@", "", source)


def prometheus_text(statistics: Mapping[str, Any]) -> str:
    """Exposition text of the figures that `--summary` and the live page know; missing ones are left out."""
    lines: list[str] = []

    def add(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> None:
        rows = [f"saccade_{name}{_labels(labels)} {float(value)!r}" for labels, value in samples]
        if rows:
            lines.extend((f"# HELP saccade_{name} {help_text}", f"# TYPE saccade_{name} {kind}", *rows))

    for key, help_text in COUNTERS.items():
        if key in statistics:
            add(f"{key}_total", "counter", help_text, [({}, statistics[key])])
    if "fps" in statistics:
        add("frames_per_second", "gauge", "Results a second, newest.", [({}, statistics["fps"])])
    age = statistics.get("age_ms") or {}
    add(
        "result_age_seconds",
        "gauge",
        "Time from a frame's capture to its result.",
        [({"quantile": quantile}, age[key] / 1e3) for key, quantile in (("p50", "0.5"), ("p99", "0.99")) if key in age],
    )
    add(
        "stage_seconds",
        "gauge",
        "Time that a stage takes for a frame.",
        [
            ({"stage": stage, "quantile": quantile}, timing[key] / 1e3)
            for stage, timing in (statistics.get("stages") or {}).items()
            for key, quantile in (("p50_ms", "0.5"), ("p99_ms", "0.99"))
            if key in timing
        ],
    )
    display = statistics.get("display") or {}
    if display:
        add("viewers", "gauge", "Viewers of the annotated stream.", [({}, display["viewers"])])
        add("pictures_total", "counter", "Annotated pictures encoded.", [({}, display["encoded"])])
    about = {
        key: str(statistics[key]) for key in ("app", "device", "precision", "model", "source") if key in statistics
    }
    if "source" in about:
        about["source"] = without_secrets(about["source"])
    add("info", "gauge", "What runs.", [(about, 1)])
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
