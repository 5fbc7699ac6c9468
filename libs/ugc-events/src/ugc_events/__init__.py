"""The wire contract of the platform: what an event is, how it travels, and what is said of it.

Imports no driver: services bring their own Kafka, HTTP and ClickHouse.
"""

from ugc_events.codec import (
    MAX_RECORD_BYTES,
    decode_record,
    encode_record,
    record_key,
    split_batch,
    split_lines,
)
from ugc_events.dead_letters import DeadLetter
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
from ugc_events.registry import FAMILIES, Column, Family, TopicSpec, family_of, topics
from ugc_events.submission import decode_submission
from ugc_events.submitted_records import Submitted, session_pseudonym, submit
from ugc_events.verdicts import Invalid, Reason

__all__ = [
    "FAMILIES",
    "MAX_RECORD_BYTES",
    "Bookmark",
    "Click",
    "Column",
    "DeadLetter",
    "Event",
    "Family",
    "Invalid",
    "PageView",
    "QualityChange",
    "Rating",
    "Reason",
    "Review",
    "Search",
    "Submitted",
    "TopicSpec",
    "ViewCompleted",
    "ViewProgress",
    "decode_record",
    "decode_submission",
    "encode_record",
    "family_of",
    "record_key",
    "session_pseudonym",
    "split_batch",
    "split_lines",
    "submit",
    "topics",
]
