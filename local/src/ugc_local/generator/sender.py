"""Sends what the generator streams: requests over HTTP, poison through a callable.

Requests of one viewer go over one connection, one after the other, so their order is kept. A
request is repeated until it is answered. Between the stream and the connections stand bounded
queues: memory does not depend on how much is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event
from uuid import UUID

from ugc_local.deadline import Deadline
from ugc_local.generator.connection import Connection, LostError, UnreachableError
from ugc_local.generator.messages import Poison, Request
from ugc_local.generator.tally import Tally

SendPoison = Callable[[str, bytes, bytes | None, Sequence[tuple[str, bytes]]], None]
"""topic (without the deployment's prefix), key, value, headers."""

OnAnswered = Callable[[int, Tally], None]
"""The place of an item in the stream, from 0, and what its answer was; for poison an empty tally.
Called in the threads of the connections, of poison in the calling thread."""

_QUEUE_REQUESTS = 8
_TICK_S = 0.1
_ANSWER_TIMEOUT_S = 60.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 5.0


class ReplayError(Exception):
    """The API gave no answer for longer than the sender was to wait."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay came to.

    Attributes:
        complete: everything was sent and answered; False where it was stopped.
        requests, events: answered ones, each request once however often it was repeated.
        accepted: events that were answered `accepted`.
        rejected: (field, reason) → events that were answered `invalid`.
        poison: poison records handed over.
        mismatches: requests whose answer was not the one that was due.
        examples: the first few of them, in words.
        unknown_outcomes: attempts answered 503, in part, or not at all. Their events may have
            been taken, and the request was repeated: raw rows may exceed the ground truth's,
            distinct events may not.
        unreachable: attempts to connect that failed; nothing was sent then.
        latency_p50_s, latency_p99_s: of answered attempts, at most 9 % too high.
        seconds: from the first request to the last answer.
    """

    complete: bool
    requests: int
    events: int
    accepted: int
    rejected: Mapping[tuple[str, str], int]
    poison: int
    mismatches: int
    examples: tuple[str, ...]
    unknown_outcomes: int
    unreachable: int
    latency_p50_s: float
    latency_p99_s: float
    seconds: float

    @classmethod
    def of(cls, total: Tally, poison: int, seconds: float, *, complete: bool) -> Outcome:
        """What all connections together came to."""
        return cls(
            complete=complete,
            requests=total.requests,
            events=total.events,
            accepted=total.accepted,
            rejected=total.rejected,
            poison=poison,
            mismatches=total.mismatches,
            examples=tuple(total.examples),
            unknown_outcomes=total.unknown_outcomes,
            unreachable=total.unreachable,
            latency_p50_s=total.latencies.quantile_s(0.5),
            latency_p99_s=total.latencies.quantile_s(0.99),
            seconds=seconds,
        )


def replay(
    stream: Iterable[Request | Poison],
    api_url: str,
    token_for: Callable[[UUID], str],
    *,
    send_poison: SendPoison,
    connections: int = 4,
    on_progress: Callable[[int], None] = lambda _: None,
    on_answered: OnAnswered = lambda _place, _tally: None,
    stop: Event | None = None,
    patience_s: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Send the stream and wait for every answer.

    Args:
        stream: as of `Plan.stream`.
        api_url: without `/v1/events`.
        token_for: the bearer token of a viewer.
        send_poison: takes each poison record, in the calling thread.
        connections: how many at a time.
        on_progress: told how many events are answered so far, at most ten times a second and
            once at the end, in the calling thread.
        on_answered: told of each item when it has its answer, or is in Kafka.
        stop: set it to end early; within a moment nothing is running any more. An exception in
            the calling thread, such as KeyboardInterrupt, has the same effect.
        patience_s: how long one request may go without an answer.
        clock: seconds, for latencies and the pace of progress.

    Raises:
        ReplayError: a request got no answer for `patience_s`.
    """
    stop = stop or Event()
    abort = Event()
    workers = [
        _Worker(
            Connection(api_url, timeout_s=_ANSWER_TIMEOUT_S),
            token_for,
            on_answered,
            patience_s,
            abort,
            clock,
        )
        for _ in range(connections)
    ]
    started = reported = clock()
    poison = 0

    def progress(*, last: bool = False) -> None:
        nonlocal reported
        now = clock()
        if last or now - reported >= _TICK_S:
            reported = now
            on_progress(sum(worker.tally.events for worker in workers))

    with ThreadPoolExecutor(connections, thread_name_prefix="replay") as pool:
        running = [pool.submit(worker.run) for worker in workers]

        def going_on() -> bool:
            """Neither was it stopped nor did a connection give up."""
            return not stop.is_set() and not any(
                future.done() and future.exception() for future in running
            )

        def hand_over(worker: _Worker, request: tuple[int, Request] | None) -> bool:
            while going_on():
                progress()
                try:
                    worker.inbox.put(request, timeout=_TICK_S)
                except Full:
                    continue
                return True
            return False

        try:
            complete = True
            for place, item in enumerate(stream):
                if isinstance(item, Poison):
                    send_poison(item.topic, item.key, item.value, item.headers)
                    poison += 1
                    on_answered(place, Tally())
                elif not hand_over(workers[item.user_id.int % connections], (place, item)):
                    complete = False
                    break
            complete = complete and all(hand_over(worker, None) for worker in workers)
            while complete and not _ended(running):
                progress()
                complete = going_on()
        finally:
            abort.set()
            while not _ended(running):
                for worker in workers:
                    worker.connection.interrupt()
    for future in running:
        future.result()
    progress(last=True)
    total = Tally()
    for worker in workers:
        total.merge(worker.tally)
    return Outcome.of(total, poison, clock() - started, complete=complete)


def _ended(running: list[Future[None]]) -> bool:
    return not wait(running, timeout=_TICK_S).not_done


class _Worker:
    """One connection with its queue, run by one thread until it takes None or is aborted."""

    def __init__(
        self,
        connection: Connection,
        token_for: Callable[[UUID], str],
        on_answered: OnAnswered,
        patience_s: float,
        abort: Event,
        clock: Callable[[], float],
    ) -> None:
        self.connection = connection
        self.inbox: Queue[tuple[int, Request] | None] = Queue(_QUEUE_REQUESTS)
        self.tally = Tally()
        self._token_for = token_for
        self._on_answered = on_answered
        self._patience_s = patience_s
        self._abort = abort
        self._clock = clock

    def run(self) -> None:
        try:
            while not self._abort.is_set():
                try:
                    item = self.inbox.get(timeout=_TICK_S)
                except Empty:
                    continue
                if item is None:
                    return
                place, request = item
                tally = Tally()
                try:
                    answered = self._deliver(request, tally)
                finally:
                    self.tally.merge(tally)
                if answered:
                    self._on_answered(place, tally)
        finally:
            self.connection.close()

    def _deliver(self, request: Request, tally: Tally) -> bool:
        """Repeat the request until it is answered, for as long as patience lasts."""
        token = self._token_for(request.user_id)
        deadline = Deadline.after(self._patience_s)
        delay_s = _FIRST_DELAY_S
        while not self._abort.is_set():
            started = self._clock()
            try:
                answer = self.connection.post(request.body, token)
            except UnreachableError as error:
                tally.unreachable += 1
                why, wait_s = str(error), delay_s
            except LostError as error:
                tally.unknown_outcomes += 1
                why, wait_s = str(error), delay_s
            else:
                if not answer.again:
                    tally.answered(request, answer, self._clock() - started)
                    return True
                tally.unknown_outcomes += 1
                why, wait_s = str(answer.status), _seconds(answer.retry_after, delay_s)
            if not deadline.left_s():
                raise ReplayError(f"no answer for {self._patience_s:.0f} s, last: {why}")
            self._abort.wait(min(wait_s, deadline.left_s()))
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
        return False


def _seconds(retry_after: str | None, otherwise_s: float) -> float:
    """Retry-After in its form of seconds; the API does not use the other, a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else otherwise_s
