"""A stream, slowed down to a rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

from ugc_local.generator.messages import Poison, Request

_TICK_S = 0.1
_MOST_ARREARS_S = 1.0


def paced(
    stream: Iterator[Request | Poison],
    rate_per_s: float,
    *,
    stop: Event,
    clock: Callable[[], float],
) -> Iterator[Request | Poison]:
    """Hand out the stream's items no faster than `rate_per_s` events a second, until `stop`.

    Whoever takes them late gets at most a second's worth at once, so that a long hindrance is
    not followed by a flood. An item is made when it is due: none is lost at the end.
    """
    due_s = clock()
    while True:
        while (wait_s := due_s - clock()) > 0 and not stop.is_set():
            stop.wait(min(wait_s, _TICK_S))
        if stop.is_set() or (item := next(stream, None)) is None:
            return
        due_s = max(due_s, clock() - _MOST_ARREARS_S)
        if isinstance(item, Request):
            due_s += len(item.expected) / rate_per_s
        yield item
