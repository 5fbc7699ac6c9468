"""The app's side of the network: when it calls the API, offline devices, retries, and faults."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ugc_local.generator.pieces import Broken, Flush, Piece, Rogue, count

FLUSH_EVENTS = 20
"""Ten minutes of playback: how often an app calls the API."""
_MAX_UPLOAD_EVENTS = 400
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Shares:
    """How often what should not happen does.

    Attributes:
        retries: of requests that are sent again with the same bytes.
        offline: of sittings whose events are uploaded hours later.
        malformed: of events that break the contract.
        poison: rogue records in Kafka per event of the API.
    """

    retries: float = 0.02
    offline: float = 0.04
    malformed: float = 0.004
    poison: float = 0.0008


class Outbox:
    """Collects one viewer's events into requests.

    Attributes:
        sent: the requests so far, not yet in the order of sending, and rogue records.
        serial: the number of the viewer's next event.
        pending_events: how many wait for the next flush.
    """

    def __init__(self, rng: Random, shares: Shares, malformed_kinds: int, end_ms: int) -> None:
        self.sent: list[Flush | Rogue] = []
        self.serial = 0
        self.pending_events = 0
        self._rng = rng
        self._shares = shares
        self._malformed_kinds = malformed_kinds
        self._end_ms = end_ms
        self._pending: list[Piece] = []
        self._held: list[Piece] = []
        self._offline = False

    def open_session(self) -> None:
        """A new sitting; its device may be offline until `close_session`."""
        self._offline = self._rng.random() < self._shares.offline

    def add(self, piece: Piece, now_ms: int) -> None:
        """Take the viewer's next events, of which the last occurs at `now_ms`."""
        events = count((piece,))
        self._pending.append(piece)
        self.pending_events += events
        self.serial += events
        if self.pending_events >= FLUSH_EVENTS:
            self.flush(now_ms)

    def flush(self, now_ms: int) -> None:
        """Send what is pending, or hold it while offline."""
        if not self._pending:
            return
        rng, shares, events, last = self._rng, self._shares, self.pending_events, self._pending[-1]
        at_ms, film = min(now_ms, self._end_ms - 1), max(last.film, 0)
        if rng.random() < shares.malformed * events:
            kind = int(rng.random() * self._malformed_kinds)
            broken = Broken(kind, film, last.session, self.serial, at_ms)
            self._pending.insert(int(rng.random() * (len(self._pending) + 1)), broken)
            self.serial += 1
        if rng.random() < shares.poison * events:
            self.sent.append(Rogue(at_ms, rng.random(), film, self.serial))
            self.serial += 1
        if self._offline:
            self._held += self._pending
        else:
            self._send(at_ms + 40 + int(rng.random() * 900), tuple(self._pending))
        self._pending = []
        self.pending_events = 0

    def close_session(self, now_ms: int) -> None:
        """The last flush; a device that was offline uploads what it held, hours later."""
        self.flush(now_ms)
        at_ms = now_ms + int((1 + 8 * self._rng.random()) * _HOUR_MS)
        batch: list[Piece] = []
        for piece in self._held:
            if count(batch) >= _MAX_UPLOAD_EVENTS:
                self._send(at_ms, tuple(batch))
                at_ms += 1_500
                batch = []
            batch.append(piece)
        if batch:
            self._send(at_ms, tuple(batch))
        self._held = []

    def _send(self, at_ms: int, pieces: tuple[Piece, ...]) -> None:
        self.sent.append(Flush(at_ms, pieces, again=False))
        if self._rng.random() < self._shares.retries:
            later_ms = at_ms + 1 + int(self._rng.expovariate(1 / 20_000))
            self.sent.append(Flush(later_ms, pieces, again=True))
