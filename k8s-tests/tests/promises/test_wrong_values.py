"""Values that cannot work are answered with what to set, and nothing is installed."""

import pytest
from releases import Namespace
from ugc_cluster.failure import NoClusterError

KAFKA = "kafka.bootstrapServers=kafka:9092"
KINDS = ("all", "configmaps", "secrets", "serviceaccounts", "networkpolicies")
WRONG = [
    ("ugc-api", ["jwt.generate=true"], "kafka.bootstrapServers"),
    ("ugc-api", [KAFKA], "jwt"),
    ("ugc-api", [KAFKA, "jwt.generate=true", "replicsa=3"], "replicsa"),
    ("ugc-api", [KAFKA, "jwt.generate=true", "settings.API_MAX_BATHC=5"], "API_MAX_BATHC"),
    ("etl", [KAFKA], "clickhouse.host"),
    ("etl", [KAFKA, "clickhouse.host=clickhouse", "clickhouse.port=99999"], "port"),
]


def test_wrong_values(namespace: Namespace) -> None:
    # What every namespace gets from the cluster, in its own time.
    namespace.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    namespace.kubectl("wait", "--for=create", "configmap/kube-root-ca.crt", "--timeout=60s")
    before = namespace.objects(KINDS)
    for chart, values, named in WRONG:
        arguments = [word for value in values for word in ("--set", value)]
        with pytest.raises(NoClusterError) as refusal:
            namespace.helm("install", "wrong", str(namespace.charts / chart), *arguments)
        assert named in str(refusal.value).split(": ", 1)[1], values
        assert namespace.objects(KINDS) == before
