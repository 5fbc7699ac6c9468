"""Sending, against an API that answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID, uuid4

import pytest
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.tools.events_input import Given
from ugc_local.tools.send import SendError, Sent, identified, send

Respond = Callable[[int, list[dict[str, object]]], tuple[int, object]]


class Api:
    """Counts requests and keeps their events; `respond` decides the answer (None: hang up)."""

    def __init__(self, respond: Respond) -> None:
        self.requests: list[list[dict[str, object]]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.requests.append(events)
                status, answer = respond(len(api.requests), events)
                if not status:
                    self.close_connection = True
                    return
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                if isinstance(answer, dict) and answer.get("retry"):
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["Api"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def judged(_number: int, events: list[dict[str, object]]) -> tuple[int, object]:
    results = [
        {"status": "invalid", "field": "n", "reason": "out_of_range", "detail": "odd"}
        if int(str(event["n"])) % 2
        else {"status": "accepted", "event_id": event["event_id"]}
        for event in events
    ]
    return 207, {"results": results, "accepted": 0, "invalid": 0}


def events(*numbers: int) -> list[Given]:
    return [Given(f"line {n}", b'{"n": %d}' % n) for n in numbers]


def run(given: list[Given], url: str) -> tuple[Sent, list[str], list[str]]:
    tally, said = Sent(), []
    refused = send(given, url, "token", new_id=uuid4, tally=tally, say=said.append)
    return tally, [str(one) for one in refused], said


def test_an_event_keeps_its_id_and_its_bytes_or_gets_one_in_front():
    known = UUID("0198a000-0000-7000-8000-000000000009")
    own = b'{ "n" : 1.50, "event_id":"mine"}'
    assert identified(own, uuid4) == own
    assert identified(b' {"n" : 1.50}', lambda: known) == b'{"event_id":"%s","n" : 1.50}' % (
        str(known).encode()
    )
    assert json.loads(identified(b"{ }", lambda: known)) == {"event_id": str(known)}


def test_events_go_in_batches_and_verdicts_come_back_in_their_order():
    given = [*events(*range(1200)), Given("line 1201", b"nonsense"), *events(2, 3)]
    with Api(judged).running() as api:
        tally, refused, said = run(given, api.url)
    assert [len(request) for request in api.requests] == [500, 500, 200, 2]
    ids = [event["event_id"] for request in api.requests for event in request]
    assert len(set(ids)) == len(ids)
    assert (tally.accepted, tally.refused) == (601, 602)
    assert refused[0] == "line 1: n: out_of_range: odd"
    assert refused[-2].startswith("line 1201: event: not_json: ")
    assert refused[-1] == "line 3: n: out_of_range: odd"
    assert str(tally) == "1203 sent: 601 accepted, 602 refused"
    assert said == []


def test_large_events_share_a_request_only_up_to_its_size():
    given = [Given(f"line {n}", b'{"n": 0, "x": "%s"}' % (b"x" * 60_000)) for n in range(50)]
    with Api(judged).running() as api:
        tally, _, _ = run(given, api.url)
    assert tally.accepted == 50
    assert [len(request) for request in api.requests] == [34, 16]


PARTLY = {"results": [{"status": "retry"}], "accepted": 0, "invalid": 0, "retry": 1}


@pytest.mark.parametrize(
    "trouble",
    [(503, {"detail": "Kafka is away"}), (0, None), (207, PARTLY), (429, {"detail": "too many"})],
)
def test_a_request_without_an_outcome_is_repeated_as_it_was(trouble):
    with Api(lambda n, batch: trouble if n < 3 else judged(n, batch)).running() as api:
        tally, _, said = run(events(2), api.url)
    assert tally.accepted == 1
    assert api.requests[0] == api.requests[1] == api.requests[2]
    assert len(said) == 1
    assert "trying again" in said[0]


def test_a_duplicate_is_told_apart():
    statuses = ["accepted", "duplicate"]
    answer = {"results": [{"status": status} for status in statuses]}
    with Api(lambda *_: (202, answer)).running() as api:
        tally, refused, _ = run(events(1, 1), api.url)
    assert str(tally) == "2 sent: 1 accepted, 1 duplicates, 0 refused"
    assert refused == []


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, {"detail": "the token has expired"}, "answered 401: the token has expired"),
        (404, b"<html>", "answered 404: <html>"),
        (202, b"not what the API says", "answered 202: not what"),
    ],
)
def test_any_other_answer_is_the_end(status, body, sentence):
    with (
        Api(lambda *_: (status, body)).running() as api,
        pytest.raises(SendError, match=sentence),
    ):
        run(events(1), api.url)
    assert len(api.requests) == 1


def test_an_api_that_is_not_there_is_one_sentence():
    (port,) = free_ports(1)
    with pytest.raises(SendError, match=r"does not answer .*: ugc status says what runs"):
        run(events(1), f"http://{LOOPBACK}:{port}")
