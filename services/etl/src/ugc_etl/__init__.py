"""Kafka to ClickHouse: batches that have a name, so that they can be repeated."""
