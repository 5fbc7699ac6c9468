"""Settings of the operators' commands: the consumers' own, as far as they need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta
from ugc_settings import KafkaSettings, Secret

from ugc_etl.pseudonym import MAX_KEY_BYTES, MIN_KEY_BYTES
from ugc_etl.settings import ClickHouseSettings


@dataclass(frozen=True, kw_only=True)
class ToolSettings:
    """Settings of `etl audit` and `etl dead-letters list` and `inspect`: where everything is."""

    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    kafka_group_id: Annotated[
        str, Meta(description="consumer group of the ETL, whose offsets count", min_length=1)
    ] = "ugc-etl"

    def __post_init__(self) -> None:
        """Refuse what no command could answer for."""
        clickhouse = self.clickhouse
        asked = clickhouse.clickhouse_host, clickhouse.clickhouse_port
        if clickhouse.clickhouse_cluster or clickhouse.shard_addresses == (asked,):
            return
        if len(clickhouse.shard_addresses) > 1:
            raise ValueError(
                "CLICKHOUSE_CLUSTER is empty: no one of the servers in CLICKHOUSE_SHARDS sees the"
                " rows of all"
            )
        raise ValueError(
            "CLICKHOUSE_HOST is not the server in CLICKHOUSE_SHARDS: what is missing would be"
            " asked of one and inserted into the other"
        )


@dataclass(frozen=True, kw_only=True)
class WriterSettings:
    """Settings of the commands that write rows or erase them."""

    tools: ToolSettings
    pseudonym_key: Annotated[
        Secret, Meta(description="16 to 64 bytes; the one that the consumers have")
    ]
    insert_deadline_s: Annotated[
        float,
        Meta(description="ClickHouse refuses rows that come later than this after sending", ge=5),
    ] = 60.0

    def __post_init__(self) -> None:
        """Refuse a key that the consumers could not have."""
        if not MIN_KEY_BYTES <= len(self.pseudonym_key.reveal().encode()) <= MAX_KEY_BYTES:
            raise ValueError(f"PSEUDONYM_KEY has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
