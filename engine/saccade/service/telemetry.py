"""The figures of a run for OpenTelemetry, where its own variables say that a collector is there.

OTEL_EXPORTER_OTLP_ENDPOINT names the collector (OTLP over HTTP, as http://localhost:4318), OTEL_SERVICE_NAME the
service; the SDK reads these and the others that it documents.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from saccade.outputs.metrics import FAMILIES, all_samples

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")

LAST_SECONDS = 2.0
"""How long the last figures may take to go out, s."""


def telemetry(figures: Callable[[], Iterable[Mapping[str, Any]]], environ: Mapping[str, str]) -> Telemetry | None:
    """What sends the figures of runs to a collector; None where no collector is named, or it cannot be had.

    A run does not depend on it: a library that is not there, and variables that are none, are a warning.
    """
    if not any(environ.get(name) for name in ENDPOINTS):
        return None
    try:
        return Telemetry(figures)
    except ImportError:
        log.warning(
            "no figures for OpenTelemetry: its library is not there; pip install 'saccade-engine[otel]', or unset %s",
            next(name for name in ENDPOINTS if environ.get(name)),
        )
        return None
    except ValueError as error:
        log.warning("no figures for OpenTelemetry: %s; look at the variables OTEL_...", " ".join(str(error).split()))
        return None


class Telemetry:
    """Sends figures every OTEL_METRIC_EXPORT_INTERVAL ms (60000), under their names for Prometheus, in a thread.

    figures : of each run, as for `metrics.prometheus_text`; called at each export.
    """

    def __init__(self, figures: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource

        self._figures = figures
        service = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "saccade"}
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        self._provider = MeterProvider([reader], resource=Resource.create(service))
        self._meter = self._provider.get_meter("saccade")
        for name, (kind, help) in FAMILIES.items():
            # A histogram comes as its sum and count: what is counted elsewhere has no way in but as numbers.
            for end in ("_sum", "_count") if kind == "histogram" else ("",):
                make = self._meter.create_observable_gauge if kind == "gauge" else self._meter.create_observable_counter
                make(f"saccade_{name}{end}", [partial(self._observe, name, end)], description=help)

    def close(self) -> None:
        """Send the last figures and end."""
        self._provider.shutdown(timeout_millis=LAST_SECONDS * 1e3)

    def _observe(self, name: str, end: str, options: CallbackOptions) -> list[Observation]:
        from opentelemetry.metrics import Observation

        samples = all_samples(*self._figures()).get(name, ())
        return [Observation(float(value), dict(labels)) for its, labels, value in samples if its == end]
