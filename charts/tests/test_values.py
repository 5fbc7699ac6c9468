"""Values: each is documented and checked, and wrong ones are answered with what to set."""

from typing import Any

import pytest
from rendering import Helm, RefusedError
from values_schema import SERVICES, STORES, Chart, schema_of

services = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)


@services
def test_the_schema_is_what_values_and_settings_say(service: Chart) -> None:
    written = (service.folder / "values.schema.json").read_text("utf-8")
    assert written == schema_of(service), "run `make chart-schemas`"


def test_a_value_without_a_comment_is_found(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = SERVICES[0]
    text = (service.folder / "values.yaml").read_text("utf-8")
    (tmp_path / service.name).mkdir()
    (tmp_path / service.name / "values.yaml").write_text(text + "\nnew: 1\n")
    monkeypatch.setattr("values_schema.CHARTS", tmp_path)
    with pytest.raises(ValueError, match="new has no comment"):
        schema_of(service)


def test_helpers_are_the_same_in_every_chart() -> None:
    copies = {(c.folder / "templates/_ugc.tpl").read_text("utf-8") for c in (*SERVICES, *STORES)}
    assert len(copies) == 1


KAFKA_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kafka.bootstrapServers": ""}, "kafka.bootstrapServers is empty: set the host:port"),
    ({"kafka.bootstrapServers": "broker"}, "does not match pattern"),
    ({"kafka.bootstrapServers": "{{ .Release.Name }}"}, "does not match pattern"),
    ({"kafka.bootstrapServers": "{{ .Values.no }}:9092"}, 'becomes ":9092": set it to host:port'),
    ({"kafka.sasl.mechanism": "PLAIN"}, "kafka.sasl.username is empty"),
    ({"kafka.sasl.mechanism": "PLAIN"}, "set kafka.sasl.existingSecret.name"),
    ({"kafka.sasl.mechanism": "GSSAPI"}, "value must be one of"),
    ({"kafka.sasl.username": "me"}, "kafka.sasl.mechanism is empty"),
    (
        {"kafka.sasl": {"mechanism": "PLAIN", "username": "me", "password": "p",
                        "existingSecret": {"name": "s"}}},
        "keep one of them",
    ),
    ({"kafka.tls.caSecret.name": "ca"}, "kafka.tls.enabled is false"),
    ({"replics": 3}, "additional properties 'replics' not allowed"),
    ({"replicas": "3"}, "got string, want integer"),
    ({"kafka.sasl.user": "me"}, "additional properties 'user' not allowed"),
    ({"settings.LOG_LEVL": "info"}, "additional properties 'LOG_LEVL' not allowed"),
    ({"settings.LOG_LEVEL": "loud"}, "value must be one of"),
    ({"settings.KAFKA_BOOTSTRAP_SERVERS": "k:1"}, "not allowed"),
    ({"settings.KAFKA_SASL_PASSWORD": "p"}, "not allowed"),
    ({"image.pullPolicy": "Sometimes"}, "value must be one of"),
    ({"metrics.prometheusRule.enabled": True}, "Monitor.enabled=true"),
]  # fmt: skip
WRONG: dict[str, list[tuple[dict[str, Any], str]]] = {
    "ugc-api": [
        ({"jwt.generate": False}, "nothing verifies tokens: set settings.JWT_JWKS"),
        ({"jwt.secret": "x" * 32}, "jwt.generate and jwt.secret are set: keep one"),
        ({"jwt.secret": "x" * 31}, "jwt.secret is shorter than 32 bytes"),
        (
            {"jwt.publicKey": "-----BEGIN", "settings.JWT_JWKS": "https://i/keys"},
            "jwt.publicKey and settings.JWT_JWKS are both set",
        ),
        ({"ingress.enabled": True}, "ingress.host is empty"),
        ({"autoscaling": {"enabled": True, "minReplicas": 11}}, "minReplicas is 11 and maxRep"),
        ({"settings.JWT_SECRET": "p"}, "not allowed"),
        ({"settings.API_CONCURRENCY": 1}, "minimum: got 1, want 2"),
    ],
    "etl": [
        ({"clickhouse.host": ""}, "clickhouse.host is empty: set the host"),
        (
            {"clickhouse.password": "p", "clickhouse.existingSecret.name": "s"},
            "clickhouse.password and clickhouse.existingSecret.name are both set",
        ),
        ({"clickhouse.tls.caSecret.name": "ca"}, "clickhouse.tls.enabled is false"),
        ({"clickhouse.analyticsDatabase": "ugc"}, "give them another"),
        ({"pseudonymKey.value": "short"}, "pseudonymKey.value has 5 bytes: give it 16 to 64"),
        (
            {"pseudonymKey.value": "x" * 16, "pseudonymKey.existingSecret.name": "s"},
            "pseudonymKey.value and pseudonymKey.existingSecret.name are both set",
        ),
        ({"settings.PSEUDONYM_KEY": "p"}, "not allowed"),
        ({"settings.DEAD_LETTER_SHARE": 2}, "maximum: got 2, want 1"),
    ],
}


@pytest.mark.parametrize(
    ("chart", "values", "sentence"),
    [(chart, *case) for chart, cases in WRONG.items() for case in KAFKA_WRONG + cases],
)
@pytest.mark.proves("wrong values of the services are answered with what to set", by="running")
def test_wrong_values_are_answered(
    helm: Helm, chart: str, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        helm.render(chart, more=values)
    assert sentence in str(refused.value)


@services
def test_all_that_is_wrong_is_said_at_once(helm: Helm, service: Chart) -> None:
    with pytest.raises(RefusedError) as refused:
        helm.render(service.name, scenario="")
    assert "kafka.bootstrapServers is empty" in str(refused.value)
    assert {"ugc-api": "nothing verifies", "etl": "clickhouse.host"}[service.name] in str(
        refused.value
    )


@services
def test_an_older_kubernetes_is_refused(helm: Helm, service: Chart) -> None:
    with pytest.raises(RefusedError, match=r">=1\.30\.0-0"):
        helm.render(service.name, kubernetes="1.29")


@services
def test_helm_has_nothing_to_say_against_it(helm: Helm, service: Chart) -> None:
    least = service.folder / "ci" / "least-values.yaml"
    assert "0 chart(s) failed" in helm.run(
        "lint", "--strict", str(service.folder), "-f", str(least)
    )
