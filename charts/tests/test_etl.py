"""What the ETL's chart makes of its values, per resource."""

from typing import Any

from rendering import CHARTS, Helm
from ugc_etl.schema import required_version
from ugc_etl.settings import MigrateSettings
from ugc_settings import describe
from values_schema import SERVICES
from yaml import safe_load


def job_name(helm: Helm, **more: Any) -> str:
    return helm.render("etl", more=more).one("Job")["metadata"]["name"]


def test_the_chart_tells_the_images_schema_version() -> None:
    chart = safe_load((CHARTS / "etl/Chart.yaml").read_text("utf-8"))
    assert chart["annotations"]["ugc.dev/schema-version"] == str(required_version), (
        "there is another migration: set ugc.dev/schema-version in charts/etl/Chart.yaml"
    )


def test_the_job_is_named_by_the_schema_and_by_what_it_runs(helm: Helm) -> None:
    name = job_name(helm)
    assert name.startswith(f"ugc-etl-schema-v{required_version}-")
    assert job_name(helm) == name
    assert job_name(helm, replicas=5) == name
    # A Job's pod cannot be changed, so all that changes it has to change the name.
    for value in ({"image.tag": "2"}, {"clickhouse.host": "b"}, {"settings.LOG_LEVEL": "DEBUG"}):
        assert job_name(helm, **value) != name


def test_the_job_has_the_settings_that_a_migration_reads(helm: Helm) -> None:
    reads = {v.name for v in describe(MigrateSettings)} & SERVICES[1].free()
    assert reads >= {"CLICKHOUSE_COMPRESSION", "LOG_LEVEL"}
    assert {name for name in reads if not name.startswith("CLICKHOUSE_")} == {"LOG_LEVEL"}
    rendered = helm.render("etl", "external", more={"migration.enabled": True})
    environ = rendered.environment(rendered.one("Job")["spec"]["template"])
    settings = {"CLICKHOUSE_COMPRESSION": "lz4", "LOG_LEVEL": "DEBUG"}
    assert settings.items() <= environ.items()
    assert "BATCH_MAX_BYTES" not in environ


def test_the_shards_ports_are_opened(helm: Helm) -> None:
    more = {"settings.CLICKHOUSE_SHARDS": "a,b:9001,c:9001,d:9000"}
    policy = helm.render("etl", more=more).one("NetworkPolicy", "ugc-etl")["spec"]
    assert [port["port"] for port in policy["egress"][2]["ports"]] == [9000, 9001]


def test_addresses_and_names_may_be_templates(helm: Helm) -> None:
    def of(name: str) -> str:
        return "{{ .Release.Name }}-" + name

    more = {
        "kafka": {
            "bootstrapServers": f"{of('kafka')}:9093,b:9094",
            "sasl": {
                "mechanism": "SCRAM-SHA-512",
                "username": of("me"),
                "existingSecret": {"name": of("me")},
            },
            "tls": {"enabled": True, "caSecret": {"name": of("ca")}},
        },
        "clickhouse.host": of("clickhouse"),
        "clickhouse.existingSecret.name": of("users"),
        "settings.CLICKHOUSE_SHARDS": f"{of('s0')}:9440,{of('s1')}:9441",
        "networkPolicy.kafka": [{"podSelector": {"matchLabels": {"of": of("kafka")}}}],
    }
    rendered = helm.render("etl", "least", more=more)
    pod = rendered.one("StatefulSet")["spec"]["template"]
    assert {
        "KAFKA_BOOTSTRAP_SERVERS": "ugc-kafka:9093,b:9094",
        "KAFKA_SASL_USERNAME": "ugc-me",
        "CLICKHOUSE_HOST": "ugc-clickhouse",
        "CLICKHOUSE_SHARDS": "ugc-s0:9440,ugc-s1:9441",
    }.items() <= rendered.environment(pod).items()
    (container,) = pod["spec"]["containers"]
    secrets = {v["valueFrom"]["secretKeyRef"]["name"] for v in container["env"]}
    volumes = {v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
    assert secrets | volumes == {"ugc-etl-pseudonym", "ugc-me", "ugc-users", "ugc-ca"}
    kafka, clickhouse = rendered.one("NetworkPolicy", "ugc-etl")["spec"]["egress"][1:]
    assert kafka["to"] == [{"podSelector": {"matchLabels": {"of": "ugc-kafka"}}}]
    assert [port["port"] for port in kafka["ports"]] == [9093, 9094]
    assert [port["port"] for port in clickhouse["ports"]] == [9000, 9440, 9441]


def test_the_job_is_no_hook(helm: Helm) -> None:
    job = helm.render("etl").one("Job")
    assert not job["metadata"].get("annotations")
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["migrate"]


def test_the_schema_may_be_somebody_elses_task(helm: Helm) -> None:
    rendered = helm.render("etl", more={"migration.enabled": False})
    assert not rendered.all("Job")
    assert len(rendered.all("NetworkPolicy")) == 1


def test_pods_are_who_they_were(helm: Helm) -> None:
    rendered = helm.render("etl")
    spec = rendered.one("StatefulSet")["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["serviceName"] == rendered.one("Service")["metadata"]["name"]
    assert rendered.one("Service")["spec"]["clusterIP"] == "None"


def test_settings_arrive_as_they_were_written(helm: Helm) -> None:
    config = helm.render("etl", "external").one("ConfigMap")["data"]
    assert config["BATCH_MAX_BYTES"] == "20000000"
    assert config["INSERTS_PER_S_TARGET"] == "2.5"
    assert config["KAFKA_TOPIC_PREFIX"] == "cinema."


def test_the_pseudonym_key_outlives_the_release(helm: Helm) -> None:
    secret = helm.render("etl").one("Secret", "ugc-etl-pseudonym")
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    own = helm.render("etl", "strimzi")
    assert own.all("Secret") == []
    pod = own.one("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    assert {v["name"]: v["valueFrom"]["secretKeyRef"] for v in pod["env"]} == {
        "PSEUDONYM_KEY": {"name": "pseudonyms", "key": "current"},
        "KAFKA_SASL_PASSWORD": {"name": "ugc-etl", "key": "password"},
        "CLICKHOUSE_PASSWORD": {"name": "clickhouse-users", "key": "etl"},
    }


def test_new_configuration_makes_new_pods(helm: Helm) -> None:
    def annotations(**more: object) -> dict[str, str]:
        pod = helm.render("etl", more=more).one("StatefulSet")["spec"]["template"]
        return pod["metadata"]["annotations"]

    # A generated key is another at every rendering, and must not count.
    assert annotations() == annotations()
    assert annotations(**{"settings.BATCH_MAX_ROWS": 5}) != annotations()
    assert annotations(**{"clickhouse.password": "new"}) != annotations()


def test_who_talks_to_whom(helm: Helm) -> None:
    rendered = helm.render("etl", "strimzi")
    policy = rendered.one("NetworkPolicy", "ugc-etl")["spec"]
    (ingress,) = policy["ingress"]
    assert ingress["ports"] == [{"port": 9109, "protocol": "TCP"}]
    assert len(ingress["from"]) == 1
    assert [[p["port"] for p in rule["ports"]] for rule in policy["egress"]] == [
        [53, 53, 5353, 5353], [9093], [9440],
    ]  # fmt: skip
    migration = rendered.one("NetworkPolicy", "ugc-etl-schema")["spec"]
    assert "ingress" not in migration
    assert [[p["port"] for p in rule["ports"]] for rule in migration["egress"]] == [
        [53, 53, 5353, 5353], [9440],
    ]  # fmt: skip
    assert migration["egress"][1]["to"] == policy["egress"][2]["to"]


def test_prometheus_finds_the_pods(helm: Helm) -> None:
    rendered = helm.render("etl", "strimzi")
    monitor = rendered.one("PodMonitor")
    pod = rendered.one("StatefulSet")["spec"]["template"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == pod["spec"]["containers"][0]["ports"][0]["name"]


def test_the_process_listens_where_the_probes_ask(helm: Helm) -> None:
    rendered = helm.render("etl")
    (container,) = rendered.one("StatefulSet")["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert rendered.one("ConfigMap")["data"]["METRICS_PORT"] == str(port["containerPort"])
    paths = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")]
    assert paths == ["/healthz", "/readyz"]
