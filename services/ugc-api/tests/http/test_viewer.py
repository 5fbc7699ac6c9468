import json

import pytest
from api_samples import FILM, NOW_MS, USER, headers, settings, tick
from flask.testing import FlaskClient
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from ugc_events import session_pseudonym

DAY_MS = 86_400_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(sink: MemorySink) -> FlaskClient:
    given = settings(api_anonymous_viewers="pseudonym", api_requests_per_minute=10)
    return create_app(given, sink, clock_ms=lambda: NOW_MS).test_client()


def viewers(sink: MemorySink) -> list[str]:
    return [json.loads(record.value)["user_id"] for record in sink.records]


def test_without_a_token_events_are_kept_under_their_sessions_pseudonym(
    client: FlaskClient, sink: MemorySink
) -> None:
    one, other = tick(), tick()
    response = client.post(
        "/v1/events", data=json.dumps([one, other, one | {"event_id": None}]), headers=JSON
    )
    assert response.status_code == 202
    expected = [str(session_pseudonym(event["session_id"])) for event in (one, other, one)]
    assert viewers(sink) == expected
    assert sink.records[0].key == f"{expected[0]}:{FILM}".encode()


def test_a_token_is_honoured_and_a_bad_one_is_not_taken_for_none(
    client: FlaskClient, sink: MemorySink
) -> None:
    assert client.post("/v1/events", json=tick(), headers=headers()).status_code == 202
    assert viewers(sink) == [str(USER)]
    for authorization in ("", "Bearer", "Bearer nonsense"):
        more = headers(Authorization=authorization)
        assert client.post("/v1/events", json=tick(), headers=more).status_code == 401
    assert len(sink.records) == 1


def test_reactions_may_be_anonymous_too(client: FlaskClient, sink: MemorySink) -> None:
    session = tick()["session_id"]
    response = client.put(
        f"/v1/films/{FILM}/bookmark", data=json.dumps({"session_id": session}), headers=JSON
    )
    assert response.status_code == 202
    assert viewers(sink) == [str(session_pseudonym(session))]


def test_who_shares_an_address_shares_its_allowance(client: FlaskClient) -> None:
    statuses = [client.post("/v1/events", json=tick()).status_code for _ in range(11)]
    assert statuses == [202] * 10 + [429]
    other = client.post("/v1/events", json=tick(), environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert other.status_code == 202
    assert client.post("/v1/events", json=tick(), headers=headers()).status_code == 202


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("::ffff:192.0.2.8", "::ffff:192.0.2.7", False),
        ("unknown", "unix:", False),
    ],
)
def test_a_subscriber_has_one_allowance_for_all_addresses(
    client: FlaskClient, one: str, other: str, shared: bool
) -> None:
    for _ in range(10):
        client.post("/v1/events", json=tick(), environ_base={"REMOTE_ADDR": one})
    status = client.post("/v1/events", json=tick(), environ_base={"REMOTE_ADDR": other}).status_code
    assert status == (429 if shared else 202)


def test_refused_by_default(sink: MemorySink) -> None:
    client = create_app(settings(), sink, clock_ms=lambda: NOW_MS).test_client()
    assert client.post("/v1/events", json=tick()).status_code == 401


def test_events_may_come_days_late_as_the_setting_says(sink: MemorySink) -> None:
    given = settings(api_max_event_age_days=30)
    client = create_app(given, sink, clock_ms=lambda: NOW_MS).test_client()
    late = [tick(occurred_at=NOW_MS - 30 * DAY_MS), tick(occurred_at=NOW_MS - 30 * DAY_MS - 1)]
    response = client.post("/v1/events", json=late, headers=headers())
    assert response.status_code == 207
    assert response.json is not None
    assert [result.get("field") for result in response.json["results"]] == [None, "occurred_at"]
    assert [record.timestamp_ms for record in sink.records] == [NOW_MS]
    anytime = create_app(settings(), sink, clock_ms=lambda: NOW_MS).test_client()
    response = anytime.post("/v1/events", json=late, headers=headers())
    assert response.status_code == 202
