"""From a viewer's script to the bytes that are sent, and to the facts that the truth counts.

Rendering the same flush twice gives the same bytes: that is what a client's retry is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from uuid import UUID

from ugc_events import FAMILIES

from ugc_local.generator.catalogue import Film
from ugc_local.generator.identity import Identities
from ugc_local.generator.messages import Expected, Poison, Refusal, Request
from ugc_local.generator.pieces import NO_FILM, TICK_MS, Broken, Flush, Rogue, Run, Single
from ugc_local.generator.truth import Fact, Told
from ugc_local.generator.violations import MALFORMED, POISON, Fields, Violation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EAST = timezone(timedelta(hours=3))
_TOPICS = {family.name: family.topic for family in FAMILIES}


def day_start_ms(day: date) -> int:
    """Midnight, UTC, at which the day begins, in ms since the epoch."""
    return (datetime.combine(day, time(), UTC) - _EPOCH) // timedelta(milliseconds=1)


def _number(ms: int) -> str:
    return str(ms)


def _text_utc(ms: int) -> str:
    text = (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    return f'"{text[:23]}Z"'


def _text_east(ms: int) -> str:
    moment = _EPOCH.astimezone(_EAST) + timedelta(milliseconds=ms)
    return f'"{moment.isoformat(timespec="milliseconds")}"'


_CLOCKS: tuple[Callable[[int], str], ...] = (_number, _number, _text_utc, _text_east)
"""How the apps of different viewers spell `occurred_at`, as JSON."""


@dataclass(slots=True)
class _Draft:
    """A request in the making."""

    viewer: int
    clock: Callable[[int], str]
    events: list[str] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)


class Renderer:
    """Writes the requests of one seed and its first day, and says what is true of them."""

    def __init__(self, seed: int, day: date, films: Sequence[Film]) -> None:
        self._ids = Identities(seed)
        self._start_ms = day_start_ms(day)
        self._films = films

    def facts(self, viewer: int, sent: Flush | Rogue) -> Told:
        """What the truth is to be told of it; says nothing of bytes, and costs little."""
        if isinstance(sent, Rogue):
            return Told(again=False, poison=_poison_kind(sent).refusal)
        facts: list[Fact] = []
        refusals: list[Refusal] = []
        for piece in sent.pieces:
            if isinstance(piece, Run):
                at_ms, film = self._start_ms + piece.at_ms, piece.film
                for played_ms in _ticks_ms(piece):
                    position_ms = piece.position_ms + played_ms
                    facts.append(Fact("view_progress", film, at_ms + played_ms, "", position_ms))
            elif isinstance(piece, Single):
                at_ms = self._start_ms + piece.at_ms
                # Of use only where two reactions share a moment.
                event_id = self._ids.event(viewer, piece.serial, at_ms)
                facts.append(Fact(piece.type, piece.film, at_ms, event_id, piece.value))
            else:
                refusals.append(MALFORMED[piece.kind].refusal)
        return Told(sent.again, facts, refusals)

    def item(self, viewer: int, user_id: UUID, sent: Flush | Rogue) -> Request | Poison:
        """What is sent."""
        if isinstance(sent, Rogue):
            return self.poison(viewer, user_id, sent)
        return self.request(viewer, user_id, sent)

    def request(self, viewer: int, user_id: UUID, flush: Flush) -> Request:
        """The request, with the answer that is due to each of its events."""
        draft = _Draft(viewer, _CLOCKS[viewer % len(_CLOCKS)])
        for piece in flush.pieces:
            if isinstance(piece, Run):
                self._run(draft, piece)
            elif isinstance(piece, Single):
                self._single(draft, piece)
            else:
                self._broken(draft, piece)
        # An app that has one thing to say may say it without the array around it.
        bare = len(draft.events) == 1 and viewer % 2 == 0
        body = draft.events[0] if bare else f"[{','.join(draft.events)}]"
        return Request(user_id, body.encode(), tuple(draft.expected), flush.again)

    def poison(self, viewer: int, user_id: UUID, rogue: Rogue) -> Poison:
        """The record, of a kind that `rogue` chooses."""
        kind = _poison_kind(rogue)
        at_ms = self._start_ms + rogue.at_ms
        film = self._films[rogue.film]
        sound = _sound(kind.base, film) | {
            "event_id": self._ids.event(viewer, rogue.serial, at_ms),
            "session_id": str(self._ids.session(viewer, 0)),
            "occurred_at": at_ms,
            "received_at": at_ms + 250,
            "user_id": str(user_id),
        }
        return Poison(
            topic=_TOPICS[kind.family],
            key=f"{user_id}:{film.content_id}".encode(),
            value=kind.apply(sound),
            headers=(("origin", b"rogue-writer"),),
            expected=kind.refusal,
        )

    def _run(self, draft: _Draft, run: Run) -> None:
        viewer, clock, new_id = draft.viewer, draft.clock, self._ids.event
        film = self._films[run.film]
        head = (
            f'{{"type":"view_progress","session_id":"{self._ids.session(viewer, run.session)}",'
            f'"content_id":"{film.content_id}","duration_ms":{film.duration_ms},'
            f'"device":"{run.device}","schema_version":1,'
        )
        first_ms = self._start_ms + run.at_ms
        for tick, played_ms in enumerate(_ticks_ms(run)):
            at_ms = first_ms + played_ms
            position_ms = run.position_ms + played_ms
            event_id = new_id(viewer, run.serial + tick, at_ms)
            draft.events.append(
                f'{head}"event_id":"{event_id}","occurred_at":{clock(at_ms)},'
                f'"position_ms":{position_ms}}}'
            )
            draft.expected.append(event_id)

    def _single(self, draft: _Draft, single: Single) -> None:
        at_ms = self._start_ms + single.at_ms
        event_id = self._ids.event(draft.viewer, single.serial, at_ms)
        own = single.fields
        if single.film != NO_FILM:
            own = f'"content_id":"{self._films[single.film].content_id}",{own}'
        draft.events.append(
            f'{{"type":"{single.type}","event_id":"{event_id}",'
            f'"occurred_at":{draft.clock(at_ms)},'
            f'"session_id":"{self._ids.session(draft.viewer, single.session)}",{own}}}'
        )
        draft.expected.append(event_id)

    def _broken(self, draft: _Draft, broken: Broken) -> None:
        kind = MALFORMED[broken.kind]
        at_ms = self._start_ms + broken.at_ms
        sound = _sound(kind.base, self._films[broken.film]) | {
            "event_id": self._ids.event(draft.viewer, broken.serial, at_ms),
            "session_id": str(self._ids.session(draft.viewer, broken.session)),
            "occurred_at": json.loads(draft.clock(at_ms)),
        }
        draft.events.append((kind.apply(sound) or b"").decode())
        draft.expected.append(kind.refusal)


def _ticks_ms(run: Run) -> Iterator[int]:
    """When the run's ticks are, from its first."""
    last = run.ticks - 1
    for tick in range(last):
        yield tick * TICK_MS
    yield (last - 1) * TICK_MS + run.tail_ms if run.tail_ms and last else last * TICK_MS


def _poison_kind(rogue: Rogue) -> Violation:
    return POISON[int(rogue.draw * len(POISON))]


def _sound(base: str, film: Film) -> Fields:
    """A sound event of type `base` about the film, less ids and times."""
    own: dict[str, Fields] = {
        "view_progress": {
            "position_ms": film.duration_ms // 3,
            "duration_ms": film.duration_ms,
            "device": "tv",
        },
        "rating": {"score": 7},
        "bookmark": {"bookmarked": True},
        "review": {"text": "Fine."},
    }
    return {"type": base, "content_id": str(film.content_id), **own[base]}
