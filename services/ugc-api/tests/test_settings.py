import pytest
from api_samples import SECRET
from ugc_api.settings import Settings
from ugc_settings import SettingsError, describe, load

GIVEN = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "JWT_SECRET": SECRET}


def test_two_variables_are_enough() -> None:
    settings = load(Settings, GIVEN)
    assert settings.api_bind == "0.0.0.0:8080"
    assert settings.api_max_batch == 1000
    assert settings.kafka.kafka_bootstrap_servers == "kafka:9092"


def test_the_environment_is_read() -> None:
    settings = load(Settings, GIVEN | {"API_CONCURRENCY": "8", "KAFKA_DELIVERY_TIMEOUT_MS": "500"})
    assert (settings.api_concurrency, settings.kafka_delivery_timeout_ms) == (8, 500)


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(load(Settings, GIVEN))


def test_every_setting_says_what_it_means() -> None:
    assert [v.name for v in describe(Settings) if not v.description] == []


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"JWT_SECRET": ""}, ["JWT_SECRET"]),
        ({"JWT_SECRET": "short"}, ["JWT_SECRET"]),
        ({"API_BIND": "8080"}, ["API_BIND"]),
        ({"API_CORS_ORIGINS": "https://a.example/"}, ["API_CORS_ORIGINS"]),
        ({"API_CORS_ORIGINS": "https://a.example,*"}, ["API_CORS_ORIGINS"]),
        ({"API_CORS_ORIGINS": "a.example"}, ["API_CORS_ORIGINS"]),
        ({"API_CONCURRENCY": "many", "LOG_LEVEL": "loud"}, ["API_CONCURRENCY", "LOG_LEVEL"]),
        ({"API_STOP_GRACE_S": "10"}, ["API_STOP_GRACE_S", "KAFKA_DELIVERY_TIMEOUT_MS"]),
        ({"KAFKA_QUEUE_MAX_RECORDS": "999"}, ["KAFKA_QUEUE_MAX_RECORDS", "API_MAX_BATCH"]),
        ({"API_EVENTS_PER_MINUTE": "999"}, ["API_EVENTS_PER_MINUTE", "API_MAX_BATCH"]),
        ({"API_MAX_HELD_KBYTES": "1024"}, ["API_MAX_HELD_KBYTES", "API_MAX_BODY_BYTES"]),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, str], names: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, GIVEN | changes)
    assert [name for name in names if name not in str(caught.value)] == []
    assert "short'" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"JWT_SECRET": "-----BEGIN PUBLIC KEY-----" + "x" * 32}, "no secret"),
        ({"JWT_SECRET": ""}, "none is set"),
        ({"JWT_JWKS": "/a", "JWT_PUBLIC_KEY_FILE": "/b"}, "one of them"),
        ({"JWT_SECRET_FILE": "/a"}, "one of them"),
        ({"JWT_ALGORITHMS": "none"}, "JWT_ALGORITHMS"),
        ({"JWT_ALGORITHMS": "HS256,"}, "JWT_ALGORITHMS"),
    ],
)
def test_keys_that_protect_nothing_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(Settings, GIVEN | changes)
