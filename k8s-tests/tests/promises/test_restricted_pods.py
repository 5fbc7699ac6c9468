"""The restricted Pod Security Standard is enforced, and every pod of the charts passes it."""

import pytest
from releases import Namespace
from ugc_cluster.failure import NoClusterError


def test_restricted_pods(namespace: Namespace) -> None:
    with pytest.raises(NoClusterError, match=r"violates PodSecurity .*restricted"):
        namespace.kubectl("run", "root", "--image=localhost/pause:1", "--image-pull-policy=Never")
    namespace.start_stores()
    # Ready, in a namespace that refuses all others: so are their Jobs and the pods of their tests.
    namespace.install_api("events", "--set", "replicas=1")
    namespace.install_etl("consumers", "--set", "replicas=1")
    for release in ("events", "consumers"):
        assert "Phase:          Succeeded" in namespace.helm("test", release)
    refused = namespace.kubectl(
        "get",
        "events",
        "--field-selector=reason=FailedCreate",
        "-o",
        "jsonpath={.items[*].message}",
    )
    assert not refused
