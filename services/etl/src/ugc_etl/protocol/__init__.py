"""The exactly-once protocol: pure, one state machine for each owned partition.

`Course` hears facts and says the next action. Nothing here does I/O or reads a clock.
"""

from ugc_etl.protocol.course import Course
from ugc_etl.protocol.intent import Foreign, Intent, Kind, Mark, insert_token
from ugc_etl.protocol.metadata import decode_metadata, encode_metadata
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.protocol.rules import Rules, Timing

__all__ = [
    "Course",
    "Foreign",
    "Intent",
    "Kind",
    "Mark",
    "Ranges",
    "Rules",
    "Timing",
    "decode_metadata",
    "encode_metadata",
    "insert_token",
]
