import pytest
from ugc_etl.operations.settings import ToolSettings
from ugc_etl.settings import MigrateSettings, Settings
from ugc_settings import SettingsError, describe, load

LEAST = {
    "KAFKA_BOOTSTRAP_SERVERS": "k:9092",
    "CLICKHOUSE_HOST": "c",
    "PSEUDONYM_KEY": "sixteen bytes or more",
}


def test_the_least_that_must_be_set():
    settings = load(Settings, LEAST)
    assert settings.clickhouse.clickhouse_port == 9000
    assert settings.kafka_group_id == "ugc-etl"
    with pytest.raises(SettingsError) as caught:
        load(Settings, {})
    for name in LEAST:
        assert f"{name} is not set" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"PSEUDONYM_KEY": "short"}, "PSEUDONYM_KEY has 16 to 64 bytes"),
        ({"PSEUDONYM_KEY": "x" * 65}, "PSEUDONYM_KEY has 16 to 64 bytes"),
        ({"INSERT_TIMEOUT_S": "60"}, "INSERT_TIMEOUT_S is below INSERT_DEADLINE_S"),
        ({"BATCH_MAX_ROWS": "2000000"}, "BATCH_MAX_ROWS"),
        ({"CLICKHOUSE_DATABASE": "a; DROP"}, "CLICKHOUSE_DATABASE"),
        ({"CLICKHOUSE_SECURE": "perhaps"}, "CLICKHOUSE_SECURE"),
        ({"CLICKHOUSE_SHARDS": "a,,b"}, "CLICKHOUSE_SHARDS"),
        ({"CLICKHOUSE_SHARDS": "a:port"}, "CLICKHOUSE_SHARDS"),
        ({"CLICKHOUSE_SHARDS": "a:9000,b:65536"}, "CLICKHOUSE_SHARDS: b:65536"),
    ],
)
def test_what_cannot_work_is_refused_by_name(wrong, says):
    with pytest.raises(SettingsError, match=says) as caught:
        load(Settings, LEAST | wrong)
    assert "short" not in str(caught.value)


def test_shards_have_addresses_of_their_own_or_the_host_is_the_one():
    assert load(Settings, LEAST).clickhouse.shard_addresses == (("c", 9000),)
    several = {"CLICKHOUSE_SHARDS": "a,b:9440,c-2.ch.svc", "CLICKHOUSE_PORT": "9001"}
    assert load(Settings, LEAST | several).clickhouse.shard_addresses == (
        ("a", 9001), ("b", 9440), ("c-2.ch.svc", 9001),
    )  # fmt: skip
    with pytest.raises(SettingsError, match="CLICKHOUSE_CLUSTER is empty"):
        load(ToolSettings, LEAST | several)
    load(ToolSettings, LEAST | several | {"CLICKHOUSE_CLUSTER": "main"})


def test_commands_ask_the_server_that_has_the_rows():
    with pytest.raises(SettingsError, match="CLICKHOUSE_HOST is not the server"):
        load(ToolSettings, LEAST | {"CLICKHOUSE_SHARDS": "another"})
    load(ToolSettings, LEAST | {"CLICKHOUSE_SHARDS": "c:9000"})
    load(ToolSettings, LEAST | {"CLICKHOUSE_SHARDS": "another", "CLICKHOUSE_CLUSTER": "main"})


def test_every_setting_says_what_it_is_and_secrets_stay_secret():
    variables = describe(Settings) + describe(MigrateSettings)
    assert all(variable.description for variable in variables)
    assert {v.name for v in variables if v.secret} == {
        "PSEUDONYM_KEY", "CLICKHOUSE_PASSWORD", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_KEY_PASSWORD",
    }  # fmt: skip
    assert "sixteen" not in repr(load(Settings, LEAST))
