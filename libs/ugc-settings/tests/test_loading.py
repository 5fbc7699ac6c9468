from dataclasses import dataclass
from typing import Annotated

import pytest
from msgspec import Meta
from ugc_settings import KafkaSettings, Secret, SettingsError, describe, load


@dataclass(frozen=True, kw_only=True)
class Example:
    bind: Annotated[str, Meta(description="where to listen")]
    workers: Annotated[int, Meta(description="how many", ge=1)] = 2
    verbose: Annotated[bool, Meta(description="say more")] = False
    token: Annotated[Secret, Meta(description="opens the door")]
    kafka: KafkaSettings


ENOUGH = {"BIND": ":1", "TOKEN": "s3cret", "KAFKA_BOOTSTRAP_SERVERS": "k:9092"}


def test_variables_become_typed_fields() -> None:
    settings = load(Example, ENOUGH | {"WORKERS": "4", "VERBOSE": "true"})
    assert (settings.bind, settings.workers, settings.verbose) == (":1", 4, True)
    assert settings.token.reveal() == "s3cret"
    assert settings.kafka.kafka_bootstrap_servers == "k:9092"


def test_defaults_hold_and_an_empty_variable_counts_as_unset() -> None:
    settings = load(Example, ENOUGH | {"WORKERS": ""})
    assert settings.workers == 2


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Example, {"WORKERS": "none", "KAFKA_SECURITY_PROTOCOL": "TELNET"})
    lines = str(caught.value).splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == [
        "BIND",
        "WORKERS",
        "TOKEN",
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_SECURITY_PROTOCOL",
    ]


def test_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(SettingsError, match="WORKERS"):
        load(Example, ENOUGH | {"WORKERS": "0"})


def test_a_secret_is_never_shown() -> None:
    settings = load(Example, ENOUGH)
    assert "s3cret" not in f"{settings} {settings!r} {settings.token}"


def test_the_documentation_comes_from_the_declaration() -> None:
    variables = {v.name: v for v in describe(Example)}
    assert list(variables)[:4] == ["BIND", "WORKERS", "VERBOSE", "TOKEN"]
    assert variables["BIND"].default is None
    assert variables["WORKERS"].default == "2"
    assert variables["TOKEN"].secret
    assert all(v.description for v in variables.values())


def test_sasl_needs_credentials() -> None:
    with pytest.raises(SettingsError, match="KAFKA_SASL_USERNAME"):
        load(Example, ENOUGH | {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})


def test_librdkafka_gets_what_the_protocol_needs_and_nothing_else() -> None:
    sasl = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_USERNAME": "etl",
        "KAFKA_SASL_PASSWORD": "pw",
        "KAFKA_SSL_CA_LOCATION": "/ca.pem",
    }
    assert load(Example, ENOUGH).kafka.librdkafka() == {
        "bootstrap.servers": "k:9092",
        "security.protocol": "PLAINTEXT",
    }
    assert load(Example, ENOUGH | sasl).kafka.librdkafka() == {
        "bootstrap.servers": "k:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "etl",
        "sasl.password": "pw",
        "ssl.ca.location": "/ca.pem",
    }
