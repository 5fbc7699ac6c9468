import os

import pytest
from ugc_local.deadline import Deadline
from ugc_local.kafka.broker import (
    BrokerPorts,
    Listener,
    bootstrap_servers,
    server_properties,
    start_broker,
)
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.kafka.distribution import local_repository
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import ProcessExitedError
from ugc_local.stores import await_kafka


def start(directory, ports, guard):
    return start_broker(
        directory,
        ports=ports,
        repository=local_repository(os.environ),
        environ=os.environ,
        guard=guard,
        on_step=print,
    )


def test_everything_listens_on_the_loopback_interface_only():
    lines = server_properties(BrokerPorts(1, 2), log_dir="data").splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    for name in ("listeners", "advertised.listeners"):
        assert settings[name] == f"PLAINTEXT://{LOOPBACK}:1,CONTROLLER://{LOOPBACK}:2"
    assert settings["auto.create.topics.enable"] == "false"


def test_a_further_listener_sends_its_clients_where_it_is_told():
    lines = server_properties(
        BrokerPorts(1, 2),
        log_dir="data",
        listeners=[Listener("SIDE", 3, 4)],
        overrides={"group.min.session.timeout.ms": 1000},
    ).splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    assert settings["listeners"].endswith(f",SIDE://{LOOPBACK}:3")
    assert settings["advertised.listeners"].endswith(f",SIDE://{LOOPBACK}:4")
    assert "SIDE:PLAINTEXT" in settings["listener.security.protocol.map"].split(",")
    assert settings["group.min.session.timeout.ms"] == "1000"


@pytest.mark.integration
def test_data_survives_a_crash_and_a_change_of_ports(tmp_path, process_guard):
    directory = tmp_path / "a directory, with=signs: ünd Umlaute"
    ports = BrokerPorts(*free_ports(2))
    first = start(directory, ports, process_guard)
    try:
        client = KafkaClient(bootstrap_servers(ports))
        await_kafka(first, client, Deadline.after(60))
        client.create_topics([Topic("kept", 2)])
        client.produce_raw("kept", [(b"k", b"kept", [])] * 10)
    finally:
        first.kill()

    ports = BrokerPorts(*free_ports(2))
    second = start(directory, ports, process_guard)
    try:
        client = KafkaClient(bootstrap_servers(ports))
        await_kafka(second, client, Deadline.after(60))
        assert [record.value for record in client.read_all("kept")] == [b"kept"] * 10
        client.create_topics([Topic("kept", 2)])
        client.produce_raw("kept", [(b"k", b"more", [])])
        assert sum(client.end_offsets("kept").values()) == 11
    finally:
        second.stop(grace_s=20)
    assert not second.identity.is_alive()


@pytest.mark.integration
def test_storage_that_cannot_be_laid_out_is_an_error(tmp_path, process_guard):
    (tmp_path / "data.new").write_text("in the way")
    with pytest.raises(
        ProcessExitedError, match=r"(?s)StorageTool exited with status 1.*data\.new"
    ):
        start(tmp_path, BrokerPorts(*free_ports(2)), process_guard)
    assert not (tmp_path / "data").exists()
