"""What the API's chart makes of its values, per resource."""

import pytest
from rendering import Helm


def test_names_follow_the_release(helm: Helm) -> None:
    names = {
        (release, value): helm.render("ugc-api", release=release, more=more).one("Deployment")[
            "metadata"
        ]["name"]
        for release, value, more in (
            ("ugc", "", {}),
            ("my-api", "", {}),
            ("ugc", "nameOverride", {"nameOverride": "door"}),
            ("ugc", "fullnameOverride", {"fullnameOverride": "door"}),
            ("x" * 53, "", {}),
        )
    }
    assert names == {
        ("ugc", ""): "ugc-api",
        ("my-api", ""): "my-api",
        ("ugc", "nameOverride"): "ugc-door",
        ("ugc", "fullnameOverride"): "door",
        ("x" * 53, ""): "x" * 36 + "-api",
    }


def test_images(helm: Helm) -> None:
    def image(**values: str) -> str:
        more = {f"image.{name}": value for name, value in values.items()}
        pod = helm.render("ugc-api", more=more).one("Deployment")["spec"]["template"]
        return pod["spec"]["containers"][0]["image"]

    assert image() == "ugc-api:0.1.0"
    assert image(registry="r.example.org/a", tag="1") == "r.example.org/a/ugc-api:1"
    digest = "sha256:" + "a" * 64
    assert image(tag="1", digest=digest) == f"ugc-api@{digest}"


def test_settings_arrive_as_they_were_written(helm: Helm) -> None:
    settings = {"KAFKA_QUEUE_MAX_RECORDS": 20_000_000, "JWT_AUDIENCE": "1e3", "LOG_LEVEL": "debug"}
    config = helm.render("ugc-api", more={"settings": settings}).one("ConfigMap")["data"]
    assert {name: config[name] for name in settings} == {
        "KAFKA_QUEUE_MAX_RECORDS": "20000000",
        "JWT_AUDIENCE": "1e3",
        "LOG_LEVEL": "debug",
    }


def test_new_configuration_makes_new_pods(helm: Helm) -> None:
    def annotations(**more: object) -> dict[str, str]:
        pod = helm.render("ugc-api", more=more).one("Deployment")["spec"]["template"]
        return pod["metadata"]["annotations"]

    # A generated key is another at every rendering, and must not count.
    assert annotations() == annotations()
    changed = annotations(**{"settings.API_CONCURRENCY": 5})
    assert changed["checksum/config"] != annotations()["checksum/config"]
    changed = annotations(
        **{"kafka.sasl": {"mechanism": "PLAIN", "username": "a", "password": "b"}}
    )
    assert changed["checksum/secret"] != annotations()["checksum/secret"]


def test_outside_only_v1_is_reached(helm: Helm) -> None:
    ingress = helm.render("ugc-api", "external").one("Ingress")["spec"]
    assert [p["path"] for rule in ingress["rules"] for p in rule["http"]["paths"]] == ["/v1"]
    assert ingress["tls"] == [{"hosts": ["events.example.org"], "secretName": "events-tls"}]


def test_the_ingress_is_believed(helm: Helm) -> None:
    def hops(**settings: int) -> str | None:
        more = {"ingress": {"enabled": True, "host": "h"}, "settings": settings}
        return helm.render("ugc-api", more=more).one("ConfigMap")["data"].get("API_PROXY_HOPS")

    assert (hops(), hops(API_PROXY_HOPS=0), hops(API_PROXY_HOPS=2)) == ("1", "0", "2")
    assert "API_PROXY_HOPS" not in helm.render("ugc-api").one("ConfigMap")["data"]


def test_autoscaling_leaves_the_number_alone(helm: Helm) -> None:
    assert helm.render("ugc-api").one("Deployment")["spec"]["replicas"] == 2
    scaled = helm.render("ugc-api", "external")
    assert "replicas" not in scaled.one("Deployment")["spec"]
    assert scaled.one("HorizontalPodAutoscaler")["spec"]["maxReplicas"] == 10


def test_who_talks_to_whom(helm: Helm) -> None:
    policy = helm.render("ugc-api", "strimzi").one("NetworkPolicy", "ugc-api")["spec"]
    (rule,) = policy["ingress"]
    namespace, test = rule["from"]
    assert namespace["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "ingress-nginx"
    }
    assert test["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    dns, kafka = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert kafka == {
        "ports": [{"port": 9093, "protocol": "TCP"}],
        "to": [{"podSelector": {"matchLabels": {"strimzi.io/cluster": "ugc"}}}],
    }
    own, _ = helm.render("ugc-api", "external").all("NetworkPolicy")
    more = own["spec"]["egress"]
    ports = [[port["port"] for port in rule.get("ports", [])] for rule in more]
    assert ports == [[53, 53, 5353, 5353], [9094, 9095], [443], []]


@pytest.mark.parametrize(("keys", "port"), [
    ("https://i/k", 443), ("http://i/k", 80), ("http://i:8443/k", 8443),
    ('{{ "https" }}://{{ .Release.Name }}-issuer:8443/keys', 8443),
])  # fmt: skip
def test_the_issuers_port_is_opened(helm: Helm, keys: str, port: int) -> None:
    rendered = helm.render("ugc-api", more={"settings.JWT_JWKS": keys})
    egress = rendered.one("NetworkPolicy", "ugc-api")["spec"]["egress"]
    assert egress[-1]["ports"] == [{"port": port, "protocol": "TCP"}]


def test_keys_in_a_file_open_no_port(helm: Helm) -> None:
    rendered = helm.render("ugc-api", more={"settings.JWT_JWKS": "/keys"})
    assert len(rendered.one("NetworkPolicy", "ugc-api")["spec"]["egress"]) == 2


def test_prometheus_finds_the_service(helm: Helm) -> None:
    rendered = helm.render("ugc-api", "strimzi")
    monitor, service = rendered.one("ServiceMonitor"), rendered.one("Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"


def test_the_process_listens_where_the_probes_ask(helm: Helm) -> None:
    rendered = helm.render("ugc-api")
    (container,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert rendered.one("ConfigMap")["data"]["API_BIND"] == f"0.0.0.0:{port['containerPort']}"
    paths = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")]
    assert paths == ["/healthz", "/readyz"]


def test_spread(helm: Helm) -> None:
    def rules(spread: str) -> list[str]:
        more = {"pod.spread": spread}
        pod = helm.render("ugc-api", more=more).one("Deployment")["spec"]["template"]["spec"]
        return [rule["whenUnsatisfiable"] for rule in pod.get("topologySpreadConstraints", [])]

    assert rules("off") == []
    assert rules("preferred") == ["ScheduleAnyway", "ScheduleAnyway"]
    assert rules("required") == ["ScheduleAnyway", "DoNotSchedule"]
