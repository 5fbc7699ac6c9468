import os
import subprocess
import sys

import pytest


def etl(*arguments, **environ):
    bare = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return subprocess.run(
        [sys.executable, "-m", "ugc_etl", *arguments],
        env=bare | environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_wrong_settings_end_it_with_a_line_each():
    done = etl("run", BATCH_MAX_ROWS="many")
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.split(" ")[0].rstrip(":") for line in lines] == [
        "KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_HOST", "PSEUDONYM_KEY", "BATCH_MAX_ROWS",
    ]  # fmt: skip


def test_a_migration_without_a_server_fails_with_a_sentence(unused_port):
    done = etl("migrate", CLICKHOUSE_HOST="127.0.0.1", CLICKHOUSE_PORT=str(unused_port))
    assert done.returncode == 1
    assert f"migration failed: ClickHouse at 127.0.0.1:{unused_port}" in done.stdout
    assert done.stderr == ""


@pytest.mark.integration
def test_migrations_are_applied_once(clickhouse):
    from stores import connect, new_deployment

    deployment = new_deployment()
    user, password = clickhouse.admin
    environ = {
        "CLICKHOUSE_HOST": clickhouse.host,
        "CLICKHOUSE_PORT": str(clickhouse.native_port),
        "CLICKHOUSE_USER": user,
        "CLICKHOUSE_PASSWORD": password,
        "CLICKHOUSE_DATABASE": deployment.database,
        "CLICKHOUSE_ANALYTICS_DATABASE": deployment.analytics_database,
    }
    first, second = etl("migrate", **environ), etl("migrate", **environ)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "the schema is up to date" not in first.stdout
    assert "the schema is up to date" in second.stdout
    client = connect(clickhouse)
    assert client.execute(f"SELECT count() FROM {deployment.table('views')}") == [(0,)]
    client.close()
