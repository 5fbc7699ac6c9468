"""The session's servers, as other tests get them."""

import http.client
from urllib.parse import urlencode, urlsplit

import pytest

pytestmark = pytest.mark.integration


def ask(clickhouse, user: tuple[str, str], query: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(clickhouse.http_url).netloc, timeout=30)
    try:
        parameters = urlencode({"user": user[0], "password": user[1]})
        connection.request("POST", f"/?{parameters}", body=query.encode())
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_the_admin_may_write_and_the_analyst_only_read(clickhouse):
    create = "CREATE DATABASE testing_plugin"
    status, text = ask(clickhouse, clickhouse.analyst, create)
    assert status != 200
    assert "readonly" in text.lower()
    assert ask(clickhouse, clickhouse.admin, create) == (200, "")
    found = "SELECT count() FROM system.databases WHERE name = 'testing_plugin'"
    assert ask(clickhouse, clickhouse.analyst, found) == (200, "1\n")


def test_a_wrong_password_is_refused(clickhouse):
    status, text = ask(clickhouse, (clickhouse.admin[0], "wrong"), "SELECT 1")
    assert status in {401, 403}
    assert "516" in text


def test_the_broker_is_the_same_for_everybody(kafka, request):
    assert kafka.client.bootstrap_servers == kafka.bootstrap_servers
    assert request.getfixturevalue("kafka") is kafka
