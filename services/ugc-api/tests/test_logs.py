import io
import json
import logging

import pytest
from ugc_api import logs


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> object:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_record_is_a_line_of_json(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    logging.getLogger("ugc_api.x").warning("film %s\nsecond line", "Ёлки")
    logging.getLogger("ugc_api.x").debug("not shown")
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said.pop("at").endswith("+00:00")
    assert said == {"level": "WARNING", "logger": "ugc_api.x", "message": "film Ёлки\nsecond line"}


def test_an_exception_comes_with_its_traceback(stream: io.StringIO) -> None:
    logs.configure("error", stream)
    try:
        {}["missing"]
    except KeyError:
        logging.getLogger("x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "KeyError: 'missing'" in json.loads(line)["traceback"]


def test_a_line_carries_the_request_it_is_about(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for traceparent in (trace, "00-garbage", None):
        mark = logs.current_request.set(logs.Request("r-1", traceparent))
        logging.getLogger("x").warning("with", extra={"fields": {"status": 503}})
        logs.current_request.reset(mark)
    logging.getLogger("x").warning("without")
    traced, untraced, bare, without = map(json.loads, stream.getvalue().splitlines())
    assert (traced["request_id"], traced["status"]) == ("r-1", 503)
    assert traced["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "trace_id" not in untraced
    assert "trace_id" not in bare
    assert "request_id" not in without


def test_tokens_and_secrets_are_hidden_wherever_they_are(stream: io.StringIO) -> None:
    secret = 'a "secret"\nof two lines, ключ'
    logs.configure("debug", stream, hide=[secret, secret + " and more", ""])
    log = logging.getLogger("x")
    log.debug("sent %s", "Authorization: Bearer abcdefghijkl.mnop~+/==")
    log.debug("jwt %s.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl")
    log.info(secret, extra={"fields": {"again": secret + " and more"}})
    log.error("failed", exc_info=ValueError(secret))
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in said] == [
        "sent Authorization: ***", "jwt ***", "***", "failed",
    ]  # fmt: skip
    assert said[2]["again"] == "***"
    assert "two lines" not in stream.getvalue()


def test_a_flood_of_the_same_line_is_a_few_and_then_a_number(stream: io.StringIO) -> None:
    now_s = [0.0]
    logs.configure("info", stream, timer_s=lambda: now_s[0])
    log = logging.getLogger("x")

    def flood() -> None:
        for n in range(1000):
            log.warning("broker %d is down", n)
            for status in (401, 503):
                log.info("answered %d", status, extra={"fields": {"status": status}})

    flood()
    assert len(stream.getvalue().splitlines()) == 3 * logs.LINES
    log.warning("another line")
    assert "another line" in stream.getvalue()
    now_s[0] += logs.PERIOD_S
    flood()
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(said) == 6 * logs.LINES + 1
    left_out = [(line["message"], line["left_out"]) for line in said if "left_out" in line]
    assert left_out == [
        (message, 1000 - logs.LINES)
        for message in ("broker 0 is down", "answered 401", "answered 503")
    ]


def test_many_different_lines_take_bounded_memory(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    repeats = logging.getLogger().handlers[0].filters[0]
    assert isinstance(repeats, logs.Repeats)
    for n in range(5000):
        logging.getLogger("x").info("%s", "x" * n)
    assert len(vars(repeats)["_periods"]) <= 1000
