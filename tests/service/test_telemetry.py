"""Figures at an OpenTelemetry collector: OTLP over HTTP as the protocol's own messages read it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conditions import answering
from saccade.config import RunConfig
from saccade.service.session import open_session
from saccade.service.telemetry import telemetry
from small_networks import spots_network


class Collector(ThreadingHTTPServer):
    """Keeps what is sent to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[tuple[str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with answering(server := Collector()):
        yield server


def test_a_run_sends_its_figures(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    import gzip

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "the-yard")
    network = spots_network(tmp_path / "spots.xml")
    config = RunConfig(
        source="demo:", name="yard", model=str(network), device="CPU", frames=5, realtime=False,
        publish=(f"jsonl:{tmp_path / 'lines'}",),
    )  # fmt: skip
    open_session("detect", config).run()
    path, body = collector.bodies[-1]
    assert path == "/v1/metrics"
    request = ExportMetricsServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    (resource,) = request.resource_metrics
    assert "the-yard" in [value.value.string_value for value in resource.resource.attributes]
    metrics = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    (point,) = metrics["saccade_frames_total"].sum.data_points
    assert (point.as_int or point.as_double) == 5
    assert [(label.key, label.value.string_value) for label in point.attributes] == [("camera", "yard")]
    stages = metrics["saccade_stage_seconds_count"].sum.data_points
    assert {label.value.string_value for point in stages for label in point.attributes} >= {"infer", "decode"}
    (sent,) = metrics["saccade_messages_delivered_total"].sum.data_points
    assert (sent.as_int or sent.as_double) >= 5


def test_a_collector_without_the_library_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    with caplog.at_level(logging.WARNING):
        assert telemetry(list, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert "pip install 'saccade-engine[otel]'" in caplog.text
    assert telemetry(list, {}) is None


def test_variables_that_are_none_do_not_hinder_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "-5")
    with caplog.at_level(logging.WARNING):
        assert telemetry(list, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    (said,) = [record.message for record in caplog.records if "OpenTelemetry" in record.message]
    assert "interval value -5.0 is invalid and" in said
    assert said.endswith("look at the variables OTEL_...")
