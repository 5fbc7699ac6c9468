"""Every setting of the ETL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta
from ugc_settings import KafkaSettings, Secret

from ugc_etl.pseudonym import MAX_KEY_BYTES, MIN_KEY_BYTES

_NONE = Secret()
_Address = r"[^,:\s]+(:[1-9][0-9]{0,4})?"
_Name = r"\A[A-Za-z_][A-Za-z0-9_]*\Z"


@dataclass(frozen=True, kw_only=True)
class ClickHouseSettings:
    """How to reach ClickHouse, and the names of the platform's databases."""

    clickhouse_host: Annotated[
        str, Meta(description="host of the server; of a cluster any, for migrations and commands")
    ]
    clickhouse_port: Annotated[
        int, Meta(description="port of the native protocol", ge=1, le=65535)
    ] = 9000
    clickhouse_shards: Annotated[
        str,
        Meta(
            description="where rows go: host or host:port of each shard, in the order of their "
            "numbers, with commas between; empty: to CLICKHOUSE_HOST",
            pattern=rf"\A({_Address}(,{_Address})*)?\Z",
        ),
    ] = ""
    clickhouse_user: Annotated[str, Meta(description="user that inserts")] = "default"
    clickhouse_password: Annotated[Secret, Meta(description="the user's password")] = _NONE
    clickhouse_secure: Annotated[bool, Meta(description="TLS")] = False
    clickhouse_ca_file: Annotated[
        str, Meta(description="PEM file of the authorities to trust; empty: the system's")
    ] = ""
    clickhouse_compression: Annotated[
        Literal["none", "lz4"], Meta(description="of blocks on the wire")
    ] = "none"
    clickhouse_database: Annotated[
        str, Meta(description="database of the raw tables", pattern=_Name)
    ] = "ugc"
    clickhouse_analytics_database: Annotated[
        str, Meta(description="database of the analysts' views", pattern=_Name)
    ] = "analytics"
    clickhouse_cluster: Annotated[
        str, Meta(description="name of the cluster; empty for a single server")
    ] = ""

    def __post_init__(self) -> None:
        """Refuse ports that there are not."""
        for host, port in self.shard_addresses:
            if port > 65535:
                raise ValueError(f"CLICKHOUSE_SHARDS: {host}:{port} is above the last port")

    @property
    def shard_addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each shard."""
        if not self.clickhouse_shards:
            return ((self.clickhouse_host, self.clickhouse_port),)
        parted = (each.partition(":") for each in self.clickhouse_shards.split(","))
        return tuple((host, int(port or self.clickhouse_port)) for host, _, port in parted)


@dataclass(frozen=True, kw_only=True)
class MigrateSettings:
    """Settings of `etl migrate`."""

    clickhouse: ClickHouseSettings
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="least level of the log")
    ] = "INFO"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of `etl run`."""

    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    pseudonym_key: Annotated[
        Secret,
        Meta(description="16 to 64 bytes; keys the viewers' pseudonyms, so never change it"),
    ]
    kafka_group_id: Annotated[str, Meta(description="consumer group", min_length=1)] = "ugc-etl"
    kafka_session_timeout_ms: Annotated[
        int, Meta(description="a consumer that is silent for so long loses its partitions", ge=1000)
    ] = 10_000
    batch_max_rows: Annotated[int, Meta(description="records in a batch", ge=1, le=1_000_000)] = (
        20_000
    )
    batch_max_bytes: Annotated[
        int, Meta(description="bytes of records' values in a batch", ge=1)
    ] = 8 * 1024 * 1024
    batch_max_age_ms: Annotated[
        int, Meta(description="a batch waits no longer for more records", ge=1)
    ] = 500
    inserts_per_s_target: Annotated[
        float,
        Meta(description="batches wait longer where partitions would make more inserts", gt=0),
    ] = 10.0
    buffer_max_bytes: Annotated[
        int, Meta(description="memory for records that are not delivered yet, about", ge=1)
    ] = 64 * 1024 * 1024
    insert_threads: Annotated[
        int,
        Meta(description="batches in flight to a shard at once, one of a partition", ge=1, le=64),
    ] = 4
    insert_timeout_s: Annotated[
        float, Meta(description="without an answer for so long an insert is repeated", gt=0)
    ] = 20.0
    insert_deadline_s: Annotated[
        float,
        Meta(description="ClickHouse refuses rows that come later than this after sending", ge=10),
    ] = 60.0
    hunt_deadline_s: Annotated[
        float,
        Meta(description="the same while records that ClickHouse refuses are looked for", ge=2),
    ] = 4.0
    dead_letter_limit: Annotated[
        int,
        Meta(
            description="stop when so many of a partition's records become dead letters "
            "in a run in which more than DEAD_LETTER_SHARE do",
            ge=1,
        ),
    ] = 1000
    dead_letter_share: Annotated[
        float,
        Meta(
            description="the share of dead letters above which a run of records is bad; 1 never is",
            gt=0,
            le=1,
        ),
    ] = 0.5
    shutdown_grace_s: Annotated[
        float, Meta(description="a stop or a rebalance waits so long for inserts in flight", ge=0)
    ] = 20.0
    metrics_host: Annotated[str, Meta(description="address of /metrics, /healthz and /readyz")] = (
        "0.0.0.0"  # noqa: S104 - in a pod, Prometheus and the kubelet come from outside
    )
    metrics_port: Annotated[
        int, Meta(description="port of the same; 0 takes a free one", ge=0, le=65535)
    ] = 9109
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="least level of the log")
    ] = "INFO"

    def __post_init__(self) -> None:
        """Refuse what cannot work together."""
        if not MIN_KEY_BYTES <= len(self.pseudonym_key.reveal().encode()) <= MAX_KEY_BYTES:
            raise ValueError(f"PSEUDONYM_KEY has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
        if self.insert_timeout_s >= self.insert_deadline_s:
            raise ValueError("INSERT_TIMEOUT_S is below INSERT_DEADLINE_S")
