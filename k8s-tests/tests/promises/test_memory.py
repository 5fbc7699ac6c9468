"""A backlog is worked off within the memory that the charts allow, and nobody is killed for it."""

import json
import time
from collections.abc import Callable

from load import load
from releases import Namespace
from ugc_cluster.deadline import await_true

EVENTS_PER_REQUEST = 1000
BACKLOG = 300_000
SENT_S, READ_S = 180.0, 180.0
MIB = 1 << 20
# The most that a pod's processes have been together, each at its own highest and with what they
# share; and the most that its control group was charged, files that it read included.
PEAK = (
    "import pathlib\n"
    "found = [line.split() for p in pathlib.Path('/proc').glob('[0-9]*')\n"
    "    for line in (p / 'status').read_text().splitlines() if line.startswith('VmHWM')]\n"
    "print(sum(int(words[1]) for words in found) * 1024)\n"
    "for name in ('memory/memory.max_usage_in_bytes', 'memory.peak'):\n"
    "    if (file := pathlib.Path('/sys/fs/cgroup', name)).exists():\n"
    "        print(file.read_text())\n"
)


def test_memory(namespace: Namespace, record_property: Callable[[str, object], None]) -> None:
    namespace.start_stores(partitions=8)
    namespace.install_api("events", "--set", "replicas=1")
    namespace.install_etl("consumers", "--set", "replicas=1")
    namespace.kubectl("scale", "statefulset/consumers-etl", "--replicas=0")
    namespace.kubectl("wait", "pod/consumers-etl-0", "--for=delete", "--timeout=90s")
    with load(
        namespace, "events-api", requests_per_s=50, events_per_request=EVENTS_PER_REQUEST
    ) as outcome:
        await_true("the backlog was not taken", lambda: accepted(namespace) >= BACKLOG, SENT_S)
    assert outcome.failed == 0, outcome.failures

    began = time.monotonic()
    namespace.kubectl("scale", "statefulset/consumers-etl", "--replicas=1")
    with namespace.analyst() as analyst:
        analyst.await_events("view_progress", outcome.events, READ_S)
    record_property("backlog_events", outcome.events)
    record_property("worked_off_s", round(time.monotonic() - began, 1))

    for name, workload in (("api", "deployment/events-api"), ("etl", "statefulset/consumers-etl")):
        spec = json.loads(namespace.kubectl("get", workload, "-o", "json"))["spec"]["template"]
        limit = spec["spec"]["containers"][0]["resources"]["limits"]["memory"]
        assert limit.endswith("Mi")
        said = namespace.kubectl("exec", workload, "--", "python", "-c", PEAK)
        peak, *charged = (int(number) for number in said.split())
        record_property(f"{name}_peak_mib", round(peak / MIB))
        for most in charged:  # a kernel before 5.19 does not tell with version 2
            record_property(f"{name}_charged_mib", round(most / MIB))
        record_property(f"{name}_limit_mib", int(limit.removesuffix("Mi")))
        assert peak < int(limit.removesuffix("Mi")) * MIB
    pods = json.loads(namespace.kubectl("get", "pods", "-o", "json"))["items"]
    killed = [
        (pod["metadata"]["name"], container["lastState"])
        for pod in pods
        for container in pod["status"].get("containerStatuses", [])
        if container["restartCount"]
    ]
    assert not killed


def accepted(namespace: Namespace) -> int:
    """Events that the API has taken, by its own count."""
    program = (
        "import urllib.request\n"
        "text = urllib.request.urlopen('http://127.0.0.1:8080/metrics').read().decode()\n"
        "print(next(line.split()[1] for line in text.splitlines()"
        " if line.startswith('ugc_api_events_total') and 'accepted' in line))\n"
    )
    said = namespace.kubectl("exec", "deployment/events-api", "--", "python", "-c", program)
    return int(float(said))
