"""What is said of an event that cannot be taken: the field, the reason, and a sentence."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why an event is refused. Few and fixed: clients branch on it, metrics carry it."""

    NOT_JSON = "not_json"
    MISSING = "missing"
    WRONG_TYPE = "wrong_type"
    WRONG_FORMAT = "wrong_format"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_FIELD = "unknown_field"
    OUT_OF_RANGE = "out_of_range"
    BEYOND_DURATION = "beyond_duration"
    IN_THE_FUTURE = "in_the_future"
    TOO_LARGE = "too_large"
    FUTURE_VERSION = "future_version"
    REFUSED_BY_STORE = "refused_by_store"


@dataclass(frozen=True, slots=True)
class Invalid:
    """The verdict on an event that breaks the contract.

    Attributes:
        field: the offending field's name, or "" where the whole event is at fault.
        reason: one of a fixed set.
        detail: a sentence for the person who wrote the client; free of the event's own values.
    """

    field: str
    reason: Reason
    detail: str
