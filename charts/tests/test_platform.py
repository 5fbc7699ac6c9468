"""The chart that composes the others: what they say of each other fits, in every profile."""

import base64
import json
import re
from typing import Any

import kubernetes_api
import pod_security
import pytest
import yaml
from rendering import CHARTS, NEWEST, OLDEST, Helm, Object, RefusedError, Rendered
from test_scenarios import in_expressions, selects
from ugc_api.settings import Settings as ApiSettings
from ugc_etl.settings import MigrateSettings
from ugc_etl.settings import Settings as EtlSettings
from ugc_settings import load
from values_schema import PLATFORM, schema_of

CHART = "ugc-platform"
PROFILES: dict[str, tuple[tuple[str, ...], str]] = {
    "default": ((), ""),
    "kind": (("values-kind.yaml",), ""),
    "production": (("values-production.yaml",), "production"),
    "external": (("values-external-kafka.yaml", "values-external-clickhouse.yaml"), "external"),
}
"""Values files of the chart, and the ci file that has what only a user knows."""
OPERATOR_MIB = 384
"""Memory limit of Strimzi's operator, in its own chart."""
KUBERNETES_MIB = 512
"""What is left to the node itself."""
every_profile = pytest.mark.parametrize("profile", PROFILES)


def render(helm: Helm, profile: str, kubernetes: str = OLDEST, **more: Any) -> Rendered:
    files, scenario = PROFILES[profile]
    return helm.render(CHART, scenario, profiles=files, kubernetes=kubernetes, more=more or None)


def pod(rendered: Rendered, kind: str, name: str) -> Object:
    template: Object = rendered.one(kind, name)["spec"]["template"]
    return template


def test_the_schema_is_what_the_values_say() -> None:
    written = (CHARTS / CHART / "values.schema.json").read_text("utf-8")
    assert written == schema_of(PLATFORM), "run `make chart-schemas`"


@pytest.mark.proves("the platform is right for Kubernetes 1.30 and 1.37", by="rendering")
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@every_profile
def test_kubernetes_takes_it(helm: Helm, profile: str, version: str) -> None:
    rendered = render(helm, profile, version)
    assert [p for found in rendered.objects for p in kubernetes_api.problems(found, version)] == []
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    assert len(set(names)) == len(names)


@pytest.mark.proves("pods of the platform are restricted by Pod Security", by="rendering")
@every_profile
def test_pods_are_restricted(helm: Helm, profile: str) -> None:
    pods = list(render(helm, profile).pods())
    assert {what: pod_security.problems(found["spec"]) for what, found in pods} == {
        what: [] for what, _ in pods
    }


@pytest.mark.proves("in every profile the services take their environment", by="running")
@every_profile
def test_the_services_take_their_environment(helm: Helm, profile: str) -> None:
    rendered = render(helm, profile)
    api = rendered.environment(pod(rendered, "Deployment", "ugc-api"))
    etl = rendered.environment(pod(rendered, "StatefulSet", "ugc-etl"))
    load(ApiSettings, api)
    load(EtlSettings, etl)
    (job,) = rendered.all("Job")
    load(MigrateSettings, rendered.environment(job["spec"]["template"]))
    assert api["KAFKA_BOOTSTRAP_SERVERS"] == etl["KAFKA_BOOTSTRAP_SERVERS"]
    assert api["KAFKA_SECURITY_PROTOCOL"] == etl["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"


@every_profile
def test_no_secret_is_outside_of_secrets(helm: Helm, profile: str) -> None:
    rendered = render(helm, profile)
    kept = [
        base64.b64decode(value).decode()
        for secret in rendered.all("Secret")
        for value in secret["data"].values()
    ]
    rest = json.dumps([found for found in rendered.objects if found["kind"] != "Secret"])
    assert kept
    assert not [secret for secret in kept if secret in rest]


def asked_of_secrets(found: Object) -> set[tuple[str, str]]:
    """(name, key) of every Secret that a pod has variables or files of."""
    spec = found["spec"]
    asked = {
        (v["valueFrom"]["secretKeyRef"]["name"], v["valueFrom"]["secretKeyRef"]["key"])
        for container in spec["containers"]
        for v in container.get("env") or []
        if "secretKeyRef" in v.get("valueFrom", {})
    }
    for volume in spec.get("volumes", []):
        for item in volume.get("secret", {}).get("items", []):
            asked.add((volume["secret"]["secretName"], item["key"]))
    return asked


def made_by_strimzi(rendered: Rendered) -> set[tuple[str, str]]:
    """(name, key) of the Secrets that Strimzi's operators make for what is rendered."""
    users = {(user["metadata"]["name"], "password") for user in rendered.all("KafkaUser")}
    kafkas = rendered.all("Kafka")
    return users | {(f"{k['metadata']['name']}-cluster-ca-cert", "ca.crt") for k in kafkas}


@pytest.mark.proves("every Secret that is asked for is made by somebody", by="rendering")
@every_profile
def test_every_secret_that_is_asked_for_is_made_by_somebody(helm: Helm, profile: str) -> None:
    rendered = render(helm, profile)
    made = {(s["metadata"]["name"], key) for s in rendered.all("Secret") for key in s["data"]}
    by_cert_manager = {
        (certificate["spec"]["secretName"], key)
        for certificate in rendered.all("Certificate")
        for key in ("ca.crt", "tls.crt", "tls.key")
    }
    strangers = {("kafka-api", "password"), ("kafka-etl", "password"), ("kafka-ca", "ca.crt"),
                 ("clickhouse-ugc", "password")}  # fmt: skip
    others = strangers if profile == "external" else made_by_strimzi(rendered)
    for what, found in rendered.pods():
        assert asked_of_secrets(found) <= made | by_cert_manager | others, what


@pytest.mark.proves("the ETL asks ClickHouse where it listens", by="rendering")
@every_profile
def test_the_etl_asks_clickhouse_where_it_listens(helm: Helm, profile: str) -> None:
    rendered = render(helm, profile)
    environ = rendered.environment(pod(rendered, "StatefulSet", "ugc-etl"))
    if profile == "external":
        assert environ["CLICKHOUSE_HOST"] == "clickhouse.example.org"
        assert environ["CLICKHOUSE_CLUSTER"] == ""
        assert {s["metadata"]["name"] for s in rendered.all("StatefulSet")} == {"ugc-etl"}
        return
    secure = environ["CLICKHOUSE_SECURE"] == "true"
    hosts = [environ["CLICKHOUSE_HOST"], *environ.get("CLICKHOUSE_SHARDS", "").split(",")]
    for host in filter(None, hosts):
        ports = {port["port"] for port in rendered.one("Service", host)["spec"]["ports"]}
        assert int(environ["CLICKHOUSE_PORT"]) in ports
    assert secure == (environ["CLICKHOUSE_PORT"] == "9440") == (profile == "production")
    servers = [s for s in rendered.all("StatefulSet") if "-shard-" in s["metadata"]["name"]]
    assert len(servers) == max(1, len(hosts) - 1)
    configuration = json.dumps(rendered.all("ConfigMap"))
    assert f"<{environ['CLICKHOUSE_CLUSTER']}>" in configuration


def reaches(policy: Object, direction: str, port: int | str, other: Object) -> bool:
    """Whether a NetworkPolicy has a rule for this port and a pod of this namespace."""
    side = {"ingress": "from", "egress": "to"}[direction]
    for rule in policy["spec"].get(direction, []):
        if "ports" in rule and port not in [p["port"] for p in rule["ports"]]:
            continue
        peers = rule.get(side)
        if not peers or any(
            "podSelector" in peer
            and "namespaceSelector" not in peer
            and selects(peer["podSelector"].get("matchLabels", {}), other)
            for peer in peers
        ):
            return True
    return False


def may(rendered: Rendered, one: Object, other: Object, port: int) -> bool:
    """Whether the policies of both let a connection from one pod to another pass."""
    labels_of_port = {
        p["containerPort"]: p["name"] for p in other["spec"]["containers"][0].get("ports", [])
    }
    passes = []
    for found, direction, peer in ((one, "egress", other), (other, "ingress", one)):
        chosen = [
            policy
            for policy in rendered.all("NetworkPolicy")
            if selects(policy["spec"]["podSelector"].get("matchLabels", {}), found)
            and in_expressions(policy["spec"]["podSelector"], found)
            and direction.capitalize() in policy["spec"]["policyTypes"]
        ]
        names = (port, labels_of_port.get(port, port))
        passes.append(
            not chosen or any(reaches(p, direction, n, peer) for p in chosen for n in names)
        )
    return all(passes)


@pytest.mark.proves("network policies let through what is needed, and no more", by="rendering")
@pytest.mark.parametrize("profile", ["default", "kind", "production"])
def test_who_talks_to_whom(helm: Helm, profile: str) -> None:
    rendered = render(helm, profile)
    native, http, kafka = (9440, 8443, 9093) if profile == "production" else (9000, 8123, 9093)
    pods = {what: found for what, found in rendered.pods() if "Pod " not in what}
    (job,) = (found for what, found in pods.items() if what.startswith("Job"))
    api, etl = pods["Deployment ugc-api"], pods["StatefulSet ugc-etl"]
    server = pods["StatefulSet ugc-clickhouse-shard-0"]
    keeper = pods["StatefulSet ugc-clickhouse-keeper"]
    broker = {
        "metadata": {"labels": {"strimzi.io/cluster": "ugc-kafka", "strimzi.io/kind": "Kafka"}},
        "spec": {"containers": [{}]},
    }
    anybody = {"metadata": {"labels": {}}, "spec": {"containers": [{}]}}
    assert may(rendered, api, broker, kafka)
    assert may(rendered, etl, broker, kafka)
    assert may(rendered, etl, server, native)
    assert may(rendered, job, server, native)
    assert may(rendered, server, keeper, 9181)
    assert not may(rendered, job, broker, kafka)
    assert not may(rendered, api, server, native)
    assert not may(rendered, anybody, server, native)
    assert not may(rendered, etl, keeper, 9181)
    assert not may(rendered, etl, api, 8080)
    # Analysts are people and tools of the cluster; the values narrow them.
    assert may(rendered, anybody, server, http)
    assert not may(rendered, etl, server, http)


def mib(quantity: str) -> float:
    ((number, unit),) = re.findall(r"^([0-9.]+)(Ki|Mi|Gi)$", quantity)
    return float(number) * {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024}[unit]


def memory_mib(rendered: Rendered, what: str) -> float:
    """Of all pods but tests and Strimzi's operator together, "requests" or "limits"."""
    total = 0.0
    for found in rendered.objects:
        if found["kind"] in ("Deployment", "StatefulSet", "Job"):
            (container,) = found["spec"]["template"]["spec"]["containers"]
            total += mib(container["resources"][what]["memory"]) * found["spec"].get("replicas", 1)
        elif found["kind"] == "KafkaNodePool":
            total += mib(found["spec"]["resources"][what]["memory"]) * found["spec"]["replicas"]
        elif found["kind"] == "Kafka":
            for operator in ("topicOperator", "userOperator"):
                resources = found["spec"]["entityOperator"][operator]["resources"]
                total += mib(resources[what]["memory"])
    return total


@pytest.mark.proves("the profile for kind fits into 4 GiB", by="rendering")
def test_kind_fits_a_small_machine(helm: Helm) -> None:
    rendered = render(helm, "kind")
    assert {s["spec"]["replicas"] for s in rendered.all("StatefulSet")} == {1}
    assert rendered.all("PodDisruptionBudget") == []
    requests, limits = (memory_mib(rendered, what) for what in ("requests", "limits"))
    assert requests <= limits
    assert [p["spec"]["replicas"] for p in rendered.all("KafkaNodePool")] == [1]
    assert limits + OPERATOR_MIB + KUBERNETES_MIB <= 4096


@pytest.mark.proves("the profile for production has three of everything, apart", by="rendering")
def test_production_survives_the_loss_of_a_node(helm: Helm) -> None:
    rendered = render(helm, "production")
    groups = [*rendered.all("Deployment"), *rendered.all("StatefulSet")]
    assert {group["spec"]["replicas"] for group in groups} == {3}
    budgets = [b["spec"]["selector"]["matchLabels"] for b in rendered.all("PodDisruptionBudget")]
    for group in groups:
        found = group["spec"]["template"]
        assert any(selects(labels, found) for labels in budgets), group["metadata"]["name"]
        rules = found["spec"]["topologySpreadConstraints"]
        assert "DoNotSchedule" in {rule["whenUnsatisfiable"] for rule in rules}
    (pool,) = rendered.all("KafkaNodePool")
    assert (pool["spec"]["replicas"], pool["spec"]["roles"]) == (3, ["controller", "broker"])
    kafka = rendered.one("Kafka")["spec"]["kafka"]
    (rule,) = kafka["template"]["pod"]["topologySpreadConstraints"]
    assert rule["whenUnsatisfiable"] == "DoNotSchedule"
    for topic in rendered.all("KafkaTopic"):
        assert topic["spec"]["replicas"] == 3
        assert topic["spec"]["config"]["min.insync.replicas"] == 2
    configuration = json.dumps(rendered.all("ConfigMap"))
    assert "<insert_quorum>auto</insert_quorum>" in configuration
    assert {i["spec"]["rules"][0]["host"] for i in rendered.all("Ingress")} == {
        "events.example.org", "clickhouse.example.org",
    }  # fmt: skip
    assert all(ingress["spec"]["tls"] for ingress in rendered.all("Ingress"))


def test_what_an_uninstall_keeps(helm: Helm) -> None:
    kept = {
        (found["kind"], found["metadata"]["name"])
        for found in render(helm, "default").objects
        if found["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert ("Secret", "ugc-etl-pseudonym") in kept
    assert ("Kafka", "ugc-kafka") in kept
    for group in render(helm, "default").all("StatefulSet"):
        policy = group["spec"].get("persistentVolumeClaimRetentionPolicy", {})
        assert policy.get("whenDeleted", "Retain") == "Retain"


def test_other_releases_have_other_names(helm: Helm) -> None:
    rendered = helm.render(CHART, "", release="my-clickhouse")
    environ = rendered.environment(pod(rendered, "StatefulSet", "my-clickhouse-etl"))
    assert rendered.one("Service", environ["CLICKHOUSE_HOST"])
    secrets = {secret["metadata"]["name"] for secret in rendered.all("Secret")}
    etl = pod(rendered, "StatefulSet", "my-clickhouse-etl")
    asked = {name for name, _ in asked_of_secrets(etl)}
    assert asked - secrets == {"my-clickhouse-kafka-etl", "my-clickhouse-kafka-cluster-ca-cert"}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("default", {"kafka.enabled": False}, "add -f charts/ugc-platform/values-external-kafka.yaml"),
    ("default", {"clickhouse.enabled": False}, "add -f charts/ugc-platform/values-external-click"),
    ("default", {"clickhouse.fullnameOverride": "ch"}, "clickhouse.fullnameOverride must be empty"),
    ("default", {"kafka.nameOverride": "k"}, "kafka.fullnameOverride must be empty"),
    ("default", {"api.kafka.topicPrefix": "a."}, "set both alike, or nobody reads what the API"),
    ("default", {"kafka.topics.prefix": "a."}, 'but kafka.topics.prefix "a."'),
    ("default", {"kafka.consumerGroup": "x"}, 'but kafka.consumerGroup "x"'),
    ("default", {"clickhouse.clusterName": "other"}, 'but clickhouse.clusterName "other"'),
    ("default", {"clickhouse.shards": 2}, "but etl.settings.CLICKHOUSE_SHARDS names 0"),
    ("production", {"clickhouse.shards": 3}, "but etl.settings.CLICKHOUSE_SHARDS names 2"),
    ("production", {"etl.clickhouse.tls": {"enabled": False, "caSecret": {"name": ""}}}, "differ"),
    ("production", {"etl.clickhouse.port": 9000}, "the server listens on 9440"),
    ("default", {"etl.clickhouse.database": "x"}, "are x and analytics, but clickhouse.databases"),
    ("default", {"clickhouse.passwords.existingSecret.name": "mine"}, 'the Secret "mine"'),
    (
        "production",
        {"clickhouse.tls": {"enabled": True, "existingSecret": {"name": "my-tls"}}},
        'ClickHouse\'s certificate are in the Secret "my-tls"',
    ),
    ("production", {"api.settings": {"JWT_JWKS": ""}}, "nothing verifies tokens"),
    ("external", {"etl.kafka.bootstrapServers": ""}, "kafka.bootstrapServers is empty"),
    ("external", {"etl.clickhouse.host": ""}, "clickhouse.host is empty"),
    ("default", {"clickhose.shards": 2}, "additional properties 'clickhose' not allowed"),
    ("default", {"api.replics": 2}, "additional properties 'replics' not allowed"),
]


@pytest.mark.proves("values that do not fit each other are answered with what to set", by="running")
@pytest.mark.parametrize(("profile", "values", "sentence"), WRONG)
def test_wrong_values_are_answered(
    helm: Helm, profile: str, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        render(helm, profile, **values)
    assert sentence in str(refused.value)


@every_profile
def test_notes_name_what_was_made_and_no_secret(helm: Helm, profile: str) -> None:
    files, scenario = PROFILES[profile]
    values = [*files, f"ci/{scenario}-values.yaml"] if scenario else files
    arguments = [part for file in values for part in ("-f", str(CHARTS / CHART / file))]
    said = helm.run(
        "install", "ugc", str(CHARTS / CHART), "--dry-run=client", "-o", "json", *arguments
    )
    notes = json.loads(said)["info"]["notes"]
    rendered = render(helm, profile)
    names = {f"{found['kind'].lower()}/{found['metadata']['name']}" for found in rendered.objects}
    told = set(re.findall(r"(?:deployment|statefulset|service)/[\w-]+", notes))
    assert told <= names
    assert {"deployment/ugc-api", "statefulset/ugc-etl", "service/ugc-api"} <= told
    if profile != "external":
        found = r"get secret (\S+) -o jsonpath='\{\.data\.(\S+)\}'"
        ((secret, key),) = re.findall(found, notes)
        assert key in rendered.one("Secret", secret)["data"]
        (port,) = re.findall(r"service/ugc-clickhouse 8123:(\d+)", notes)
        ports = rendered.one("Service", "ugc-clickhouse")["spec"]["ports"]
        assert int(port) in {one["port"] for one in ports}
    for found in rendered.all("Secret"):
        for value in found["data"].values():
            assert base64.b64decode(value).decode() not in notes


def test_nothing_is_downloaded() -> None:
    chart = yaml.safe_load((CHARTS / CHART / "Chart.yaml").read_text("utf-8"))
    linked = {}
    for link in (CHARTS / CHART / "charts").iterdir():
        assert link.is_symlink()
        assert not link.readlink().is_absolute()
        sub = yaml.safe_load((link / "Chart.yaml").read_text("utf-8"))
        linked[sub["name"]] = sub["version"]
    assert {one["name"]: one["version"] for one in chart["dependencies"]} == linked
    assert not [one for one in chart["dependencies"] if one.get("repository")]
