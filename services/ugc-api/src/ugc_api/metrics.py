"""Every metric of the API, each declared once."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

# From the least that linger allows to what a request waits for Kafka at the most, and beyond.
_LATENCY_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)


class Metrics:
    """The metrics of one app, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "ugc_api_requests",
            "Requests answered, by route and HTTP status.",
            ["route", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "ugc_api_request_seconds",
            "Time from a request's arrival at the app to its answer, by route.",
            ["route"],
            buckets=_LATENCY_S,
            registry=self._registry,
        )
        # Finding a labelled child costs more than counting in it.
        self._answered: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._in_flight = Gauge(
            "ugc_api_requests_in_flight",
            "Requests that are being handled now.",
            registry=self._registry,
        )
        self._cut = Counter(
            "ugc_api_connections_cut",
            "Connections that the server ended: slow (the request did not come in time), unread "
            "(the answer was not taken in time), head and body (too large), memory and "
            "connections (no room).",
            ["reason"],
            registry=self._registry,
        )
        self._rate_limited = Counter(
            "ugc_api_rate_limited",
            "Requests answered 429, by what the viewer had sent too many of: requests or events.",
            ["limit"],
            registry=self._registry,
        )
        self._keys_stale = Gauge(
            "ugc_api_keys_stale",
            "1 while the keys of a source cannot be read and its last good ones stay in use, else "
            "0; by the setting that names the source.",
            ["source"],
            registry=self._registry,
        )
        self._events = Counter(
            "ugc_api_events",
            "Events, by family and outcome: accepted (Kafka acknowledged them) or unavailable "
            "(it did not, and the client is to repeat them). Of an invalid event the family is "
            "unknown.",
            ["family", "outcome"],
            registry=self._registry,
        )
        self._outcomes: dict[tuple[str, str], Counter] = {}
        self._invalid = Counter(
            "ugc_api_events_invalid",
            "Events refused for what is in them, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self._kafka_errors = Counter(
            "ugc_api_kafka_produce_errors",
            "Requests that Kafka did not acknowledge whole, by cause.",
            ["cause"],
            registry=self._registry,
        )

    def begin(self) -> None:
        """A request has come."""
        self._in_flight.inc()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request has its answer."""
        children = self._answered.get((route, status))
        if children is None:
            children = self._requests.labels(route, str(status)), self._latency.labels(route)
            self._answered[route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def end(self) -> None:
        """A request is over, whatever became of it."""
        self._in_flight.dec()

    def cut(self, reason: str) -> None:
        """The server has ended a connection."""
        self._cut.labels(reason).inc()

    def rate_limited(self, limit: str) -> None:
        """A viewer has used up this limit."""
        self._rate_limited.labels(limit).inc()

    def keys_read(self, source: str, succeeded: bool) -> None:
        """The keys of this source have been read, or could not be."""
        self._keys_stale.labels(source).set(not succeeded)

    def accepted(self, families: Mapping[str, int]) -> None:
        """Kafka has acknowledged these many events of each family."""
        self._count(families, "accepted")

    def unavailable(self, families: Mapping[str, int], cause: str) -> None:
        """Kafka has not acknowledged these many events of each family."""
        self._count(families, "unavailable")
        self._kafka_errors.labels(cause).inc()

    def invalid(self, reasons: Mapping[str, int]) -> None:
        """These many events were refused for each reason."""
        for reason, count in reasons.items():
            self._invalid.labels(reason).inc(count)
        if reasons:
            self._events.labels("unknown", "invalid").inc(sum(reasons.values()))

    def render(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _count(self, families: Mapping[str, int], outcome: str) -> None:
        for family, count in families.items():
            child = self._outcomes.get((family, outcome))
            if child is None:
                child = self._outcomes[family, outcome] = self._events.labels(family, outcome)
            child.inc(count)
