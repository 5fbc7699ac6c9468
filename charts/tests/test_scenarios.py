"""Every ci scenario: what it renders is right for Kubernetes, for the services and in itself."""

import base64
import copy

import kubernetes_api
import pod_security
import pytest
import yaml
from rendering import CHARTS, NEWEST, OLDEST, Helm, Object, Rendered, scenarios
from ugc_etl.operations.settings import ToolSettings
from ugc_etl.settings import MigrateSettings
from ugc_settings import describe, load
from values_schema import SERVICES

REPOSITORY = CHARTS.parent
every_scenario = pytest.mark.parametrize(("chart", "scenario"), scenarios())
SETTINGS = {
    "Deployment": SERVICES[0].settings,
    "StatefulSet": SERVICES[1].settings,
    "Job": MigrateSettings,
    "Pod": ToolSettings,
}


def test_every_chart_has_scenarios() -> None:
    charts = {file.parents[1] for file in REPOSITORY.glob("*/*/ci/*-values.yaml")}
    assert charts == {file.parent for file in REPOSITORY.glob("*/*/Chart.yaml")}


@pytest.mark.proves("the services are right for Kubernetes 1.30 and 1.37", by="rendering")
@every_scenario
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_it(helm: Helm, chart: str, scenario: str, version: str) -> None:
    rendered = helm.render(chart, scenario, kubernetes=version)
    assert [p for found in rendered.objects for p in kubernetes_api.problems(found, version)] == []


@pytest.mark.proves("the services are restricted by Pod Security", by="rendering")
@every_scenario
def test_pods_are_restricted(helm: Helm, chart: str, scenario: str) -> None:
    pods = list(helm.render(chart, scenario).pods())
    assert len(pods) >= 2
    assert {what: pod_security.problems(pod["spec"]) for what, pod in pods} == {
        what: [] for what, _ in pods
    }


@pytest.mark.proves("the services take the environment that their pods get", by="running")
@every_scenario
def test_the_services_take_their_environment(helm: Helm, chart: str, scenario: str) -> None:
    rendered = helm.render(chart, scenario)
    for what, pod in rendered.pods():
        environ = rendered.environment(pod)
        if chart == "ugc-api" and what.startswith("Pod"):
            continue  # the test's own variables: test_send_event
        load(SETTINGS[what.split()[0]], environ)
        known = {variable.name for service in SERVICES for variable in describe(service.settings)}
        assert set(environ) <= known, what


@every_scenario
def test_a_stop_has_the_time_that_the_service_takes(helm: Helm, chart: str, scenario: str) -> None:
    rendered = helm.render(chart, scenario)
    if chart == "ugc-api":
        spec = rendered.one("Deployment")["spec"]["template"]["spec"]
        environ = rendered.environment({"spec": spec})
        sleep = spec["containers"][0].get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})
        takes_s = load(SERVICES[0].settings, environ).api_stop_grace_s
        takes_s += sleep["preStop"]["sleep"]["seconds"]
    else:
        spec = rendered.one("StatefulSet")["spec"]["template"]["spec"]
        environ = rendered.environment({"spec": spec})
        takes_s = load(SERVICES[1].settings, environ).shutdown_grace_s
    assert spec["terminationGracePeriodSeconds"] > takes_s


@pytest.mark.proves("no secret is outside of Secrets", by="rendering")
@every_scenario
def test_secrets_are_in_secrets_only(helm: Helm, chart: str, scenario: str) -> None:
    rendered = helm.render(chart, scenario)
    kept = {
        base64.b64decode(value).decode()
        for secret in rendered.all("Secret")
        for value in secret["data"].values()
    }
    rest = yaml.safe_dump_all([found for found in rendered.objects if found["kind"] != "Secret"])
    for secret in kept:
        assert secret not in rest
        assert base64.b64encode(secret.encode()).decode() not in rest
    secret_names = {v.name for service in SERVICES for v in describe(service.settings) if v.secret}
    for config in rendered.all("ConfigMap"):
        assert not secret_names & set(config["data"])
    for _, pod in rendered.pods():
        for variable in pod["spec"]["containers"][0].get("env") or []:
            assert variable["name"] not in secret_names or "valueFrom" in variable


def loose_ends(rendered: Rendered) -> list[str]:
    """References inside of a release that lead nowhere."""
    names = {(found["kind"], found["metadata"]["name"]) for found in rendered.objects}
    pods = [pod for _, pod in rendered.pods()]
    found = []
    for pod in pods:
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        found += [f"volume {name}" for name in mounts ^ set(volumes)]
        maps = [volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume]
        maps += [source["configMapRef"]["name"] for source in container.get("envFrom", [])]
        found += [f"ConfigMap {name}" for name in maps if ("ConfigMap", name) not in names]
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe in container and container[probe]["httpGet"]["port"] not in ports:
                found.append(f"{probe}'s port")
    for service in rendered.all("Service"):
        chosen = [pod for pod in pods if selects(service["spec"]["selector"], pod)]
        if len(chosen) != 1:
            found.append(f"Service {service['metadata']['name']} selects {len(chosen)}")
            continue
        ports = {port["name"] for port in chosen[0]["spec"]["containers"][0].get("ports", [])}
        found += [
            f"Service's port {port['targetPort']}"
            for port in service["spec"]["ports"]
            if port["targetPort"] not in ports
        ]
    for kind in ("PodDisruptionBudget", "Deployment", "StatefulSet"):
        for one in rendered.all(kind):
            chosen = [pod for pod in pods if selects(one["spec"]["selector"]["matchLabels"], pod)]
            if len(chosen) != 1:
                found.append(f"{kind} selects {len(chosen)}")
    for scaler in rendered.all("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in names:
            found.append("HorizontalPodAutoscaler's target")
    return found


def selects(labels: dict[str, str], pod: Object) -> bool:
    return labels.items() <= pod["metadata"]["labels"].items()


@pytest.mark.proves("selectors, ports, volumes and names lead somewhere", by="rendering")
@every_scenario
def test_references_lead_somewhere(helm: Helm, chart: str, scenario: str) -> None:
    assert loose_ends(helm.render(chart, scenario)) == []


@every_scenario
def test_every_pod_has_a_network_policy(helm: Helm, chart: str, scenario: str) -> None:
    rendered = helm.render(chart, scenario)
    policies = [policy["spec"]["podSelector"] for policy in rendered.all("NetworkPolicy")]
    if not policies:
        assert scenario == "plain"
        return
    for what, pod in rendered.pods():
        covered = [p for p in policies if selects(p["matchLabels"], pod) and in_expressions(p, pod)]
        assert len(covered) == 1, what


def in_expressions(selector: Object, pod: Object) -> bool:
    return all(
        pod["metadata"]["labels"][e["key"]] in e["values"] and e["operator"] == "In"
        for e in selector.get("matchExpressions", [])
    )


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_scenarios_together_set_all_that_the_chart_owns(helm: Helm, service: object) -> None:
    name, owned, free = service.name, service.owned, service.free()  # type: ignore[attr-defined]
    seen: set[str] = set()
    for chart, scenario in scenarios():
        if chart == name:
            for config in helm.render(chart, scenario).all("ConfigMap"):
                seen |= {key for key in config["data"] if key.isupper()}
    assert seen - free == owned


def test_what_is_wrong_would_be_found(helm: Helm) -> None:
    rendered = helm.render("ugc-api")
    deployment = copy.deepcopy(rendered.one("Deployment"))
    spec = deployment["spec"]["template"]["spec"]
    spec["terminationGracePeriodSecond"] = 1
    deployment["spec"]["replicas"] = "two"
    assert len(kubernetes_api.problems(deployment, OLDEST)) == 2
    container = spec["containers"][0]
    container["securityContext"] = {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}
    spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    spec["hostNetwork"] = True
    assert pod_security.problems(spec) == [
        "hostNetwork", "volume of hostPath", "api: privileged", "api: allowPrivilegeEscalation",
        "api: capabilities.drop", "api: capabilities.add", "api: readOnlyRootFilesystem",
    ]  # fmt: skip
    container["livenessProbe"]["httpGet"]["port"] = "nowhere"
    container["envFrom"][0]["configMapRef"]["name"] = "nothing"
    assert loose_ends(Rendered([deployment])) == [
        "volume host", "ConfigMap nothing", "livenessProbe's port",
    ]  # fmt: skip
