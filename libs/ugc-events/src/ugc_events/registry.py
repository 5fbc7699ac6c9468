"""The families of events: for each its types, its topic, its raw table and the table's columns.

A new family is one entry here and one migration in the ETL. Topics and ACLs of the charts are
checked against this table, and the ETL checks its columns against the server's at start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ugc_events.events import (
    Bookmark,
    Click,
    Event,
    PageView,
    QualityChange,
    Rating,
    Review,
    Search,
    ViewCompleted,
    ViewProgress,
)

DEAD_LETTERS_TOPIC = "ugc.dead-letters.v1"
CONTROL_TOPIC = "ugc.etl.control.v1"

DEAD_LETTER_GRACE_MS = 5000
"""How long after its timestamp a dead letter is still taken: what clocks may differ."""

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a raw table.

    Attributes:
        name: the column's name, which is also the event's field.
        type: its ClickHouse type. A type of the family without that field stores the type's
            default (NULL for Nullable).
    """

    name: str
    type: str


ENVELOPE_COLUMNS = (
    Column("event_id", "UUID"),
    Column("type", "LowCardinality(String)"),
    Column("occurred_at", "DateTime64(3, 'UTC')"),
    Column("received_at", "DateTime64(3, 'UTC')"),
    Column("user_id", "UUID"),
    Column("session_id", "UUID"),
    Column("schema_version", "UInt16"),
)
"""The columns that every raw table begins with, in this order."""


@dataclass(frozen=True, slots=True)
class Family:
    """One topic and one raw table, so that no family starves another.

    Attributes:
        name: as in metrics and messages.
        topic: without the deployment's prefix.
        table: the raw table's name in the platform's database.
        types: the event classes of this family.
        columns: the family's own columns, behind ENVELOPE_COLUMNS.
    """

    name: str
    topic: str
    table: str
    types: tuple[type[Event], ...]
    columns: tuple[Column, ...]

    def topic_of(self, prefix: str) -> str:
        """The topic's name in a deployment whose topics carry `prefix` (often empty)."""
        return prefix + self.topic


VIEWS = Family(
    name="views",
    topic="ugc.views.v1",
    table="views",
    types=(ViewProgress,),
    columns=(
        Column("content_id", "UUID"),
        Column("position_ms", "UInt32"),
        Column("duration_ms", "UInt32"),
        Column("device", "LowCardinality(String)"),
    ),
)

INTERACTIONS = Family(
    name="interactions",
    topic="ugc.interactions.v1",
    table="interactions",
    types=(Click, PageView, Search, QualityChange, ViewCompleted),
    columns=(
        Column("content_id", "Nullable(UUID)"),
        Column("path", "String"),
        Column("element", "LowCardinality(String)"),
        Column("dwell_ms", "Nullable(UInt32)"),
        Column("filters", "Map(String, String)"),
        Column("from_quality", "LowCardinality(String)"),
        Column("to_quality", "LowCardinality(String)"),
        Column("duration_ms", "Nullable(UInt32)"),
    ),
)

REACTIONS = Family(
    name="reactions",
    topic="ugc.reactions.v1",
    table="reactions",
    types=(Rating, Bookmark, Review),
    columns=(
        Column("content_id", "UUID"),
        Column("score", "Nullable(UInt8)"),
        Column("bookmarked", "Nullable(Bool)"),
        Column("text", "Nullable(String)"),
    ),
)

FAMILIES: tuple[Family, ...] = (VIEWS, INTERACTIONS, REACTIONS)

_BY_TYPE: dict[type[Event], Family] = {t: family for family in FAMILIES for t in family.types}


def family_of(event_type: type[Event]) -> Family:
    """The family that `event_type` belongs to."""
    return _BY_TYPE[event_type]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as the platform needs it.

    Attributes:
        name: with the deployment's prefix.
        partitioned: False for a topic that needs exactly one partition.
        config: broker-side settings, as Kafka spells them.
    """

    name: str
    partitioned: bool
    config: Mapping[str, str] = field(default_factory=dict)


def topics(prefix: str = "") -> list[TopicSpec]:
    """Every topic of the platform, with the settings its contract depends on."""
    events = [
        TopicSpec(
            family.topic_of(prefix),
            partitioned=True,
            config={"cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)},
        )
        for family in FAMILIES
    ]
    return [
        *events,
        # Compacted: repeating a dead letter changes nothing. Larger messages than the event
        # topics: a dead letter is a record plus what is said of it.
        TopicSpec(
            prefix + DEAD_LETTERS_TOPIC,
            partitioned=True,
            # A letter's timestamp is the time until which it may be written: one that a stopped
            # consumer sends later, when the place may have a row, is refused.
            config={
                "cleanup.policy": "compact",
                "max.message.bytes": str(2 * 1024 * 1024),
                "message.timestamp.before.max.ms": str(DEAD_LETTER_GRACE_MS),
            },
        ),
        TopicSpec(prefix + CONTROL_TOPIC, partitioned=False, config={"cleanup.policy": "compact"}),
    ]
