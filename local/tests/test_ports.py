import socket

import pytest
from ugc_local.ports import (
    LOOPBACK,
    PortNumbers,
    PortTakenError,
    choose_ports,
    free_ports,
    is_free,
    require_free,
)


def test_free_ports_differ_and_are_free():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(map(is_free, ports))


def test_a_taken_port_is_named_with_its_purpose():
    (free,) = free_ports(1)
    with socket.create_server((LOOPBACK, 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {taken} \(Kafka\): stop it or choose"):
            require_free({"Kafka": taken, "the API": free})
    require_free({"Kafka": taken, "the API": free})


def test_ports_are_those_of_the_last_run_where_they_are_free():
    first = choose_ports({}, None, 2)
    assert len(set(first.all())) == 7
    assert choose_ports({}, first, 2) == first
    with socket.create_server((LOOPBACK, first.api)):
        second = choose_ports({}, first, 3)
    assert second.api != first.api
    assert second.etl_metrics[:2] == first.etl_metrics
    assert second.clickhouse_http == first.clickhouse_http
    assert len(set(second.all())) == 8
    assert choose_ports({}, second, 1).etl_metrics == second.etl_metrics[:1]


def test_given_ports_come_first_even_where_another_part_had_them():
    first = choose_ports({}, None, 1)
    second = choose_ports({"api": first.kafka}, first, 1)
    assert second.api == first.kafka
    assert second.kafka != first.kafka
    assert len(set(second.all())) == 6


def test_a_given_port_that_is_taken_or_given_twice_is_refused():
    with socket.create_server((LOOPBACK, 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {taken} \(ClickHouse's HTTP\)"):
            choose_ports({"clickhouse_http": taken}, None, 1)
    with pytest.raises(PortTakenError, match="port 20007 is asked for twice"):
        choose_ports({"clickhouse_http": 20_007, "kafka": 20_007}, None, 1)


def test_numbers_are_listed_once_each():
    assert PortNumbers(1, 2, 3, 4, 5, (6, 7)).all() == (1, 2, 3, 4, 5, 6, 7)


def test_a_port_that_is_not_the_users_is_not_called_taken(monkeypatch):
    class OfANobody(socket.socket):
        def bind(self, address):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", OfANobody)
    with pytest.raises(
        PortTakenError, match=r"only root may listen on port 80 \(the API\): choose"
    ):
        require_free({"the API": 80})
