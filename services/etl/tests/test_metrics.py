import numpy as np
from ugc_etl.metrics import Metrics


def delivered(metrics, ages_s, reasons=()):
    now_ms = 1_000_000_000.0
    received = np.array([int(now_ms - age * 1000) for age in ages_s], np.int64)
    metrics.delivered(
        "views", insert_s=0.02, reasons=reasons, received_at_ms=received, now_ms=now_ms
    )


def test_freshness_counts_every_row_in_its_bucket():
    metrics = Metrics()
    delivered(metrics, [0.05, 0.5, 0.5, 99_999_999])
    delivered(metrics, [1.0])

    def bucket(le):
        return metrics.registry.get_sample_value(
            "etl_freshness_seconds_bucket", {"family": "views", "le": le}
        )

    # A bound belongs to its bucket, as Prometheus has it.
    assert [bucket(le) for le in ("0.1", "0.25", "0.5", "1.0", "86400.0", "+Inf")] == [
        1, 1, 3, 4, 4, 5
    ]  # fmt: skip
    assert (
        metrics.registry.get_sample_value("etl_freshness_seconds_count", {"family": "views"}) == 5
    )


def test_a_batch_of_dead_letters_alone_is_no_insert():
    metrics = Metrics()
    delivered(metrics, [], ["not_json", "not_json", "missing"])
    text = metrics.render().decode()
    assert 'etl_dead_letters_total{family="views",reason="not_json"} 2.0' in text
    assert 'etl_batches_total{family="views"} 1.0' in text
    assert "etl_insert_seconds_count{" not in text


def test_lag_is_published_of_owned_partitions_only():
    metrics = Metrics()
    metrics.owned({("t", 0): 5, ("t", 1): 0})
    metrics.owned({("t", 1): 7})
    text = metrics.render().decode()
    assert 'etl_lag_records{partition="1",topic="t"} 7.0' in text
    assert 'partition="0"' not in text
    assert "etl_partitions 1.0" in text
    assert "process_resident_memory_bytes" in text or "python_info" in text
    metrics.owned({("t", 0): 3})
    lags = [line for line in metrics.render().decode().splitlines() if "etl_lag_records{" in line]
    assert lags == ['etl_lag_records{partition="0",topic="t"} 3.0']
