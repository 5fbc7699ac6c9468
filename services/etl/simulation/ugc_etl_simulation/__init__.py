"""The exactly-once protocol under random schedules; not part of the service.

Worlds are made from a seed: a fake Kafka, a fake ClickHouse and several consumers that run the
real `ugc_etl.protocol`. The scheduler lets anything happen in any order.
"""
