"""Spans for a collector: OpenTelemetry's SDK, set up for one process."""

from collections.abc import Callable

from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from crm_shared.settings import ServiceSettings

_SAMPLED = 0.1


def exported(settings: ServiceSettings) -> tuple[otel.Tracer, Callable[[], None]]:
    """A tracer whose spans go to the endpoint of the settings, and what to call at the end."""
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(_SAMPLED)),
        resource=Resource.create(
            {
                "service.name": settings.service,
                "service.version": settings.release,
                "deployment.environment.name": settings.environment,
            }
        ),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{(settings.otlp_endpoint or '').rstrip('/')}/v1/traces", timeout=2)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer("crm"), provider.shutdown
