"""What a stream looks like to somebody who sees only what is sent.

Nothing here knows how the generator draws: bodies are read, refused events left out, retries
counted once. Memory grows with the viewings and sessions of the sample.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from ugc_local.generator.catalogue import Film, Shelf
from ugc_local.generator.messages import Poison, Request
from ugc_local.generator.truth import bucket_of

_HOUR_MS = 3_600_000
_PLAYING_MS = 30_000
_HICCUP_MS = 100


@dataclass(slots=True)
class Session:
    """One sitting, as far as anything was played: the device and for how long."""

    device: str
    played_ms: int = 0
    film: int = -1
    at_ms: int = 0
    position_ms: int = 0


@dataclass(slots=True)
class Viewing:
    """One viewer and one film: watched minutes as bits, the last tick."""

    watched: int = 0
    at_ms: int = -1
    position_ms: int = 0
    device: str = ""


@dataclass
class Portrait:
    """What was seen of a stream.

    Attributes:
        films, shelf: the catalogue.
        plays: title → sessions in which it was played.
        first_titles: title → viewers whose first play it was.
        sessions: those in which anything was played, by id.
        viewings: by viewer and film.
        played_ms_by_hour, played_ms_by_weekday: hour of the UTC day, weekday (0: Monday) → time
            played.
        scores: score → ratings, changed ones too.
        viewers: those who played anything.
    """

    films: Sequence[Film]
    shelf: Shelf
    plays: Counter[int] = field(default_factory=Counter)
    first_titles: Counter[int] = field(default_factory=Counter)
    sessions: dict[str, Session] = field(default_factory=dict)
    viewings: dict[tuple[UUID, int], Viewing] = field(default_factory=lambda: defaultdict(Viewing))
    played_ms_by_hour: Counter[int] = field(default_factory=Counter)
    played_ms_by_weekday: Counter[int] = field(default_factory=Counter)
    scores: Counter[int] = field(default_factory=Counter)
    viewers: set[UUID] = field(default_factory=set)
    _numbers: dict[str, int] = field(init=False)
    _first: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    _played: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._numbers = {str(film.content_id): n for n, film in enumerate(self.films)}

    @classmethod
    def of(cls, films: Sequence[Film], stream: Iterable[Request | Poison]) -> Portrait:
        """Look at a whole stream."""
        portrait = cls(films, Shelf.of(films))
        for item in stream:
            if isinstance(item, Request) and not item.again:
                portrait._request(item)
        for _, title in portrait._first.values():
            portrait.first_titles[title] += 1
        return portrait

    def _request(self, request: Request) -> None:
        events = msgspec.json.decode(request.body)
        if not isinstance(events, list):
            events = [events]
        for event, expected in zip(events, request.expected, strict=True):
            if not isinstance(expected, str):
                continue
            if event["type"] == "view_progress":
                self._tick(request.user_id, event)
            elif event["type"] == "rating" and event["score"] is not None:
                self.scores[event["score"]] += 1

    def _tick(self, user_id: UUID, event: Mapping[str, str | int]) -> None:
        film, at_ms = self._numbers[str(event["content_id"])], _ms(event["occurred_at"])
        position_ms, device = int(event["position_ms"]), str(event["device"])
        title, session_id = self.shelf.title_of[film], str(event["session_id"])
        self.viewers.add(user_id)
        viewing = self.viewings[user_id, film]
        viewing.watched |= 1 << bucket_of(position_ms, self.films[film].duration_ms)
        if at_ms > viewing.at_ms:
            viewing.at_ms, viewing.position_ms, viewing.device = at_ms, position_ms, device
        if (session_id, title) not in self._played:
            self._played.add((session_id, title))
            self.plays[title] += 1
            self._first[user_id] = min(self._first.get(user_id, (at_ms, title)), (at_ms, title))
        session = self.sessions.get(session_id)
        if session is None:
            session = self.sessions[session_id] = Session(device)
        passed_ms, moved_ms = at_ms - session.at_ms, position_ms - session.position_ms
        if (
            film == session.film
            and 0 < moved_ms <= _PLAYING_MS
            and abs(passed_ms - moved_ms) <= _HICCUP_MS
        ):
            session.played_ms += moved_ms
            self.played_ms_by_hour[at_ms // _HOUR_MS % 24] += moved_ms
            weekday = datetime.fromtimestamp(at_ms // 1_000, UTC).weekday()
            self.played_ms_by_weekday[weekday] += moved_ms
        session.film, session.at_ms, session.position_ms = film, at_ms, position_ms

    def finished(self, film: int, viewing: Viewing) -> bool:
        """By the definition of docs/metrics.md."""
        return 10 * viewing.watched.bit_count() >= 9 * self.films[film].minutes


def _ms(occurred_at: str | int) -> int:
    if isinstance(occurred_at, int):
        return occurred_at
    return round(datetime.fromisoformat(occurred_at).timestamp() * 1_000)
