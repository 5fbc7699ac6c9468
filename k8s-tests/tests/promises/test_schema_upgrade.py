"""A release with a newer schema is installed and taken back under load, and no request fails.

The next release is today's with one migration and one view more: an image and a chart of its own.
After the rollback today's consumers work on the newer schema, which stays.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from load import load
from releases import Namespace
from ugc_cluster.images import NEXT_TAG, next_version

EVENTS_PER_REQUEST = 20
CAUGHT_UP_S = 90.0
RELEASES = "SELECT sum(rows) FROM analytics.releases WHERE release = 'next'"


def next_chart(namespace: Namespace, folder: Path) -> Path:
    """As this one says of the image's schema what it says of the next one's."""
    chart = folder / "etl"
    shutil.copytree(namespace.charts / "etl", chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    about["annotations"]["ugc.dev/schema-version"] = str(next_version())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about), "utf-8")
    return chart


def image(namespace: Namespace) -> str:
    """The tag that the first consumer runs."""
    path = "jsonpath={.spec.containers[0].image}"
    return namespace.kubectl("get", "pod", "consumers-etl-0", "-o", path).rpartition(":")[2]


def test_schema_upgrade(
    namespace: Namespace, record_property: Callable[[str, object], None], tmp_path: Path
) -> None:
    namespace.start_stores()
    namespace.install_api("events", "--set", "replicas=1")
    namespace.install_etl("consumers", "--set", "replicas=2")
    today = image(namespace)
    with namespace.analyst() as analyst:
        with load(
            namespace, "events-api", requests_per_s=10, events_per_request=EVENTS_PER_REQUEST
        ) as outcome:
            with pytest.raises(AssertionError, match="UNKNOWN_TABLE"):
                analyst.ask(RELEASES)
            upgraded_s = namespace.upgrade(
                "consumers", next_chart(namespace, tmp_path), "--set", f"image.tag={NEXT_TAG}"
            )
            assert image(namespace) == NEXT_TAG
            assert int(analyst.ask(RELEASES)) > 0

            began = time.monotonic()
            namespace.helm("rollback", "consumers", "1", "--wait", "--timeout=180s")
            record_property("rolled_back_s", round(time.monotonic() - began, 1))
            assert image(namespace) == today
        record_property("upgraded_s", round(upgraded_s, 1))
        record_property("events", outcome.events)
        assert outcome.failed == 0, outcome.failures
        caught_up_s = analyst.await_events("view_progress", outcome.events, CAUGHT_UP_S)
        record_property("caught_up_s", round(caught_up_s, 1))
        assert int(analyst.ask(RELEASES)) == outcome.events
    assert "Phase:          Succeeded" in namespace.helm("test", "consumers")
