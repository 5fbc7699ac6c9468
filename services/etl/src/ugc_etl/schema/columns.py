"""The columns of a raw table, in order."""

from __future__ import annotations

from ugc_events.registry import ENVELOPE_COLUMNS, Column, Family

PIPELINE_COLUMNS = (
    Column("viewer", "UInt64"),
    Column("_timestamp", "DateTime64(3, 'UTC')"),
    Column("_topic_id", "UUID"),
    Column("_partition", "UInt32"),
    Column("_offset", "UInt64"),
    Column("_generation", "UInt32"),
    Column("_attempt", "UInt16"),
    Column("_insert_by", "DateTime"),
)
"""What the ETL adds to an event: the viewer's pseudonym, the record's place in Kafka, and until
when, by ClickHouse's clock, the row may be inserted."""


def raw_columns(family: Family) -> tuple[Column, ...]:
    """The columns of the family's raw table, as the table has them."""
    return ENVELOPE_COLUMNS + family.columns + PIPELINE_COLUMNS
