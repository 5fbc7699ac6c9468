"""What the chart of Kafka makes of its values: right for Strimzi, and equal to the registry."""

from typing import Any

import kubernetes_api
import pod_security
import pytest
from kubernetes_server import STRIMZI, serving
from rendering import CHARTS, NEWEST, OLDEST, Helm, Object, RefusedError, Rendered
from strimzi_crds import API_VERSION, StrimziApi
from ugc_etl.adapters.kafka_tools import READER_GROUP
from ugc_etl.settings import Settings as EtlSettings
from ugc_events import FAMILIES
from ugc_events.registry import DEAD_LETTERS_TOPIC, topics
from values_schema import STORES, schema_of

CHART = "../infra/strimzi"
SCENARIOS = sorted(
    file.name.removesuffix("-values.yaml") for file in (CHARTS / CHART / "ci").glob("*.yaml")
)
PLATFORM: list[tuple[tuple[str, ...], str]] = [
    ((), ""),
    (("values-kind.yaml",), ""),
    (("values-production.yaml",), "production"),
]
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


@pytest.fixture(scope="module")
def strimzi(tmp_path_factory: pytest.TempPathFactory) -> StrimziApi:
    return StrimziApi(tmp_path_factory.mktemp("crds"))


def of_strimzi(rendered: Rendered) -> list[Object]:
    return [found for found in rendered.objects if found["apiVersion"] == API_VERSION]


def test_the_schema_is_what_the_values_say() -> None:
    (store,) = [store for store in STORES if store.name == CHART]
    written = (store.folder / "values.schema.json").read_text("utf-8")
    assert written == schema_of(store), "run `make chart-schemas`"


def test_helm_has_nothing_to_say_against_it(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHARTS / CHART))


@pytest.mark.proves("Kafka: objects are right for Strimzi 1.2's own CRDs, strictly", by="rendering")
@every_scenario
def test_strimzi_takes_it(helm: Helm, strimzi: StrimziApi, scenario: str) -> None:
    found = of_strimzi(helm.render(CHART, scenario))
    assert {one["kind"] for one in found} == {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser"}
    assert [problem for one in found for problem in strimzi.problems(one)] == []


@pytest.mark.parametrize(("profiles", "scenario"), PLATFORM)
def test_strimzi_takes_what_the_platform_makes(
    helm: Helm, strimzi: StrimziApi, profiles: tuple[str, ...], scenario: str
) -> None:
    found = of_strimzi(helm.render("ugc-platform", scenario, profiles=profiles))
    assert len(found) >= 9
    assert [problem for one in found for problem in strimzi.problems(one)] == []


def test_what_is_wrong_would_be_found(helm: Helm, strimzi: StrimziApi) -> None:
    rendered = helm.render(CHART, "kind", more={"version": "4.3.1"})  # not the one that is kept
    kafka = rendered.one("Kafka")
    kafka["spec"]["kafka"]["replicas"] = 3
    kafka["spec"]["kafka"]["listeners"][0]["authentication"]["type"] = "oauth"
    pool = rendered.one("KafkaNodePool")
    del pool["spec"]["storage"]
    user = rendered.one("KafkaUser", "ugc-kafka-api")
    user["spec"]["authorization"]["acls"][0]["operation"] = "Write"
    user["apiVersion"] = "kafka.strimzi.io/v1beta2"
    assert len(strimzi.problems(kafka)) == 2
    assert len(strimzi.problems(pool)) == 1
    assert strimzi.problems(user) == ["KafkaUser ugc-kafka-api: not of kafka.strimzi.io/v1"]
    user["apiVersion"] = API_VERSION
    assert len(strimzi.problems(user)) == 1


@pytest.mark.proves("Kafka: topics are those of the registry, settings included", by="rendering")
@every_scenario
def test_topics_are_those_of_the_registry(helm: Helm, scenario: str) -> None:
    rendered = helm.render(CHART, scenario)
    prefix, partitions, hours, copies = {
        "production": ("cinema.", 48, 336, 3),
        "kind": ("", 4, 168, 1),
        "plain": ("", 12, 168, 1),
    }.get(scenario, ("", 12, 168, 3))
    families = {family.topic_of(prefix) for family in FAMILIES}
    made = {topic["spec"]["topicName"]: topic["spec"] for topic in rendered.all("KafkaTopic")}
    assert set(made) == {topic.name for topic in topics(prefix)}
    for topic in topics(prefix):
        spec = made[topic.name]
        wanted = dict(topic.config)
        if topic.name in families:
            wanted["retention.ms"] = str(hours * 3_600_000)
        assert spec["config"] == wanted | {"min.insync.replicas": max(1, copies - 1)}
        assert spec["partitions"] == (partitions if topic.partitioned else 1)
        assert spec["replicas"] == copies


def test_the_default_retention_is_the_registry_s(helm: Helm) -> None:
    made = {t["spec"]["topicName"]: t["spec"] for t in helm.render(CHART).all("KafkaTopic")}
    for topic in topics():
        assert topic.config.items() <= made[topic.name]["config"].items()


def rules(rendered: Rendered, user: str) -> set[tuple[str, str, str]]:
    """(type, name, operation) of each thing that a user may do; all by the literal name."""
    spec = rendered.one("KafkaUser", user)["spec"]
    assert spec["authentication"] == {"type": "scram-sha-512"}
    assert spec["authorization"]["type"] == "simple"
    found = set()
    for acl in spec["authorization"]["acls"]:
        assert acl["resource"].get("patternType", "literal") == "literal"
        resource = acl["resource"]["type"], acl["resource"].get("name", "")
        found |= {(*resource, operation) for operation in acl["operations"]}
    return found


@pytest.mark.proves("Kafka: each service may do what the registry's topics ask", by="rendering")
@pytest.mark.parametrize(
    ("scenario", "prefix", "group"),
    [("least", "", EtlSettings.kafka_group_id), ("production", "cinema.", "cinema-etl")],
)
def test_each_service_may_do_its_own(helm: Helm, scenario: str, prefix: str, group: str) -> None:
    rendered = helm.render(CHART, scenario)
    events = [family.topic_of(prefix) for family in FAMILIES]
    letters = prefix + DEAD_LETTERS_TOPIC
    assert rules(rendered, "ugc-kafka-api") == {
        ("topic", topic, operation) for topic in events for operation in ("Describe", "Write")
    }
    assert rules(rendered, "ugc-kafka-etl") == {
        *(("topic", topic, operation) for topic in events for operation in ("Describe", "Read")),
        *(("topic", letters, operation) for operation in ("Describe", "Read", "Write")),
        ("group", READER_GROUP, "Describe"),
        *(("group", name, operation)
          for name in (group, f"{group}.commands") for operation in ("Describe", "Read")),
        *(("transactionalId", f"{group}.commands", operation)
          for operation in ("Describe", "Write")),
    }  # fmt: skip
    assert len(rendered.all("KafkaUser")) == 2


@pytest.mark.proves("Kafka: the page that shows it changes nothing", by="rendering")
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_page_looks_and_changes_nothing(helm: Helm, version: str) -> None:
    rendered = helm.render(CHART, "kind", kubernetes=version)
    operations = {operation for _, _, operation in rules(rendered, "ugc-kafka-ui")}
    assert operations == {"Describe", "DescribeConfigs", "Read"}
    deployment = rendered.one("Deployment")
    assert [p for o in rendered.objects for p in kubernetes_api.problems(o, version)] == []
    template = deployment["spec"]["template"]
    assert pod_security.problems(template["spec"]) == []
    labels = template["metadata"]["labels"]
    policy = rendered.one("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert "ingress" not in policy
    (tls,) = rendered.one("Kafka")["spec"]["kafka"]["listeners"]
    admitted = [peer["podSelector"].get("matchLabels") for peer in tls["networkPolicyPeers"]]
    assert any(wanted and wanted.items() <= labels.items() for wanted in admitted)
    (container,) = template["spec"]["containers"]
    asked = [v["valueFrom"]["secretKeyRef"] for v in container["env"] if "valueFrom" in v]
    assert asked == [{"name": "ugc-kafka-ui", "key": "sasl.jaas.config"}]
    assert helm.render(CHART).all("Deployment") == []


@pytest.mark.parametrize(("scenario", "copies", "least"), [("least", 3, 2), ("kind", 1, 1)])
def test_copies_follow_the_brokers_for_internal_topics_too(
    helm: Helm, scenario: str, copies: int, least: int
) -> None:
    config = helm.render(CHART, scenario).one("Kafka")["spec"]["kafka"]["config"]
    for name, value in config.items():
        if "replication.factor" in name:
            assert value == copies, name
        if "isr" in name or name == "min.insync.replicas":
            assert value == least, name
    assert config["unclean.leader.election.enable"] is False
    assert config["auto.create.topics.enable"] is False


@pytest.mark.proves("Kafka: what an uninstall keeps", by="rendering")
@every_scenario
def test_what_an_uninstall_keeps(helm: Helm, scenario: str) -> None:
    kept = {
        one["kind"]
        for one in of_strimzi(helm.render(CHART, scenario))
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {"Kafka", "KafkaNodePool", "KafkaTopic"}
    for pool in helm.render(CHART, scenario).all("KafkaNodePool"):
        for volume in pool["spec"]["storage"]["volumes"]:
            assert volume["type"] == "ephemeral" or volume["deleteClaim"] is False


@every_scenario
def test_nobody_connects_without_a_password(helm: Helm, scenario: str) -> None:
    kafka = helm.render(CHART, scenario).one("Kafka")["spec"]["kafka"]
    assert kafka["authorization"] == {"type": "simple"}
    for listener in kafka["listeners"]:
        assert listener["authentication"] == {"type": "scram-sha-512"}
        assert listener["tls"] is (listener["name"] != "plain")


@every_scenario
def test_pods_are_restricted(helm: Helm, scenario: str) -> None:
    spec = helm.render(CHART, scenario).one("Kafka")["spec"]
    templates = [spec["kafka"]["template"], spec["entityOperator"]["template"]]
    names = {"kafkaContainer", "topicOperatorContainer", "userOperatorContainer"}
    if "rack" in spec["kafka"]:
        names.add("initContainer")
    containers = {name for template in templates for name in template if "ontainer" in name}
    assert containers == names
    for template in templates:
        assert template["pod"]["securityContext"]["runAsNonRoot"] is True
        assert template["pod"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for name in names & set(template):
            assert template[name]["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.proves("Kafka: a cluster without Strimzi is told how to get it", by="running")
def test_a_cluster_without_the_operator_is_told_how_to_get_it(helm: Helm) -> None:
    def install(url: str) -> str:
        return helm.run(
            "template", "ugc", str(CHARTS / CHART), "--dry-run=server",
            "--kube-apiserver", url, "--disable-openapi-validation",
        )  # fmt: skip

    with serving({}) as url, pytest.raises(RefusedError) as refused:
        install(url)
    assert "install Strimzi's operator first" in str(refused.value)
    with serving({}, STRIMZI) as url:
        assert "kind: KafkaNodePool" in install(url)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"replicationFactor": 4}, "replicationFactor is 4 and there are 3 brokers"),
    ({"nodePools.dual.replicas": 4}, "nodePools have 4 controllers"),
    ({"nodePools.dual.roles": ["broker"]}, "no pool of nodePools has the role controller"),
    ({"nodePools.dual.roles": ["controller"]}, "no pool of nodePools has the role broker"),
    ({"config": {"min.insync.replicas": 1}}, "config has min.insync.replicas, which follows"),
    ({"metrics.enabled": False, "metrics.podMonitor.enabled": True}, "nothing to scrape"),
    ({"nodePools.dual.role": ["broker"]}, "additional properties 'role' not allowed"),
    ({"topics.partition": 3}, "additional properties 'partition' not allowed"),
    ({"version": "latest"}, "does not match pattern"),
]


@pytest.mark.proves("Kafka: wrong values are answered with what to set", by="running")
@pytest.mark.parametrize(("values", "sentence"), WRONG)
def test_wrong_values_are_answered(helm: Helm, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RefusedError) as refused:
        helm.render(CHART, more=values)
    assert sentence in str(refused.value)
