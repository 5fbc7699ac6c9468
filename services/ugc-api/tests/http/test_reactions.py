import json

import pytest
from api_samples import FILM, USER, headers
from flask.testing import FlaskClient
from ugc_api.adapters.memory import MemorySink

RATING = f"/v1/films/{FILM}/rating"


def test_a_rating_is_set_and_taken_back(client: FlaskClient, sink: MemorySink) -> None:
    put = client.put(RATING, data=b'{"score": 8}', headers=headers())
    delete = client.delete(RATING, headers={"Authorization": headers()["Authorization"]})
    assert (put.status_code, delete.status_code) == (202, 202)
    records = [json.loads(record.value) for record in sink.records]
    assert [record["score"] for record in records] == [8, None]
    assert {record.topic for record in sink.records} == {"test.ugc.reactions.v1"}
    assert {record.key for record in sink.records} == {f"{USER}:{FILM}".encode()}
    assert put.json is not None
    assert put.json["results"][0]["event_id"] == records[0]["event_id"]


@pytest.mark.parametrize("name", ["bookmark", "review", "rating"])
def test_a_key_makes_a_repetition_the_same_event(
    client: FlaskClient, sink: MemorySink, name: str
) -> None:
    for _ in range(2):
        response = client.delete(
            f"/v1/films/{FILM}/{name}", headers=headers(**{"Idempotency-Key": "tap 1"})
        )
        assert response.status_code == 202
    first, second = (json.loads(record.value)["event_id"] for record in sink.records)
    assert first == second


def test_faults(client: FlaskClient, sink: MemorySink) -> None:
    def put(path: str, body: bytes, **more: str) -> int:
        return client.put(path, data=body, headers=headers(**more)).status_code

    assert put(RATING, b'{"score": 11}') == 400
    assert put(RATING, b"[]") == 400
    assert put(RATING, b'{"score": 1, "type": "rating"}') == 400
    assert put(RATING, b'{"score": 1, "x": "' + b"x" * 65_536 + b'"}') == 413
    assert put(RATING, b'{"score": 1}', **{"Content-Type": "text/plain"}) == 415
    assert put(RATING, b'{"score": 1}', Authorization="") == 401
    assert put("/v1/films/heat/rating", b'{"score": 1}') == 404
    assert put(f"/v1/films/{FILM}/stars", b'{"score": 1}') == 404
    assert client.post(RATING, headers=headers()).status_code == 405
    assert sink.records == []
    sink.capacity = 0
    assert put(RATING, b'{"score": 1}') == 503
