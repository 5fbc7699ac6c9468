"""Values and names that are legal and rare: what is rendered is still right."""

import json
import re
from typing import Any

import kubernetes_api
import pytest
from rendering import CHARTS, OLDEST, Helm, Object, RefusedError, Rendered
from test_platform import may

PLATFORM = "ugc-platform"
CLICKHOUSE = "../infra/clickhouse-keeper"
STRIMZI = "../infra/strimzi"
LONGEST = 53
"""Characters of a release's name, as Helm allows."""
LABEL = 63
SERVICES = pytest.mark.parametrize("chart", ["ugc-api", "etl"])


def labels(found: Any) -> list[str]:
    """Every value of a label, wherever labels are set or selected by."""
    if isinstance(found, list):
        return [value for one in found for value in labels(one)]
    if not isinstance(found, dict):
        return []
    own = [value for key in ("labels", "matchLabels") for value in (found.get(key) or {}).values()]
    return own + [value for one in found.values() for value in labels(one)]


def name_problems(rendered: Rendered) -> list[str]:
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    problems = [f"twice: {name}" for name in names if names.count(name) > 1]
    problems += [f"too long: {name}" for _, name in names if len(name) > LABEL]
    # A StatefulSet's pods have their revision in a label: the name, a hyphen and ten characters.
    groups = [s["metadata"]["name"] for s in rendered.all("StatefulSet")]
    problems += [f"no room for pods: {name}" for name in groups if len(name) > LABEL - 11]
    problems += [f"no label: {value}" for value in labels(rendered.objects) if len(value) > LABEL]
    return problems


@pytest.mark.proves("releases of the longest names have objects of their own", by="rendering")
@pytest.mark.parametrize("length", [1, 32, 36, 38, 39, 40, 41, LONGEST])
def test_long_releases(helm: Helm, length: int) -> None:
    release = ("cinema-" * 8)[:length].rstrip("-").ljust(length, "x")
    rendered = helm.render(PLATFORM, "", release=release)
    assert name_problems(rendered) == []
    (etl,) = [
        one
        for one in rendered.all("StatefulSet")
        if one["metadata"]["labels"]["app.kubernetes.io/name"] == "etl"
    ]
    environ = rendered.environment(etl["spec"]["template"])
    assert rendered.one("Service", environ["CLICKHOUSE_HOST"])
    kafka = rendered.one("Kafka")["metadata"]["name"]
    assert environ["KAFKA_BOOTSTRAP_SERVERS"] == f"{kafka}-kafka-bootstrap:9093"
    assert (
        environ["KAFKA_SASL_USERNAME"]
        == rendered.one("KafkaUser", f"{kafka}-etl")["metadata"]["name"]
    )


def test_a_release_that_would_name_two_charts_alike(helm: Helm) -> None:
    said = "would both be called retla-capital: choose a release's name that has neither in it"
    with pytest.raises(RefusedError, match=said):
        helm.render(PLATFORM, "", release="retla-capital")
    rendered = helm.render(
        PLATFORM, "", release="retla-capital", more={"etl.fullnameOverride": "consumers"}
    )
    assert name_problems(rendered) == []


@SERVICES
@pytest.mark.parametrize("name", ["x" * 63, "a-" * 31 + "a"])
def test_long_names_of_charts(helm: Helm, chart: str, name: str) -> None:
    for key in ("nameOverride", "fullnameOverride"):
        rendered = helm.render(chart, more={key: name})
        assert name_problems(rendered) == []
        assert [p for o in rendered.objects for p in kubernetes_api.problems(o, OLDEST)] == []


@pytest.mark.parametrize("release", ["9lives", "a.b"])
def test_names_that_no_service_may_have(helm: Helm, release: str) -> None:
    for chart in ("ugc-api", "etl", PLATFORM):
        with pytest.raises(RefusedError, match="choose another name for the release"):
            helm.render(chart, "" if chart == PLATFORM else "least", release=release)
    helm.render("ugc-api", release=release, more={"fullnameOverride": "intake"})


def test_notes_follow_the_names(helm: Helm) -> None:
    said = helm.run(
        "install", "ugc", str(CHARTS / PLATFORM), "--dry-run=client", "-o", "json",
        "--set", "api.nameOverride=intake",
    )  # fmt: skip
    assert "deployment/ugc-intake" in json.loads(said)["info"]["notes"]


def test_pools_whose_pods_would_have_no_name(helm: Helm) -> None:
    def pods_of(pool: str) -> Rendered:
        nodes = {"replicas": 1, "roles": ["broker"]}
        return helm.render(STRIMZI, release="u", more={f"nodePools.{pool}": nodes})

    assert len(pods_of("x" * 51).all("KafkaNodePool")) == 2
    with pytest.raises(RefusedError, match="take 1 characters less"):
        pods_of("x" * 52)


@SERVICES
def test_no_replicas(helm: Helm, chart: str) -> None:
    rendered = helm.render(chart, more={"replicas": 0})
    (group,) = [*rendered.all("Deployment"), *rendered.all("StatefulSet")]
    assert group["spec"]["replicas"] == 0


@SERVICES
@pytest.mark.parametrize(
    ("quantity", "limit"),
    [(536870912, 536870912), ("1Ti", 2**40), ("5e8", 500_000_000), ("500000000000m", 500_000_000)],
)
def test_alerts_know_every_quantity(helm: Helm, chart: str, quantity: Any, limit: int) -> None:
    rendered = helm.render(chart, "strimzi", more={"pod.resources.limits": {"memory": quantity}})
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    (rule,) = [rule for rule in group["rules"] if rule["alert"].endswith("MemoryNearLimit")]
    assert rule["expr"].endswith(f"> 0.9 * {limit}")


@SERVICES
def test_what_is_no_quantity(helm: Helm, chart: str) -> None:
    with pytest.raises(RefusedError, match='"much" is no quantity'):
        helm.render(chart, "strimzi", more={"pod.resources.limits": {"memory": "much"}})


def test_images_by_digest(helm: Helm) -> None:
    digests = {"server": "sha256:" + "a" * 64, "keeper": "sha256:" + "b" * 64}
    rendered = helm.render(
        CLICKHOUSE,
        more={"image.digests": digests, "image.registry": "r.example.org/", "image.tag": "x"},
    )
    images = {pod["spec"]["containers"][0]["image"] for _, pod in rendered.pods()}
    assert images == {
        f"r.example.org/clickhouse/clickhouse-{role}@{digest}" for role, digest in digests.items()
    }


def test_volumes_are_not_gone_through_at_every_start(helm: Helm) -> None:
    contexts = [pod["spec"]["securityContext"] for _, pod in helm.render(PLATFORM, "").pods()]
    assert {context["fsGroupChangePolicy"] for context in contexts} == {"OnRootMismatch"}


def test_the_cluster_may_choose_the_user(helm: Helm) -> None:
    nobody = {f"{chart}.pod.runAsUser": None for chart in ("api", "etl", "clickhouse")}
    for _, pod in helm.render(PLATFORM, "", more=nobody).pods():
        context = pod["spec"]["securityContext"]
        assert set(context) == {"runAsNonRoot", "seccompProfile"}


def test_the_last_words_of_a_pod_are_in_its_status(helm: Helm) -> None:
    rendered = helm.render(PLATFORM, "", more={"kafka.ui.enabled": True})
    for what, pod in rendered.pods():
        (container,) = pod["spec"]["containers"]
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", what


def test_the_pseudonyms_key_cannot_be_changed_by_a_tool_that_finds_none(helm: Helm) -> None:
    """It would render another one each time; Kubernetes refuses to change this Secret."""
    assert helm.render("etl").one("Secret", "ugc-etl-pseudonym")["immutable"] is True


def test_a_drain_takes_one_replica_of_a_shard(helm: Helm) -> None:
    """Of three replicas inserts by quorum need two."""
    for budget in helm.render(CLICKHOUSE, "production").all("PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
        assert "minAvailable" not in budget["spec"]


def egress(rendered: Rendered, name: str) -> list[Object]:
    return list(rendered.one("NetworkPolicy", name)["spec"]["egress"])


@pytest.mark.parametrize(("chart", "names"), [
    ("ugc-api", ["ugc-api", "ugc-api-test"]), ("etl", ["ugc-etl", "ugc-etl-schema"]),
    (CLICKHOUSE, ["ugc-clickhouse", "ugc-clickhouse-keeper", "ugc-clickhouse-test"]),
])  # fmt: skip
def test_names_are_asked_for_where_dns_listens(helm: Helm, chart: str, names: list[str]) -> None:
    rendered = helm.render(chart)
    for name in names:
        found = {(p["port"], p["protocol"]) for p in egress(rendered, name)[0]["ports"]}
        assert found == {(port, by) for port in (53, 5353) for by in ("UDP", "TCP")}


def test_more_egress_is_the_migrations_too(helm: Helm) -> None:
    """A Service may listen at another port than its pods, and policies see the pods'."""
    rule = {"ports": [{"port": 19000, "protocol": "TCP"}]}
    rendered = helm.render("etl", more={"networkPolicy.extraEgress": [rule]})
    assert rule in egress(rendered, "ugc-etl")
    assert rule in egress(rendered, "ugc-etl-schema")


def test_who_tests_the_api_reaches_the_api_alone(helm: Helm) -> None:
    rendered = helm.render("ugc-api")
    pods = dict(rendered.pods())
    test, api = pods["Pod ugc-api-send-event"], pods["Deployment ugc-api"]
    broker = {"metadata": {"labels": {}}, "spec": {"containers": [{}]}}
    assert may(rendered, test, api, 8080)
    assert not may(rendered, test, broker, 9092)


def test_the_page_of_kafka_reaches_its_brokers_alone(helm: Helm) -> None:
    _, brokers = egress(helm.render(STRIMZI, more={"ui.enabled": True}), "ugc-kafka-ui")
    assert brokers["to"] == [{"podSelector": {"matchLabels": {"strimzi.io/cluster": "ugc-kafka"}}}]


@pytest.mark.parametrize("chart", ["ugc-api", "etl", CLICKHOUSE])
def test_a_changed_password_restarts_who_reads_it(helm: Helm, chart: str) -> None:
    def sums(password: str) -> set[str]:
        more: dict[str, Any] = {"passwords.etl": password} if chart == CLICKHOUSE else {
            "kafka.sasl": {"mechanism": "PLAIN", "username": "me", "password": password}
        }  # fmt: skip
        rendered = helm.render(chart, more=more)
        return {
            group["spec"]["template"]["metadata"]["annotations"]["checksum/secret"]
            for group in [*rendered.all("Deployment"), *rendered.all("StatefulSet")]
            if not re.search("keeper$", group["metadata"]["name"])
        }

    assert sums("first-password") == sums("first-password")
    assert not sums("first-password") & sums("other-password")
