"""What the chart of ClickHouse makes of its values, per resource, without running it."""

import base64
import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree as ET  # reads what this repository renders

import kubernetes_api
import pod_security
import pytest
import yaml
from kubernetes_server import serving
from rendering import CHARTS, NEWEST, OLDEST, Helm, Object, RefusedError, Rendered
from test_generated_secrets import OWNED, cluster_with
from values_schema import STORES, schema_of

CHART = "../infra/clickhouse-keeper"
SCENARIOS = sorted(
    file.name.removesuffix("-values.yaml") for file in (CHARTS / CHART / "ci").glob("*.yaml")
)
USERS = ("admin", "analyst", "cluster", "etl", "interserver")
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def configuration(rendered: Rendered, file: str = "config.xml") -> ET.Element:
    """A rendered configuration, parsed: it is well-formed."""
    (found,) = [o["data"][file] for o in rendered.all("ConfigMap") if file in o["data"]]
    return ET.fromstring(found)  # noqa: S314 - of this repository


def text(root: ET.Element, path: str) -> list[str]:
    return [element.text or "" for element in root.findall(path)]


def selects(labels: dict[str, str], pod: Object) -> bool:
    return labels.items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize("store", [s for s in STORES if s.name == CHART])
def test_the_schema_is_what_the_values_say(store: Any) -> None:
    written = (store.folder / "values.schema.json").read_text("utf-8")
    assert written == schema_of(store), "run `make chart-schemas`"


def test_helpers_are_those_of_the_other_charts() -> None:
    copies = [CHARTS / name / "templates/_ugc.tpl" for name in (CHART, "etl")]
    assert len({copy.read_text("utf-8") for copy in copies}) == 1


def test_helm_has_nothing_to_say_against_it(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHARTS / CHART))


@pytest.mark.proves("ClickHouse: objects are right for Kubernetes 1.30 and 1.37", by="rendering")
@every_scenario
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_it(helm: Helm, scenario: str, version: str) -> None:
    rendered = helm.render(CHART, scenario, kubernetes=version)
    assert [p for found in rendered.objects for p in kubernetes_api.problems(found, version)] == []


@pytest.mark.proves("ClickHouse: restricted Pod Security", by="rendering")
@every_scenario
def test_pods_are_restricted(helm: Helm, scenario: str) -> None:
    pods = list(helm.render(CHART, scenario).pods())
    assert len(pods) >= 3
    assert {what: pod_security.problems(pod["spec"]) for what, pod in pods} == {
        what: [] for what, _ in pods
    }


@pytest.mark.proves("ClickHouse: no secret outside of Secrets", by="rendering")
@every_scenario
def test_secrets_are_in_secrets_only(helm: Helm, scenario: str) -> None:
    rendered = helm.render(CHART, scenario)
    rest = yaml.safe_dump_all([found for found in rendered.objects if found["kind"] != "Secret"])
    for secret in rendered.all("Secret"):
        assert set(secret["data"]) == {f"{user}-password" for user in USERS}
        for value in secret["data"].values():
            assert len(base64.b64decode(value)) >= 12
            assert value not in rest
            assert base64.b64decode(value).decode() not in rest
    for file in ("config.xml", "users.xml"):
        for element in configuration(rendered, file).iter():
            if element.tag in ("password", "access_key_id", "secret_access_key"):
                assert set(element.attrib) == {"from_env"}, file
                assert not element.text


@every_scenario
def test_the_configurations_variables_are_the_pods(helm: Helm, scenario: str) -> None:
    rendered = helm.render(CHART, scenario)
    asked: dict[str, set[str]] = {}
    for role, files in {"server": ("config.xml", "users.xml"), "keeper": ("keeper.xml",)}.items():
        elements = [e for file in files for e in configuration(rendered, file).iter()]
        asked[role] = {e.attrib["from_env"] for e in elements if "from_env" in e.attrib}
    for _, pod in rendered.pods():
        role = pod["metadata"]["labels"]["ugc.dev/role"]
        if role != "test":
            assert {v["name"] for v in pod["spec"]["containers"][0]["env"]} == asked[role]


@every_scenario
def test_references_lead_somewhere(helm: Helm, scenario: str) -> None:
    rendered = helm.render(CHART, scenario)
    pods = [pod for _, pod in rendered.pods()]
    maps = {found["metadata"]["name"] for found in rendered.all("ConfigMap")}
    services = {found["metadata"]["name"] for found in rendered.all("Service")}
    claims = {"data"}
    for pod in pods:
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted - claims == volumes
        assert {v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v} <= maps
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if "httpGet" in container.get(probe, {}):
                assert container[probe]["httpGet"]["port"] in ports
    for service in rendered.all("Service"):
        chosen = [pod for pod in pods if selects(service["spec"]["selector"], pod)]
        assert chosen
        for pod in chosen:
            ports = {p["name"]: p["containerPort"] for p in pod["spec"]["containers"][0]["ports"]}
            for port in service["spec"]["ports"]:
                assert ports[port["targetPort"]] == port["port"]
    for stateful in rendered.all("StatefulSet"):
        assert stateful["spec"]["serviceName"] in services
        labels = stateful["spec"]["selector"]["matchLabels"]
        assert len([pod for pod in pods if selects(labels, pod)]) == 1
    for budget in rendered.all("PodDisruptionBudget"):
        labels = budget["spec"]["selector"]["matchLabels"]
        assert len([pod for pod in pods if selects(labels, pod)]) == 1


@pytest.mark.proves(
    "ClickHouse: servers and Keeper's members are listed by their pods' names", by="rendering"
)
@every_scenario
def test_the_names_in_the_configuration_are_those_of_pods(helm: Helm, scenario: str) -> None:
    """Every server and every member of Keeper is listed by the name that its pod gets."""
    rendered = helm.render(CHART, scenario)
    names: dict[str, list[str]] = {"server": [], "keeper": []}
    for stateful in rendered.all("StatefulSet"):
        spec = stateful["spec"]
        first = spec.get("ordinals", {}).get("start", 0)
        names[spec["template"]["metadata"]["labels"]["ugc.dev/role"]] += [
            f"{stateful['metadata']['name']}-{number}.{spec['serviceName']}.default.svc"
            for number in range(first, first + spec["replicas"])
        ]
    config, keeper = configuration(rendered), configuration(rendered, "keeper.xml")
    assert text(config, "remote_servers/ugc/shard/replica/host") == names["server"]
    assert text(config, "zookeeper/node/host") == names["keeper"]
    raft = keeper.find("keeper_server/raft_configuration")
    assert raft is not None
    assert text(raft, "server/hostname") == names["keeper"]
    # A member's id is its pod's index, which Kubernetes writes into a label.
    indexes = [re.search(r"-(\d+)\.", name) for name in names["keeper"]]
    assert text(raft, "server/id") == [index[1] for index in indexes if index]
    pod = rendered.one("StatefulSet", "ugc-clickhouse-keeper")["spec"]["template"]["spec"]
    (variable,) = pod["containers"][0]["env"]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == (
        "metadata.labels['apps.kubernetes.io/pod-index']"
    )


def test_shards_and_replicas(helm: Helm) -> None:
    rendered = helm.render(CHART, "production")
    config = configuration(rendered)
    assert [len(s.findall("replica")) for s in config.findall("remote_servers/ugc/shard")] == [3, 3]
    assert text(config, "remote_servers/ugc/shard/internal_replication") == ["true", "true"]
    for shard in range(2):
        stateful = rendered.one("StatefulSet", f"ugc-clickhouse-shard-{shard}")["spec"]
        assert (stateful["replicas"], stateful["podManagementPolicy"]) == (3, "Parallel")
        (container,) = stateful["template"]["spec"]["containers"]
        assert {"name": "SHARD", "value": str(shard)} in container["env"]
        service = rendered.one("Service", f"ugc-clickhouse-shard-{shard}")["spec"]
        assert selects(service["selector"], stateful["template"])
        budget = rendered.one("PodDisruptionBudget", f"ugc-clickhouse-shard-{shard}")["spec"]
        assert budget["maxUnavailable"] == 1
        spread = stateful["template"]["spec"]["topologySpreadConstraints"]
        assert [s["whenUnsatisfiable"] for s in spread] == ["ScheduleAnyway", "DoNotSchedule"]
    keeper = rendered.one("PodDisruptionBudget", "ugc-clickhouse-keeper")["spec"]
    assert keeper["maxUnavailable"] == 1


@contextmanager
def installed(helm: Helm) -> Iterator[Callable[..., str]]:
    """`render(*arguments)` where the scenario of production is installed."""
    maps = copy.deepcopy(helm.render(CHART, "production").all("ConfigMap"))
    for found in maps:
        found["metadata"]["annotations"] = OWNED
    path = "/api/v1/namespaces/default/configmaps/"
    with serving({path + found["metadata"]["name"]: found for found in maps}) as url:

        def render(*arguments: str) -> str:
            return helm.run(
                "template", "ugc", str(CHARTS / CHART), "--dry-run=server", "--kube-apiserver", url,
                "--disable-openapi-validation", "--set", "shards=2", *arguments,
            )  # fmt: skip

        yield render


@pytest.mark.proves("ClickHouse: no upgrade takes away a shard or a member of Keeper", by="running")
def test_shards_and_members_of_keeper_are_not_taken_away(helm: Helm) -> None:
    with installed(helm) as render:
        assert render("--set", "shards=3", "--set", "replicas=1")
        with pytest.raises(RefusedError, match="shards is 1, but there are 2 with rows"):
            render("--set", "shards=1")
        for members in (1, 5):
            said = f"keeper.replicas is {members}, but Keeper has 3 members"
            with pytest.raises(RefusedError, match=said):
                render("--set", f"keeper.replicas={members}")


def test_a_single_replica_does_not_hold_up_a_drain(helm: Helm) -> None:
    assert helm.render(CHART, "kind").all("PodDisruptionBudget") == []


def test_servers_ask_each_other_as_a_user_and_without_a_secret(helm: Helm) -> None:
    """With a secret a view of DEFINER over a Distributed table is refused by other shards."""
    cluster = configuration(helm.render(CHART, "production")).find("remote_servers/ugc")
    assert cluster is not None
    assert cluster.find("secret") is None
    assert set(text(cluster, "shard/replica/user")) == {"cluster"}


@pytest.mark.parametrize(
    ("scenario", "ports"), [("least", (8123, 9000, 9009)), ("plain", (8443, 9440, 9010))]
)
@pytest.mark.proves("ClickHouse: with TLS no plain port is open", by="rendering")
def test_with_tls_no_plain_port_is_open(
    helm: Helm, scenario: str, ports: tuple[int, int, int]
) -> None:
    config = configuration(helm.render(CHART, scenario))
    names = ("http_port", "tcp_port", "interserver_http_port")
    secure = ("https_port", "tcp_port_secure", "interserver_https_port")
    opened, closed = (secure, names) if scenario == "plain" else (names, secure)
    assert tuple(int(config.findtext(name, "")) for name in opened) == ports
    assert [config.find(name) for name in closed] == [None] * 3
    assert (config.find("openSSL") is not None) == (scenario == "plain")
    replica_secure = config.findall("remote_servers/ugc/shard/replica/secure")
    assert bool(replica_secure) == (scenario == "plain")


def test_the_certificate_has_the_names_that_clients_use(helm: Helm) -> None:
    rendered = helm.render(CHART, "production")
    names = rendered.one("Certificate")["spec"]["dnsNames"]
    for service in rendered.all("Service"):
        name = service["metadata"]["name"]
        if service["spec"].get("clusterIP") != "None":
            assert {name, f"{name}.default.svc"} <= set(names)
    hosts = text(configuration(rendered), "remote_servers/ugc/shard/replica/host")
    assert {f"*.{host.partition('.')[2]}" for host in hosts} <= set(names)
    secret = rendered.one("Certificate")["spec"]["secretName"]
    for stateful in rendered.all("StatefulSet"):
        volumes = {v["name"]: v for v in stateful["spec"]["template"]["spec"]["volumes"]}
        if "shard" in stateful["metadata"]["name"]:
            assert volumes["tls"]["secret"]["secretName"] == secret


@pytest.mark.proves("ClickHouse: who talks to whom", by="rendering")
def test_who_talks_to_whom(helm: Helm) -> None:
    rendered = helm.render(CHART, "production")

    def rules(policy: str, way: str) -> list[tuple[list[int], int]]:
        spec = rendered.one("NetworkPolicy", policy)["spec"]
        peers = {"ingress": "from", "egress": "to"}[way]
        return [([p["port"] for p in r["ports"]], len(r.get(peers, []))) for r in spec[way]]

    assert rules("ugc-clickhouse", "ingress") == [
        ([9440, 9010], 1), ([9440], 1), ([9440], 1), ([8443], 1), ([9363], 1),
    ]  # fmt: skip
    assert rules("ugc-clickhouse", "egress") == [
        ([53, 53, 5353, 5353], 0), ([9440, 9010], 1), ([9181], 1), ([443], 0),
    ]  # fmt: skip
    assert rules("ugc-clickhouse-keeper", "ingress") == [([9181], 1), ([9234], 1), ([9363], 1)]
    assert rules("ugc-clickhouse-keeper", "egress") == [([53, 53, 5353, 5353], 0), ([9234], 1)]
    for _, pod in rendered.pods():
        policies = [p["spec"]["podSelector"]["matchLabels"] for p in rendered.all("NetworkPolicy")]
        assert len([labels for labels in policies if selects(labels, pod)]) == 1


def test_peers_may_be_templates(helm: Helm) -> None:
    """So that a chart above can name the pods of its release."""
    peer = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "{{ .Release.Name }}"}}}
    policy = helm.render(CHART, more={"networkPolicy.etl": [peer]}).one(
        "NetworkPolicy", "ugc-clickhouse"
    )
    assert policy["spec"]["ingress"][2]["from"][0]["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/instance": "ugc"
    }


def test_new_configuration_makes_new_pods(helm: Helm) -> None:
    def annotations(name: str = "shard-0", **more: object) -> dict[str, str]:
        stateful = helm.render(CHART, more=more).one("StatefulSet", f"ugc-clickhouse-{name}")
        return stateful["spec"]["template"]["metadata"]["annotations"]

    # Generated passwords are others at every rendering, and must not count.
    assert annotations() == annotations()
    assert annotations(**{"analyst.maxExecutionS": 5}) != annotations()
    assert annotations(**{"passwords.etl": "another-password"}) != annotations()
    # Keeper stays as it is when servers change.
    assert annotations("keeper", **{"analyst.maxExecutionS": 5}) == annotations("keeper")


def test_backups_have_a_disk(helm: Helm) -> None:
    assert configuration(helm.render(CHART)).find("backups") is None
    bucket = configuration(helm.render(CHART, "production"))
    assert bucket.findtext("storage_configuration/disks/backups/type") == "s3_plain"
    claimed = helm.render(CHART, "plain")
    disk = configuration(claimed).find("storage_configuration/disks/backups")
    assert disk is not None
    pod = claimed.one("StatefulSet", "ugc-clickhouse-shard-0")["spec"]["template"]["spec"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "backups"]
    assert f"{mount['mountPath']}/" == disk.findtext("path")


def test_notes_tell_what_the_etl_needs_and_no_secret(helm: Helm) -> None:
    values = str(CHARTS / CHART / "ci/production-values.yaml")
    said = helm.run(
        "install", "ugc", str(CHARTS / CHART), "-f", values, "--dry-run=client",
    )  # fmt: skip
    notes = said.partition("NOTES:")[2]
    assert "CLICKHOUSE_SHARDS: ugc-clickhouse-shard-0,ugc-clickhouse-shard-1\n" in notes
    assert "{name: clickhouse-users, key: etl-password}" in notes
    assert "<no value>" not in notes


def test_passwords_are_made_once(helm: Helm) -> None:
    name = "ugc-clickhouse-users"
    with cluster_with(helm) as render:
        first, other = render(CHART)[name], render(CHART)[name]
    assert len(set(first["data"].values()) | set(other["data"].values())) == 2 * len(USERS)
    assert {len(base64.b64decode(value)) for value in first["data"].values()} == {32}
    with cluster_with(helm, first) as render:
        assert render(CHART)[name]["data"] == first["data"]
        changed = render(CHART, "--set", "passwords.analyst=another-password")[name]["data"]
    wanted = {"analyst-password": base64.b64encode(b"another-password").decode()}
    assert changed == first["data"] | wanted


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"insertQuorum": 3}, "insertQuorum is 3 and replicas is 2: no insert could ever succeed"),
    ({"insertQuorum": "most"}, "does not match pattern"),
    ({"databases.analytics": "ugc"}, "analysts may read all of theirs"),
    ({"databases.raw": "a-b"}, "does not match pattern"),
    ({"keeper.replicas": 2}, "value must be one of 1, 3, 5"),
    ({"passwords.etl": "short"}, "a password has fewer than 12 characters"),
    (
        {"passwords": {"etl": "x" * 12, "existingSecret": {"name": "s"}}},
        "passwords and passwords.existingSecret.name are both set: keep one of them",
    ),
    ({"tls.enabled": True}, "there is no certificate: set tls.existingSecret.name or"),
    ({"tls.existingSecret.name": "s"}, "tls.enabled is false, so the certificate would not be"),
    (
        {"tls": {"enabled": True, "existingSecret": {"name": "s"}, "certManager": {"issuer": "i"}}},
        "tls.existingSecret.name and tls.certManager.issuer are both set",
    ),
    ({"ingress.enabled": True}, "ingress.host is empty"),
    ({"backup.bucket.existingSecret.name": "s"}, "backup.bucket.endpoint is empty"),
    (
        {"backup.claimName": "c", "backup.bucket.endpoint": "https://s/b/"},
        "backup.claimName and backup.bucket.endpoint are both set",
    ),
    ({"server.settings.Bad-Name": 1}, "'Bad-Name' does not match pattern"),
    ({"server.settings.a_list": []}, "got array, want"),
    ({"shard": 2}, "additional properties 'shard' not allowed"),
]


@pytest.mark.parametrize(("values", "sentence"), WRONG)
def test_wrong_values_are_answered(helm: Helm, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RefusedError) as refused:
        helm.render(CHART, more=values)
    assert sentence in str(refused.value)


def test_an_older_kubernetes_is_refused(helm: Helm) -> None:
    with pytest.raises(RefusedError, match=r">=1\.30\.0-0"):
        helm.render(CHART, kubernetes="1.29")
