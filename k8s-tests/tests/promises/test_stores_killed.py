"""Kafka and ClickHouse are killed and deleted under load, and every event is there once."""

import time
from collections.abc import Callable
from functools import partial

from load import load
from releases import Namespace
from ugc_cluster.deadline import await_true

EVENTS_PER_REQUEST = 50
CAUGHT_UP_S = 180.0
BACK_S = 180.0


def delete(namespace: Namespace, pod: str) -> None:
    """Without a moment to close anything."""
    namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force")


def kill(namespace: Namespace, word: str, pod: str) -> None:
    """-9 for the processes of a pod that have this word in their command line."""
    program = (
        "import os, pathlib, signal\n"
        "found = [int(p.name) for p in pathlib.Path('/proc').glob('[0-9]*')\n"
        f"    if b'{word}' in (p / 'cmdline').read_bytes() and int(p.name) != os.getpid()]\n"
        "for pid in found: os.kill(pid, signal.SIGKILL)\n"
        "print(len(found))\n"
    )
    assert int(namespace.kubectl("exec", pod, "--", "python", "-c", program)) > 0


def life(namespace: Namespace, pod: str) -> tuple[str, str]:
    """Which life of a pod's container it is, and whether it is ready; nothing where it is away."""
    container = "{.status.containerStatuses[0].restartCount}/{.status.containerStatuses[0].ready}"
    found = namespace.kubectl(
        "get", "pod", pod, "--ignore-not-found", "-o", f"jsonpath={{.metadata.uid}}/{container}"
    )
    uid, restarts, ready = found.split("/") if found else ("", "", "")
    return f"{uid}/{restarts}", ready


def test_stores_killed(
    namespace: Namespace, record_property: Callable[[str, object], None]
) -> None:
    def ends(store: str, how: str, end: Callable[[str], object]) -> None:
        pod = f"{store}-0"
        before, _ = life(namespace, pod)
        began = time.monotonic()
        end(pod)

        def again() -> bool:
            now, ready = life(namespace, pod)
            return now != before and ready == "true"

        await_true(f"{pod} was {how} and did not come back", again, BACK_S)
        record_property(f"{store}_{how}_s", round(time.monotonic() - began, 1))

    namespace.start_stores(partitions=4)
    namespace.install_api("events", "--set", "replicas=1")
    namespace.install_etl("consumers", "--set", "replicas=2")
    with load(
        namespace,
        "events-api",
        requests_per_s=10,
        events_per_request=EVENTS_PER_REQUEST,
        until_taken=True,
    ) as outcome:
        for store, word in (("clickhouse", "ugc_local.clickhouse"), ("kafka", "kafka.Kafka")):
            ends(store, "killed", partial(kill, namespace, word))
            ends(store, "deleted", partial(delete, namespace))
    record_property("events", outcome.events)
    record_property("refused_requests", outcome.failed)
    record_property("longest_outage_s", outcome.outage_s)
    record_property("slowest_request_s", outcome.slowest_s)
    with namespace.analyst() as analyst:
        caught_up_s = analyst.await_events(
            "view_progress", outcome.events, CAUGHT_UP_S, repeated=outcome.failed > 0
        )
        record_property("caught_up_s", round(caught_up_s, 1))
    assert "Phase:          Succeeded" in namespace.helm("test", "consumers")
