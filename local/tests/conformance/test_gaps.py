"""What the embedded server is declared not to do: an error each, never a wrong answer.

The table is that of docs/embedded-clickhouse.md.
"""

import http.client
import re
import socket
import ssl
from pathlib import Path

import pytest
from clickhouse_driver.errors import ServerException

pytestmark = [pytest.mark.integration, pytest.mark.embedded]

PAGE = Path(__file__).parents[3] / "docs" / "embedded-clickhouse.md"
DECLARED = [
    (sql, int(code))
    for sql, code in re.findall(
        r"^\| [^|]+ \| `([^`]+)` \| (\d+) \|$", PAGE.read_text(), re.MULTILINE
    )
]


def test_the_page_declares_some():
    assert len(DECLARED) >= 10


@pytest.mark.parametrize(("sql", "code"), DECLARED, ids=[sql for sql, _ in DECLARED])
def test_declared(server, sql, code):
    assert server.request(sql).code == code
    with pytest.raises(ServerException) as refusal:
        server.client().execute(sql)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "type_name", ["JSON", "Variant(String, UInt8)", "Dynamic", "AggregateFunction(sum, UInt8)"]
)
def test_native_inserts_of_types_without_a_known_end(server, table, type_name):
    server.ask(f"CREATE TABLE {table} (a UInt8, v {type_name}) ENGINE = Memory")
    with pytest.raises(ServerException) as refusal:
        server.client().execute(f"INSERT INTO {table} VALUES", [(1, {})])
    assert refusal.value.code == 48
    client = server.client()
    assert client.execute(f"INSERT INTO {table} (a) VALUES", [(1,)]) == 1


def test_native_parameters_of_the_protocol(server):
    client = server.client(settings={"server_side_params": True})
    with pytest.raises(ServerException) as refusal:
        client.execute("SELECT {x:UInt8}", {"x": 1})
    assert refusal.value.code == 456


def test_roles_over_http(server):
    assert server.request("SELECT 1", role="r").code == 48


@pytest.mark.parametrize("coding", ["br", "snappy"])
def test_codings(server, coding):
    assert server.request("SELECT 1", headers={"Content-Encoding": coding}).code == 48
    reply = server.request(
        "SELECT 1", headers={"Accept-Encoding": coding}, enable_http_compression="1"
    )
    assert (reply.text, reply.headers.get("Content-Encoding")) == ("1", None)


def test_tokens(server):
    reply = server.request("SELECT 1", headers={"Authorization": "Bearer abc"})
    assert (reply.status, reply.code) == (403, 516)


@pytest.mark.parametrize("sql", ["SHOW GRANTS", "CHECK GRANT SELECT ON *.*"])
def test_grants_of_read_only_users(server, sql):
    assert server.request(sql, user=server.readers["analyst"]).code == 48


def test_temporary_tables_of_read_only_users(server):
    analyst = server.readers["analyst"]
    assert (
        server.request("CREATE TEMPORARY TABLE x (a UInt8)", user=analyst, session_id="a").code
        == 164
    )
    with pytest.raises(ServerException) as refusal:
        server.client(analyst).execute("CREATE TEMPORARY TABLE x (a UInt8)")
    assert refusal.value.code == 164


def test_tls(server):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for address in (server.native, server.http):
        with (
            socket.create_connection(address, timeout=60) as wire,
            pytest.raises((ssl.SSLError, ConnectionError, EOFError)),
        ):
            context.wrap_socket(wire)


@pytest.mark.parametrize("path", ["/play", "/dashboard", "/metrics", "/no/such/handler"])
def test_pages(server, path):
    assert server.request(method="GET", path=path).status == http.client.NOT_FOUND
