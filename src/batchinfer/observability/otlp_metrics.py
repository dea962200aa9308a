"""Figures as a request of OTLP, and what the answer says of them. Sends nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

from batchinfer.observability.collector_post import Collector, NotReceived
from batchinfer.observability.run_metrics import METRICS, Figure
from batchinfer.version import __version__

_PROTOBUF = "application/x-protobuf"


def otlp_request(figures: Sequence[Figure], at_s: float) -> bytes:
    """The figures as an `ExportMetricsServiceRequest`, encoded.

    The resource is `service.name=batchinfer` with this build's version, and what
    OTEL_RESOURCE_ATTRIBUTES says.

    Args:
        at_s: when they were so, in seconds since 1970.

    Source: OpenTelemetry, OTLP specification 1, metrics over HTTP.
    """
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
    from opentelemetry.sdk.metrics.export import (
        Gauge,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    moment = round(at_s * 1000) * 1_000_000
    metrics = [
        Metric(
            metric.name,
            metric.help,
            metric.unit,
            Gauge(
                [
                    NumberDataPoint(dict(figure.labels), moment, moment, figure.value)
                    for figure in figures
                    if figure.metric is metric
                ]
            ),
        )
        for metric in METRICS
        if any(figure.metric is metric for figure in figures)
    ]
    resource = Resource.create({"service.name": "batchinfer", "service.version": __version__})
    scope = ScopeMetrics(InstrumentationScope("batchinfer", __version__), metrics, "")
    encoded = encode_metrics(MetricsData([ResourceMetrics(resource, [scope], "")]))
    return encoded.SerializeToString()


def send_metrics(collector: Collector, request: bytes, limit_s: float) -> None:
    """Sends a request of `otlp_request`.

    Raises:
        NotReceived: as of `Collector.post`; or the collector took only some of the figures.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceResponse,
    )

    answer = collector.post(request, _PROTOBUF, limit_s)
    try:
        partial = ExportMetricsServiceResponse.FromString(answer).partial_success
    except DecodeError:
        # It said 2xx, in words that are no protobuf.
        return
    if partial.rejected_data_points:
        raise NotReceived(f"the collector refused {partial.rejected_data_points} of the figures")
