import logging

import pytest
from ugc_api.access_log import LINES, PERIOD_S, AccessLog


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_an_error_is_a_line_and_success_is_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = AccessLog(Clock())
    for status in (200, 202, 207, 304, 401, 503):
        log.answered("POST", "/v1/events", status, 0.01234, "10.0.0.1")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "answered 401"),
        ("WARNING", "answered 503"),
    ]
    assert caplog.records[0].__dict__["fields"] == {
        "method": "POST", "route": "/v1/events", "status": 401, "ms": 12.3, "client": "10.0.0.1",
    }  # fmt: skip


def test_a_flood_is_a_few_lines_and_then_a_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    log = AccessLog(clock)
    for _ in range(1000):
        log.answered("GET", "other", 404, 0.001, None)
    assert len(caplog.records) == LINES
    log.answered("GET", "other", 500, 0.001, None)  # another status has lines of its own
    assert len(caplog.records) == LINES + 1
    clock.now_s += PERIOD_S
    log.answered("GET", "other", 404, 0.001, None)
    assert caplog.records[-1].__dict__["fields"]["left_out"] == 1000 - LINES
