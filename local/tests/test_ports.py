import socket

import pytest
from ugc_local.ports import LOOPBACK, PortTakenError, free_ports, is_free, require_free


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
