"""The figures of runs as Prometheus text (exposition format 0.0.4), each sample with the camera it is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from saccade.address import without_credentials
from saccade.text import plain

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]

FAMILIES: Mapping[str, tuple[Kind, str]] = {
    "frames_total": ("counter", "Results delivered."),
    "captured_total": ("counter", "Frames captured."),
    "dropped_total": ("counter", "Frames dropped because a newer one came first."),
    "damaged_total": ("counter", "Damaged pictures skipped."),
    "reconnects_total": ("counter", "Times the source was lost and opened again."),
    "mended_total": ("counter", "Pictures whose header had to be put right."),
    "second_opinions_total": ("counter", "Pictures that another decoder than the usual one has shown."),
    "fates_total": ("counter", "Pictures of the source by what became of them."),
    "up": ("gauge", "1 while pictures come from the source, else 0."),
    "source_state": ("gauge", "State of the source, and why no pictures come."),
    "last_picture_timestamp_seconds": ("gauge", "When the newest picture arrived, POSIX time."),
    "frames_per_second": ("gauge", "Results a second, newest."),
    "result_age_seconds": ("histogram", "Time from a frame's capture to its result."),
    "stage_seconds": ("histogram", "Time that a stage takes for a frame."),
    "viewers": ("gauge", "Viewers of the annotated stream."),
    "pictures_total": ("counter", "Annotated pictures encoded."),
    "messages_delivered_total": ("counter", "Messages that the other side has confirmed."),
    "messages_dropped_total": ("counter", "Oldest messages lost to a full queue."),
    "messages_refused_total": ("counter", "Messages turned away before sending."),
    "publisher_connects_total": ("counter", "Connections that a publisher has made."),
    "written_total": ("counter", "Events, crops or pictures written."),
    "lost_total": ("counter", "Events, crops or pictures that could not be written."),
    "uploads_total": ("counter", "Objects that the bucket took."),
    "upload_failures_total": ("counter", "Uploads that failed and are tried again."),
    "pending": ("gauge", "What waits: messages to be confirmed, crops to be uploaded."),
    "info": ("gauge", "What runs."),
}
"""Everything that is told, by its name behind `saccade_`: kind and meaning."""

COUNTED = ("frames", "captured", "dropped", "damaged", "reconnects", "mended", "second_opinions")

OF_OUTPUTS = {
    "delivered": "messages_delivered_total", "dropped": "messages_dropped_total", "refused": "messages_refused_total",
    "connects": "publisher_connects_total", "written": "written_total", "lost": "lost_total",
    "uploaded": "uploads_total", "failures": "upload_failures_total", "pending": "pending",
}  # fmt: skip
"""Figures of outputs, and what they are here."""

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""End of its name, as `_bucket` of a histogram; labels; value."""


def prometheus_text(*runs: Mapping[str, Any]) -> str:
    """Exposition text of the figures that `--summary` and the live page know, of one run or several.

    runs : figures each; `camera` names whose they are. What is not known is left out.
    """
    lines = []
    for name, samples in all_samples(*runs).items():
        kind, help = FAMILIES[name]
        lines += [f"# HELP saccade_{name} {help}", f"# TYPE saccade_{name} {kind}"]
        lines += [f"saccade_{name}{end}{_labels(labels)} {float(value)!r}" for end, labels, value in samples]
    return "\n".join(lines) + "\n"


def all_samples(*runs: Mapping[str, Any]) -> dict[str, list[Sample]]:
    """The samples of each family that has any, of all runs together."""
    found: dict[str, list[Sample]] = {}
    for figures in runs:
        of = {"camera": str(figures["camera"])} if figures.get("camera") else {}
        for name, end, labels, value in _samples(figures):
            found.setdefault(name, []).append((end, {**of, **labels}, value))
    return {name: found[name] for name in FAMILIES if name in found}


def _samples(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, Labels, float]]:
    """Those of one run: name of the family, end of the sample's, labels, value."""
    for key in COUNTED:
        if key in figures:
            yield f"{key}_total", "", {}, figures[key]
    for reason, count in (figures.get("pictures") or {}).items():
        if reason not in ("arrived", "open"):
            yield "fates_total", "", {"reason": reason}, count
    if "state" in figures:
        source = {"state": str(figures["state"]), "reason": str(figures.get("reason", ""))}
        yield "up", "", {}, source["state"] == "up"
        yield "source_state", "", source, 1
    if figures.get("last_picture") is not None:
        yield "last_picture_timestamp_seconds", "", {}, figures["last_picture"]
    if "fps" in figures:
        yield "frames_per_second", "", {}, figures["fps"]
    histograms = figures.get("histograms") or {}
    if "result_age" in histograms:
        yield from _histogram("result_age_seconds", {}, histograms["result_age"])
    for stage, seen in histograms.get("stages", {}).items():
        yield from _histogram("stage_seconds", {"stage": stage}, seen)
    display = figures.get("display") or {}
    if display:
        yield "viewers", "", {}, display["viewers"]
        yield "pictures_total", "", {}, display["encoded"]
    for output, its in (figures.get("outputs") or {}).items():
        for key in its.keys() & OF_OUTPUTS.keys():
            yield OF_OUTPUTS[key], "", {"output": output}, its[key]
    about = {key: str(figures[key]) for key in ("app", "device", "precision", "model", "source") if key in figures}
    if "source" in about:
        about["source"] = without_credentials(about["source"])
    yield "info", "", about, 1


def _histogram(name: str, labels: Labels, seen: Mapping[str, Any]) -> Iterator[tuple[str, str, Labels, float]]:
    """Samples of one histogram. seen : `{"le": bounds, s, "counts": up to each, "count", "sum": s}`."""
    for bound, count in zip(seen["le"], seen["counts"], strict=True):
        yield name, "_bucket", {**labels, "le": f"{bound:g}"}, count
    yield name, "_bucket", {**labels, "le": "+Inf"}, seen["count"]
    yield name, "_sum", labels, seen["sum"]
    yield name, "_count", labels, seen["count"]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return plain(value).replace("\\", r"\\").replace('"', r"\"")
