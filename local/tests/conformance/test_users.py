"""Who may come in, what a read-only user may do, and how far a limited one gets.

https://clickhouse.com/docs/operations/settings/permissions-for-queries,
https://clickhouse.com/docs/operations/settings/query-complexity
"""

import base64

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_driver.errors import ServerException
from ugc_local.clickhouse.configuration import User

pytestmark = pytest.mark.integration


@pytest.fixture(params=["analyst", "reader"])
def reader(server, request):
    return server.readers[request.param]


@pytest.fixture
def analyst(server):
    return server.readers["analyst"]


@pytest.fixture
def kept(server, table):
    server.ask(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
    server.ask(f"INSERT INTO {table} VALUES (1)")
    return table


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class TestComingIn:
    def test_with_the_password(self, server, reader):
        assert server.client(reader).execute("SELECT 1") == [(1,)]
        assert server.connect(reader).command("SELECT 1") == 1
        assert server.request("SELECT 1", user=reader).text == "1"
        assert server.request("SELECT 1", headers=basic(reader.name, reader.password)).text == "1"

    @pytest.mark.parametrize("name", ["analyst", "nobody"])
    @pytest.mark.parametrize("password", ["", "wrong", "the analyst's"])
    def test_without_it(self, server, name, password):
        stranger = User(name, password)
        with pytest.raises(ServerException) as refusal:
            server.client(stranger).execute("SELECT 1")
        assert refusal.value.code == 516
        assert "Authentication failed" in str(refusal.value)
        reply = server.request("SELECT 1", headers=basic(name, password))
        assert (reply.status, reply.code) == (403, 516)

    def test_a_refusal_does_not_tell_whether_the_user_exists(self, server):
        texts = {
            server.request("SELECT 1", headers=basic(name, "wrong")).text.replace(name, "X")
            for name in ("analyst", "nobody")
        }
        assert len(texts) == 1

    def test_clickhouse_connect_raises_it(self, server):
        with pytest.raises(DatabaseError, match="516"):
            server.connect(User("analyst", "wrong"))


CHANGES = [
    "CREATE TABLE x (a UInt8) ENGINE = Memory",
    "CREATE DATABASE x",
    "INSERT INTO {kept} SELECT 2",
    "DROP TABLE {kept}",
    "TRUNCATE TABLE {kept}",
    "ALTER TABLE {kept} DELETE WHERE 1",
    "RENAME TABLE {kept} TO x",
    "OPTIMIZE TABLE {kept}",
    "SYSTEM STOP MERGES",
    "CREATE VIEW x AS SELECT 1",
]


class TestReadOnly:
    @pytest.mark.parametrize("sql", CHANGES)
    def test_nothing_can_be_changed(self, server, reader, kept, sql):
        sql = sql.format(kept=kept)
        assert server.request(sql, user=reader).code in (164, 497)
        with pytest.raises(ServerException) as refusal:
            server.client(reader).execute(sql)
        assert refusal.value.code in (164, 497)
        assert server.ask(f"SELECT a FROM {kept}") == "1"

    def test_no_rows_can_be_inserted(self, server, reader, kept):
        assert server.request(f"INSERT INTO {kept} FORMAT CSV", b"2\n", user=reader).code in (
            164,
            497,
        )
        with pytest.raises(ServerException) as refusal:
            server.client(reader).execute(f"INSERT INTO {kept} VALUES", [(2,)])
        assert refusal.value.code in (164, 497)
        assert server.ask(f"SELECT a FROM {kept}") == "1"

    def test_reading_works(self, server, reader, kept):
        assert server.request(f"SELECT a FROM {kept}", user=reader).text == "1"
        client = server.client(reader)
        assert client.execute(f"SELECT a FROM {kept}") == [(1,)]
        assert (kept,) in client.execute("SHOW TABLES")
        assert client.execute(f"EXISTS {kept}") == [(1,)]
        assert client.execute(f"DESCRIBE {kept}")[0][:2] == ("a", "UInt8")
        assert client.execute("EXPLAIN SELECT 1")
        table = {"name": "ext", "structure": [("x", "UInt8")], "data": [{"x": 1}]}
        sql = f"SELECT count() FROM {kept} WHERE a IN ext"
        assert client.execute(sql, external_tables=[table]) == [(1,)]

    def test_readonly_2_may_choose_settings_but_not_leave(self, server, analyst):
        sql = "SELECT getSetting('max_threads')"
        assert server.request(sql, user=analyst, max_threads="3").text == "3"
        assert server.client(analyst).execute(f"{sql} SETTINGS max_threads = 2") == [(2,)]
        for leaving in ("0", "1"):
            assert server.request(sql, user=analyst, readonly=leaving).code == 164
        assert server.request("SET readonly = 0", user=analyst).code == 164

    def test_readonly_1_may_not(self, server):
        reader = server.readers["reader"]
        assert server.request("SELECT 1", user=reader, max_threads="3").code == 164
        with pytest.raises(ServerException) as refusal:
            server.client(reader).execute("SELECT 1", settings={"max_threads": 3})
        assert refusal.value.code == 164
        assert server.request("SELECT 1 SETTINGS max_threads = 3", user=reader).code == 164

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM file('/etc/passwd', 'LineAsString')",
            "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
            "SELECT * FROM remote('127.0.0.1:1', 'system.one')",
            "SELECT * FROM s3('http://127.0.0.1:1/a/b', 'TSV', 'a Int8')",
            "SELECT * FROM '/etc/passwd'",
        ],
    )
    def test_nothing_outside_can_be_reached(self, server, sql):
        reply = server.request(sql, user=server.readers["reader"])
        assert reply.status >= 400
        assert reply.code in (60, 164, 291, 497)
        assert b"root:" not in reply.body

    @pytest.mark.parametrize(
        "description",
        [
            {"ext_structure": "a String) ENGINE = File(LineAsString, '/etc/passwd') --"},
            {"ext_structure": "a String DEFAULT file('/etc/passwd'), b String"},
            {"ext_structure": "a String); DROP TABLE {kept}; SELECT (1"},
            {"ext_structure": "a String", "ext_format": "TSV; DROP TABLE {kept}"},
            {"ext_types": "String) ENGINE = File(LineAsString, '/etc/passwd') --"},
        ],
    )
    def test_tables_of_a_query_are_no_way_around(self, server, reader, kept, description):
        body = (
            b'--x\r\nContent-Disposition: form-data; name="ext"; filename="ext"\r\n\r\n'
            b"\t1\n\r\n--x--\r\n"
        )
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        named = {name: text.format(kept=kept) for name, text in description.items()}
        reply = server.request("SELECT * FROM ext", body, headers=headers, user=reader, **named)
        assert b"root:" not in reply.body
        assert server.ask(f"SELECT a FROM {kept}") == "1"


class TestLimits:
    def test_rows_of_a_result(self, server, analyst):
        """The profile's: a million."""
        sql = "SELECT number FROM numbers({}) FORMAT TabSeparated"
        enough = server.request(sql.format(1_000_000), user=analyst)
        assert (enough.status, enough.body.count(b"\n")) == (200, 1_000_000)
        assert (
            server.request(sql.format(1_100_000), user=analyst, wait_end_of_query="1").code == 396
        )
        with pytest.raises(ServerException) as refusal:
            server.client(analyst).execute("SELECT number FROM numbers(1100000)", columnar=True)
        assert refusal.value.code == 396

    def test_rows_of_a_result_may_be_cut_instead(self, server, analyst):
        reply = server.request(
            "SELECT number FROM numbers(100000) SETTINGS max_block_size = 1000",
            user=analyst,
            max_result_rows="5000",
            result_overflow_mode="break",
        )
        assert reply.status == 200
        assert 5000 <= reply.body.count(b"\n") < 10_000

    def test_rows_that_are_read(self, server, analyst):
        limit = {"max_rows_to_read": "1000"}
        sql = "SELECT sum(number) FROM numbers({})"
        assert server.request(sql.format(1000), user=analyst, **limit).status == 200
        assert server.request(sql.format(100_000), user=analyst, **limit).code == 158

    def test_memory(self, server, analyst):
        """The profile's: 500 MB."""
        sql = "SELECT length(groupArray(number)) FROM numbers(200000000)"
        assert server.request(sql, user=analyst).code == 241
        with pytest.raises(ServerException) as refusal:
            server.client(analyst).execute(sql)
        assert refusal.value.code == 241
        assert server.request("SELECT 1", user=analyst).text == "1"

    def test_time(self, server, analyst):
        sql = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
        assert server.request(sql, user=analyst, max_execution_time="1").code == 159

    def test_the_limits_of_a_profile_hold_by_themselves(self, server, reader):
        asked = "SELECT getSetting('max_execution_time'), getSetting('max_memory_usage')"
        found = server.client(reader).execute(asked)
        assert [int(value) for value in found[0]] == [60, 500_000_000]
