import pytest
from stores import connect, new_deployment
from ugc_etl.adapters.clickhouse import ClickHouse, ClickHouseAddress
from ugc_etl.adapters.memory import MemorySource
from ugc_etl.ports import RefusedError
from ugc_etl.readiness import missing
from ugc_etl.schema import Deployment, migrate, required_version


def test_topics_are_waited_for_by_name():
    source = MemorySource({"a": False, "b": True, "c": False})
    assert missing(source, [nobody(1)], Deployment()) == "waiting for topics: a, c"


def test_a_store_that_is_down_is_waited_for(unused_port):
    what = missing(MemorySource(), [nobody(unused_port)], Deployment())
    assert what.startswith(f"waiting for a store: ClickHouse at 127.0.0.1:{unused_port}: ")


@pytest.mark.integration
def test_the_schema_is_waited_for_and_must_fit(clickhouse):
    client, deployment = connect(clickhouse), new_deployment()
    assert missing(MemorySource(), [client], deployment) == (
        f"waiting for the schema: version 0 of {deployment.database} is below {required_version}; "
        "`etl migrate` brings it there"
    )
    migrate(client, deployment)
    assert missing(MemorySource(), [client], deployment) == ""
    table = deployment.local("interactions")
    client.execute(f"ALTER TABLE {table} DROP COLUMN dwell_ms")
    with pytest.raises(RefusedError, match="column dwell_ms should be"):
        missing(MemorySource(), [client], deployment)
    client.execute(f"ALTER TABLE {table} ADD COLUMN dwell_ms UInt8")
    with pytest.raises(RefusedError, match=r"Nullable\(UInt32\) and is UInt8"):
        missing(MemorySource(), [client], deployment)
    client.close()


def nobody(port):
    return ClickHouse(
        ClickHouseAddress(host="127.0.0.1", port=port, user="u", password="p"), lambda: 0.0
    )
