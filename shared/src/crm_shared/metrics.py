"""What a process tells Prometheus: all metrics, in a registry that belongs to one process."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_EVENT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class Metrics:
    """The metrics of one process.

    Labels are few and closed: route templates, event types, topics; never an id, never what a stranger typed.
    """

    def __init__(self, service: str, release: str) -> None:
        self.registry = CollectorRegistry()
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        ProcessCollector(registry=self.registry)
        Info("crm_build", "What is running.", registry=self.registry).info(
            {"service": service, "release": release}
        )
        self._http()
        self._events()
        self._work()

    def _http(self) -> None:
        self.requests = self._counter(
            "http_server_requests", "Requests answered.", "method", "route", "status"
        )
        self.request_duration = Histogram(
            "http_server_request_duration_seconds",
            "From the first byte of the request to the last of the response.",
            ["method", "route"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self.idempotency_replays = self._counter(
            "idempotency_replays", "Replies given again, without the effect."
        )
        self.idempotency_conflicts = self._counter(
            "idempotency_conflicts", "Keys refused: in flight, or used for another request.", "reason"
        )
        self.event_loop_lag = self._gauge(
            "event_loop_lag_seconds", "How late the event loop wakes what is due."
        )

    def _events(self) -> None:
        self.outbox_unpublished = self._gauge("outbox_unpublished", "Events committed and not yet sent.")
        self.outbox_oldest_unpublished = self._gauge(
            "outbox_oldest_unpublished_seconds",
            "Age of the oldest event that is not yet sent; 0 when there is none.",
        )
        self.outbox_leader = self._gauge("outbox_relay_leader", "1 while this process is the one that sends.")
        self.events_published = self._counter(
            "events_published", "Events that the broker has acknowledged.", "topic"
        )
        self.event_publish_duration = self._event_histogram(
            "event_publish_seconds", "From handing a batch to the broker to its acknowledgement."
        )
        self.events_consumed = self._counter(
            "events_consumed",
            "Events received, by what became of them: ok, duplicate, skipped, retried, parked, erased.",
            "type",
            "result",
        )
        self.consumer_lag = self._gauge(
            "event_consumer_lag", "Records not yet consumed.", "topic", "partition"
        )
        self.event_end_to_end = self._event_histogram(
            "event_end_to_end_seconds",
            "From the instant the event happened to its effect being committed.",
            "type",
        )
        self.consumer_rebalances = self._counter(
            "consumer_rebalances", "Times the partitions were dealt out anew."
        )
        self.client_rebuilds = self._counter(
            "kafka_client_rebuilds",
            "Clients thrown away and made anew because they made no progress.",
            "client",
        )
        self.broker_losses = self._counter(
            "broker_losses", "Times the broker came back as another, empty one."
        )
        self.dead_letters = self._gauge("dlq_depth", "Events parked until somebody looks at them.")

    def _work(self) -> None:
        self.due_overdue = self._gauge(
            "due_work_overdue_seconds", "How late the oldest due work is; 0 when none is."
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered, which took so many seconds."""
        counted = self._answered.get((method, route, status))
        if counted is None:  # to look a child up by its labels costs more than to count
            counted = self._answered[method, route, status] = (
                self.requests.labels(method, route, status),
                self.request_duration.labels(method, route),
            )
        requests, duration = counted
        requests.inc()
        duration.observe(seconds)

    def watch_pools(self, *engines: AsyncEngine) -> None:
        """Show the connection pools as one; read when Prometheus asks, so that it costs requests nothing."""
        pools = [engine.pool for engine in engines if isinstance(engine.pool, QueuePool)]
        size = self._gauge("db_pool_size", "Connections the pools may hold.")
        size.set(sum(pool.size() for pool in pools))
        used = self._gauge("db_pool_checked_out", "Connections in use.")
        used.set_function(lambda: sum(pool.checkedout() for pool in pools))

    def gauge(self, name: str, help: str, read: Callable[[], float]) -> None:
        """A figure of a service's own, read when Prometheus asks."""
        self._gauge(name, help).set_function(read)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(name, help, labels, registry=self.registry)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(name, help, labels, registry=self.registry)

    def _event_histogram(self, name: str, help: str, *labels: str) -> Histogram:
        return Histogram(name, help, labels, buckets=_EVENT_BUCKETS, registry=self.registry)
