"""Every metric of the ETL, declared once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FRESHNESS_S = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 7200, 86400)
_ROWS = (1, 10, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What the process says of itself; safe to use from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        family = ["family"]
        place = ["topic", "partition"]
        self.rows = Counter(
            "etl_rows", "Rows acknowledged by ClickHouse", family, registry=registry
        )
        self.batches = Counter(
            "etl_batches", "Batches delivered and committed", family, registry=registry
        )
        self.batch_rows = Histogram(
            "etl_batch_rows", "Rows of an insert", family, buckets=_ROWS, registry=registry
        )
        self.insert_seconds = Histogram(
            "etl_insert_seconds",
            "Time of an acknowledged insert",
            family,
            buckets=_SECONDS,
            registry=registry,
        )
        self.dead_letters = Counter(
            "etl_dead_letters",
            "Records put into the dead-letter topic, by reason",
            ["family", "reason"],
            registry=registry,
        )
        self.retries = Counter(
            "etl_retries",
            "Repetitions after an unknown outcome, by step",
            ["step"],
            registry=registry,
        )
        self.lag = Gauge("etl_lag_records", "Records behind the end", place, registry=registry)
        self._lags: dict[tuple[str, int], Gauge] = {}
        self.lost_offsets = Counter(
            "etl_lost_offsets",
            "Offsets that Kafka had deleted before they were read",
            place,
            registry=registry,
        )
        self.partitions = Gauge(
            "etl_partitions", "Partitions owned by this process", registry=registry
        )
        self.freshness = _Freshness()
        self.registry.register(self.freshness)

    def delivered(
        self,
        family: str,
        *,
        insert_s: float,
        reasons: Iterable[str],
        received_at_ms: npt.NDArray[np.int64],
        now_ms: float,
    ) -> None:
        """Count a batch whose rows are in and whose offset is committed."""
        rows = len(received_at_ms)
        self.batches.labels(family).inc()
        for reason in reasons:
            self.dead_letters.labels(family, reason).inc()
        if rows:
            self.rows.labels(family).inc(rows)
            self.batch_rows.labels(family).observe(rows)
            self.insert_seconds.labels(family).observe(insert_s)
            self.freshness.observe(family, (now_ms - received_at_ms) / 1000)

    def owned(self, lags: Mapping[tuple[str, int], int]) -> None:
        """Publish the lag of every owned partition, and of no other."""
        self.partitions.set(len(lags))
        for topic, partition in self._lags.keys() - lags.keys():
            self.lag.remove(topic, str(partition))
            del self._lags[topic, partition]
        for (topic, partition), lag in lags.items():
            if (topic, partition) not in self._lags:
                # Looking it up costs more than all else, and there are hundreds each second.
                self._lags[topic, partition] = self.lag.labels(topic, str(partition))
            self._lags[topic, partition].set(lag)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


class _Freshness(Collector):
    """A histogram that takes a batch at once: a call a row would cost as much as decoding."""

    def __init__(self) -> None:
        self._counts: dict[str, npt.NDArray[np.int64]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, family: str, seconds: npt.NDArray[np.float64]) -> None:
        """Count rows; called by the loop's thread only."""
        places = np.searchsorted(np.array(_FRESHNESS_S), seconds)
        counts = np.bincount(places, minlength=len(_FRESHNESS_S) + 1)
        self._counts[family] = self._counts.get(family, 0) + counts
        self._sums[family] = self._sums.get(family, 0.0) + float(seconds.sum())

    def collect(self) -> Iterable[Metric]:
        """Cumulative buckets, as Prometheus has them."""
        metric = HistogramMetricFamily(
            "etl_freshness_seconds",
            "From the API's acceptance of a row to its acknowledged insert",
            labels=["family"],
        )
        bounds = [*(str(float(bound)) for bound in _FRESHNESS_S), "+Inf"]
        for family, counts in list(self._counts.items()):
            cumulative = [float(count) for count in np.cumsum(counts)]
            metric.add_metric(
                [family], list(zip(bounds, cumulative, strict=True)), self._sums[family]
            )
        yield metric
