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
    assert said.pop("time").endswith("+00:00")
    assert said == {"level": "warning", "logger": "ugc_api.x", "message": "film Ёлки\nsecond line"}


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
