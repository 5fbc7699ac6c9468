"""Logs: one JSON object a line, to standard output, with the request that it is about."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

_TRACE_ID = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# A JWT, and whatever else somebody calls a bearer token.
_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w.-]+|(?i:\bbearer\s+)[\w.~+/-]{8,}=*")
_HIDDEN = "***"
_NUMBER = re.compile(r"\d+")
_MAX_LINES = 1000

LINES = 5
PERIOD_S = 10.0


class Request(NamedTuple):
    """What tells one request from the others.

    Attributes:
        request_id: the client's, a proxy's or ours.
        traceparent: the header as it came; only a well-formed one gets into a log.
    """

    request_id: str
    traceparent: str | None


current_request: ContextVar[Request | None] = ContextVar("current_request", default=None)
"""The request that this thread works on; lines that are logged meanwhile carry its ids."""


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON.

    `at` (RFC 3339), `level`, `logger`, `message`, as in the ETL's lines; `request_id` and
    `trace_id` while a request is worked on; `traceback`; whatever is in the record's `fields`, a
    mapping. Tokens, and the texts in `hide`, are never in a line, wherever they come from.
    """

    def __init__(self, hide: Iterable[str] = ()) -> None:
        super().__init__()
        # As they look inside a JSON string; the longest first, if one is part of another.
        inner = sorted(
            {json.dumps(text, ensure_ascii=False)[1:-1] for text in hide if text}, key=len
        )
        self._hide = re.compile("|".join(map(re.escape, reversed(inner)))) if inner else None

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        request = current_request.get()
        if request is not None:
            line["request_id"] = request.request_id
            found = _TRACE_ID.fullmatch(request.traceparent or "")
            if found:
                line["trace_id"] = found[1]
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = _TOKEN.sub(_HIDDEN, json.dumps(line, ensure_ascii=False, default=str))
        return self._hide.sub(_HIDDEN, text) if self._hide else text


class Repeats(logging.Filter):
    """Lets the same line pass LINES times in PERIOD_S, and then says how many it left out.

    Lines are the same where they differ in nothing but numbers; of answers, where the status is
    the same. So neither an outage nor whoever wants to fills a disk.

    Args:
        timer_s: the clock, seconds.
    """

    def __init__(self, timer_s: Callable[[], float]) -> None:
        super().__init__()
        self._timer_s = timer_s
        # Of each line: when its period began, and how many came in it. A handler's filters are
        # called by many threads; a count that gets lost costs a line too many, and no lock.
        self._periods: dict[tuple[object, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        fields = getattr(record, "fields", {})
        words = _NUMBER.sub("0", record.getMessage())
        line = record.name, record.levelno, words, fields.get("status")
        now_s = self._timer_s()
        begun_s, count = self._periods.get(line, (now_s, 0))
        if now_s - begun_s >= PERIOD_S:
            if count > LINES:
                record.fields = {**fields, "left_out": count - LINES}
            begun_s, count = now_s, 0
        if len(self._periods) >= _MAX_LINES:
            self._periods.clear()
        self._periods[line] = begun_s, count + 1
        return count < LINES


def configure(
    level: str,
    stream: IO[str] | None = None,
    *,
    hide: Iterable[str] = (),
    timer_s: Callable[[], float] = time.monotonic,
) -> None:
    """Send everything from `level` up to `stream`, by default standard output.

    Args:
        level: the least that is logged.
        stream: where to.
        hide: secrets that no line may hold.
        timer_s: the clock that tells when a line may be repeated, seconds.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.addFilter(Repeats(timer_s))
    handler.setFormatter(JsonFormatter(hide))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
