"""What passes on a connection: where an insert or a commit begins and where it is answered.

A tap cuts a stream into pieces that belong together, and names the moments at which a fault is at
its worst. It changes nothing of what passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from types import MappingProxyType
from typing import Protocol


class Direction(Enum):
    """Which way bytes go."""

    REQUESTS = "to the store"
    REPLIES = "from the store"


class Moment(Enum):
    """A piece that is about to be passed on."""

    INSERT_SENT = "an insert's rows are on their way"
    INSERT_ANSWERED = "an insert is done, and its answer on the way"
    INSERT_REFUSED = "an insert is refused, and the answer on the way"
    COMMIT_SENT = "a commit is on its way"
    COMMIT_ANSWERED = "a commit is done, and its answer on the way"
    LETTER_SENT = "a dead letter is on its way"
    LETTER_ANSWERED = "a dead letter is kept, and the answer on its way"
    JOIN_SENT = "a consumer asks to join its group, or to join it anew"


Piece = tuple[bytes, Moment | None]


class Tap(Protocol):
    """The observer of one connection."""

    def see(self, direction: Direction, data: bytes) -> Iterator[Piece]:
        """The pieces that `data` completes, in order, each with its moment if it is one."""

    def rest(self, direction: Direction) -> bytes:
        """What was seen and is in no piece yet, for the end of the stream."""


class Opaque:
    """Knows no protocol."""

    def see(self, _direction: Direction, data: bytes) -> Iterator[Piece]:
        """Everything as it comes."""
        yield data, None

    def rest(self, _direction: Direction) -> bytes:
        """Nothing is kept back."""
        return b""


class ClickHouseTap:
    """ClickHouse's native protocol as the ETL speaks it: one query at a time on a connection.

    INSERT, then the server's sample block, then the client's rows, then the server's end of
    stream (one byte, 5, behind whatever else it says). An exception (packet 2) ends it too.
    """

    _EXCEPTION, _END_OF_STREAM = 2, 5

    def __init__(self) -> None:
        self._asked = False
        self._sampled = False
        self._sent = False

    def see(self, direction: Direction, data: bytes) -> Iterator[Piece]:
        """Pieces are what the network gave."""
        if direction is Direction.REQUESTS:
            yield data, self._request(data)
        else:
            yield data, self._reply(data)

    def rest(self, _direction: Direction) -> bytes:
        """Nothing is kept back."""
        return b""

    def _request(self, data: bytes) -> Moment | None:
        if self._sampled and not self._sent:
            self._sent = True
            return Moment.INSERT_SENT
        if not self._asked and b"INSERT INTO " in data and b"SELECT" not in data:
            self._asked = True
        return None

    def _reply(self, data: bytes) -> Moment | None:
        if not self._asked:
            return None
        refused = data[0] == self._EXCEPTION
        answered = data[-1] == self._END_OF_STREAM and not refused
        rows_sent = self._sent
        if refused or answered:
            self._asked = self._sampled = self._sent = False
        else:
            self._sampled = True
        if not rows_sent:
            return None
        return Moment.INSERT_REFUSED if refused else Moment.INSERT_ANSWERED if answered else None


class KafkaTap:
    """Kafka's protocol: frames, of which some requests of a consumer matter, and their replies.

    A frame is four bytes of length and then, in a request, the API's key (2 bytes), its version
    (2) and the correlation id (4); in a reply, the correlation id. All that an ETL process
    produces is dead letters.
    """

    _REQUESTS = MappingProxyType(
        {
            0: Moment.LETTER_SENT,
            8: Moment.COMMIT_SENT,
            11: Moment.JOIN_SENT,
            28: Moment.COMMIT_SENT,
        }
    )
    _REPLIES = MappingProxyType(
        {
            Moment.LETTER_SENT: Moment.LETTER_ANSWERED,
            Moment.COMMIT_SENT: Moment.COMMIT_ANSWERED,
        }
    )

    def __init__(self) -> None:
        self._kept = {direction: bytearray() for direction in Direction}
        self._asked: dict[bytes, Moment] = {}

    def see(self, direction: Direction, data: bytes) -> Iterator[Piece]:
        """Pieces are whole frames."""
        kept = self._kept[direction]
        kept += data
        while len(kept) >= 4 and len(kept) >= (end := 4 + int.from_bytes(kept[:4], "big")):
            frame = bytes(kept[:end])
            del kept[:end]
            yield frame, self._moment(direction, frame)

    def rest(self, direction: Direction) -> bytes:
        """The beginning of a frame."""
        return bytes(self._kept[direction])

    def _moment(self, direction: Direction, frame: bytes) -> Moment | None:
        if direction is Direction.REPLIES:
            return self._asked.pop(frame[4:8], None)
        moment = self._REQUESTS.get(int.from_bytes(frame[4:6], "big"))
        if moment is not None and (answered := self._REPLIES.get(moment)) is not None:
            self._asked[frame[8:12]] = answered
        return moment
